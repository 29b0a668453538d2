"""What every test may rely on: the `covers` marker, the record of the last run, and `result`, which notes a figure."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

import tools.shapes

# From here on every call of a network and of a block is compared with the shapes that its signature states. The hook
# takes a name that hangs on a module already imported.
jaxtyping.install_import_hook(["lamina.nn", "lamina.models"], f"{tools.shapes.__name__}.check")

ROOT = Path(__file__).parents[1]
LAST_RUN = ROOT / "tests" / ".last-run.json"
RESULTS = ROOT / "results"
MOST_IDS = 5

_outcomes: dict[str, dict[str, Any]] = {}


def scope() -> set[str]:
    """The ids of docs/scope.tsv."""
    lines = (ROOT / "docs" / "scope.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {line.partition("\t")[0] for line in lines if line}


def covered(item: pytest.Item) -> list[str]:
    """The scope ids that a test shows."""
    return sorted({id_ for marker in item.iter_markers("covers") for id_ in marker.args})


def objections(test: str, ids: list[str], known: set[str]) -> list[str]:
    """What is wrong with the ids of a test, in words."""
    wrong = [f"{test} covers {id_!r}, which docs/scope.tsv does not list" for id_ in ids if id_ not in known]
    if len(ids) > MOST_IDS:
        wrong.append(f"{test} covers {len(ids)} ids; a test truly shows {MOST_IDS} at most: split it")
    return wrong


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = scope()
    wrong = []
    for item in items:
        ids = covered(item)
        wrong += objections(item.nodeid, ids, known)
        item.user_properties.append(("covers", ids))
        if not item.get_closest_marker("timeout") and (
            item.get_closest_marker("slow") or item.get_closest_marker("learn")
        ):
            item.add_marker(pytest.mark.timeout(7200))
    if wrong:
        raise pytest.UsageError("\n".join(sorted(set(wrong))))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        covers = dict(report.user_properties).get("covers", [])
        before = _outcomes.get(report.nodeid, {}).get("outcome")
        outcome = "failed" if "failed" in (before, report.outcome) else report.outcome
        _outcomes[report.nodeid] = {"outcome": outcome, "covers": covers} | _of_trust(report)


def _of_trust(report: pytest.TestReport) -> dict[str, Any]:
    """What a test of trust counted (`tally`), and the seed that failed; nothing of the others."""
    tally: dict[str, int] = {}
    for name, value in report.user_properties:
        if name == "tally":
            for what, more in value.items():
                tally[what] = tally.get(what, 0) + more
    known = dict(report.user_properties)
    row = {"tally": tally} if tally else {}
    return row | ({"seed": known["seed"]} if "seed" in known else {}) | {"seconds": round(report.duration, 2)}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write tests/.last-run.json. A run of everything replaces what the same `-m` noted before; others only add."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly or not _outcomes:
        return
    try:
        kept = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    chosen = config.option.markexpr
    narrowed = config.option.keyword or config.args not in ([str(ROOT / "tests")], ["tests"])
    if not narrowed and not getattr(config.option, "lf", False):
        kept = {test: row for test, row in kept.items() if row.get("chosen") != chosen}
    stamp = {"commit": commit(), "date": datetime.date.today().isoformat(), "chosen": chosen}
    if scale := os.environ.get("TRUST"):
        stamp |= {"scale": scale, "machine": machine()}
    kept |= {test: row | stamp for test, row in _outcomes.items()}
    beside = LAST_RUN.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")
    beside.replace(LAST_RUN)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().when == "call":
        for name, row in getattr(item, "lamina_results", {}).items():
            row["passed"] = outcome.get_result().outcome == "passed"
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.json").write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")


@pytest.fixture
def result(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`result("diamonds", figure="R² 0.981", must="≥ 0.978", seconds=160, seeds=[0])` writes results/diamonds.json.

    Whether it `passed` is the test's own outcome, so call it before the assertion. More keywords are kept as they are.
    """

    def note(name: str, *, figure: str, must: str = "", **more: Any) -> None:
        rows = request.node.__dict__.setdefault("lamina_results", {})
        rows[name] = {
            "figure": figure,
            "must": must,
            "covers": covered(request.node),
            "test": request.node.nodeid,
            "commit": commit(),
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            **more,
        }

    return note


def commit() -> str:
    """The short hash of HEAD, with a + where the working tree differs from it; empty outside a clone."""
    try:
        out = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return out.stdout.strip()


def machine() -> str:
    """'2 cores, Intel Xeon …, Linux, Python 3.11.7, torch 2.13.0+cpu'."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (named := re.search(r"^model name\s*:\s*(.*)$", cpuinfo.read_text(), re.MULTILINE)):
        model = named[1].strip()
    torch = sys.modules.get("torch")
    gpu = f", {torch.cuda.get_device_name()}" if torch is not None and torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}"
    return f"{os.cpu_count()} cores, {model}{gpu}, {platform.system()}, {versions}"
