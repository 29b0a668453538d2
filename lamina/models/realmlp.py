"""RealMLP: a multilayer perceptron with the defaults that make it strong on tables.

Paper: Holzmüller, Grinsztajn, Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data"
(2024), arXiv:2407.04491. As in the paper's RealMLP-TD: a learned scale of each input, PBLD embeddings of numbers,
one-hot categories (vectors where a column has many), the neural tangent parametrization, activations whose bend is
learned, an output layer that begins at zero, and rates of learning by kind of parameter. Left out: the data-driven
start of the biases; here they begin as N(0, 1), as in the paper's TD-S.

A parameter's `lr_scale` says what the learning rate is multiplied by for it; a trainer that ignores it learns worse.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.nn import activations
from lamina.nn.embeddings import Categories, PeriodicDense

__all__ = ["RealMLP"]

VARIANTS = {
    "": dict(),
    "tiny": dict(hidden=[16, 16]),
    "selu": dict(activation="selu"),  # the paper's choice for classification
}


def scaled(value: Tensor, lr_scale: float) -> nn.Parameter:
    """A parameter that learns at lr_scale times the rate of the others."""
    parameter = nn.Parameter(value)
    parameter.lr_scale = lr_scale  # type: ignore[attr-defined]
    return parameter


class Scale(nn.Module):
    """x * s, one s a feature: a soft choice of features, learned six times as fast as the rest."""

    def __init__(self, features: int):
        super().__init__()
        self.scale = scaled(torch.ones(features), 6.0)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        return x * self.scale


class TangentLinear(nn.Module):
    """x W / sqrt(features) + b with W, b ~ N(0, 1): the neural tangent parametrization; biases learn at a tenth."""

    def __init__(self, features: int, outputs: int, zero: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, features) if zero else torch.randn(outputs, features))
        self.bias = scaled(torch.zeros(outputs) if zero else torch.randn(outputs), 0.1)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch outputs"]:
        return nn.functional.linear(x * x.shape[1] ** -0.5, self.weight, self.bias)


class Bend(nn.Module):
    """(1 - a) x + a f(x), one a a feature, 1 at the start: how much of the activation f a unit uses."""

    def __init__(self, features: int, activation: str):
        super().__init__()
        self.activation = activations.create(activation)
        self.amount = scaled(torch.ones(features), 0.1)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        return x + self.amount * (self.activation(x) - x)


class RealMLP(nn.Module):
    """RealMLP-TD over a table's numbers and categories.

    Args:
        columns: of numbers, robustly scaled and smoothly clipped by their fields.
        cardinalities: of categories, slot 0 (unknown) counted.
        outputs: numbers it gives: scores of classes, or values.
        hidden: units of the hidden layers.
        activation: "mish" for values, "selu" for classes in the paper.
        drop: share of the hidden units set to zero in training.
        width, waves, spread: of the PBLD embedding of a number.
        onehot: largest cardinality written one-hot; others get a vector of 8.

    Shapes: (batch, columns), (batch, categories) -> (batch, outputs).
    Raises: ShapeError if it has neither numbers nor categories to read.
    """

    def __init__(
        self,
        *,
        columns: int = 8,
        cardinalities: Sequence[int] = (),
        outputs: int = 1,
        hidden: Sequence[int] = (256, 256, 256),
        activation: str = "mish",
        drop: float = 0.15,
        width: int = 4,
        waves: int = 16,
        spread: float = 0.1,
        onehot: int = 9,
    ):
        super().__init__()
        if not columns and not cardinalities:
            raise ShapeError(
                "RealMLP reads a table's numbers and categories, but columns is 0 and cardinalities is empty."
            )
        self.numbers = PeriodicDense(columns, width, waves, spread) if columns else None
        self.categories = Categories(cardinalities, onehot=onehot) if cardinalities else None
        for part in (self.numbers, self.categories):
            for parameter in part.parameters() if part else ():
                parameter.lr_scale = 0.1  # type: ignore[attr-defined]
        widths = [sum(part.features for part in (self.numbers, self.categories) if part), *hidden]
        chain: list[nn.Module] = [Scale(widths[0])]
        for before, after in itertools.pairwise(widths):
            chain += [TangentLinear(before, after), Bend(after, activation), nn.Dropout(drop)]
        self.layers = nn.Sequential(*chain, TangentLinear(widths[-1], outputs, zero=True))

    def forward(
        self,
        numbers: Float[Tensor, "batch columns"] | None = None,
        categories: Int[Tensor, "batch kinds"] | None = None,
    ) -> Float[Tensor, "batch outputs"]:
        parts = []
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers(numbers))
        if self.categories is not None and categories is not None:
            parts.append(self.categories(categories))
        return self.layers(torch.cat(parts, dim=1))
