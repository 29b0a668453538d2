"""How the columns of a table become features: categories one-hot or as vectors, numbers by waves or by pieces.

A number handed over as it is can only be bent by the layers that follow; spread over waves or over the pieces of its
range first, a network of few layers follows steps and bends of single columns. All modules here read a whole table at
once and say in `features` how many features they give. They expect numbers whose scale a field has made comparable.

Papers: Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning" (2022), arXiv:2203.05556
(periodic and piecewise linear); Holzmüller et al., "Better by Default" (2024), arXiv:2407.04491 (PBLD).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import SettingError, ShapeError

__all__ = ["Categories", "PeriodicDense", "PeriodicLinear", "PiecewiseLinear"]


class Categories(nn.Module):
    """Codes of categories -> features: one-hot where a column has few values, a learned vector where it has many.

    Args:
        cardinalities: codes a column has, slot 0 (unknown or missing) counted; codes run from 0 to cardinality - 1.
        width: features of a learned vector.
        onehot: largest cardinality that is written one-hot; unknown is then all zeros. 0 gives each column a vector.

    Shapes: (batch, columns) -> (batch, features).
    Raises: ShapeError if a column has no slot beside unknown.
    """

    slot_columns: Tensor
    slot_values: Tensor
    many: Tensor
    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int = 8, onehot: int = 9):
        super().__init__()
        if any(c < 2 for c in cardinalities):
            raise ShapeError(
                f"Categories counts slot 0 (unknown) in each cardinality, but got {list(cardinalities)}. "
                "Give each column at least 2, or leave it out."
            )
        if width < 1:
            raise SettingError(
                f"Categories gives each value a vector of width features, but width is {width}. Take 1 or more."
            )
        few = [i for i, c in enumerate(cardinalities) if c <= onehot]
        many = [i for i, c in enumerate(cardinalities) if c > onehot]
        slots = [(i, value) for i in few for value in range(1, cardinalities[i])]
        offsets = [0]
        for i in many:
            offsets.append(offsets[-1] + cardinalities[i])
        self.register_buffer("slot_columns", torch.tensor([i for i, _ in slots], dtype=torch.long), persistent=False)
        self.register_buffer("slot_values", torch.tensor([v for _, v in slots], dtype=torch.long), persistent=False)
        self.register_buffer("many", torch.tensor(many, dtype=torch.long), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets[:-1], dtype=torch.long), persistent=False)
        self.table = nn.Embedding(offsets[-1], width) if many else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=width**-0.5)
        self.features = len(slots) + width * len(many)

    def forward(self, categories: Int[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        parts = []
        if len(self.slot_values):
            parts.append((categories[:, self.slot_columns] == self.slot_values).float())
        if self.table is not None:
            parts.append(self.table(categories[:, self.many] + self.offsets).flatten(1))
        return torch.cat(parts, dim=1) if parts else categories.new_zeros(len(categories), 0, dtype=torch.float)


class PeriodicLinear(nn.Module):
    """PLR: relu(W [cos(2 pi c x), sin(2 pi c x)] + b), with frequencies c learned for each column (2022, section 3.3).

    Args:
        columns: of numbers.
        width: features a column gets.
        waves: frequencies of a column.
        spread: standard deviation of the frequencies at the start; the larger, the finer the steps it can follow.

    Shapes: (batch, columns) -> (batch, columns * width).
    """

    def __init__(self, columns: int, width: int = 16, waves: int = 16, spread: float = 0.1):
        super().__init__()
        self.frequencies = nn.Parameter(spread * torch.randn(columns, waves))
        self.frequencies.decay = False  # type: ignore[attr-defined]  # zero would wash the waves out
        bound = (2 * waves) ** -0.5
        self.weight = nn.Parameter(torch.empty(columns, 2 * waves, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))
        self.features = columns * width

    def forward(self, numbers: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        angles = 2 * math.pi * self.frequencies * numbers[:, :, None]
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return (torch.einsum("bcw,cwf->bcf", waves, self.weight) + self.bias).relu().flatten(1)


class PeriodicDense(nn.Module):
    """PBLD: (x, W cos(2 pi c x + p) + b), the number itself beside a few features of its waves (2024, section 3).

    Args:
        columns: of numbers.
        width: features a column gets, the number itself among them.
        waves: frequencies of a column, each with a phase.
        spread: standard deviation of the frequencies at the start.

    Shapes: (batch, columns) -> (batch, columns * width).
    """

    def __init__(self, columns: int, width: int = 4, waves: int = 16, spread: float = 0.1):
        super().__init__()
        if width < 2:
            raise SettingError(
                f"PeriodicDense gives the number and width - 1 features of its waves, but width is {width}. "
                "Take 2 or more."
            )
        self.frequencies = nn.Parameter(spread * torch.randn(columns, waves))
        self.phases = nn.Parameter(torch.empty(columns, waves).uniform_(-math.pi, math.pi))
        self.frequencies.decay = self.phases.decay = False  # type: ignore[attr-defined]
        bound = waves**-0.5
        self.weight = nn.Parameter(torch.empty(columns, waves, width - 1).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width - 1).uniform_(-bound, bound))
        self.features = columns * width

    def forward(self, numbers: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        x = numbers[:, :, None]
        waves = (2 * math.pi * self.frequencies * x + self.phases).cos()
        return torch.cat([x, torch.einsum("bcw,cwf->bcf", waves, self.weight) + self.bias], dim=-1).flatten(1)


class PiecewiseLinear(nn.Module):
    """PLE with a linear layer: how far x has come through each piece of its range, 0 before it and 1 behind it.

    piece t of x is clip((x - edge_t) / (edge_t+1 - edge_t), 0, 1), the first piece open below and the last open above
    (2022, section 3.2); then a linear layer a column, no activation, plus a linear map of x itself.
    `edges` are a buffer, even over [-limit, limit] until `fit` takes them from data: quantiles, as in the paper.

    Args:
        columns: of numbers.
        width: features a column gets.
        pieces: of a column's range.
        limit: of the range before `fit`; 3 is where a smoothly clipped number ends.

    Shapes: (batch, columns) -> (batch, columns * width).
    """

    edges: Tensor

    def __init__(self, columns: int, width: int = 16, pieces: int = 48, limit: float = 3.0):
        super().__init__()
        if pieces < 2:
            raise SettingError(f"PiecewiseLinear cuts a range into pieces, but pieces is {pieces}. Take 2 or more.")
        self.register_buffer("edges", torch.linspace(-limit, limit, pieces + 1).repeat(columns, 1))
        self.straight = nn.Parameter(torch.empty(columns, width).uniform_(-1, 1))
        self.weight = nn.Parameter(torch.zeros(columns, pieces, width))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-1, 1))
        self.features = columns * width

    @torch.no_grad()
    def fit(self, numbers: Float[Tensor, "rows columns"]) -> None:
        """Take the edges from the quantiles of each column; pieces that repeated values leave empty get no width."""
        places = torch.linspace(0, 1, self.edges.shape[1], dtype=torch.float64)
        self.edges.copy_(torch.quantile(numbers.double(), places, dim=0).T)

    def pieces(self, numbers: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns pieces"]:
        """The encoding itself, before the linear layer."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        size = high - low
        share = torch.where(size > 0, (numbers[:, :, None] - low) / size.clamp_min(1e-12), 0)
        lower, upper = torch.zeros_like(size), torch.ones_like(size)
        lower[:, 0], upper[:, -1] = -math.inf, math.inf
        return share.clamp(lower, upper)

    def forward(self, numbers: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        bent = torch.einsum("bcp,cpf->bcf", self.pieces(numbers), self.weight)
        return (bent + numbers[:, :, None] * self.straight + self.bias).flatten(1)
