"""Names that carry codes, markup and formulas; places that are long, odd or closed; a clock that goes back; secrets."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.core.display import LONGEST, as_json, harmless, original, shown
from tests.cli.conftest import lamina, refused  # noqa: F401 (fixtures)
from tests.trust import hostile

ROOT = Path(__file__).parents[2]
QUICK = ("--model", "mlp_tiny", "--steps", "2", "--set", "plan.threads=1", "--set", "plan.precision=float32")
CATEGORY = ("--set", "data.types={'y': 'category'}")  # signs in a label make it look like several
CODES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NAMES = {
    "a title": "\x1b]0;owned\x07x",
    "colours and a cleared screen": "\x1b[2J\x1b[31mred",
    "an eight-bit code": "\x9b31mred",
    "a line break": "x\nlamina: all is well",
    "a return": "x\rlamina: all is well",
    "text turned round": "gpj.\u202eexe",
    "a formula": "=HYPERLINK(A1)",
    "a command": "@SUM(1)+cmd|' /C calc'!A0",
    "markup of the terminal's library": "[/bold][link=x]y[/]:smile:",
    "HTML": "<script>alert(1)</script>\"'&",
    "a template": "{{7*7}}${7*7}{0.__class__}%n",
    "a bidirectional isolate": "a\u2066b\u2069",
}


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_columns_classes_and_files_never_steer_the_terminal(name, lamina, tmp_path):  # noqa: F811
    """As a column, a label and a file: learnt from, answered with, and every stream clean."""
    odd = NAMES[name]
    rows = [[odd, "b", "y"], *([i % 5, i % 3, (odd, "plain")[i % 5 > 2]] for i in range(40))]
    with open(tmp_path / "x.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    source = f"{odd.replace('/', '_')[:60]}.csv"
    (tmp_path / "x.csv").rename(tmp_path / source)
    label = odd.strip()
    said = [lamina("fit", source, "--target", "y", *QUICK, *CATEGORY, "--out", "run")]
    said += [lamina("predict", "run", source, "--out", "p.csv"), lamina("predict", "run", source, "--out", "p.jsonl")]
    said += [lamina("predict", "run", source), lamina("evaluate", "run", source), lamina("show", "run")]
    said += [lamina("compare", "run", "run"), lamina("runs", "."), lamina("predict", "run", source, "--json")]
    for ended in said:
        assert ended.status == 0, ended.err
        assert not CODES.search(ended.out + ended.err), ended
        assert "lamina: all is well" not in (ended.out + ended.err).splitlines()
    answers = [json.loads(line)["y"] for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert set(answers) <= {label, "plain"}
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as file:
        cells = list(csv.reader(file))
    assert not [cell for row in cells for cell in row if re.match(r"[=+\-@\t\r]", cell) and not _number(cell)]
    if not CODES.search(label):
        assert [original(row[0]) for row in cells[1:]] == answers
    refusal = lamina("fit", source, "--target", odd + "!")
    assert refusal.status == 2 and not CODES.search(refusal.err) and len(refusal.err.splitlines()) == 1


def _number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_what_was_left_out_is_listed_in_cells_that_do_no_harm(lamina, tmp_path):  # noqa: F811
    (tmp_path / "x.csv").write_text(hostile.GOOD * 1 + '=cmd|x,"1,2",3,4\n')
    assert lamina("fit", "x.csv", "--target", "y", *QUICK, "--out", "run").status == 0
    with open(tmp_path / "run" / "skipped.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["where", "why"], ["row 42", "4 cells where the header has 3"]]


def test_a_file_of_an_odd_name_is_listed_as_one_row(lamina, tmp_path):  # noqa: F811
    pets = hostile.pictures(tmp_path, each=12)
    (pets / "cats" / '=x,"\n.png').write_bytes(b"")
    ended = lamina("fit", "pets", *QUICK, "--out", "run")
    assert ended.status == 0 and not CODES.search(ended.out + ended.err), ended.err
    with open(tmp_path / "run" / "skipped.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 2 and all(len(row) == 2 for row in rows) and "the file is empty" in rows[1][1]


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_a_cell_is_no_formula_and_gives_its_text_back(text):
    cell = harmless(text)
    assert not re.match("[=+\\-@\t\r\uff1d]", cell) or _number(cell)
    if not CODES.search(text) and not re.search("[\u061c\u2028\u2029]", text):
        assert original(cell) == text
    assert harmless(-5.5) == -5.5 and harmless("-5.5") == "-5.5" and harmless("+1e-3") == "+1e-3"


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters()), st.text(alphabet="\x1b\x9b\u202e\ud800\n\r'=x"))
def test_what_is_shown_is_one_clean_line_and_json_loses_nothing(one, other):
    text = one + other
    assert not CODES.search(shown(text)) and len(shown(text).splitlines()) <= 1
    assert not re.search("[\x7f-\x9f\u202a-\u202e\ud800-\udfff]", as_json({"x": text}))
    assert json.loads(as_json({"x": text})) == {"x": text}


def test_a_message_has_an_end():
    assert len(shown("x" * 10**6)) < LONGEST + 100 and "(1,000,000 characters)" in shown("x" * 10**6)


# ------------------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    "name", ["with spaces", "Üñï ☃ 数据", "-dash", "quote'\"$(touch canary)`touch canary`", "a" * 200]
)
def test_a_folder_of_any_name_is_worked_in(name, lamina, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    hostile.table(tmp_path / name)
    run = tmp_path / name / "run of mine"
    assert lamina("fit", tmp_path / name / "x.csv", "--target", "y", *QUICK, "--out", run).status == 0
    for words in (
        ("evaluate", run),
        ("predict", run, "x.csv"),
        ("show", run),
        ("fit", "--resume", run, "--steps", "3"),
    ):
        ended = lamina(*words)
        assert ended.status == 0, ended.err
    assert not list((tmp_path / name).glob("**/canary"))


def test_a_file_whose_name_is_no_text_is_worked_with(lamina, tmp_path):  # noqa: F811
    """Bytes that are no UTF-8 come from other systems' disks."""
    name = os.fsdecode(b"caf\xe9.csv")
    hostile.table(tmp_path, name)
    ended = lamina("fit", name, "--target", "y", *QUICK, "--out", "run")
    assert ended.status == 0, ended.err
    for words in (("runs", "."), ("runs", ".", "--json"), ("show", "run"), ("predict", "run", name)):
        assert lamina(*words).status == 0
    assert lamina("fit", "--resume", "run", "--steps", "3").status == 0
    assert "caf\\udce9.csv" in lamina("fit", name, "--target", "z").err


@pytest.mark.parametrize("length", [300, 4_000])
@pytest.mark.parametrize(
    "words",
    [("fit", "LONG.csv", "--target", "y"), ("predict", "run", "LONG.csv"), ("predict", "LONG", "x.csv"),
     ("fit", "x.csv", "--target", "y", *QUICK, "--out", "LONG"), ("predict", "run", "x.csv", "--out", "LONG.csv"),
     ("evaluate", "LONG"), ("show", "./LONG"), ("compare", "LONG", "LONG"), ("runs", "LONG"),
     ("fit", "--resume", "LONG"), ("fit", "x.csv", "--target", "y", *QUICK, "--weights", "LONG.safetensors")],
    ids=lambda words: " ".join(words)[:40],
)  # fmt: skip
def test_a_path_that_no_system_takes_is_one_clear_line(words, length, refused, lamina, tmp_path):  # noqa: F811
    hostile.table(tmp_path)
    if "run" in words:
        assert lamina("fit", "x.csv", "--target", "y", *QUICK, "--out", "run").status == 0
    said = refused(*(word.replace("LONG", "n" * length) for word in words))
    assert "nnn" in said and len(said) < LONGEST + 100


SETTING = """
import os, sys, time
{before}
sys.argv = ["lamina", *sys.argv[1:]]
from lamina.cli.main import main
main()
"""


def child(folder, *words, before="", **environment):
    """A process of its own, with nothing of this one's environment but the path."""
    kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", SETTING.format(before=before), *map(str, words)],
        cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


BACK = """
import datetime
real, began = time.time, time.time()
calls = [0]
def back():
    calls[0] += 1
    return began - 3600 * calls[0]  # every look is an hour earlier
time.time = back
"""


def test_without_a_home_with_a_clock_that_goes_back_it_trains_resumes_and_keeps_no_secret(tmp_path):
    """No HOME at first, one that cannot be written in then; files and runs from the future; tokens all around."""
    hostile.table(tmp_path)
    secrets = {name: f"s3cr3t-{i}-0123456789" for i, name in enumerate(
        ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL", "LAMINA_TEST_PASSWORD"))}  # fmt: skip
    fit = ("fit", "x.csv", "--target", "y", *QUICK, "--out", "run")
    said = [child(tmp_path, *fit, before=BACK, LANG="C", **secrets)]
    assert said[0].returncode == 0, said[0].stderr
    future = time.time() + 10 * 365 * 86400
    for path in [tmp_path / "x.csv", *(tmp_path / "run").rglob("*")]:
        os.utime(path, (future, future))
    home = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "/proc/nobody/.cache", **secrets}
    said.append(child(tmp_path, "fit", "--resume", "run", "--steps", "4", before=BACK, **home))
    said.append(child(tmp_path, "fit", "x.csv", "--target", "nothing", before=BACK, **home))
    assert [ended.returncode for ended in said] == [0, 0, 2], said[1].stderr
    kept = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    kept += [(ended.stdout + ended.stderr).encode() for ended in said]
    assert len(kept) > 8 and not [data for data in kept for secret in secrets.values() if secret.encode() in data]


def test_a_folder_that_cannot_be_written_in_is_one_clear_line(refused, tmp_path):  # noqa: F811
    hostile.table(tmp_path)
    for folder in ("/proc/lamina", "x.csv/run"):
        said = refused("fit", "x.csv", "--target", "y", *QUICK, "--out", folder)
        assert folder.split("/")[-2] in said
    said = refused("fit", "x.csv/y.csv", "--target", "y")
    assert "x.csv/y.csv" in said


def test_csv_in_a_pipe_does_no_harm_either(lamina, tmp_path):  # noqa: F811
    rows = "a,b,y\n" + "".join(f"{i % 5},{i % 3},{('=1+1', '-2')[i % 5 > 2]}\n" for i in range(40))
    hostile.table(tmp_path, text=rows)
    assert lamina("fit", "x.csv", "--target", "y", *QUICK, "--out", "run").status == 0
    piped = lamina("predict", "run", "x.csv").out
    lamina("predict", "run", "x.csv", "--out", "p.csv")
    answers = [row[0] for row in csv.reader(io.StringIO(piped))]
    assert answers == [row[0] for row in csv.reader(io.StringIO((tmp_path / "p.csv").read_text()))]
    assert set(answers[1:]) <= {"'=1+1", "-2"} and answers[0] == "y"
