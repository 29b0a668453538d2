import pytest
import torch

from lamina.core.calls import call, reads
from lamina.core.errors import SettingError, ShapeError, UnknownName
from lamina.models.mlp import MLP


def test_the_textbook_network_has_109386_parameters_and_nothing_else():
    model = MLP(hidden=[128, 64], channels=1, size=28, outputs=10)
    assert [tuple(p.shape) for p in model.parameters()] == [(128, 784), (128,), (64, 128), (64,), (10, 64), (10,)]
    assert sum(p.numel() for p in model.parameters()) == 109_386
    assert not list(model.buffers())
    assert [type(layer).__name__ for layer in model.layers] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.covers("layer/dense-fully-connected-layer")
def test_it_computes_weighted_sums_and_relu():
    """Against W3 relu(W2 relu(W1 x + b1) + b2) + b3 written out."""
    model, picture = MLP(), torch.randn(5, 1, 28, 28)
    w1, b1, w2, b2, w3, b3 = model.parameters()
    x = (picture.reshape(5, 784) @ w1.T + b1).clamp_min(0)
    x = (x @ w2.T + b2).clamp_min(0)
    torch.testing.assert_close(model(image=picture), x @ w3.T + b3)


def test_a_table_and_a_picture_are_read_side_by_side():
    model = MLP(hidden=[], columns=2, cardinalities=[4], channels=1, size=(2, 3), outputs=1)
    assert reads(model) == ("numbers", "categories", "image")
    batch = {
        "numbers": torch.tensor([[0.5, -1.0]]),
        "categories": torch.tensor([[2]]),
        "image": torch.arange(6.0).reshape(1, 1, 2, 3),
    }
    expected = torch.tensor([[0.5, -1, 0, 1, 0, 0, 1, 2, 3, 4, 5]])  # category 2 of 1, 2, 3 one-hot
    torch.testing.assert_close(call(model, batch), model.layers(expected))


def test_dropout_and_norm_stand_where_they_are_asked_for():
    names = [type(m).__name__ for m in MLP(hidden=[4], columns=3, norm="layer", activation="tanh", drop=0.5).layers]
    assert names == ["Linear", "LayerNorm", "Tanh", "Dropout", "Linear"]


def test_gated_activations_get_twice_the_units():
    model = MLP(hidden=[6, 5], columns=3, activation="swiglu", norm="batch", outputs=2)
    assert model(torch.randn(4, 3)).shape == (4, 2)


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(SettingError, match=r"one of \['batch', 'layer'\] or not at all, but norm is 'bach'"):
        MLP(norm="bach")
    with pytest.raises(ShapeError, match=r"told of 3 channels and no size\. Give size"):
        MLP(channels=3)
    with pytest.raises(UnknownName, match="relo"):
        MLP(activation="relo")
