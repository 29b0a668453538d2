"""GCN: a node of a graph, told by its own features and those of its neighbours.

Paper: Kipf & Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017), arXiv:1609.02907.
    H' = ReLU(Â H W),  Â = D^-1/2 (A + I) D^-1/2
As in the paper: two layers of width 16, dropout of a half, edges gone along both ways. `own=True` gives a node a second
matrix for itself, H' = ReLU(Â H W + H U), as in Hamilton et al., "Inductive Representation Learning on Large Graphs"
(2017), arXiv:1706.02216: where neighbours are often of another class, a node need not be like their mean. Without edges
Â is the identity and the network a multilayer perceptron.

Checkpoints: PyTorch Geometric's `models.GCN` over numbers, both ways, where `own` is left out (`LAYOUTS`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.models._layouts import Layout
from lamina.nn.bag import Bag
from lamina.nn.embeddings import Categories
from lamina.nn.graph import normalised, propagate

__all__ = ["GCN"]

VARIANTS = {
    "": dict(),
    "wide": dict(width=128, drop=0.5, word_drop=0.2, own=True),
    "tiny": dict(columns=3, width=8, classes=3, drop=0.0),
}
EXEMPT = {
    "leak": "a node is told by its neighbours too; without edges it is told by itself alone",
    "leak in training": "a node is told by its neighbours too; without edges it is told by itself alone",
}


class Mix(nn.Module):
    """Â H W + b, and with a node's own matrix + H U. What is narrower, H or H W, goes through Â."""

    def __init__(self, before: int, after: int, own: bool):
        super().__init__()
        self.neighbours = nn.Linear(before, after)
        self.own = nn.Linear(before, after, bias=False) if own else None

    def forward(self, x: Float[Tensor, "nodes before"], adjacency: tuple | None) -> Float[Tensor, "nodes after"]:
        mixed = self.neighbours.weight.shape[1] < self.neighbours.weight.shape[0]
        y = propagate(adjacency, x) if mixed else x
        y = y @ self.neighbours.weight.mT
        y = (y if mixed else propagate(adjacency, y)) + self.neighbours.bias
        return y if self.own is None else y + self.own(x)


class GCN(nn.Module):
    """A graph convolutional network that tells the class of each node.

    Args:
        columns: of numbers; 0 for none. cardinalities: of categories, slot 0 (unknown) counted.
        vocab: of the words of the nodes' texts; 0 for no text.
        classes: scores it gives.
        width: features of a node between the layers.
        depth: layers, hence how many edges away a neighbour counts.
        drop: share of the features set to zero between the layers in training; word_drop: of the words.
        own: whether a layer has a second matrix for the node itself.

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
        own: bool = False,
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
        self.words = Bag(vocab, width, word_drop) if vocab else None
        self.bias = nn.Parameter(torch.zeros(width))
        self.own = own
        self.drop = nn.Dropout(drop)
        self.layers = nn.ModuleList(Mix(width, width if i < depth - 2 else classes, own) for i in range(depth - 1))

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
        adjacency = normalised(edges, len(x), dtype=x.dtype)
        x = propagate(adjacency, x) + (x if self.own else 0) + self.bias
        for layer in self.layers:
            x = layer(self.drop(x.relu()), adjacency)
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
