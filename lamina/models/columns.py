"""Columns: one network for a table whose columns are numbers, categories, words and a picture.

Papers: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data" (2021), arXiv:2106.11959, for the table;
Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016), arXiv:1606.07792, for many kinds in one.
Late fusion: an encoder for each kind that is there, their features side by side, a multilayer perceptron on top.
Numbers go through waves (PBLD), categories are one-hot or vectors, texts are bags of words, a picture goes through
strided convolutions and is averaged.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.nn import activations
from lamina.nn.bag import Bag
from lamina.nn.embeddings import Categories, PeriodicDense

__all__ = ["Columns"]

VARIANTS = {
    "": dict(),
    "tiny": dict(width=8, hidden=[16]),
}


class Picture(nn.Module):
    """Four 3x3 convolutions, the last three by steps of 2 and each twice as wide as the one before, then the mean.

    Normalised by group and not by batch: a table's batch may hold few pictures, or many empty ones.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        steps = [(channels, width // 2, 1), (width // 2, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2)]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                    nn.GroupNorm(max(1, after // 8), after),
                    nn.ReLU(),
                )
                for before, after, stride in steps
            )
        )
        self.features = 4 * width

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        return self.layers(image).mean(dim=(2, 3))


class Columns(nn.Module):
    """A network over several kinds of columns at once; what is not there has no encoder.

    Args:
        columns: of numbers, robustly scaled by their fields; 0 for none.
        cardinalities: of categories, slot 0 (unknown) counted.
        vocab: of the words of all text columns; 0 for no text.
        channels: of the picture; 0 for none. Its side may be any from 8 pixels.
        outputs: numbers it gives: scores of classes, or values.
        width: of the picture's second convolution, and half the features of a text.
        hidden: units of the layers on top.
        activation: of these, its name in `lamina.nn.activations`.
        drop: share of the hidden units set to zero in training.

    Shapes: (batch, columns), (batch, categories), (batch, channels, height, width), and words (tokens,) with
        words_offsets (batch,) and words_weights (tokens,) -> (batch, outputs).
    Raises: ShapeError if there is nothing to read.
    """

    def __init__(
        self,
        *,
        columns: int = 8,
        cardinalities: Sequence[int] = (),
        vocab: int = 0,
        channels: int = 0,
        outputs: int = 1,
        width: int = 32,
        hidden: Sequence[int] = (256, 256),
        activation: str = "mish",
        drop: float = 0.1,
    ):
        super().__init__()
        self.numbers = PeriodicDense(columns) if columns else None
        self.categories = Categories(cardinalities) if cardinalities else None
        self.words = Bag(vocab, 2 * width) if vocab else None
        self.image = Picture(channels, width) if channels else None
        features = [part.features for part in (self.numbers, self.categories, self.image) if part is not None]
        features += [2 * width] if vocab else []
        if not features:
            raise ShapeError(
                "Columns reads numbers, categories, words or a picture, but columns, vocab and channels are 0 and "
                "cardinalities is empty. Give at least one."
            )
        chain: list[nn.Module] = []
        before = sum(features)
        for after in hidden:
            twice = after * activations.widening(activation)
            chain += [nn.Linear(before, twice), activations.create(activation), nn.Dropout(drop)]
            before = after
        self.layers = nn.Sequential(*chain, nn.Linear(before, outputs))

    def forward(
        self,
        numbers: Float[Tensor, "batch columns"] | None = None,
        categories: Int[Tensor, "batch kinds"] | None = None,
        image: Float[Tensor, "batch channels height width"] | None = None,
        words: Int[Tensor, " tokens"] | None = None,
        words_offsets: Int[Tensor, " batch"] | None = None,
        words_weights: Float[Tensor, " tokens"] | None = None,
    ) -> Float[Tensor, "batch outputs"]:
        parts = []
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers(numbers))
        if self.categories is not None and categories is not None:
            parts.append(self.categories(categories))
        if self.image is not None and image is not None:
            parts.append(self.image(image))
        if self.words is not None and words is not None:
            parts.append(self.words(words, words_offsets, words_weights))
        return self.layers(torch.cat(parts, dim=1))
