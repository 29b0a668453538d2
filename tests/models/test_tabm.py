import functools

import pytest
import torch

from lamina.core.errors import SettingError, ShapeError
from lamina.models.tabm import LAYOUTS, EnsembleLinear, TabM
from tests import peers


def member_of(model: TabM, member: int, x: torch.Tensor) -> torch.Tensor:
    """One member as the plain network that it is: matrices diag(s) W diag(r), relu between."""
    for layer in model.layers:
        if isinstance(layer, EnsembleLinear):
            matrix = layer.outputs[member][:, None] * layer.weight * layer.inputs[member]
            x = x @ matrix.T + layer.bias[member]
        elif isinstance(layer, torch.nn.ReLU):
            x = x.clamp_min(0)
    return x @ model.head[member] + model.bias[member]


def tiny(**more) -> TabM:
    model = TabM(columns=2, cardinalities=[4], members=3, hidden=[6, 5], width=4, pieces=5, drop=0.0, **more)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("embedding", ["piecewise", "periodic"])
def test_each_member_is_a_network_with_its_own_scales(embedding):
    model = tiny(outputs=2, embedding=embedding)
    numbers, categories = torch.randn(7, 2), torch.randint(0, 4, (7, 1))
    inputs = torch.cat([model.numbers(numbers), model.categories(categories)], 1)
    expected = torch.stack([member_of(model, i, inputs) for i in range(3)], 1)
    torch.testing.assert_close(model(numbers, categories), expected)


def test_in_evaluation_values_are_averaged():
    model = tiny(outputs=2, classes=1)  # a task with values says one class
    batch = torch.randn(7, 2), torch.randint(0, 4, (7, 1))
    members = model(*batch)
    torch.testing.assert_close(model.eval()(*batch), members.mean(1))


def test_in_evaluation_probabilities_are_averaged_not_scores():
    model = tiny(classes=3, outputs=3)
    batch = torch.randn(7, 2), torch.randint(0, 4, (7, 1))
    members = model(*batch)
    assert members.shape == (7, 3, 3)
    torch.testing.assert_close(model.eval()(*batch).softmax(-1), members.softmax(-1).mean(1))
    torch.testing.assert_close(model(*batch).exp().sum(-1), torch.ones(7))


def test_members_differ_from_the_start_by_random_signs_of_their_inputs():
    first = next(m for m in TabM(columns=4, members=8).layers if isinstance(m, EnsembleLinear))
    assert set(first.inputs.unique().tolist()) == {-1.0, 1.0}
    assert (first.outputs == 1).all()


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(ShapeError, match="columns is 0 and cardinalities is empty"):
        TabM(columns=0)
    with pytest.raises(SettingError, match="'piecewise' or 'periodic', but embedding is 'linear'"):
        TabM(embedding="linear")


@pytest.mark.peer
@peers.DTYPES
@pytest.mark.parametrize("embedding", ["periodic", "piecewise"])
def test_it_agrees_with_its_authors_package(embedding, dtype, monkeypatch):
    """Members one by one, numbers and categories; their codes begin at 0, ours at 1."""
    tabm, spread = peers.peer("tabm"), peers.peer("rtdl_num_embeddings")
    x, codes = torch.randn(50, 3, dtype=dtype), torch.randint(0, 4, (50, 2))
    monkeypatch.setattr(torch, "zeros", functools.partial(torch.zeros, dtype=dtype))  # their edges are made so
    if embedding == "periodic":
        numbers = spread.PeriodicEmbeddings(3, 5, n_frequencies=6, lite=False)
    else:
        numbers = spread.PiecewiseLinearEmbeddings(spread.compute_bins(x, n_bins=6), 5, activation=False, version="B")
    monkeypatch.undo()
    sizes = dict(n_num_features=3, cat_cardinalities=[4, 4], d_out=2, n_blocks=2, d_block=8, k=4)
    theirs = tabm.TabM.make(**sizes, num_embeddings=numbers)
    kept = {name: p.clone() for name, p in theirs.state_dict().items() if ".impl." in name}
    peers.shaken(theirs, dtype).load_state_dict(kept, strict=False)  # edges in disorder are none
    sizes = dict(columns=3, cardinalities=[5, 5], outputs=2, members=4, hidden=[8, 8], width=5, pieces=6)
    ours = TabM(**sizes, embedding=embedding, drop=0.0).to(dtype)
    before = theirs(x, codes)
    peers.exchange(theirs, ours, LAYOUTS["tabm"])
    peers.agree(ours.train()(x, codes + 1), before)
    peers.agree(ours.eval()(x, codes + 1), theirs(x, codes).mean(1))
