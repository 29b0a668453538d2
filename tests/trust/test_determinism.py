"""The same seed gives the same bits, however many workers load and however a batch is cut; what changed is said."""

import json

import pytest

from lamina.core.files import read_sealed, write_sealed
from tests.train.problems import end, same
from tests.trust import tiny
from tests.trust.scale import FULL
from tests.trust.wholes import check

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("name", [name for name in tiny.PROBLEMS if FULL or name in ("regression", "gan", "acting")])
def test_twice_from_a_seed_it_is_the_same_to_the_bit(name, nursery, wholes, place, tally):
    tiny.prepare(name, place)
    child = tiny.fit(nursery, name, place)
    assert child.wait() == 0, child.err
    check(wholes(name), place / "run")
    tally(runs=2)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_loads_the_same(workers, nursery, place, tally):
    """Where items draw nothing; what they draw is torch's own for each number of workers."""
    _, words, pairs = tiny.PROBLEMS["loader"]
    sets = [word for pair in [*tiny.PLAN, *pairs] for word in ("--set", pair)]
    for count, out in ((2, "two"), (workers, "other")):
        options = ["--workers", str(count), "--noise", "0", *words, "--out", out, *sets]
        child = nursery.start(*options, cwd=place, call=tiny.LOADER)
        assert child.wait() == 0, child.err
    same(end(place / "two"), end(place / "other"))
    tally(runs=2)


@pytest.mark.parametrize("name", [name for name in tiny.PROBLEMS if FULL or name in ("classification", "acting")])
def test_stopped_at_the_end_of_each_stretch_it_is_the_same(name, nursery, wholes, place, tally):
    """A chain of processes that each live for one stretch between evaluations."""
    tiny.prepare(name, place)
    stops = 0
    for _ in range(40):
        child = tiny.goes_on(nursery, name, place, faults={"signal": ["rename", 4, 15]})
        status = child.wait()
        if status == 0:
            break
        assert status == 143, child.err
        stops += 1
    assert status == 0 and stops > 1
    check(wholes(name), place / "run")
    tally(resumes=stops)


@pytest.mark.parametrize(
    ("room", "change", "words"),
    [
        ("versions", {"torch": "2.11.0"}, "and was 2.11.0"),
        ("versions", {"python": "3.9.1"}, "and was 3.9.1"),
        ("hardware", {"machine": "m68k"}, "and was m68k"),
    ],
)
def test_a_resume_on_something_else_says_so(room, change, words, nursery, place):
    name = "classification"
    tiny.prepare(name, place)
    assert tiny.fit(nursery, name, place, faults={"die": ["step", 40]}).wait() != 0
    path = place / "run" / "run.json"
    about = read_sealed(path)
    write_sealed(path, {**about, room: {**about[room], **change}})
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    assert words in child.err and "its numbers may come out differently" in child.err


def test_a_run_notes_what_its_bits_depend_on(wholes):
    about = json.loads((wholes("classification").run / "run.json").read_text())
    assert about["plan"]["threads"] == 1 and about["plan"]["device"] == "cpu" and about["seed"] == 0
    assert {"lamina", "torch", "numpy", "python"} <= about["versions"].keys()
