"""Neighbourhood aggregation against dense matrices."""

import pytest
import torch

from lamina.nn.graph import attend, normalised, places, propagate, segment_softmax
from tests import peers

# 0 - 1 - 2, an edge twice, a loop at 3, and 4 alone
EDGES, NODES = torch.tensor([[0, 1, 0, 3], [1, 2, 1, 3]]), 5


def dense(undirected=True):
    """A + I, row i the nodes that i hears."""
    a = torch.zeros(NODES, NODES)
    for start, end in EDGES.mT.tolist():
        a[end, start] = 1
        if undirected:
            a[start, end] = 1
    return a.fill_diagonal_(1)


def matrix(pattern, values):
    return torch.zeros(NODES, NODES).index_put((pattern.rows, pattern.columns), values)


@pytest.mark.covers("layer/neighbourhood-aggregation")
@pytest.mark.parametrize("undirected", [True, False])
def test_propagation_is_the_symmetrically_normalised_adjacency(undirected):
    """Against D^-1/2 (A + I) D^-1/2 x with dense matrices: values and the gradient for x."""
    a = dense(undirected)
    d = torch.diag(a.sum(1) ** -0.5)
    x = torch.randn(NODES, 3, requires_grad=True)
    adjacency = normalised(EDGES, NODES, undirected=undirected)
    torch.testing.assert_close(matrix(*adjacency), d @ a @ d)
    out, expected = propagate(adjacency, x), d @ a @ d @ x
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(out)
    torch.testing.assert_close(*(torch.autograd.grad((o * weight).sum(), x)[0] for o in (out, expected)))


def test_without_edges_a_node_hears_itself_alone():
    x = torch.randn(3, 2)
    for edges in (None, torch.zeros(2, 0, dtype=torch.int64)):
        assert places(edges, 3) is None
        assert propagate(normalised(edges, 3), x) is x


def test_the_matrix_is_made_once_for_the_same_edges_and_anew_for_others():
    edges = EDGES.clone()
    first = normalised(edges, NODES)
    again = normalised(edges, NODES)
    assert again[0] is first[0] and again[1] is first[1]
    assert normalised(edges, NODES + 1)[0] is not first[0]
    assert normalised(edges.clone(), NODES)[0] is not first[0]
    edges[0, 0] = 4
    assert matrix(*normalised(edges, NODES))[1, 4] > 0


def test_the_softmax_of_a_segment_sums_to_one_and_does_not_overflow():
    segments = torch.tensor([0, 2, 0, 2, 2])  # segment 1 is empty
    scores = torch.tensor([[1000.0, 0.0], [1.0, -2000.0], [1001.0, 1.0], [2.0, -2001.0], [3.0, -2002.0]])
    weights = segment_softmax(scores, segments, 3)
    for one in (0, 2):
        torch.testing.assert_close(weights[segments == one], scores[segments == one].softmax(0))


def test_the_softmax_of_a_segment_has_its_gradient():
    scores = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: segment_softmax(s, torch.tensor([0, 2, 0, 2, 2]), 3), (scores,))


@pytest.mark.covers("layer/neighbourhood-aggregation")
def test_attention_over_neighbours_is_the_masked_dense_softmax():
    """Against softmax(LeakyReLU(s_j + t_i)) over all pairs with no neighbours at -inf, with gradients."""
    given = [torch.randn(*s, requires_grad=True) for s in ((NODES, 2, 3), (NODES, 2), (NODES, 2))]
    x, source, target = given
    scores = torch.nn.functional.leaky_relu(target[:, None] + source[None], 0.2)  # (to, from, heads)
    weights = scores.masked_fill(dense()[:, :, None] == 0, -torch.inf).softmax(1)
    expected = torch.einsum("ijh,jhw->ihw", weights, x)
    out = attend(places(EDGES, NODES), x, source, target)
    torch.testing.assert_close(out, expected)
    by = torch.randn_like(out)
    for mine, theirs in zip(*(torch.autograd.grad((o * by).sum(), given) for o in (out, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.peer
def test_agrees_with_pytorch_geometric():
    geometric = peers.peer("torch_geometric.nn")
    x = torch.randn(NODES, 3)
    edges = torch.cat([EDGES[:, :2], EDGES[:, :2].flip(0)], 1)
    theirs = geometric.GCNConv(3, 4)
    torch.testing.assert_close(propagate(normalised(edges, NODES), theirs.lin(x)) + theirs.bias, theirs(x, edges))


def test_the_weights_of_neighbours_keep_the_digits_of_the_features():
    """float64 to its own precision; half precision from sums in float32, for degrees beyond 256 are no bfloat16."""
    x = torch.randn(NODES, 3, dtype=torch.float64)
    adjacency = normalised(EDGES, NODES, dtype=torch.float64)
    d = dense().sum(1).double().rsqrt()
    torch.testing.assert_close(propagate(adjacency, x), (d[:, None] * dense().double() * d) @ x, rtol=1e-14, atol=1e-14)
    assert normalised(EDGES, NODES, dtype=torch.bfloat16)[1].dtype == torch.float32
