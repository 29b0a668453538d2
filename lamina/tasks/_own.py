"""A task with somebody's own loss or metrics: everything else stays the task's that was inferred or named."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.calls import on_device
from lamina.core.errors import SettingError
from lamina.core.protocols import Batch
from lamina.metrics.value import Value

__all__ = ["Own"]


class Own:
    """A task as it is, but for the loss or more metrics.

    Args:
        task: the one it goes by.
        function: f(outputs, target) -> scalar, or {name: scalar} of which the sum is minimised; the target is as the
            field encodes it (class numbers, standardised numbers), a mapping by column where there are several.
        metrics: g(predicted, target) -> number, over a whole split, both numpy arrays in the user's own values (as
            `predict` gives them), mappings by column where there are several. `g.better = "min"` says that less is
            better; the metric's name is the function's.
        select: the metric that picks the best weights, where it is one of one's own.
    """

    def __init__(
        self,
        task: Any,
        function: Callable[..., Any] | None = None,
        metrics: Sequence[Callable[..., Any]] = (),
        *,
        select: str | None = None,
    ):
        self._task, self._function = task, function
        self.metrics = {getattr(g, "__name__", type(g).__name__): g for g in metrics}
        for name, g in [("loss", function), *self.metrics.items()]:
            if g is not None and not callable(g):
                raise SettingError(f"{name} is a function (predicted, target), but {type(g).__name__} came.")
        # what the loss is a mean over: one's own knows no weights of samples
        self.count = getattr(task, "count", None) if function is None else lambda batch: len(batch[self._first])
        if select is not None:
            self.metric = select
            self.better = getattr(self.metrics[select], "better", "max")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_task"], name)

    @property
    def keys(self) -> dict[str, str]:
        """Target column -> its key in a batch."""
        parts = getattr(self._task, "parts", None)
        return {p.target: p.key for p in parts.values()} if parts else {self._task.target: self._task.key}

    @property
    def _first(self) -> str:
        return next(iter(self.keys.values()))

    def loss(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """One's own loss, or the task's."""
        if self._function is None:
            return self._task.loss(outputs, batch)
        targets = {name: batch[key] for name, key in self.keys.items()}
        found = self._function(outputs, next(iter(targets.values())) if len(targets) == 1 else targets)
        if isinstance(found, Mapping):
            return dict(found)
        if not torch.is_tensor(found) or found.ndim:
            came = f"a tensor of shape {tuple(found.shape)}" if torch.is_tensor(found) else type(found).__name__
            raise SettingError(
                f"The loss {getattr(self._function, '__name__', 'given')} returned {came}, where a scalar tensor was "
                "expected. Take its mean."
            )
        return {"own": found}

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """The task's metrics, then one's own."""
        found = dict(self._task.evaluate(model, data, split, intervals=intervals))
        if not self.metrics:
            return found
        predicted: dict[str, list[Any]] = {name: [] for name in self.keys}
        wanted: dict[str, list[Any]] = {name: [] for name in self.keys}
        for batch in data.batches(self._task.sampler(model), split=split, batch=1024):
            columns = self._task.decode(self._task.predict(model, on_device(batch, model)))
            rows = batch.get("rows", slice(None))
            for name, key in self.keys.items():
                predicted[name] += columns[name]
                wanted[name] += data.fields[name].decode(batch[key][rows])
        for name, g in self.metrics.items():
            pair = [{k: np.asarray(v) for k, v in side.items()} for side in (predicted, wanted)]
            value = g(*pair) if len(self.keys) > 1 else g(*(next(iter(side.values())) for side in pair))
            count = len(next(iter(wanted.values())))
            try:
                found[name] = Value(float(value), float("nan"), float("nan"), count)
            except (TypeError, ValueError):
                raise SettingError(
                    f"The metric {name} returned {type(value).__name__}, where one number was expected."
                ) from None
        return found
