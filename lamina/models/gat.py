"""GAT: a node of a graph weighs its neighbours by attention.

Paper: Veličković et al., "Graph Attention Networks" (2018), arXiv:1710.10903.
    h_i' = ELU( Σ_j a_ij W h_j ),  a_ij = softmax over j of LeakyReLU(s · W h_j + t · W h_i)
As in the paper: 8 heads of 8 features side by side, then heads that are averaged for the classes, LeakyReLU(0.2),
dropout 0.6 of features and of weights, edges gone along both ways and a loop at each node. `own=True` adds a matrix of
the node's own features (the skip connection of section 3.3). Without edges a node attends to itself alone, and the
network is a multilayer perceptron.

Checkpoints: PyTorch Geometric's `models.GAT` of two layers over numbers, with act="elu", both ways, where `own` is left
out and `last_heads` is `heads` (`LAYOUTS`).
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.models._layouts import Layout
from lamina.nn.bag import Bag
from lamina.nn.embeddings import Categories
from lamina.nn.graph import attend, places
from lamina.nn.sparse import Pattern

__all__ = ["GAT"]

VARIANTS = {
    "": dict(),
    "wide": dict(
        width=32, heads=4, last_heads=1, drop=0.5, attention_drop=0.0, word_drop=0.2, word_scale=4.0, own=True
    ),
    "tiny": dict(columns=3, width=4, heads=2, last_heads=2, classes=3, drop=0.0, attention_drop=0.0),
}
EXEMPT = {
    "leak": "a node is told by its neighbours too; without edges it is told by itself alone",
    "leak in training": "a node is told by its neighbours too; without edges it is told by itself alone",
}


class Attention(nn.Module):
    """The attention of each head over a node's neighbours, from features that W was already applied to."""

    def __init__(self, heads: int, width: int, drop: float):
        super().__init__()
        self.heads, self.drop = heads, drop
        self.source = nn.Parameter(torch.empty(heads, width))
        self.target = nn.Parameter(torch.empty(heads, width))
        nn.init.xavier_uniform_(self.source)
        nn.init.xavier_uniform_(self.target)

    def forward(
        self, x: Float[Tensor, "nodes features"], pattern: Pattern | None
    ) -> Float[Tensor, "nodes heads width"]:
        x = x.unflatten(1, (self.heads, -1))
        if pattern is None:
            return x
        source, target = (x * self.source).sum(-1), (x * self.target).sum(-1)
        return attend(pattern, x, source, target, drop=self.drop if self.training else 0.0)


class GAT(nn.Module):
    """A graph attention network of two layers that tells the class of each node.

    Args:
        columns: of numbers; 0 for none. cardinalities: of categories, slot 0 (unknown) counted.
        vocab: of the words of the nodes' texts; 0 for no text.
        classes: scores it gives.
        width: features of a head in the first layer, whose `heads` stand side by side.
        heads, last_heads: of the first and of the second layer, there averaged.
        drop: share of the features set to zero in training; attention_drop: of the weights; word_drop: of the words.
        word_scale: what a text's features are multiplied by, and so how fast words are learnt (see `Bag`).
        own: whether a node's own features come in once more by a matrix of their own.

    Shapes: any of numbers (nodes, columns), categories (nodes, kinds), words (tokens,) with words_offsets (nodes,) and
        words_weights (tokens,); edges (2, edges) -> (nodes, classes).
    Raises: ShapeError if there is nothing to read.
    """

    def __init__(
        self,
        *,
        columns: int = 1433,
        cardinalities: Sequence[int] = (),
        vocab: int = 0,
        classes: int = 7,
        width: int = 8,
        heads: int = 8,
        last_heads: int = 1,
        drop: float = 0.6,
        attention_drop: float = 0.6,
        word_drop: float = 0.0,
        word_scale: float = 1.0,
        own: bool = False,
    ):
        super().__init__()
        if not (columns or cardinalities or vocab):
            raise ShapeError(
                "GAT reads numbers, categories or words of the nodes, but columns and vocab are 0 and cardinalities is "
                "empty. Give the nodes a column beside their id; the degree of a node will do."
            )
        both = heads * width
        self.numbers = nn.Linear(columns, both, bias=False) if columns else None
        self.categories = Categories(cardinalities) if cardinalities else None
        self.categories_in = (
            nn.Linear(self.categories.features, both, bias=False) if self.categories is not None else None
        )
        self.words = Bag(vocab, both, word_drop, word_scale) if vocab else None
        self.first = Attention(heads, width, attention_drop)
        self.bias = nn.Parameter(torch.zeros(both))
        self.scores = nn.Linear(both, last_heads * classes, bias=False)
        self.last = Attention(last_heads, classes, attention_drop)
        self.own = nn.Linear(both, classes, bias=False) if own else None
        self.last_bias = nn.Parameter(torch.zeros(classes))
        self.drop, self.elu = nn.Dropout(drop), nn.ELU()

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
        pattern = places(edges, len(x))
        y = self.first(x, pattern).flatten(1) + (x if self.own is not None else 0)
        y = self.drop(self.elu(y + self.bias))
        out = self.last(self.scores(y), pattern).mean(1) + self.last_bias
        return out if self.own is None else out + self.own(y)


def _split(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their attention vectors (1, heads, width) as ours (heads, width)."""
    return {name: p[0] if ".att_" in name and p.ndim == 3 else p for name, p in state.items()}


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: p[None] if ".att_" in name else p for name, p in state.items()}


LAYOUTS = {
    "geometric": Layout(
        of="PyTorch Geometric's GAT",
        marks=r"convs\.\d+\.(lin\.weight|att_src|att_dst|bias)$",
        names=[
            (r"numbers\.weight$", "convs.0.lin.weight"),
            (r"first\.source$", "convs.0.att_src"),
            (r"first\.target$", "convs.0.att_dst"),
            (r"bias$", "convs.0.bias"),
            (r"scores\.weight$", "convs.1.lin.weight"),
            (r"last\.source$", "convs.1.att_src"),
            (r"last\.target$", "convs.1.att_dst"),
            (r"last_bias$", "convs.1.bias"),
        ],
        enter=_split,
        leave=_joined,
    )
}
