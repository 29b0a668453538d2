"""A run's answers to the split it was judged on, and what they tell beyond a figure: by task, and for each target."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.report.blocks import Gallery
from lamina.tasks._passes import over

__all__ = ["Answers", "answered", "parts", "part_of"]

MOST = 200_000  # rows whose answers are looked at
CELLS = 40_000_000  # numbers of them in all


@dataclass
class Answers:
    """What was answered, row by row. rows: of the table; of: rows of the split, of which these may be a part."""

    raw: dict[str, Tensor]
    targets: dict[str, Tensor]
    weight: Tensor | None
    rows: np.ndarray
    split: str
    of: int

    @property
    def whole(self) -> bool:
        """Whether all rows of the split are here."""
        return len(self.rows) == self.of


def parts(task: Any) -> dict[str, Any]:
    """The task of each target by column; nothing where it is not asked for classes or numbers."""
    several = getattr(task, "parts", None)
    if several:
        return dict(several)
    return {task.target: task} if hasattr(task, "measure") and hasattr(task, "key") else {}


def part_of(raw: Mapping[str, Tensor], name: str, several: bool) -> dict[str, Tensor]:
    """The answers for one target."""
    if not several:
        return dict(raw)
    return {k.removeprefix(f"{name}/"): v for k, v in raw.items() if k.startswith(f"{name}/")}


def answered(task: Any, model: Any, data: Any, split: str) -> Answers | None:
    """Answers to a split, at most 200,000 rows of it, evenly spaced; None where there are no rows or no targets."""
    keys = [part.key for part in parts(task).values()]
    there = getattr(data, "splits", {}).get(split)
    if not keys or there is None or not data.count(split):
        return None
    if getattr(data, "table", None) is None:  # a loader, which gives what it gives
        raw, targets, weight = over(task, model, data, split, keys, 1024)
        count = len(next(iter(targets.values())))
        return Answers(raw, targets, weight, np.arange(count), split, count)
    width = max((p.sizes().get("outputs", 1) for p in parts(task).values()), default=1)
    most = max(1000, min(MOST, CELLS // max(1, width)))
    rows = there if len(there) <= most else there[torch.linspace(0, len(there) - 1, most).long()]
    with _named(data, rows) as name:
        raw, targets, weight = over(task, model, data, name, keys, 1024)
    return Answers(raw, targets, weight, rows.numpy(), split, len(there))


@contextmanager
def _named(data: Any, rows: Tensor) -> Iterator[str]:
    """The rows as a split of their own, while it is looked at."""
    data.splits["of the report"] = rows
    try:
        yield "of the report"
    finally:
        del data.splits["of the report"]


def gallery(title: str, drawer: Any, picked: list[tuple[int, str, str]], note: str = "") -> list[Gallery]:
    """Rows (row, title, mood) drawn side by side; nothing where there is none to draw."""
    examples = [e for row, words, mood in picked if (e := drawer.draw(row, words, mood=mood)) is not None]
    return [Gallery(title, examples, note, wide=drawer.wide)] if examples else []
