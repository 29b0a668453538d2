"""GCN: a node of a graph, told by its own features and those of its neighbours.

Paper: Kipf & Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017), arXiv:1609.02907.
    H' = ReLU(Â H W),  Â = D^-1/2 (A + I) D^-1/2
As in the paper: two layers of width 16, dropout of a half, edges gone along both ways. `own=True` gives a node a second
matrix for itself, H' = ReLU(Â H W + H U), as in Hamilton et al., "Inductive Representation Learning on Large Graphs"
(2017), arXiv:1706.02216: where neighbours are often of another class, a node need not be like their mean. Without edges
Â is the identity and the network a multilayer perceptron.
`directed=True` gives the edges into a node and those out of it a matrix each and takes the mean along either,
H' = ReLU(A_in H W + A_out H V + b), as in Rossi et al., "Edge Directionality Improves Learning on Heterophilic Graphs"
(2023), arXiv:2305.10498; the first layer is then the node's alone, which reads before it listens.

Checkpoints: PyTorch Geometric's `models.GCN` over numbers, both ways, where `own` is left out (`LAYOUTS`).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.models._layouts import Layout
from lamina.nn.bag import Bag
from lamina.nn.embeddings import Categories
from lamina.nn.graph import means, normalised, propagate

__all__ = ["GCN"]

VARIANTS = {
    "": dict(),
    "wide": dict(width=128, drop=0.5, word_drop=0.3, word_scale=4.0, own=True, directed=True),
    "tiny": dict(columns=3, width=8, classes=3, drop=0.0),
}
EXEMPT = {
    "leak": "a node is told by its neighbours too; without edges it is told by itself alone",
    "leak in training": "a node is told by its neighbours too; without edges it is told by itself alone",
}


class Mix(nn.Module):
    """Â H W + b; directed, A_in H W + A_out H V + b. With a node's own matrix + H U."""

    def __init__(self, before: int, after: int, own: bool, directed: bool):
        super().__init__()
        self.neighbours = nn.Linear(before, after)
        self.back = nn.Linear(before, after, bias=False) if directed else None
        self.own = nn.Linear(before, after, bias=False) if own else None

    def forward(self, x: Float[Tensor, "nodes before"], ways: Sequence[tuple | None]) -> Float[Tensor, "nodes after"]:
        y = gathered(ways[0], x, self.neighbours.weight) + self.neighbours.bias
        if self.back is not None:
            y = y + gathered(ways[1], x, self.back.weight)
        return y if self.own is None else y + self.own(x)


def gathered(way: tuple | None, x: Tensor, weight: Tensor) -> Tensor:
    """Â H W; what is narrower, H or H W, goes through Â."""
    if weight.shape[1] < weight.shape[0]:
        return propagate(way, x) @ weight.mT
    return propagate(way, x @ weight.mT)


class GCN(nn.Module):
    """A graph convolutional network that tells the class of each node.

    Args:
        columns: of numbers; 0 for none. cardinalities: of categories, slot 0 (unknown) counted.
        vocab: of the words of the nodes' texts; 0 for no text.
        classes: scores it gives.
        width: features of a node between the layers.
        depth: layers, hence how many edges away a neighbour counts.
        drop: share of the features set to zero between the layers in training; word_drop: of the words.
        word_scale: what a text's features are multiplied by, and so how fast words are learnt (see `Bag`).
        own: whether a layer has a second matrix for the node itself.
        directed: whether edges into a node and out of it have a matrix each, and the first layer none.

    Shapes: any of numbers (nodes, columns), categories (nodes, kinds), words (tokens,) with words_offsets (nodes,) and
        words_weights (tokens,); edges (2, edges) -> (nodes, classes).
    Raises: ShapeError if there is nothing to read or fewer than two layers.
    """

    def __init__(
        self,
        *,
        columns: int = 1433,
        cardinalities: Sequence[int] = (),
        vocab: int = 0,
        classes: int = 7,
        width: int = 16,
        depth: int = 2,
        drop: float = 0.5,
        word_drop: float = 0.0,
        word_scale: float = 1.0,
        own: bool = False,
        directed: bool = False,
    ):
        super().__init__()
        if not (columns or cardinalities or vocab):
            raise ShapeError(
                "GCN reads numbers, categories or words of the nodes, but columns and vocab are 0 and cardinalities is "
                "empty. Give the nodes a column beside their id; the degree of a node will do."
            )
        if depth < 2:
            raise ShapeError(f"GCN has a first and a last layer, but depth is {depth}. Take 2 or more.")
        # The first layer's H W is a sum over the kinds of column, each with its own part of W.
        self.numbers = nn.Linear(columns, width, bias=False) if columns else None
        self.categories = Categories(cardinalities) if cardinalities else None
        self.categories_in = (
            nn.Linear(self.categories.features, width, bias=False) if self.categories is not None else None
        )
        self.words = Bag(vocab, width, word_drop, word_scale) if vocab else None
        self.bias = nn.Parameter(torch.zeros(width))
        self.own, self.directed = own, directed
        self.drop = nn.Dropout(drop)
        widths = [width] * (depth - 1) + [classes]
        self.layers = nn.ModuleList(Mix(before, after, own, directed) for before, after in pairwise(widths))

    def forward(
        self,
        numbers: Float[Tensor, "nodes columns"] | None = None,
        categories: Int[Tensor, "nodes kinds"] | None = None,
        words: Int[Tensor, " tokens"] | None = None,
        words_offsets: Int[Tensor, " nodes"] | None = None,
        words_weights: Float[Tensor, " tokens"] | None = None,
        edges: Int[Tensor, "two edges"] | None = None,
    ) -> Float[Tensor, "nodes classes"]:
        parts = []
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers(self.drop(numbers)))
        if self.categories is not None and self.categories_in is not None and categories is not None:
            parts.append(self.categories_in(self.drop(self.categories(categories))))
        if self.words is not None and words is not None:
            parts.append(self.words(words, words_offsets, words_weights))
        x = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
        if self.directed:
            ways = means(edges, len(x), dtype=x.dtype)
        else:
            ways = (normalised(edges, len(x), dtype=x.dtype),)
            x = propagate(ways[0], x) + (x if self.own else 0)
        x = x + self.bias
        for layer in self.layers:
            x = layer(self.drop(x.relu()), ways)
        return x


LAYOUTS = {
    "geometric": Layout(
        of="PyTorch Geometric's GCN",
        marks=r"convs\.\d+\.(lin\.weight|bias)$",
        names=[
            (r"numbers\.weight$", "convs.0.lin.weight"),
            (r"bias$", "convs.0.bias"),
            (r"layers\.(\d+)\.neighbours\.weight$", lambda found: f"convs.{int(found[1]) + 1}.lin.weight"),
            (r"layers\.(\d+)\.neighbours\.bias$", lambda found: f"convs.{int(found[1]) + 1}.bias"),
        ],
    )
}
