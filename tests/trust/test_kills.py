"""kill -9 at any moment, inside a save too: whatever comes, the run that is gone on with ends as one never stopped."""

import json
import signal
import time

import pytest

from tests.trust import tiny
from tests.trust.scale import FULL, SEED, count
from tests.trust.wholes import Whole, check

pytestmark = pytest.mark.timeout(1800)
KILLED = -signal.SIGKILL


def interval(whole: Whole) -> int:
    """Updates between two checkpoints, at most."""
    diary = [json.loads(line) for line in (whole.run / "metrics.jsonl").read_text().splitlines()]
    valid = [line["step"] for line in diary if "valid" in line]
    return max(b - a for a, b in zip([0, *valid], valid, strict=False))


def killed_at(nursery, name, place, moment) -> bool:
    """Start or go on, and die at a moment: ("time", seconds) or (kind, number). Whether it did."""
    kind, number = moment
    child = tiny.goes_on(nursery, name, place, faults={} if kind == "time" else {"die": [kind, number]})
    if kind == "time":
        time.sleep(max(0.0, number - (time.monotonic() - child.began)))
        child.send(signal.SIGKILL)
    status = child.wait()
    assert status in (0, KILLED), child.err
    return status == KILLED


def chain(nursery, name, place, whole, moments) -> int:
    """Killed at each of the moments in turn, then gone on with to the end; how many kills there were."""
    kills = 0
    for moment in moments:
        kills += killed_at(nursery, name, place, moment)
        # what is being written when the kill comes is lost with what was learnt since
        assert tiny.lost(place / "run") <= 2 * interval(whole), moment
    child = tiny.goes_on(nursery, name, place)
    assert child.wait() == 0, child.err
    check(whole, place / "run")
    return kills


def drawn(draw, whole):
    """Up to four moments: at a random event of a random kind, or at a random time; some of them while it resumes."""
    for again in range(draw.randrange(1, 5)):
        kind = draw.choice([*sorted(whole.events), "time"])
        if kind == "time":
            yield kind, draw.uniform(0.02, whole.seconds)
        else:
            soon = again and draw.random() < 0.4
            yield kind, draw.randrange(1, 4 if soon else 1 + max(1, whole.events[kind] // (1 + again)))


@pytest.mark.parametrize("name", tiny.PROBLEMS)
def test_killed_at_random_moments_it_ends_bit_identical(name, nursery, wholes, tmp_path, seeds, tally):
    """The seven problems and a loader with workers; each is killed until there were enough kills."""
    whole, kills = wholes(name), 0
    for number, draw in enumerate(seeds(f"kills {name}", 20, 200)):
        place = tmp_path / str(number)
        tiny.prepare(name, place)
        kills += chain(nursery, name, place, whole, drawn(draw, whole))
        if kills >= count(3, 25):
            break
    assert kills >= count(3, 25) or SEED
    tally(kills=kills)


def hurting(whole: Whole) -> dict[str, list[tuple[str, int]]]:
    """The places where a death hurts most."""
    last = whole.events
    return {
        "the first checkpoint, in the midst of its weights": [("half", 3)],
        "the first checkpoint, in the midst of its manifest": [("half", 6)],
        "the first checkpoint, before it takes its name": [("rename", 3)],
        "between the first checkpoint and its pointer": [("rename", 4)],
        "before run.json was there": [("rename", 1), ("half", 1), ("fsync", 1)],
        "while run.json is written for the last time": [("half", last["half"]), ("rename", 1)],
        "before the last rename": [("rename", last["rename"]), ("half", 1)],
        "while it resumes, thrice": [("step", last["step"] // 2), ("rename", 1), ("open", 2), ("rmtree", 1)],
        "within a line of the diary, twice": [("line", last["line"] // 2), ("line", 3)],
        "within a validation": [("look", last["look"] // 2)],
        "in the last step": [("step", last["step"])],
    }


@pytest.mark.parametrize("name", ["classification", *(["acting", "text", "loader"] if FULL else [])])
def test_killed_where_it_hurts_it_ends_bit_identical(name, nursery, wholes, tmp_path, tally):
    whole, kills = wholes(name), 0
    for number, (words, moments) in enumerate(hurting(whole).items()):
        tiny.prepare(name, tmp_path / str(number))
        made = chain(nursery, name, tmp_path / str(number), whole, moments)
        assert made, f"nothing was killed {words}"
        kills += made
    tally(kills=kills)
