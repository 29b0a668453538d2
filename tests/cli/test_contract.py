"""What programs and people rely on in the shell: exit statuses, one JSON object, quick help, legible output."""

import json
import os
import re
import resource
import subprocess
import sys
import textwrap

import pytest

HEAVY = ("torch", "rich", "numpy", "PIL")


@pytest.fixture
def digits(lamina):
    """A short run on the digits, in ./run."""
    ended = lamina("fit", "digits", "--model", "mlp_tiny", "--steps", 4, "--out", "run")
    assert ended.status == 0, ended.err
    return lamina


def shell(*words, **more):
    command = [sys.executable, "-m", "lamina.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **more)


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "run"),
        ("evaluate", "run", "digits"),
        ("predict", "run", "digits"),
        ("show", "run"),
        ("show", "mlp"),
        ("show", "supervised"),
        ("compare", "run", "run"),
        ("runs", "."),
        ("models",),
        ("tasks",),
        ("methods",),
        ("datasets",),
        ("fit", "digits", "--model", "mlp_tiny", "--steps", "2"),
        ("tune", "digits", "--model", "mlp_tiny", "--budget", "2steps", "--set", "lr=1e-3..1e-1", "--trials", "1"),
    ],
    ids=" ".join,
)
def test_json_is_one_object_on_standard_output_and_nothing_else(digits, words):
    ended = digits(*words, "--json")
    assert ended.status == 0, ended.err
    assert ended.out.count("\n") == 1 and isinstance(json.loads(ended.out), dict)


def test_a_fault_of_ours_ends_with_1_and_a_traceback(lamina, monkeypatch):
    from lamina.verbs import listing

    monkeypatch.setattr(listing, "models", lambda: 1 / 0)
    ended = lamina("models")
    assert ended.status == 1
    assert "ZeroDivisionError" in ended.err and "a fault of lamina's, not of your input" in ended.err


def test_an_interrupt_ends_with_130(lamina, monkeypatch):
    from lamina.verbs import listing

    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "models", stop)
    assert lamina("models").status == 130


def test_an_interrupted_fit_says_how_to_go_on(lamina, monkeypatch):
    import signal

    before = signal.getsignal(signal.SIGINT)
    from lamina.cli import terminal

    show = terminal._Progress.show

    def press(self, tick):
        show(self, tick)
        if tick.step == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(terminal._Progress, "show", press)
    ended = lamina("fit", "digits", "--model", "mlp_tiny", "--steps", 500, "--out", "run")
    assert ended.status == 130
    assert "Go on with: lamina fit --resume run" in ended.err
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(terminal._Progress, "show", show)
    ended = lamina("fit", "--resume", "run", "--budget", "6steps")
    assert ended.status == 0, ended.err
    ended = lamina("fit", "--resume", "run")
    assert ended.status == 0 and "finished" in ended.err and "--budget MORE" in ended.err


@pytest.mark.parametrize("words", [("--help",), ("fit", "--help"), ("models",), ("tasks",), ("datasets",), ("runs",)])
def test_help_and_listings_are_quick_and_import_nothing_heavy(words, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        sys.argv = ["lamina", *{list(words)!r}]
        from lamina.cli.main import main
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
        print("heavy:", [m for m in {HEAVY!r} if m in sys.modules], "modules:", len(sys.modules), file=sys.stderr)
    """)
    spent = []
    for _ in range(3):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
        assert "heavy: []" in done.stderr
        assert int(done.stderr.rpartition("modules:")[2]) < 400  # some 270: whatever the machine's speed
    assert min(spent) < 0.3, spent


def test_the_common_help_has_the_twelve_most_used_options_and_help_all_the_rest():
    common, everything = shell("fit", "--help").stdout, shell("fit", "--help", "all").stdout
    options = [re.findall(r"^\s+(--[a-z]+)", text, re.MULTILINE) for text in (common, everything)]
    twelve = ["target", "task", "model", "method", "budget", "valid", "test", "weights", "set", "out", "resume", "help"]
    assert options[0] == [f"--{name}" for name in twelve]
    assert set(options[1]) - set(options[0]) == {"--seed", "--device", "--epochs", "--steps", "--json"}
    assert set(options[0]) < set(options[1])


def test_listings_are_wrapped_to_the_terminal_and_never_to_a_word_a_line(lamina, monkeypatch):
    """40 columns: a line is no longer; 5 columns: 20 are left beside the names all the same. Into a pipe: as it is."""
    whole = lamina("models").out
    wide = max(len(re.match(r"\S+ +", line)[0]) for line in whole.splitlines() if line[0] != " ")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns, most in ((60, 59), (5, wide + 20)):
        monkeypatch.setenv("COLUMNS", str(columns))
        said = lamina("models").out
        assert max(map(len, said.splitlines())) <= most
        assert max(map(len, said.splitlines())) > most - 8
        assert said.split() == whole.split()


def test_a_wrong_option_ends_with_2_and_names_the_nearest():
    done = shell("fit", "digits", "--modle", "mlp")
    assert done.returncode == 2
    assert "--model" in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_no_words_at_all_are_answered_with_the_help():
    done = shell()
    assert done.returncode == 0 and "Train a network on your data." in done.stdout


def test_results_go_to_standard_output_and_progress_to_standard_error(digits):
    ended = digits("fit", "digits", "--model", "mlp_tiny", "--steps", 2, "--out", "other")
    assert "accuracy" in ended.out and "steps/s" not in ended.out and "\x1b" not in ended.out + ended.err
    assert "steps/s" in ended.err and "inputs image: image" in ended.err


def test_the_selecting_metric_stands_first_and_figures_under_each_other(digits):
    ended = digits("fit", "digits", "--model", "mlp_tiny", "--steps", 2, "--out", "other")
    lines = ended.out.splitlines()
    heading = next(i for i, line in enumerate(lines) if "95 % interval" in line)
    rows = [line for line in lines[heading + 1 :] if re.match(r"\w+( \*)? +-?\d", line)]
    assert rows[0].startswith("accuracy *")
    ends = {re.match(r"\w+(?: \*)? +[\d.]+", row).end() for row in rows}
    assert len(ends) == 1, "the figures end in one column"
    assert "mcc" not in ended.out.split("run ")[0], "what bores stands in `evaluate`"
    assert "not better than the simple baseline 'linear'" in ended.out


def test_notes_keep_an_option_and_its_value_on_one_line(monkeypatch, capsys):
    from rich.console import Console

    from lamina.cli import terminal

    monkeypatch.setattr(terminal, "err", Console(stderr=True, highlight=False, force_terminal=True, width=40))
    terminal.say("split train 1,438, valid 180, test 179 (drawn; --valid, --test, --set data.group=FIELD)")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err).splitlines()
    assert len(lines) > 1 and all(len(line) <= 40 for line in lines)
    assert any("--set data.group=FIELD" in line for line in lines)
