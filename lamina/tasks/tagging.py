"""Tagging: any number of labels for each sample, a yes or no for each of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import ShapeError
from lamina.core.protocols import Batch, Field
from lamina.metrics import baselines
from lamina.metrics.tagging import BETTER, tagging
from lamina.metrics.value import Value
from lamina.nn import losses
from lamina.tasks._passes import some, sure
from lamina.tasks._sample import OfSamples, by_label

__all__ = ["Tagging"]


class Tagging(OfSamples):
    """Which tags? The network gives a score (logit) for each, told from the others' apart.

    Args:
        target, field: the column asked for and its type.
        loss: binary_cross_entropy or binary_focal.
        select: the metric that picks the best weights.
    """

    def __init__(self, target: str, field: Any, *, loss: str = "binary_cross_entropy", select: str = "f1_micro"):
        self.target, self.field, self.key = target, field, f"target.{target}"
        self.names = [str(name) for name in field.labels]
        self.metric = sure(select, BETTER, "tagging")
        self._name, self._loss = loss, losses.create(loss)

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """1 for one target that is a set of labels."""
        return float([hasattr(f, "separator") for f in targets.values()] == [True])

    def sizes(self) -> dict[str, Any]:
        """A score a tag, none of which rules out another."""
        return {"classes": len(self.names), "outputs": len(self.names), "exclusive": False}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, tags), or (batch, members, tags) of an ensemble whose members each learn alone."""
        outputs, target, weight = self.beside(outputs.float(), batch)
        return {self._name: self._loss(outputs, target.float(), weight=weight)}

    def answer(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Probabilities of what the network gave; the members of an ensemble are averaged."""
        if outputs.ndim < 2 or outputs.shape[-1] != len(self.names):
            raise ShapeError(
                f"{self.target!r} has {len(self.names)} tags ({some(self.names)}), and the network gives outputs of "
                f"shape {tuple(outputs.shape)}. Let it give (batch, {len(self.names)}): a score for each tag."
            )
        outputs = outputs[batch["rows"]] if "rows" in batch else outputs
        probabilities = outputs.float().sigmoid()
        return {"probabilities": probabilities.mean(1) if probabilities.ndim == 3 else probabilities}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """The tags of each sample, written as in the data."""
        mark = self.field.separator or "|"
        return {self.target: [mark.join(tags) for tags in self.field.decode(raw["probabilities"])]}

    def details(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """More columns for a file: the probability of each tag, where there are at most 20."""
        return by_label(self.names, raw["probabilities"])

    def measure(
        self, raw: Mapping[str, Tensor], target: Tensor, weight: Tensor | None, *, intervals: bool = True
    ) -> dict[str, Value]:
        """Metrics of answers beside the truth."""
        return tagging(raw["probabilities"], target, weight, self.names, intervals=intervals)

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """What giving each tag as often as it comes reaches, and a linear model of each of the first 50 tags."""
        x, test = data.features("train"), data.features(split)
        y, train, asked = data.target(self.target), data.splits["train"], data.splits[split]
        weight = data.weights() if data.weight else None
        given = weight[train] if weight is not None else None
        share = np.average(y[train].numpy(), axis=0, weights=None if given is None else given.numpy())
        prior = np.repeat(share[None], len(asked), axis=0)
        found = {"prior": prior}
        if len(self.names) <= 50:
            linear = prior.copy()
            for tag in range(len(self.names)):
                told = baselines.classification(x, y[train, tag].long(), test, 2, given)
                linear[:, tag] = told.get("linear", told["prior"])[:, 1]
            found["linear"] = linear
        judged = weight[asked] if weight is not None else None
        return {name: tagging(torch.from_numpy(p), y[asked], judged, self.names) for name, p in found.items()}
