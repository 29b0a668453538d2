"""evaluate: a run's metrics on its own test split, or on another source."""

from pathlib import Path
from typing import Any

import torch

from lamina.core import calls
from lamina.core.errors import DataError
from lamina.data import opening
from lamina.verbs import run as runs
from lamina.verbs.revive import revive

__all__ = ["evaluate"]


def evaluate(
    run: str | Path | runs.Run, source: Any = None, *, model: Any = None, task: Any = None, **settings: Any
) -> dict[str, Any]:
    """Metrics with 95 % intervals, by name: {'accuracy': {'value', 'low', 'high', 'count'}, …}.

    Rows that cannot be read are left out, and values that cannot be used taken as missing, with a DataWarning.

    source: None gives what fit measured. model, task: given again where they are one's own. settings: of the reader;
    types: fields of one's own, by column.
    """
    run = runs.open(run).given(settings.pop("types", None))
    if source is None and run.about.get("metrics"):
        return dict(run.about["metrics"])
    parts = revive(run, model=model, task=task)
    data = opening.reopen(source if source is not None else run.source, run.about["data"], run.fields(), **settings)
    if hasattr(data, "has_targets") and not data.has_targets():
        raise DataError(
            f"{data.name} lacks the target column {', '.join(data.targets)}, so nothing can be measured. "
            f"For predictions: lamina predict {run.folder} {data.name}"
        )
    data.prepare(calls.reads(parts.model), type(parts.model).__name__)
    opening.remark(data)
    with torch.no_grad(), parts.plan.autocast():
        values = parts.task.evaluate(parts.model, data, "all")
    return {name: value.as_dict() for name, value in values.items()}
