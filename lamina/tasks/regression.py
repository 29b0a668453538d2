"""Regression: a number for each sample, learnt on a standard scale and given back in the column's own unit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import ShapeError
from lamina.core.protocols import Batch, Field
from lamina.metrics import baselines
from lamina.metrics.regression import BETTER, regression
from lamina.metrics.value import Value
from lamina.nn import losses
from lamina.tasks._passes import sure
from lamina.tasks._sample import OfSamples

__all__ = ["Regression"]


class Regression(OfSamples):
    """How much?

    Args:
        target, field: the column asked for and its type.
        loss: mse, mae or huber, on the standardised target.
        select: the metric that picks the best weights.
    """

    rows = 4096

    def __init__(self, target: str, field: Any, *, loss: str = "mse", select: str = "r2"):
        self.target, self.field, self.key = target, field, f"target.{target}"
        self.metric = sure(select, BETTER, "regression")
        self._name, self._loss = loss, losses.create(loss)

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """1 for one target that is a number."""
        numbers = [f for f in targets.values() if isinstance(getattr(f, "deviation", None), float)]
        return float(len(targets) == 1 == len(numbers))

    def sizes(self) -> dict[str, Any]:
        """One number."""
        return {"outputs": 1, "classes": 1}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, 1), or (batch, members, 1) of an ensemble whose members learn each for itself."""
        outputs, target, weight = self.beside(outputs.float(), batch)
        return {self._name: self._loss(outputs.squeeze(-1), target.float(), weight=weight)}

    def answer(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Numbers of what the network gave; the members of an ensemble are averaged."""
        if outputs.ndim < 2 or outputs.shape[-1] != 1:
            raise ShapeError(
                f"{self.target!r} is one number a sample, and the network gives outputs of shape "
                f"{tuple(outputs.shape)}. Let it give (batch, 1)."
            )
        outputs = outputs.float().squeeze(-1)
        outputs = outputs[batch["rows"]] if "rows" in batch else outputs
        return {"number": outputs.mean(1) if outputs.ndim == 2 else outputs}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """The number in its own unit."""
        return {self.target: self.field.decode(raw["number"])}

    def measure(
        self, raw: Mapping[str, Tensor], target: Tensor, weight: Tensor | None, *, intervals: bool = True
    ) -> dict[str, Value]:
        """Metrics of answers beside the truth."""
        return regression(self._unit(raw["number"]), self._unit(target), weight, intervals=intervals)

    def _unit(self, values: Tensor) -> np.ndarray:
        return np.asarray(self.field.decode(values), dtype=np.float64)

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """What the mean, and a linear model, reach on the split."""
        y, train, test = data.target(self.target), data.splits["train"], data.splits[split]
        weight = data.weights() if data.weight else None
        found = baselines.regression(
            data.features("train"), y[train], data.features(split), weight[train] if weight is not None else None
        )
        given = weight[test] if weight is not None else None
        return {
            name: regression(self._unit(torch.as_tensor(p)), self._unit(y[test]), given) for name, p in found.items()
        }
