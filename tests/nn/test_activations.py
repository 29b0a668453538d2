"""Activations against their definitions, written out, and their properties."""

import math

import pytest
import torch
from torch import nn

from lamina.core.errors import SettingError, ShapeError, UnknownName
from lamina.nn import activations

X = torch.linspace(-6, 6, 97, dtype=torch.float64)
SELU = (1.0507009873554805, 1.6732632423543772)

DEFINITIONS = {
    "relu": lambda x: max(0.0, x),
    "relu2": lambda x: max(0.0, x) ** 2,
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: SELU[0] * (x if x > 0 else SELU[1] * math.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "hard_swish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "identity": lambda x: x,
}
GATES = {"glu": "sigmoid", "reglu": "relu", "geglu": "gelu", "swiglu": "silu"}


@pytest.mark.covers("activation/relu", "activation/sigmoid", "activation/tanh")
@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_agrees_with_its_definition(name):
    expected = torch.tensor([DEFINITIONS[name](x) for x in X.tolist()], dtype=torch.float64)
    torch.testing.assert_close(activations.create(name).double()(X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.covers("claim/w15", "activation/softmax")
def test_ranges_are_as_stated():
    """ReLU is max(0, x), sigmoid within (0, 1), tanh within (-1, 1), softmax positive and summing to 1."""
    x = 8 * torch.randn(50, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    relu, sigmoid, tanh = (activations.create(n)(x) for n in ("relu", "sigmoid", "tanh"))
    assert torch.equal(relu, torch.where(x > 0, x, torch.zeros_like(x)))
    assert (sigmoid > 0).all() and (sigmoid < 1).all()
    assert (tanh > -1).all() and (tanh < 1).all()
    shares = activations.create("softmax")(x)
    assert (shares > 0).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(shares, torch.stack([r.exp() / r.exp().sum() for r in x]))
    torch.testing.assert_close(activations.create("softmax")(x + 300), shares)  # the same for any shift


@pytest.mark.parametrize("name", sorted(GATES))
def test_gated_ones_halve_the_width(name):
    x = torch.randn(3, 5, 8)
    expected = x[..., :4] * activations.create(GATES[name])(x[..., 4:])
    torch.testing.assert_close(activations.create(name)(x), expected)
    assert activations.widening(name) == 2 and activations.widening(GATES[name]) == 1


def test_a_gate_refuses_an_odd_width():
    with pytest.raises(ShapeError, match=r"3 features have no half. Make the layer before it 4 wide"):
        activations.create("swiglu")(torch.randn(2, 3))


@pytest.mark.parametrize("name", sorted(activations.ACTIVATIONS))
def test_gradients_agree_with_finite_differences(name):
    x = torch.tensor([[-1.7, -0.6, 0.4, 1.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(activations.create(name).double(), (x,))


def test_options_reach_the_layer_and_wrong_ones_are_refused():
    assert activations.create("leaky_relu", negative_slope=0.2)(torch.tensor(-1.0)).item() == pytest.approx(-0.2)
    with pytest.raises(SettingError, match=r"has no 'negative_slop'. Did you mean 'negative_slope'\?"):
        activations.create("leaky_relu", negative_slop=0.2)
    with pytest.raises(SettingError, match=r"activation 'identity' takes no options"):
        activations.create("identity", slope=1)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"No activation is called 'rellu'. Did you mean 'relu'\?"):
        activations.create("rellu")


def test_each_call_gives_its_own_weights():
    one, two = activations.create("prelu"), activations.create("prelu")
    assert isinstance(one, nn.PReLU) and one.weight is not two.weight
