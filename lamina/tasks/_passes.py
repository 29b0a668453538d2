"""A whole split through a network: answers, targets and weights side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.calls import on_device
from lamina.core.errors import SettingError, did_you_mean

__all__ = ["over", "some", "sure"]


def over(
    task: Any, model: nn.Module, data: Any, split: str, keys: list[str], batch: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor | None]:
    """(what `task.predict` gives, the targets by key, weights or None) over a split, rows in order."""
    raw: dict[str, list[Tensor]] = {}
    targets: dict[str, list[Tensor]] = {key: [] for key in keys}
    weights = []
    for one in data.batches(task.sampler(model), split=split, batch=batch):
        for name, value in task.predict(model, on_device(one, model)).items():
            raw.setdefault(name, []).append(value.cpu())
        rows = one.get("rows", slice(None))
        for key in keys:
            targets[key].append(one[key][rows])
        if "sample_weight" in one:
            weights.append(one["sample_weight"][rows])
    return joined(raw), joined(targets), torch.cat(weights) if weights else None


def joined(pieces: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    """Each list of pieces as one tensor."""
    return {name: torch.cat(values) for name, values in pieces.items()}


def some(names: Sequence[str], most: int = 5) -> str:
    """'a', 'b' and 3 more."""
    shown = ", ".join(map(repr, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def sure(metric: str, known: Mapping[str, str], task: str) -> str:
    """The metric's name, or a SettingError with the nearest that the task measures."""
    if metric not in known:
        raise SettingError(
            f"task.select: {task} measures no {metric!r}.{did_you_mean(metric, known)} It measures {', '.join(known)}."
        )
    return metric
