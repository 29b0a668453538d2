"""Runs that were never stopped, and what it means that another ended as they did."""

from dataclasses import dataclass
from pathlib import Path

from tests.train.problems import end, same
from tests.trust import tiny


@dataclass
class Whole:
    """A run that was never stopped, in how many seconds, and how many events of each kind it saw."""

    run: Path
    seconds: float
    events: dict[str, int]


def check(whole: Whole, run: Path) -> None:
    """To the bit: weights, optimizers, diary, best weights, metrics; and nothing half-written is left."""
    same(end(whole.run), end(run))
    assert not tiny.leftovers(run)
    ours, theirs = tiny.about(whole.run), tiny.about(run)
    for key in ("metrics", "baseline", "best", "steps", "weights_sha256", "fields_sha256", "status"):
        assert ours[key] == theirs[key], key
    assert ours["status"] == "done"
