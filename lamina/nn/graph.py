"""Neighbourhood aggregation: a node's new features are a weighted sum of its neighbours' and its own.

    h_i' = Σ_{j → i} a_ij h_j        over the edges into i and a loop at i

Convolution (Kipf & Welling 2017): a_ij = 1 / sqrt(d_i d_j), d the degrees with the loop: D^-1/2 (A + I) D^-1/2.
Mean (Hamilton et al. 2017): a_ij = 1 / d_i, without the loop.
Attention (Veličković et al. 2018): a_ij = softmax over j of LeakyReLU(s_j + t_i).
Edges are a (2, edges) tensor, from and to. What is worked out from them is kept while that very tensor lives.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lamina.nn.sparse import Pattern, product, remember

__all__ = ["attend", "means", "normalised", "places", "propagate", "segment_softmax"]

_KEPT: dict[Any, Any] = {}


def places(edges: Int[Tensor, "two edges"] | None, nodes: int, *, undirected: bool = True) -> Pattern | None:
    """Where A + I has entries: row i, column j for an edge j → i, each place once; None where there are no edges.

    undirected: an edge is gone along both ways.
    """
    if edges is None or edges.shape[1] == 0:
        return None
    if torch.compiler.is_compiling():
        return _places(edges, nodes, undirected)
    return remember(_KEPT, (edges,), ("places", nodes, undirected), lambda: _places(edges, nodes, undirected))


def normalised(
    edges: Int[Tensor, "two edges"] | None, nodes: int, *, undirected: bool = True, dtype: torch.dtype = torch.float32
) -> tuple | None:
    """D^-1/2 (A + I) D^-1/2 as (places, values); for directed edges the degree counts the edges into a node.

    dtype: of the features that it is for, so that float64 keeps its digits.
    """
    pattern = places(edges, nodes, undirected=undirected)
    if pattern is None:
        return None

    def values() -> Tensor:
        scale = pattern.starts.diff().to(torch.promote_types(dtype, torch.float32)).rsqrt()
        return scale[pattern.rows] * scale[pattern.columns]

    if torch.compiler.is_compiling():
        return pattern, values()
    return pattern, remember(_KEPT, (pattern.columns,), ("normalised", dtype), values)


def means(edges: Int[Tensor, "two edges"] | None, nodes: int, *, dtype: torch.dtype = torch.float32) -> tuple:
    """The mean over the nodes from which edges come, and over those to which they go, each as (places, values).

    A loop counts for nothing, and the mean over no node is 0.
    """
    edges = torch.zeros(2, 0, dtype=torch.int64) if edges is None else edges

    def make() -> tuple:
        apart = edges[:, edges[0] != edges[1]]
        ways = [_places(e, nodes, undirected=False, loops=False) for e in (apart, apart.flip(0))]
        return tuple((way, way.starts.diff().to(dtype).reciprocal()[way.rows]) for way in ways)

    return make() if torch.compiler.is_compiling() else remember(_KEPT, (edges,), ("means", nodes, dtype), make)


def propagate(adjacency: tuple | None, x: Float[Tensor, "nodes width"]) -> Float[Tensor, "nodes width"]:
    """The neighbours' sum with the weights of `normalised`; x itself where there are no edges (A + I = I)."""
    if adjacency is None:
        return x
    pattern, values = adjacency
    return product(pattern, values.to(x.dtype), x)


def segment_softmax(
    scores: Float[Tensor, "entries heads"], segments: Int[Tensor, " entries"], count: int
) -> Float[Tensor, "entries heads"]:
    """exp(s_e) / Σ exp(s_f) over the entries f of e's segment; the largest is taken off first against overflow."""
    index = segments[:, None].expand_as(scores)
    top = scores.new_zeros(count, scores.shape[1])
    top = top.scatter_reduce(0, index, scores.detach(), "amax", include_self=False)
    weights = (scores - top[segments]).exp()
    return weights / weights.new_zeros(count, scores.shape[1]).index_add(0, segments, weights)[segments]


def attend(
    pattern: Pattern,
    x: Float[Tensor, "nodes heads width"],
    source: Float[Tensor, "nodes heads"],
    target: Float[Tensor, "nodes heads"],
    *,
    slope: float = 0.2,
    drop: float = 0.0,
) -> Float[Tensor, "nodes heads width"]:
    """Σ_j a_ij x_j for each head, a_ij the softmax over j of LeakyReLU(source_j + target_i).

    slope: of the LeakyReLU; drop: probability that a weight is left out (0 when not training).
    """
    scores = F.leaky_relu(source[pattern.columns] + target[pattern.rows], slope)
    weights = F.dropout(segment_softmax(scores, pattern.rows, pattern.shape[0]), drop, drop > 0)
    heads = zip(weights.unbind(1), x.unbind(1), strict=True)
    return torch.stack([product(pattern, w.contiguous(), h.contiguous()) for w, h in heads], dim=1)


def _places(edges: Tensor, nodes: int, undirected: bool, loops: bool = True) -> Pattern:
    start, end = edges
    if undirected:
        start, end = torch.cat([start, end]), torch.cat([end, start])
    if loops:
        loop = torch.arange(nodes, device=edges.device)
        start, end = torch.cat([start, loop]), torch.cat([end, loop])
    cells = torch.unique(end * nodes + start)  # sorted by row, then column
    rows, columns = cells // nodes, cells % nodes
    starts = torch.zeros(nodes + 1, dtype=torch.int64, device=edges.device)
    starts[1:] = torch.bincount(rows, minlength=nodes).cumsum(0)
    return Pattern(starts, columns, nodes)
