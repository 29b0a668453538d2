"""predict: a run's answers for new samples."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lamina.core import calls
from lamina.core.errors import SettingError
from lamina.core.files import write_bytes
from lamina.core.seeds import generator
from lamina.data import opening
from lamina.verbs import run as runs
from lamina.verbs.assemble import revive

__all__ = ["predict"]


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
    set: settings of the task's own prediction (length, temperature, count).
    """
    run = runs.open(run)
    parts = revive(run, model=model, task=task)
    options = dict(set or {})
    if source is None and text is not None:
        columns = run.about["data"]["inputs"]
        if len(columns) != 1:
            raise SettingError(f"--text gives one column; {run.folder} reads {len(columns)}: {', '.join(columns)}.")
        source = {columns[0]: [text]}
    with torch.no_grad():
        if source is None:
            if not hasattr(parts.task, "create"):
                raise SettingError(f"predict needs a source to answer for: lamina predict {run.folder} FILE")
            raw = parts.task.create(parts.model, generator(seed, "predict"), **options)
        else:
            data = opening.reopen(source, {**run.about["data"], "targets": []}, run.fields(), **settings)
            data.prepare(calls.reads(parts.model), type(parts.model).__name__)
            raw = _over(parts, data, seed, options)
    columns = parts.task.decode(raw)
    if out is not None:
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


def _write(path: Path, columns: Mapping[str, list[Any]], raw: Mapping[str, Any], task: Any) -> None:
    if path.suffix == ".csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        write_bytes(path, buffer.getvalue().encode())
    elif path.suffix == ".jsonl":
        import json

        rows = (
            json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
            for row in zip(*columns.values(), strict=True)
        )
        write_bytes(path, ("\n".join(rows) + "\n").encode())
    elif hasattr(task, "draw") and path.suffix == ".png":
        write_bytes(path, task.draw(raw))
    else:
        raise SettingError(
            f"--out {path}: predictions are written as .csv or .jsonl{' or .png' if hasattr(task, 'draw') else ''}."
        )
