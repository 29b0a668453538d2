"""GCN: the definition, and that it uses its edges."""

import pytest
import torch

from lamina.core.errors import ShapeError
from lamina.models.gcn import GCN, LAYOUTS, VARIANTS
from tests import peers

EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])


def hat(nodes=5):
    a = torch.eye(nodes)
    a[EDGES[0], EDGES[1]] = a[EDGES[1], EDGES[0]] = 1
    d = a.sum(1).rsqrt()
    return d[:, None] * a * d


@pytest.mark.covers("layer/neighbourhood-aggregation")
@pytest.mark.parametrize("classes", [3, 20])  # narrower and wider than the features: both orders of the product
def test_agrees_with_the_definition(classes):
    """Â ReLU(Â X W₀ + b) W₁ + c with dense matrices (equation 9 of the paper, with biases)."""
    net, x = GCN(columns=4, classes=classes, width=6).eval(), torch.randn(5, 4)
    torch.nn.init.normal_(net.bias)
    hidden = (hat() @ x @ net.numbers.weight.mT + net.bias).relu()
    last = net.layers[0].neighbours
    torch.testing.assert_close(net(numbers=x, edges=EDGES), hat() @ hidden @ last.weight.mT + last.bias)


def test_a_second_matrix_for_the_node_itself_agrees_with_the_definition():
    net, x = GCN(columns=4, classes=3, width=6, own=True).eval(), torch.randn(5, 4)
    first = x @ net.numbers.weight.mT
    hidden = (hat() @ first + first).relu()
    last = net.layers[0]
    expected = hat() @ hidden @ last.neighbours.weight.mT + last.neighbours.bias + hidden @ last.own.weight.mT
    torch.testing.assert_close(net(numbers=x, edges=EDGES), expected)


def test_edges_in_and_out_have_matrices_of_their_own():
    """A mean along either way, the node's own features, and a first layer that hears nobody."""
    net, x = GCN(columns=4, classes=3, width=6, own=True, directed=True).eval(), torch.randn(5, 4)
    into = torch.zeros(5, 5)
    into[EDGES[1], EDGES[0]] = 1
    mean = [a / a.sum(1, keepdim=True).clamp(min=1) for a in (into, into.mT)]
    hidden = (x @ net.numbers.weight.mT + net.bias).relu()
    last = net.layers[0]
    expected = hidden @ last.own.weight.mT + last.neighbours.bias
    expected = expected + mean[0] @ hidden @ last.neighbours.weight.mT + mean[1] @ hidden @ last.back.weight.mT
    torch.testing.assert_close(net(numbers=x, edges=EDGES), expected)
    looped = torch.cat([EDGES, torch.tensor([[2], [2]])], 1)
    torch.testing.assert_close(net(numbers=x, edges=looped), expected)
    alone = hidden @ last.own.weight.mT + last.neighbours.bias
    torch.testing.assert_close(net(numbers=x, edges=None), alone)


def test_without_edges_it_is_a_perceptron_whose_nodes_do_not_hear_each_other():
    net, x = GCN(**VARIANTS["tiny"]).eval(), torch.randn(4, 3)
    expected = net.layers[0].neighbours((x @ net.numbers.weight.mT + net.bias).relu())
    for edges in (None, EDGES[:, :0]):
        torch.testing.assert_close(net(numbers=x, edges=edges), expected)


def test_a_node_hears_as_far_as_there_are_layers():
    """On the line 0-1-2-3-4 the third neighbour counts from three layers on."""
    line, x = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), torch.randn(5, 3, requires_grad=True)
    for depth in (2, 3):
        net = GCN(columns=3, classes=2, width=32, depth=depth).eval()
        (g,) = torch.autograd.grad(net(numbers=x, edges=line)[0].square().sum(), x)
        assert (g.abs().sum(1) > 0).tolist() == [i <= depth for i in range(5)]


def test_it_reads_numbers_categories_and_words_at_once():
    net = GCN(columns=2, cardinalities=[3], vocab=9, classes=4, width=8).eval()
    given = dict(
        numbers=torch.randn(4, 2),
        categories=torch.tensor([[0], [1], [2], [1]]),
        words=torch.tensor([1, 2, 3]),
        words_offsets=torch.tensor([0, 1, 1, 3]),
        words_weights=torch.ones(3),
    )
    out = net(**given, edges=EDGES)
    assert out.shape == (4, 4)
    for name, other in (
        ("numbers", torch.randn(4, 2)),
        ("categories", torch.ones(4, 1).long()),
        ("words", torch.tensor([4, 2, 3])),
    ):
        assert not torch.equal(net(**(given | {name: other}), edges=EDGES), out), name


def test_it_learns_the_two_clubs_from_two_members_in_each_of_three_seeds():
    """The karate club with no features but who one is: only over the edges can the other 32 be told."""
    networkx = pytest.importorskip("networkx")
    club = networkx.karate_club_graph()
    edges = torch.tensor(list(club.edges)).mT.contiguous()
    y = torch.tensor([club.nodes[i]["club"] == "Officer" for i in club]).long()
    for seed in range(3):
        torch.manual_seed(seed)
        net, x, known = GCN(columns=34, classes=2), torch.eye(34), torch.tensor([0, 33])
        optimizer = torch.optim.Adam(net.parameters(), 0.01, weight_decay=5e-4)
        for _ in range(200):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(numbers=x, edges=edges)[known], y[known]).backward()
            optimizer.step()
        assert (net.eval()(numbers=x, edges=edges).argmax(1) == y).float().mean() >= 0.9


def test_nothing_to_read_and_a_single_layer_are_refused():
    with pytest.raises(ShapeError, match="columns and vocab are 0"):
        GCN(columns=0)
    with pytest.raises(ShapeError, match="depth is 1"):
        GCN(depth=1)


@pytest.mark.peer
@peers.DTYPES
@pytest.mark.parametrize("depth", [2, 4])
def test_it_agrees_with_pytorch_geometric_on_the_karate_club(depth, dtype):
    """Their edges are given along both ways, ours as they are in the club."""
    theirs = peers.peer("torch_geometric.nn.models").GCN(34, 8, depth, 3)
    edges = torch.tensor(list(pytest.importorskip("networkx").karate_club_graph().edges)).mT.contiguous()
    both, x = torch.cat([edges, edges.flip(0)], 1), torch.randn(34, 34, dtype=dtype)
    ours = GCN(columns=34, classes=3, width=8, depth=depth).to(dtype).eval()
    peers.shaken(theirs, dtype)
    peers.exchange(theirs, ours, LAYOUTS["geometric"])
    peers.agree(ours(numbers=x, edges=edges), theirs(x, both))


def test_a_layout_refuses_what_it_has_no_place_for():
    with pytest.raises(ShapeError, match=r"PyTorch Geometric's GCN has nothing like 'layers\.0\.own\.weight'"):
        LAYOUTS["geometric"].write(GCN(**VARIANTS["tiny"], own=True).state_dict())
    theirs = LAYOUTS["geometric"].write(GCN(**VARIANTS["tiny"], depth=3).state_dict())
    with pytest.raises(ShapeError, match=r"also hold 'convs\.2\.bias', and 2 in all"):
        LAYOUTS["geometric"].read(
            GCN(**VARIANTS["tiny"]), theirs | {"convs.1.lin.weight": torch.zeros(3, 8), "convs.1.bias": torch.zeros(3)}
        )
