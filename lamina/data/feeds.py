"""Where batches come from: rows of kept arrays, windows of a text stream, or a graph as a whole.

Each is a function of (seed, step), so a resumed run needs nothing but the step's number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.protocols import Batch
from lamina.core.seeds import generator

__all__ = ["Graph", "Rows", "Windows"]


class Takes(Protocol):
    """What a feed asks of the data set: the batch of some rows."""

    def take(self, rows: Tensor) -> Batch: ...


class _Stateless:
    def state_dict(self) -> dict[str, Any]:
        """Nothing: the step says it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


class Rows(_Stateless):
    """Mini-batches of shuffled rows; each epoch has its own order, and its last incomplete batch is left for another.

    augment(batch, generator) -> batch changes a training batch; its randomness depends on (seed, step) alone.
    """

    def __init__(self, data: Takes, rows: Tensor, *, batch: int, seed: int, augment: Any = None):
        if not len(rows):
            raise SettingError("There is no row to learn from: the split is empty.")
        self._data, self._rows, self._seed, self._augment = data, rows, seed, augment
        self.batch = min(batch, len(rows)) if batch else len(rows)
        self._epoch_steps = len(rows) // self.batch
        self.length: int | None = self._epoch_steps
        self._epoch, self._order = -1, rows

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]:
        """The batch of a step."""
        epoch, index = divmod(step, self._epoch_steps)
        if epoch != self._epoch:
            order = torch.randperm(len(self._rows), generator=generator(self._seed, "epoch", epoch))
            self._epoch, self._order = epoch, self._rows[order]
        rows = self._order[index * self.batch : (index + 1) * self.batch]
        if parts > len(rows):
            raise SettingError(f"A batch of {len(rows)} rows cannot be cut into plan.accumulate={parts} micro-batches.")
        batches = [self._data.take(chunk) for chunk in rows.chunk(parts)]
        if self._augment is None:
            return batches
        return [self._augment(b, generator(self._seed, "augment", step, i)) for i, b in enumerate(batches)]


class Windows(_Stateless):
    """Stretches of `length` + 1 tokens, drawn anywhere from documents laid end to end: text is all but the last
    token, the target all but the first."""

    def __init__(self, stream: Tensor, *, length: int, batch: int, seed: int):
        if len(stream) < 2:
            raise SettingError(f"A text of {len(stream)} tokens has nothing to predict.")
        self.window = min(length, len(stream) - 1)
        self._stream, self._seed, self.batch = stream, seed, batch
        self._epoch_steps = max(1, len(stream) // (self.window * batch))
        self.length: int | None = self._epoch_steps
        self._span = torch.arange(self.window + 1)

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]:
        """The batch of a step; epoch by epoch an own offset and order of windows, so each token comes once an epoch."""
        epoch, index = divmod(step, self._epoch_steps)
        source = generator(self._seed, "windows", epoch)
        last = len(self._stream) - self.window - 1
        offset = int(torch.randint(min(self.window, last + 1), (), generator=source))
        starts = torch.arange(offset, last + 1, self.window)
        starts = starts[torch.randperm(len(starts), generator=source)]
        mine = starts[torch.arange(index * self.batch, (index + 1) * self.batch) % len(starts)]
        windows = self._stream[mine[:, None] + self._span].long()
        return [{"text": w[:, :-1], "target.text": w[:, 1:]} for w in windows.chunk(parts)]


class Graph(_Stateless):
    """The whole graph every step; `rows` are the nodes whose answers count."""

    length: int | None = 1

    def __init__(self, batch: Batch, rows: Tensor):
        self._batch = {**batch, "rows": rows}

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]:
        """The same batch each time."""
        if parts > 1:
            raise SettingError("A graph is learnt from as a whole; plan.accumulate must be 1.")
        return [self._batch]
