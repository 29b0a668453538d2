"""Initialisations: their variances, and what they do to activations by depth."""

import itertools
import math

import pytest
import torch
from torch import nn

from lamina.core.errors import SettingError, UnknownName
from lamina.nn.initialisation import initialise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def variances(name, activation, depth=30, width=256, backward=False, **options):
    """The variance of the activations (or of their gradients) after each of the layers."""
    layers = nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(width, width), activation())))
    initialise(layers.double(), name, generator=seeded(), **options)  # float32 would underflow
    x = torch.randn(64, width, generator=seeded(1), dtype=torch.float64).requires_grad_()
    seen, h = [], x
    for k, layer in enumerate(layers):
        h = layer(h)
        if k % 2:
            h.retain_grad()
            seen.append(h)
    if backward:
        (h * torch.randn(h.shape, generator=seeded(2), dtype=h.dtype)).sum().backward()
    return [(h.grad if backward else h).square().mean().item() for h in seen]


@pytest.mark.covers("claim/w16", "control/he-initialisation")
def test_he_keeps_the_size_of_activations_through_thirty_relu_layers():
    kept, faded = variances("he", nn.ReLU), variances("normal", nn.ReLU, std=0.01)
    # Each of the 30 layers adds noise of sqrt(5 / 256) to the logarithm, together 0.8: twice that either way.
    assert all(math.exp(-1.6) < v < math.exp(1.6) for v in kept)
    assert faded[-1] < 1e-30 and all(a > b for a, b in itertools.pairwise(faded))
    assert variances("normal", nn.ReLU, std=0.2)[-1] > 1e10
    assert variances("xavier", nn.ReLU)[-1] < 1e-6  # halved by each ReLU
    assert all(math.exp(-1.6) < v < math.exp(1.6) for v in variances("he", nn.ReLU, backward=True))


@pytest.mark.covers("claim/w16", "control/xavier-initialisation")
@pytest.mark.parametrize("backward", [False, True])
def test_xavier_keeps_the_variance_of_activations_and_gradients_without_relu(backward):
    kept = variances("xavier", nn.Identity, backward=backward)
    assert all(0.3 < v < 3 for v in kept)
    assert all(v > 0.005 for v in variances("xavier", nn.Tanh))  # tanh squashes, like one over the depth
    assert variances("normal", nn.Tanh, std=0.01)[-1] < 1e-30


def test_lecun_and_orthogonal_keep_the_variance_of_linear_layers():
    assert all(0.3 < v < 3 for v in variances("lecun", nn.Identity))
    assert all(0.9 < v < 1.1 for v in variances("orthogonal", nn.Identity))  # a rotation keeps each length


LAYERS = [
    (lambda: nn.Linear(300, 200), 300, 200),
    (lambda: nn.Conv2d(32, 64, 3), 32 * 9, 64 * 9),
    (lambda: nn.Conv2d(64, 64, 3, groups=8), 8 * 9, 8 * 9),
    (lambda: nn.Conv1d(64, 96, 5), 64 * 5, 96 * 5),
    (lambda: nn.ConvTranspose2d(64, 32, 4, stride=2), 64 * 4, 32 * 16),
]


@pytest.mark.parametrize(("build", "fan_in", "fan_out"), LAYERS)
def test_the_spread_follows_the_fans(build, fan_in, fan_out):
    """fan_in: what one output sums over; each stride-2 output of a 4x4 transposed kernel is reached by 4 places."""
    expected = {
        "he": math.sqrt(2 / fan_in),
        "xavier": math.sqrt(2 / (fan_in + fan_out)),
        "lecun": math.sqrt(1 / fan_in),
        "normal": 0.02,
        "zero": 0.0,
    }
    for name, std in expected.items():
        layer = initialise(build(), name, generator=seeded())
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03), name
        assert (layer.bias == 0).all()


def test_a_transposed_convolution_keeps_the_variance():
    layer = initialise(nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1), "lecun", generator=seeded())
    out = layer(torch.randn(8, 64, 16, 16, generator=seeded(1)))[:, :, 2:-2, 2:-2]
    assert out.var().item() == pytest.approx(1, rel=0.1)


def test_gates_and_projections_are_drawn_one_by_one():
    lstm = initialise(nn.LSTM(16, 16), "orthogonal", generator=seeded())
    for gate in lstm.weight_hh_l0.chunk(4):
        torch.testing.assert_close(gate @ gate.mT, torch.eye(16), atol=1e-5, rtol=0)
    attention = initialise(nn.MultiheadAttention(64, 4), "xavier", generator=seeded())
    assert attention.in_proj_weight.abs().max().item() == pytest.approx(math.sqrt(6 / 128), rel=0.02)


def test_tables_and_norms_keep_what_they_had():
    model = nn.Sequential(nn.Embedding(50, 8, padding_idx=0), nn.LayerNorm((4, 8)), nn.Linear(8, 8))
    table, norm = model[0].weight.clone(), model[1].weight.clone()
    initialise(model, "he")
    assert torch.equal(model[0].weight, table) and torch.equal(model[1].weight, norm)
    initialise(model, "normal", std=0.5)
    assert model[0].weight[1:].std().item() == pytest.approx(0.5, rel=0.2)
    assert (model[0].weight[0] == 0).all()  # the padding stays nothing


@pytest.mark.parametrize("name", ["he", "xavier", "lecun", "orthogonal", "normal"])
def test_the_seed_decides(name):
    def drawn(seed):
        torch.manual_seed(seed)
        return initialise(nn.Linear(5, 5), name).weight

    assert torch.equal(drawn(3), drawn(3)) and not torch.equal(drawn(3), drawn(4))
    torch.testing.assert_close(
        initialise(nn.Linear(5, 5), name, generator=seeded(3)).weight,
        initialise(nn.Linear(5, 5), name, generator=seeded(3)).weight,
        rtol=0,
        atol=0,
    )


def test_wrong_settings_are_refused():
    with pytest.raises(UnknownName, match=r"No initialisation is called 'xavir'. Did you mean 'xavier'\?"):
        initialise(nn.Linear(2, 2), "xavir")
    with pytest.raises(SettingError, match=r"initialisation 'normal' takes std=0.02. It has no 'gain'"):
        initialise(nn.Linear(2, 2), "normal", gain=2)
