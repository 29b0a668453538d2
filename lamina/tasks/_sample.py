"""What the tasks share that ask for one column of each sample: a row, a picture, a text, a node of a graph."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lamina.core.calls import call
from lamina.core.protocols import Batch
from lamina.metrics.value import Value
from lamina.tasks._passes import over

__all__ = ["OfSamples", "by_label"]


class OfSamples:
    """A question of each sample; `answer` and `measure` are the task's own."""

    table = "tabm_small"  # the default network where numbers and categories alone go in
    rows = 1024  # samples at once in an evaluation
    key: str

    def model(self, kinds: list[str]) -> str:
        """The default network, by what goes in."""
        if "edges" in kinds:
            return "gcn_wide"
        if kinds == ["image"]:
            return "resnet9"
        return self.table if set(kinds) <= {"numbers", "categories"} else "columns"

    def method(self) -> str:
        """How it is learnt unless said otherwise."""
        return "supervised"

    def sampler(self, model: nn.Module) -> dict[str, Any]:
        """Rows, or whatever the data set's samples are."""
        return {}

    def beside(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """(outputs, targets, weights or None), a line each for what is learnt from.

        Of a graph the nodes that count; of an ensemble, (batch, members, …), each member's outputs apart.
        """
        target, weight = batch[self.key], batch.get("sample_weight")
        if "rows" in batch:
            outputs, target = outputs[batch["rows"]], target[batch["rows"]]
            weight = weight[batch["rows"]] if weight is not None else None
        if outputs.ndim == 3:
            members = outputs.shape[1]
            target = target.repeat_interleave(members, 0)
            weight = weight.repeat_interleave(members) if weight is not None else None
            outputs = outputs.flatten(0, 1)
        return outputs, target, weight

    def predict(self, model: nn.Module, batch: Batch, rng: Any = None) -> dict[str, Tensor]:
        """What the network says of each sample of the batch."""
        return self.answer(call(model, batch), batch)

    def answer(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What its outputs say."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Metrics over a whole split."""
        raw, targets, weight = over(self, model, data, split, [self.key], self.rows)
        return self.measure(raw, targets[self.key], weight, intervals=intervals)

    def measure(
        self, raw: Mapping[str, Tensor], target: Tensor, weight: Tensor | None, *, intervals: bool = True
    ) -> dict[str, Value]:
        """Metrics of answers beside the truth."""
        raise NotImplementedError


def by_label(names: list[str], probabilities: Tensor, most: int = 20) -> dict[str, list[Any]]:
    """Columns for a file: the probability of each label, where there are at most 20."""
    if len(names) > most:
        return {}
    columns = probabilities.double().T.tolist()
    return {f"p({n})": [round(v, 6) for v in column] for n, column in zip(names, columns, strict=True)}
