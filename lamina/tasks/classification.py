"""Classification: one of several classes for each sample (a row, a picture, a text, a node of a graph)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import DataError, ShapeError
from lamina.core.protocols import Batch, Field
from lamina.metrics import baselines
from lamina.metrics.classification import BETTER, classification
from lamina.metrics.value import Value
from lamina.nn import losses
from lamina.tasks._passes import some, sure
from lamina.tasks._sample import OfSamples, by_label

__all__ = ["Classification"]


class Classification(OfSamples):
    """Which class? The network gives a score (logit) for each.

    Args:
        target, field: the column asked for and its type.
        loss: cross_entropy or focal. smoothing: share of the target spread over all classes.
        balance: weigh classes inversely to how often they come.
        select: the metric that picks the best weights; auto takes AUROC where one of two classes is rare, else
            accuracy.
    """

    table = "tabm_small_drop"

    def __init__(
        self,
        target: str,
        field: Any,
        *,
        loss: str = "cross_entropy",
        smoothing: float = 0.0,
        balance: bool = False,
        select: str = "auto",
    ):
        self.target, self.field, self.key = target, field, f"target.{target}"
        self.names = [str(name) for name in field.labels]
        if len(self.names) < 2:
            raise DataError(
                f"Column {target!r} holds one class only ({', '.join(map(repr, self.names)) or 'none'}): there is "
                "nothing to tell apart. Give rows of other classes too, or another --target."
            )
        counts = torch.tensor(getattr(field, "counts", None) or [1.0] * len(self.names), dtype=torch.float)
        rare = len(self.names) == 2 and float(counts.min() / counts.sum()) < 0.2
        self.metric = ("auroc" if rare else "accuracy") if select == "auto" else sure(select, BETTER, "classification")
        options: dict[str, Any] = {"smoothing": smoothing} if smoothing else {}
        self._by_class: Tensor | None = None  # what each class counts for in the loss's mean
        if balance:
            options["class_weight"] = counts.sum() / (len(counts) * counts.clamp(min=1))
            self._by_class = options["class_weight"] if loss == "cross_entropy" else None
        self._loss = losses.create(loss, **options)

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """1 for one target with classes, of which each sample has one."""
        one = [hasattr(f, "labels") and not hasattr(f, "separator") for f in targets.values()]
        return float(one == [True])

    def sizes(self) -> dict[str, Any]:
        """A score a class."""
        return {"classes": len(self.names), "outputs": len(self.names)}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, classes), or (batch, members, classes) of an ensemble whose members each learn alone."""
        outputs, target, weight = self.beside(outputs, batch)
        return {"cross_entropy": self._loss(outputs, target, weight=weight)}

    def count(self, batch: Batch) -> Any:
        """What the loss is a mean over: samples, by their own weight and, where classes are balanced, their class's."""
        target = batch[self.key]
        weight = batch.get("sample_weight", torch.ones(len(target), device=target.device))
        if self._by_class is not None and not target.is_floating_point():
            weight = weight * self._by_class.to(target.device)[target]
        return weight.sum()

    def answer(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Probabilities of what the network gave."""
        if outputs.ndim < 2 or outputs.shape[-1] != len(self.names):
            raise ShapeError(
                f"{self.target!r} has {len(self.names)} classes ({some(self.names)}), and the network gives outputs of "
                f"shape {tuple(outputs.shape)}. Let it give (batch, {len(self.names)}): a score for each class."
            )
        outputs = outputs[batch["rows"]] if "rows" in batch else outputs
        probabilities = outputs.float().softmax(-1)
        return {"probabilities": probabilities.mean(1) if probabilities.ndim == 3 else probabilities}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """Columns for a person: the class and how sure."""
        best = raw["probabilities"].max(-1)
        confidence = [round(v, 4) for v in best.values.tolist()]
        return {self.target: self.field.decode(best.indices), "confidence": confidence}

    def details(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """More columns for a file: the probability of each class, where there are at most 20."""
        return by_label(self.names, raw["probabilities"])

    def measure(
        self, raw: Mapping[str, Tensor], target: Tensor, weight: Tensor | None, *, intervals: bool = True
    ) -> dict[str, Value]:
        """Metrics of answers beside the truth."""
        return classification(raw["probabilities"], target, weight, self.names, intervals=intervals)

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """What guessing the commonest class, and a linear model, reach on the split."""
        x, y = data.features("train"), data.target(self.target)
        train, test = data.splits["train"], data.splits[split]
        weight = data.weights() if data.weight else None
        found = baselines.classification(
            x, y[train], data.features(split), len(self.names), weight[train] if weight is not None else None
        )
        given = weight[test] if weight is not None else None
        return {name: classification(p, y[test], given, self.names) for name, p in found.items()}
