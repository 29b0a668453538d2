"""What the tests of trust share: the nursery, how much of each there is, and the count of it for docs/trust.md."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trust import tiny
from tests.trust.nursery import Nursery
from tests.trust.scale import SEED, count
from tests.trust.wholes import Whole


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks trainings; one for all tests of a process."""
    one = Nursery(tmp_path_factory.mktemp("nursery"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def wholes(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """Problem -> its run that was never stopped, made when first asked for."""
    known: dict[str, Whole] = {}

    def get(name: str) -> Whole:
        if name not in known:
            folder = tmp_path_factory.mktemp(f"whole-{name}")
            tiny.prepare(name, folder)
            child = tiny.fit(nursery, name, folder, faults={"count": str(folder / "events.json")})
            assert child.wait() == 0, child.err
            seconds = time.monotonic() - child.began
            known[name] = Whole(folder / "run", seconds, json.loads((folder / "events.json").read_text()))
        return known[name]

    return get


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`tally(kills=3)`: so many more of something that this test did; make trust adds them up."""

    def add(**more: int) -> None:
        request.node.user_properties.append(("tally", more))

    return add


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Callable[..., Iterator[random.Random]]:
    """`for draw in seeds("kills", 2, 40)`: random numbers for each try; the report names the try that failed.

    2 tries in make test, 40 in make trust; `TRUST_SEED=NAME` repeats one.
    """

    def tries(name: str, quick: int, full: int) -> Iterator[random.Random]:
        for number in range(count(quick, full)):
            seed = f"{name} {number}"
            if SEED and seed != SEED:
                continue
            request.node.trust_seed = seed
            yield random.Random(seed)
        request.node.trust_seed = None

    return tries


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report, seed = outcome.get_result(), getattr(item, "trust_seed", None)
    if report.when == "call" and report.failed and seed:
        again = f"TRUST_SEED={seed!r} {'TRUST=full ' * (os.environ.get('TRUST') == 'full')}"
        report.sections.append(("the failing seed", f"{again}python -m pytest '{item.nodeid}' -m ''"))
        report.user_properties.append(("seed", seed))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder for the trainings of a test."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder
