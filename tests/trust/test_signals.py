"""SIGTERM and SIGINT at any moment: saved and left within ten seconds, saying how to go on; the second at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

import lamina
from lamina.core import files
from lamina.core.errors import RunError
from tests.train.problems import end, same
from tests.trust import tiny
from tests.trust.nursery import ALONE, ROOT
from tests.trust.scale import SEED, count
from tests.trust.wholes import check

pytestmark = pytest.mark.timeout(1800)
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
LEAVES_S = 10


def signalled(nursery, name, place, draw, whole):
    """Start or go on, and send a signal at a random event or time; (which, exit status, seconds it took, its words)."""
    number = draw.choice([signal.SIGTERM, signal.SIGINT])
    kind = draw.choice([*sorted(whole.events), "time", "time"])
    faults = {} if kind == "time" else {"signal": [kind, draw.randrange(1, 1 + whole.events[kind]), int(number)]}
    child = tiny.goes_on(nursery, name, place, faults=faults)
    if kind == "time":
        time.sleep(draw.uniform(0.01, whole.seconds))
        child.send(number)
    began = time.monotonic()
    status = child.wait(LEAVES_S + 60)
    return number, status, time.monotonic() - began, child.err


@pytest.mark.parametrize("name", tiny.PROBLEMS)
def test_a_signal_at_a_random_moment_saves_and_says_how_to_go_on(name, nursery, wholes, tmp_path, seeds, tally):
    whole, signals = wholes(name), 0
    for try_, draw in enumerate(seeds(f"signals {name}", 8, 20)):
        place = tmp_path / str(try_)
        tiny.prepare(name, place)
        for _ in range(3):
            number, status, seconds, err = signalled(nursery, name, place, draw, whole)
            assert seconds < LEAVES_S + whole.seconds
            assert "Traceback" not in err, err
            if status == 0:
                break
            signals += 1
            begun = (place / "run" / "run.json").is_file()
            if status == -number and not begun:  # it came before anything was: as with every program
                continue
            assert status == STATUS[number], err
            if begun:
                assert "lamina fit --resume run" in err, err
        child = tiny.goes_on(nursery, name, place)
        assert child.wait() == 0, child.err
        check(whole, place / "run")
        if signals >= count(2, 7):
            break
    assert signals >= count(2, 7) or SEED
    tally(signals=signals)


@pytest.mark.parametrize("name", ["classification", "acting"])
def test_a_second_signal_leaves_at_once(name, nursery, wholes, place, tally):
    """While it saves, which here takes long: the checkpoint before is whole."""
    tiny.prepare(name, place)
    child = tiny.fit(nursery, name, place, faults={"pause": ["fsync", 0.5]})
    while not (place / "run" / "checkpoints" / "latest").is_file():
        time.sleep(0.01)
        assert child.poll() is None, child.err
    child.send(signal.SIGTERM)
    time.sleep(0.6)
    assert child.poll() is None  # it saves
    began = time.monotonic()
    child.send(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    assert time.monotonic() - began < 1
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    check(wholes(name), place / "run")
    tally(signals=2)


def test_a_signal_while_a_run_is_taken_up_again_says_how_to_go_on(nursery, wholes, place, tally):
    """Reading the data, before the first step: nothing is lost, and the words are the same."""
    name = "classification"
    tiny.prepare(name, place)
    assert tiny.fit(nursery, name, place, faults={"die": ["step", 30]}).wait() == -signal.SIGKILL
    for number, status in STATUS.items():
        child = tiny.fit(nursery, name, place, resume=True, faults={"signal": ["open", 1, int(number)]})
        assert child.wait() == status, child.err
        assert "lamina fit --resume run" in child.err and "Traceback" not in child.err, child.err
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    check(wholes(name), place / "run")
    tally(signals=2)


# ------------------------------------------------------------------------------------------- a process of its own


def shell(*argv, cwd, **environment):
    """`lamina ARGV` as the shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "lamina.cli.main", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **ALONE, "PYTHONPATH": str(ROOT), **environment},
    )


def test_in_a_shell_a_run_is_stopped_killed_and_gone_on_with(nursery, wholes, place, tally):
    """The same as from the nursery, started as people start it."""
    name = "pictures"
    _, words, pairs = tiny.PROBLEMS[name]
    sets = [word for pair in [*tiny.PLAN, *pairs] for word in ("--set", pair)]
    first = shell("fit", *words, "--out", "run", *sets, cwd=place)
    try:
        while not (place / "run" / "metrics.jsonl").is_file() or not (place / "run" / "metrics.jsonl").stat().st_size:
            assert first.poll() is None, first.communicate()
            time.sleep(0.005)
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=60)
        assert first.returncode == 130 and "lamina fit --resume run" in err, err
    finally:
        first.kill()
        first.wait()
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    check(wholes(name), place / "run")
    tally(signals=1)


# --------------------------------------------------------------------------------------- one's own code goes wrong


@pytest.fixture
def asked(place, monkeypatch):
    """What the tests below train, in a folder of their own."""
    tiny.prepare("classification", place)
    monkeypatch.chdir(place)
    settings = {"plan.threads": 1, "plan.precision": "float32", "plan.evaluations": 4, "data.drop": ["price"]}
    return dict(source="table.csv", target="side", model="mlp_tiny", budget="24steps", set=settings)


class OwnFault(Exception):
    """What goes wrong in somebody's own code."""


@pytest.mark.parametrize("step", [1, 11, 12, 24])
def test_an_exception_in_one_s_own_callback_leaves_a_run_to_go_on_with(asked, step):
    whole = lamina.fit(**asked, out="whole")

    def watch(fitting, tick):
        if tick.step == step:
            raise OwnFault

    with pytest.raises(OwnFault) as held:  # which holds the frames, as a notebook does
        lamina.fit(**asked, out="run", watch=watch)
    assert tiny.about(held and whole.folder.parent / "run")["status"] in ("failed", "stopped")
    again = lamina.fit(resume="run")
    same(end(whole.folder), end(again.folder))
    assert again.about["metrics"] == whole.about["metrics"]


def test_a_loop_of_one_s_own_that_was_left_says_how_to_go_on(asked):
    whole = lamina.fit(**asked, out="whole")
    ticks = lamina.train(**asked, out="run")
    for tick in ticks:
        if tick.step == 9:
            break
    with pytest.raises(RunError, match=r"run is in use.*this very process.*close\(\)"):
        lamina.fit(resume="run")
    ticks.close()
    again = lamina.fit(resume="run")
    same(end(whole.folder), end(again.folder))


# --------------------------------------------------------------------------------------------- two runs in one folder


def test_of_two_processes_in_one_folder_the_second_is_refused_and_the_dead_hold_nothing(nursery, place, wholes):
    name = "classification"
    tiny.prepare(name, place)
    first = tiny.fit(nursery, name, place, faults={"pause": ["step", 0.1]})
    while not (place / "run" / "metrics.jsonl").is_file():
        time.sleep(0.01)
    for resume in (True, False):
        second = tiny.fit(nursery, name, place, resume=resume)
        assert second.wait() == 2
        assert ("is in use" if resume else "exists already") in second.err
    first.send(signal.SIGKILL)
    first.wait()
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    check(wholes(name), place / "run")


def test_two_that_start_at_once_in_one_new_folder_are_one_and_a_refusal(nursery, place, wholes):
    name = "graph"
    tiny.prepare(name, place)
    both = [tiny.fit(nursery, name, place) for _ in range(2)]
    statuses = sorted(child.wait() for child in both)
    assert statuses == [0, 2], [child.err for child in both]
    check(wholes(name), place / "run")


def test_what_a_dead_process_of_the_same_number_left_is_in_nobody_s_way(tmp_path):
    """Process numbers come again: temporary names of this very number are there already, half-written."""
    mine = os.getpid()
    for left in (f".made.{mine}.tmp", f".made.{mine}.old.tmp"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "half").write_text("of somebody dead")
    (tmp_path / f".note.{mine}.tmp").write_text("of somebody dead")
    for text in ("first", "second"):
        with files.folder_in_place(tmp_path / "made") as folder:
            (folder / "a").write_text(text)
        files.write_text(tmp_path / "note", text)
        assert [p.name for p in (tmp_path / "made").iterdir()] == ["a"]
        assert (tmp_path / "made" / "a").read_text() == (tmp_path / "note").read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made", "note"]
