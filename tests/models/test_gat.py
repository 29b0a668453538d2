"""GAT: the definition written out node by node."""

import pytest
import torch
from torch.nn.functional import elu, leaky_relu

from lamina.core.errors import ShapeError
from lamina.models.gat import GAT, LAYOUTS, VARIANTS
from tests import peers

EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])
NEIGHBOURS = {0: [0, 1, 3], 1: [0, 1, 2], 2: [1, 2, 3], 3: [0, 2, 3], 4: [4]}


def layer(x, attention):
    """Equations 3 and 4 of the paper, one node and one head at a time."""
    x = x.unflatten(1, (attention.heads, -1))
    out = torch.zeros_like(x)
    for i, neighbours in NEIGHBOURS.items():
        for h in range(attention.heads):
            scores = [attention.source[h] @ x[j, h] + attention.target[h] @ x[i, h] for j in neighbours]
            weights = leaky_relu(torch.stack(scores), 0.2).softmax(0)
            out[i, h] = sum(a * x[j, h] for a, j in zip(weights, neighbours, strict=True))
    return out


@pytest.mark.covers("layer/neighbourhood-aggregation")
@pytest.mark.parametrize("own", [False, True])
def test_agrees_with_the_definition(own):
    net = GAT(columns=4, classes=3, width=5, heads=2, last_heads=2, own=own).eval()
    x = torch.randn(5, 4) @ net.numbers.weight.mT
    hidden = elu(layer(x, net.first).flatten(1) + (x if own else 0))
    expected = layer(net.scores(hidden), net.last).mean(1) + (net.own(hidden) if own else 0)
    made = torch.linalg.lstsq(net.numbers.weight, x.mT).solution.mT  # the numbers that gave x
    torch.testing.assert_close(net(numbers=made, edges=EDGES), expected, rtol=1e-4, atol=1e-5)


def test_without_edges_it_is_a_perceptron_whose_nodes_do_not_hear_each_other():
    net, x = GAT(**VARIANTS["tiny"]).eval(), torch.randn(4, 3)
    hidden = elu(net.numbers(x) + net.bias)
    expected = net.scores(hidden).unflatten(1, (2, 3)).mean(1) + net.last_bias
    for edges in (None, EDGES[:, :0]):
        torch.testing.assert_close(net(numbers=x, edges=edges), expected)


def test_the_order_of_nodes_and_edges_does_not_matter():
    net, x, order = GAT(**VARIANTS["tiny"]).eval(), torch.randn(5, 3), torch.tensor([3, 0, 4, 1, 2])
    moved = order.argsort()[EDGES][:, [2, 0, 3, 1]]
    torch.testing.assert_close(net(numbers=x[order], edges=moved), net(numbers=x, edges=EDGES)[order])


def test_it_learns_the_two_clubs_from_two_members_in_each_of_three_seeds():
    networkx = pytest.importorskip("networkx")
    club = networkx.karate_club_graph()
    edges = torch.tensor(list(club.edges)).mT.contiguous()
    y = torch.tensor([club.nodes[i]["club"] == "Officer" for i in club]).long()
    for seed in range(3):
        torch.manual_seed(seed)
        net, x, known = GAT(columns=34, classes=2, drop=0.2, attention_drop=0.2), torch.eye(34), torch.tensor([0, 33])
        optimizer = torch.optim.Adam(net.parameters(), 0.01, weight_decay=5e-4)
        for _ in range(100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(numbers=x, edges=edges)[known], y[known]).backward()
            optimizer.step()
        assert (net.eval()(numbers=x, edges=edges).argmax(1) == y).float().mean() >= 0.85


def test_nothing_to_read_is_refused():
    with pytest.raises(ShapeError, match="columns and vocab are 0"):
        GAT(columns=0)


@pytest.mark.peer
@peers.DTYPES
def test_it_agrees_with_pytorch_geometric_on_the_karate_club(dtype):
    theirs = peers.peer("torch_geometric.nn.models").GAT(34, 12, 2, 5, heads=4, act="elu")
    edges = torch.tensor(list(pytest.importorskip("networkx").karate_club_graph().edges)).mT.contiguous()
    both, x = torch.cat([edges, edges.flip(0)], 1), torch.randn(34, 34, dtype=dtype)
    ours = GAT(columns=34, classes=5, width=3, heads=4, last_heads=4).to(dtype).eval()
    peers.shaken(theirs, dtype)
    peers.exchange(theirs, ours, LAYOUTS["geometric"])
    peers.agree(ours(numbers=x, edges=edges), theirs(x, both))
