"""MLP: layers of weighted sums, each followed by an activation; the plain feed-forward network.

Paper: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors" (1986).
`MLP()` is the worked example of every textbook: a picture of 28x28 grey pixels, 128 and 64 ReLU units, ten scores.
`layers` is a plain chain (linear, norm, activation, dropout), so that it can be read off and written as other code.

Checkpoints: the policy of Stable-Baselines3's DQN over a vector of numbers, both ways (`LAYOUTS`); it has no norm
and no dropout.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import SettingError, ShapeError
from lamina.models._layouts import Layout
from lamina.nn import activations
from lamina.nn.embeddings import Categories

__all__ = ["MLP"]

VARIANTS = {
    "": dict(),
    "tiny": dict(hidden=[16, 8]),
    "wide": dict(hidden=[512, 512, 512], norm="batch", drop=0.1),
}

NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """A multilayer perceptron over a picture's pixels, or a table's numbers and categories, or all of these.

    Args:
        hidden: units of the hidden layers, from the input on; empty is a linear model.
        activation: its name in `lamina.nn.activations`.
        norm: "batch" or "layer", before each activation; None for none.
        drop: share of the hidden units set to zero in training, behind each activation.
        channels, size: of the picture, `size` its side in pixels or (height, width).
        columns: of numbers in a table.
        cardinalities: of its categories, slot 0 (unknown) counted.
        outputs: numbers it gives: scores of classes, or values.
        With no inputs said it reads pictures of 1x28x28.

    Shapes: (batch, columns) and (batch, categories) and (batch, channels, height, width) -> (batch, outputs).
    Raises: ShapeError if a picture has channels and no size; SettingError for an unknown norm.
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (128, 64),
        activation: str = "relu",
        norm: str | None = None,
        drop: float = 0.0,
        channels: int | None = None,
        size: int | tuple[int, int] | None = None,
        columns: int | None = None,
        cardinalities: Sequence[int] = (),
        outputs: int = 10,
    ):
        super().__init__()
        if norm not in (None, *NORMS):
            raise SettingError(f"MLP normalises by one of {list(NORMS)} or not at all, but norm is {norm!r}.")
        if not (channels or columns or cardinalities):
            channels, size = 1, size or 28
        pixels = 0
        if channels:
            if not size:
                raise ShapeError(
                    f"MLP was told of {channels} channels and no size. Give size, the picture's side in pixels."
                )
            height, across = (size, size) if isinstance(size, int) else size
            pixels = channels * height * across
        self.categories = Categories(cardinalities) if cardinalities else None
        widths = [(columns or 0) + (self.categories.features if self.categories else 0) + pixels, *hidden]
        chain: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            twice = after * activations.widening(activation)  # the gated ones read value and gate
            chain.append(nn.Linear(before, twice))
            if norm:
                chain.append(NORMS[norm](twice))
            chain.append(activations.create(activation))
            if drop:
                chain.append(nn.Dropout(drop))
        self.layers = nn.Sequential(*chain, nn.Linear(widths[-1], outputs))

    def forward(
        self,
        numbers: Float[Tensor, "batch columns"] | None = None,
        categories: Int[Tensor, "batch kinds"] | None = None,
        image: Float[Tensor, "batch channels height width"] | None = None,
    ) -> Float[Tensor, "batch outputs"]:
        parts = [] if numbers is None else [numbers]
        if categories is not None and self.categories is not None:
            parts.append(self.categories(categories))
        if image is not None:
            parts.append(image.flatten(1))
        return self.layers(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))


def _with_target(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their policy holds the network twice: as it learns, and as the target that lags behind."""
    return {**state, **{name.replace("q_net.", "q_net_target.", 1): p for name, p in state.items()}}


LAYOUTS = {
    "stable_baselines3": Layout(
        of="Stable-Baselines3's DQN",
        marks=r"q_net(_target)?\.q_net\.\d+\.",
        names=[(r"layers\.", "q_net.q_net.")],
        ignored=r"^q_net_target\.",
        leave=_with_target,
    )
}
