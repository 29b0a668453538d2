"""predict: a run's answers for new samples."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lamina.core import calls
from lamina.core.display import as_json, harmless
from lamina.core.errors import DataError, SettingError
from lamina.core.files import told, write_bytes
from lamina.core.seeds import generator
from lamina.data import opening
from lamina.verbs import run as runs
from lamina.verbs.revive import revive

__all__ = ["harmless", "predict"]


def predict(
    run: str | Path | runs.Run,
    source: Any = None,
    *,
    text: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    model: Any = None,
    task: Any = None,
    set: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, list[Any]]:
    """Columns of answers, a value a sample; also written to `out` (.csv, .jsonl, or what the task draws, such as .png).

    source: like fit's; its target column, if there is one, is not looked at. text: one sample of a text run.
    set: settings of the task's own prediction (length, temperature, count), and of the reader, as data.NAME.
    """
    options = dict(set or {})
    settings |= {key.removeprefix("data."): options.pop(key) for key in [*options] if key.startswith("data.")}
    run = runs.open(run).given(settings.pop("types", None))
    parts = revive(run, model=model, task=task)
    if out is not None:
        _sure(Path(out), parts.task)
    if source is None and text is not None:
        columns = run.about["data"]["inputs"]
        if len(columns) != 1:
            raise SettingError(f"--text gives one column; {run.folder} reads {len(columns)}: {', '.join(columns)}.")
        source = {columns[0]: [text]}
    with torch.no_grad(), parts.plan.autocast():
        if source is None:
            if not hasattr(parts.task, "create"):
                raise SettingError(f"predict needs a source to answer for: lamina predict {run.folder} FILE")
            raw = parts.task.create(parts.model, generator(seed, "predict"), **options)
        else:
            data = opening.reopen(source, {**run.about["data"], "targets": []}, run.fields(), **settings)
            data.prepare(calls.reads(parts.model), type(parts.model).__name__)
            _all_read(data)
            opening.remark(data)
            raw = _over(parts, data, seed, options)
    columns = parts.task.decode(raw)
    if out is not None:
        with told(Path(out), "No answers were written. Make room, or name another --out."):
            _write(Path(out), columns, raw, parts.task)
    return columns


def _over(parts: Any, data: Any, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    pieces: dict[str, list[Any]] = {}
    rng = generator(seed, "predict")
    for batch in data.batches(parts.task.sampler(parts.model), split="all", batch=512):
        for name, value in parts.task.predict(parts.model, calls.on_device(batch, parts.model), rng, **options).items():
            pieces.setdefault(name, []).append(value)
    return {
        name: torch.cat(values) if torch.is_tensor(values[0]) else [row for value in values for row in value]
        for name, values in pieces.items()
    }


def _all_read(data: Any) -> None:
    """Answers stand in the rows' own order, so a sample that cannot be read is refused rather than left out."""
    unread = list(getattr(data, "skipped", []))
    if unread:
        shown = "; ".join(f"{where}: {why}" for where, why in unread[:3])
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        raise DataError(
            f"{len(unread)} sample{'s' * (len(unread) > 1)} of {data.name} cannot be read ({shown}{more}), so the "
            "answers would not stand beside their rows. Mend or remove them."
        )


def _sure(path: Path, task: Any) -> None:
    kinds = [".csv", ".jsonl", *([".png"] if hasattr(task, "draw") else [])]
    if path.suffix not in kinds:
        raise SettingError(f"--out {path}: answers are written as {' or '.join(kinds)}. Name the file so.")
    if not path.parent.is_dir():
        raise SettingError(f"--out {path}: there is no folder {path.parent}. Make it first.")


def _write(path: Path, columns: Mapping[str, list[Any]], raw: Mapping[str, Any], task: Any) -> None:
    if path.suffix == ".png":
        write_bytes(path, task.draw(raw))
        return
    if hasattr(task, "details"):
        columns = {**columns, **task.details(raw)}
    rows = zip(*columns.values(), strict=True)
    if path.suffix == ".csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(harmless, columns))
        writer.writerows([harmless(value) for value in row] for row in rows)
        write_bytes(path, buffer.getvalue().encode())
    else:
        lines = (as_json(dict(zip(columns, row, strict=True))) for row in rows)
        write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
