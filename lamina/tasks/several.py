"""Several targets at once: one network with outputs for each, a task a target, losses weighted."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core import names
from lamina.core.calls import call
from lamina.core.errors import SettingError, ShapeError
from lamina.core.protocols import Batch, Field
from lamina.metrics.value import Value
from lamina.tasks._passes import over

__all__ = ["Several"]


class Several:
    """A class, a set of tags or a number for each of several columns.

    Args:
        fields: the targets by column.
        weights: of the targets' losses, by column; 1 where none is said.
        select: the metric that picks the best weights, such as price/r2; auto is `score`, the weighted mean of each
            target's own (accuracy, AUROC or R²).

    Metrics stand under TARGET/metric, losses under TARGET/loss, answers in the target's own column.
    """

    SEVERAL = True

    def __init__(self, fields: Mapping[str, Any], *, weights: dict[str, float] | None = None, select: str = "auto"):
        self.parts = {name: _task(field)(name, field) for name, field in fields.items()}
        given = weights or {}
        unknown = [name for name in given if name not in fields]
        if unknown or any(w < 0 for w in given.values()) or (given and not sum(given.get(n, 1.0) for n in fields)):
            raise SettingError(
                f"task.weights are numbers from 0 up for the targets {', '.join(fields)}; {given!r} came. "
                f"For example: --set task.weights='{{\"{next(iter(fields))}\": 2}}'"
            )
        self.weights = {name: float(given.get(name, 1.0)) for name in fields}
        self.metric = "score" if select == "auto" else select
        if select == "auto":
            self.better = "max"
        elif select.partition("/")[0] not in fields:
            raise SettingError(f"task.select is TARGET/metric, with a target of {', '.join(fields)}; {select!r} came.")
        ends = torch.tensor([part.sizes()["outputs"] for part in self.parts.values()]).cumsum(0).tolist()
        self._cuts = {name: slice(a, b) for name, a, b in zip(self.parts, [0, *ends], ends, strict=False)}
        self._width = ends[-1]

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """1 for two or more targets with a task each."""
        return float(len(targets) > 1 and all(_known(field) for field in targets.values()))

    def sizes(self) -> dict[str, Any]:
        """The outputs of all targets together."""
        return {"outputs": self._width, "classes": self._width, "exclusive": False}

    def model(self, kinds: list[str]) -> str:
        """The default network, by what goes in."""
        return next(iter(self.parts.values())).model(kinds)

    def method(self) -> str:
        """How it is learnt unless said otherwise."""
        return "supervised"

    def sampler(self, model: nn.Module) -> dict[str, Any]:
        """Rows, or whatever the data set's samples are."""
        return {}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, all outputs), or (batch, members, all outputs)."""
        found = {}
        for name, part in self.parts.items():
            for key, value in part.loss(outputs[..., self._cuts[name]], batch).items():
                found[f"{name}/{key}"] = self.weights[name] * value
        return found

    def predict(self, model: nn.Module, batch: Batch, rng: Any = None) -> dict[str, Tensor]:
        """TARGET/answer for each target."""
        outputs = call(model, batch)
        if outputs.shape[-1] != self._width:
            wanted = ", ".join(f"{c.stop - c.start} for {name!r}" for name, c in self._cuts.items())
            raise ShapeError(
                f"{len(self.parts)} targets need {self._width} outputs ({wanted}), and the network gives outputs of "
                f"shape {tuple(outputs.shape)}."
            )
        found: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            found |= {f"{name}/{k}": v for k, v in part.answer(outputs[..., self._cuts[name]], batch).items()}
        return found

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """A column a target, and how sure beside it."""
        columns = {}
        for name, part in self.parts.items():
            for column, values in part.decode(_own(raw, name)).items():
                columns[column if column == name else f"{column}({name})"] = values
        return columns

    def details(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """More columns for a file: probabilities, as p(TARGET=label)."""
        columns: dict[str, list[Any]] = {}
        for name, part in self.parts.items():
            if hasattr(part, "details"):
                found = part.details(_own(raw, name))
                columns |= {f"p({name}={column[2:-1]})": values for column, values in found.items()}
        return columns

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Metrics of each target over a whole split, and their mean score."""
        keys = [part.key for part in self.parts.values()]
        raw, targets, weight = over(self, model, data, split, keys, 1024)
        found = {
            name: part.measure(_own(raw, name), targets[part.key], weight, intervals=intervals)
            for name, part in self.parts.items()
        }
        return self._joined(found)

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """What a constant, and a linear model, reach for each target."""
        found: dict[str, dict[str, dict[str, Value]]] = {}
        for name, part in self.parts.items():
            for kind, values in part.baseline(data, split).items():
                kind = {"prior": "constant", "mean": "constant"}.get(kind, kind)
                found.setdefault(kind, {})[name] = values
        return {kind: self._joined(values) for kind, values in found.items() if len(values) == len(self.parts)}

    def _joined(self, found: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
        values = {name: found[name].get(part.metric) for name, part in self.parts.items()}
        figures = [(self.weights[name], v) for name, v in values.items() if v is not None]
        total = sum(w for w, _ in figures)
        mean = sum(w * v.value for w, v in figures) / total if total else math.nan
        count = min((v.count for _, v in figures), default=0)
        flat = {f"{name}/{k}": value for name, own in found.items() for k, value in own.items()}
        return {"score": Value(mean, math.nan, math.nan, count), **flat}


def _own(raw: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}/"): v for k, v in raw.items() if k.startswith(f"{name}/")}


def _task(field: Any) -> Any:
    """The task of one target: labels are told apart, sets of them are given, numbers are estimated."""
    kind = _known(field)
    if kind is None:
        raise SettingError(
            f"Of several targets each is a class, a set of tags or a number, but {field.name!r} is "
            f"{type(field).__name__.lower()}. "
            "Ask for it alone, or say its type: --set data.types={'COLUMN': 'category'}"
        )
    return names.load("tasks", kind)[0]


def _known(field: Any) -> str | None:
    if hasattr(field, "labels"):
        return "tagging" if hasattr(field, "separator") else "classification"
    return "regression" if hasattr(field, "deviation") else None
