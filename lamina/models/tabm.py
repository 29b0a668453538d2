"""TabM: one multilayer perceptron that is many, its members sharing all matrices and differing in cheap scales.

Paper: Gorishniy, Kotelnikov, Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling"
(2024), arXiv:2410.24210. As in the paper: BatchEnsemble layers, input scales of the first layer at random signs and
all others at one, an output layer a member, members trained side by side and averaged only when asked for an answer.
Numbers are spread by `PiecewiseLinear` or `PeriodicLinear`, one embedding shared by all members.

Checkpoints: the authors' package `tabm`, both ways (`LAYOUTS`): arch_type "tabm", with `PeriodicEmbeddings(lite=False)`
or `PiecewiseLinearEmbeddings(version="B", activation=False)` whose columns have equally many pieces. Their one-hot
codes begin at 0 and have no slot for the unknown, so a column of theirs with c values is one of c + 1 here.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import SettingError, ShapeError
from lamina.models._layouts import Layout
from lamina.nn.embeddings import Categories, PeriodicLinear, PiecewiseLinear

__all__ = ["TabM"]

VARIANTS = {
    "": dict(),
    "small": dict(members=8, hidden=[128, 128], drop=0.0, embedding="periodic", pieces=16),  # a minute on two cores
    "small_drop": dict(members=8, hidden=[128, 128], drop=0.1, embedding="periodic", pieces=16),  # for classes
    "tiny": dict(members=3, hidden=[16, 16], width=4, pieces=8),
}


class EnsembleLinear(nn.Module):
    """y_i = ((x_i * r_i) W) * s_i + b_i for each member i: one matrix, a scale of inputs and outputs a member.

    Shapes: (batch, members, features) -> (batch, members, outputs).
    """

    def __init__(self, members: int, features: int, outputs: int, signs: bool = False):
        super().__init__()
        bound = features**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, features).uniform_(-bound, bound))
        scale = 2.0 * torch.randint(0, 2, (members, features)) - 1 if signs else torch.ones(members, features)
        self.inputs = nn.Parameter(scale)
        self.outputs = nn.Parameter(torch.ones(members, outputs))
        self.inputs.decay = self.outputs.decay = False  # type: ignore[attr-defined]  # scales, though of two axes
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound).repeat(members, 1))

    def forward(self, x: Float[Tensor, "batch members features"]) -> Float[Tensor, "batch members outputs"]:
        return nn.functional.linear(x * self.inputs, self.weight) * self.outputs + self.bias


class TabM(nn.Module):
    """An ensemble of multilayer perceptrons over a table's numbers and categories.

    In training it gives what each member says, and a loss is the mean over members of each member's own loss; in
    evaluation it gives one answer: the mean over members or, where `classes` is said, the log of the members' mean
    probability, of which softmax is that mean probability again.

    Args:
        columns: of numbers, robustly scaled and smoothly clipped by their fields.
        cardinalities: of categories, slot 0 (unknown) counted.
        outputs: values it gives, where they are no classes.
        classes: scores it gives; None, or fewer than 2, where it gives values.
        exclusive: whether one class rules out the others; where not, scores are averaged as values are.
        members: of the ensemble.
        hidden: units of a member's hidden layers.
        drop: share of the hidden units set to zero in training.
        embedding: of numbers, "piecewise" or "periodic".
        width: features a number gets.
        pieces: of a number's range, or its frequencies where the embedding is periodic.

    Shapes: (batch, columns), (batch, categories) -> (batch, members, outputs) in training, (batch, outputs) after.
    Raises: ShapeError if there is nothing to read; SettingError for an unknown embedding.
    """

    def __init__(
        self,
        *,
        columns: int = 8,
        cardinalities: Sequence[int] = (),
        outputs: int = 1,
        classes: int | None = None,
        exclusive: bool = True,
        members: int = 32,
        hidden: Sequence[int] = (512, 512, 512),
        drop: float = 0.1,
        embedding: str = "piecewise",
        width: int = 16,
        pieces: int = 48,
    ):
        super().__init__()
        if not columns and not cardinalities:
            raise ShapeError(
                "TabM reads a table's numbers and categories, but columns is 0 and cardinalities is empty."
            )
        if embedding not in ("piecewise", "periodic"):
            raise SettingError(f"TabM embeds numbers as 'piecewise' or 'periodic', but embedding is {embedding!r}.")
        spread = PiecewiseLinear if embedding == "piecewise" else PeriodicLinear
        self.numbers = spread(columns, width, pieces) if columns else None
        self.categories = Categories(cardinalities) if cardinalities else None
        self.members, self.scores = members, exclusive and (classes or 0) >= 2
        given = classes if classes and self.scores else outputs
        widths = [sum(part.features for part in (self.numbers, self.categories) if part), *hidden]
        chain: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            chain += [EnsembleLinear(members, before, after, signs=i == 0), nn.ReLU(), nn.Dropout(drop)]
        self.layers = nn.Sequential(*chain)
        bound = widths[-1] ** -0.5
        self.head = nn.Parameter(torch.empty(members, widths[-1], given).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, given).uniform_(-bound, bound))

    def forward(
        self,
        numbers: Float[Tensor, "batch columns"] | None = None,
        categories: Int[Tensor, "batch kinds"] | None = None,
    ) -> Float[Tensor, "batch ..."]:
        parts = []
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers(numbers))
        if self.categories is not None and categories is not None:
            parts.append(self.categories(categories))
        x = torch.cat(parts, dim=1)[:, None].expand(-1, self.members, -1)
        y = torch.einsum("bmf,mfo->bmo", self.layers(x), self.head) + self.bias
        if self.training:
            return y
        return y.log_softmax(-1).logsumexp(1) - math.log(self.members) if self.scores else y.mean(1)


def _edges(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The edges of the pieces, which they keep as share = weight * x + bias; and one bias, wherever it stands."""
    made = dict(state)
    if "num_module.impl.weight" in made:
        weight, bias = made.pop("num_module.impl.weight"), made.pop("num_module.impl.bias")
        made["num_module.edges"] = torch.cat([-bias / weight, ((1 - bias) / weight)[:, -1:]], dim=1)
        made["num_module.linear.bias"] = made.pop("num_module.linear0.bias")
    return made


def _shares(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = dict(state)
    if "num_module.edges" in made:
        edges = made.pop("num_module.edges")
        made["num_module.impl.weight"] = 1 / edges.diff()
        made["num_module.impl.bias"] = -edges[:, :-1] / edges.diff()
        made["num_module.linear0.bias"] = made.pop("num_module.linear.bias")
    return made


def _blocks(found: re.Match[str]) -> str:
    named = {"weight": "weight", "bias": "bias", "inputs": "r", "outputs": "s"}
    return f"backbone.blocks.{int(found[1]) // 3}.0.{named[found[2]]}"


LAYOUTS = {
    "tabm": Layout(
        of="the package tabm",
        marks=r"(num_module|backbone\.blocks\.\d+|output)\.",
        names=[
            (r"numbers\.frequencies$", "num_module.periodic.weight"),
            (r"numbers\.straight$", "num_module.linear0.weight"),
            (r"numbers\.edges$", "num_module.edges"),
            (r"numbers\.weight$", "num_module.linear.weight"),
            (r"numbers\.bias$", "num_module.linear.bias"),
            (r"layers\.(\d+)\.(\w+)$", _blocks),
            (r"head$", "output.weight"),
            (r"bias$", "output.bias"),
        ],
        enter=_edges,
        leave=_shares,
    )
}
