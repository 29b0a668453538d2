"""Classification: one of several classes for each sample (a row, a picture, a text, a node of a graph)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.calls import call, on_device
from lamina.core.errors import DataError
from lamina.core.protocols import Batch, Field
from lamina.metrics import baselines
from lamina.metrics.classification import classification
from lamina.metrics.value import Value
from lamina.nn import losses

__all__ = ["Classification"]


class Classification:
    """Which class? The network gives a score (logit) for each.

    Args:
        target, field: the column asked for and its type.
        loss: cross_entropy or focal. smoothing: share of the target spread over all classes.
        balance: weigh classes inversely to how often they come.
        select: the metric that picks the best weights; auto takes AUROC where one of two classes is rare, else accuracy.
    """

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
                f"Column {target!r} holds one class only ({', '.join(map(repr, self.names)) or 'none'}): there is nothing "
                "to tell apart. Give rows of other classes too, or another --target."
            )
        counts = torch.tensor(getattr(field, "counts", None) or [1.0] * len(self.names), dtype=torch.float)
        rare = len(self.names) == 2 and float(counts.min() / counts.sum()) < 0.2
        self.metric = ("auroc" if rare else "accuracy") if select == "auto" else select
        options: dict[str, Any] = {"smoothing": smoothing} if smoothing else {}
        if balance:
            options["class_weight"] = counts.sum() / (len(counts) * counts.clamp(min=1))
        self._loss = losses.create(loss, **options)

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """1 for one target with classes."""
        return 1.0 if len(targets) == 1 and all(hasattr(f, "labels") for f in targets.values()) else 0.0

    def sizes(self) -> dict[str, Any]:
        """A score a class."""
        return {"classes": len(self.names), "outputs": len(self.names)}

    def model(self, kinds: list[str]) -> str:
        """The default network, by what goes in."""
        if "edges" in kinds:
            return "gcn"
        if kinds == ["image"]:
            return "resnet9"
        return "tabm" if set(kinds) <= {"numbers", "categories"} else "columns"

    def method(self) -> str:
        """How it is learnt unless said otherwise."""
        return "supervised"

    def sampler(self, model: nn.Module) -> dict[str, Any]:
        """Rows, or whatever the data set's samples are."""
        return {}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, classes), or (batch, members, classes) of an ensemble whose members learn each for itself."""
        target, weight = batch[self.key], batch.get("sample_weight")
        if "rows" in batch:  # a graph: the nodes that count
            outputs, target = outputs[batch["rows"]], target[batch["rows"]]
            weight = weight[batch["rows"]] if weight is not None else None
        if outputs.ndim == 3:
            members = outputs.shape[1]
            target = target.repeat_interleave(members)
            weight = weight.repeat_interleave(members) if weight is not None else None
            outputs = outputs.flatten(0, 1)
        return {"cross_entropy": self._loss(outputs, target, weight=weight)}

    def predict(self, model: nn.Module, batch: Batch, rng: Any = None) -> dict[str, Tensor]:
        """Probabilities (batch, classes)."""
        outputs = call(model, batch)
        outputs = outputs[batch["rows"]] if "rows" in batch else outputs
        return {"probabilities": outputs.float().softmax(-1)}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """Columns for a person: the class and how sure."""
        best = raw["probabilities"].max(-1)
        return {self.target: self.field.decode(best.indices), "confidence": [round(v, 4) for v in best.values.tolist()]}

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Metrics over a whole split."""
        scores, targets, weights = [], [], []
        for batch in data.batches(self.sampler(model), split=split, batch=1024):
            scores.append(self.predict(model, on_device(batch, model))["probabilities"].cpu())
            rows = batch.get("rows", slice(None))
            targets.append(batch[self.key][rows])
            if "sample_weight" in batch:
                weights.append(batch["sample_weight"][rows])
        weight = torch.cat(weights) if weights else None
        return classification(torch.cat(scores), torch.cat(targets), weight, self.names, intervals=intervals)

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
