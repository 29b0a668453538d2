"""report: a run as one page, from its folder and, where it is still there, its data."""

import csv
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.core import calls, names
from lamina.core.errors import DataWarning, LaminaError, RunError, SettingError, did_you_mean
from lamina.core.files import told, write_text
from lamina.core.untrusted import contents, parsed
from lamina.report import curves, drawing, making
from lamina.report.blocks import Table
from lamina.report.page import Facts, page, plots
from lamina.verbs import resuming, show
from lamina.verbs import run as runs
from lamina.verbs.assemble import Assembly, assemble
from lamina.verbs.revive import revive

__all__ = ["facts", "plot", "report", "sample", "written"]

SKIPPED = 20  # rows left out that are shown


def report(
    run: str | Path | runs.Run,
    source: Any = None,
    *,
    out: str | Path | None = None,
    model: Any = None,
    task: Any = None,
) -> Path:
    """Write the run's page, RUN/report.html or `out`, and give its path.

    What needs the data is left out, with a line that says so, where they are gone or have changed. source: the data,
    given again where they were an object in memory. model, task: where they are one's own.
    """
    run = runs.open(run)
    path = Path(out) if out is not None else run.folder / "report.html"
    return _write(path, page(facts(run, source, model=model, task=task)))


def plot(run: str | Path | runs.Run, kind: str = "loss", source: Any = None, **own: Any) -> Any:
    """A figure of matplotlib of what the report shows.

    kind: loss, metric, lr, speed, calibration, confusion, predicted, residuals, …: what there is depends on the run.
    Raises: SettingError that lists them; MissingExtra.
    """
    run = runs.open(run)
    found: Mapping[str, Any] = {
        f.key: f for f in curves.curves(run.about, run.history, _diary(run.folder / "timing.jsonl"))
    }
    if kind not in found:  # what needs the data takes longer
        found = plots(facts(run, source, **own))
    if kind not in found:
        raise SettingError(f"{run.folder} has no plot {kind!r}.{did_you_mean(kind, found)} It has {', '.join(found)}.")
    chosen = found[kind]
    return drawing.matrix(chosen) if isinstance(chosen, Table) else drawing.draw(chosen)


def _write(path: Path, html: str) -> Path:
    if not path.parent.is_dir():
        raise RunError(f"--out {path}: there is no folder {path.parent}. Make it first.")
    with told(path, "No report was written. Make room, or name another --out."):
        write_text(path, html)
    return path


def written(folder: Path, about: Mapping[str, Any], parts: Assembly, plan: Any) -> None:
    """The page of a run that is about to be done, from what is still in memory.

    A fault of the page's own is a warning: the run is whole without it. Raises: TrainingError where the disk is full.
    """
    try:
        known = _known(folder, about, parts.data.fields)
        known.task, known.model, known.data, known.autocast = parts.task, parts.model, parts.data, plan.autocast
        known.layers = show.layers(dict(about), parts.model)
        html = page(known)
    except Exception as error:
        warnings.warn(
            f"{folder} is trained, but its report could not be written ({type(error).__name__}: {error}). "
            f"Try: lamina report {folder}",
            DataWarning,
            stacklevel=2,
        )
        return
    with told(folder):
        write_text(folder / "report.html", html)


def sample(folder: Path, updates: int, parts: Assembly) -> None:
    """Keep what a generator makes by now for the report."""
    making.keep(folder, updates, parts.task, parts.model)


def facts(run: runs.Run, source: Any = None, *, model: Any = None, task: Any = None) -> Facts:
    """All that a report tells of a run. Raises: RunError for a run whose own files are damaged."""
    known = _known(run.folder, run.about, _fields(run))
    objects = {k: run.own.get(k, given) if given is None else given for k, given in (("model", model), ("task", task))}
    lacking = [k for k, v in objects.items() if v is None and str(run.about["asked"].get(k)).startswith("<")]
    parts = None
    if run.status == "done" and not lacking:
        parts = revive(run, model=model, task=task)
        known.task, known.model, known.autocast = parts.task, parts.model, parts.plan.autocast
        known.layers = show.layers(run.about, parts.model)
    elif lacking:
        known.gone.append(f"The run was made with one's own {lacking[0]}, which no folder holds: give it again.")
    try:
        known.data = _data(run, source, {k: v for k, v in objects.items() if v is not None}, known.model)
    except (LaminaError, OSError) as error:
        known.gone.append(f"The data are not here as they were, so what needs them is left out. {error}")
    return known


def _data(run: runs.Run, source: Any, given: Mapping[str, Any], model: Any) -> Any:
    """The data with the run's own splits. Raises: LaminaError where they are gone, or others than they were."""
    mine = {name: run.own.get(name) for name in ("loss", "metrics")}
    held = {name: value for name, value in mine.items() if value is not None or not run.about["asked"].get(name)}
    source, asked = resuming.recorded(run, source, given, held, [])
    asked = {k: v for k, v in asked.items() if k not in ("budget", "set", "loss", "metrics")}
    data = assemble(source, pairs=run.about["asked"]["set"] or [], **{**asked, "weights": None, "device": "cpu"}).data
    if data.fingerprint != run.about["data"]["fingerprint"]:
        raise RunError(f"{run.about['source']} is not what it was: its fingerprint differs.")
    if model is not None:
        data.prepare(calls.reads(model), type(model).__name__)
    return data


def _fields(run: runs.Run) -> Mapping[str, Any]:
    """The fitted fields; none where a run that is not done has none yet."""
    if not (run.folder / "fields" / "fields.json").is_file() and run.status != "done":
        return {}
    return run.fields()


def _known(folder: Path, about: Mapping[str, Any], fields: Mapping[str, Any]) -> Facts:
    """What stands in the folder."""
    weights = folder / "model.safetensors"
    return Facts(
        folder, about, _diary(folder / "metrics.jsonl"), _diary(folder / "timing.jsonl"),
        _diary(folder / "events.jsonl"), _skipped(folder / "skipped.csv"), fields, told=_told(about["model"]["name"]),
        weights=weights.stat().st_size if weights.is_file() else None,
    )  # fmt: skip


def _diary(path: Path) -> list[dict[str, Any]]:
    """The lines of a diary; the last may be half written."""
    if not path.is_file():
        return []
    found = []
    for line in contents(path).decode("utf-8", "replace").splitlines():
        try:
            one = parsed(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(one)
    return found


def _skipped(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    rows = csv.reader(io.StringIO(contents(path).decode("utf-8", "replace")))
    found = [(row[0], row[1]) for row in rows if len(row) == 2]
    return found[1 : SKIPPED + 1]


def _told(name: str) -> dict[str, str]:
    """What a network's file says of itself."""
    if ":" in name or name.startswith("<"):
        return {}
    try:
        entry = names.find("models", name).entry
    except LaminaError:
        return {}
    paper = next((line.partition(":")[2].strip() for line in entry.doc.splitlines() if line.startswith("Paper:")), "")
    return {"about": entry.summary, "paper": paper}
