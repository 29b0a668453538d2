import math

import pytest
import torch

from lamina.core.errors import ShapeError
from lamina.models.realmlp import Bend, RealMLP, TangentLinear
from lamina.nn.groups import roles


def test_it_agrees_with_the_paper_written_out():
    """Scale, then x W / sqrt(n) + b and (1 - a) x + a mish(x), over the PBLD features and one-hot categories."""
    model = RealMLP(columns=2, cardinalities=[3], hidden=[5], outputs=2).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    numbers, categories = torch.randn(4, 2), torch.tensor([[0], [1], [2], [1]])
    parts = []
    for c in range(2):
        embed, x = model.numbers, numbers[:, c : c + 1]
        waves = torch.cos(2 * math.pi * x * embed.frequencies[c] + embed.phases[c])
        parts += [x, waves @ embed.weight[c] + embed.bias[c]]
    parts.append(torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 0]]))
    scale, first, bend, _, last = model.layers
    x = torch.cat(parts, 1) * scale.scale
    x = x @ first.weight.T / math.sqrt(x.shape[1]) + first.bias
    x = (1 - bend.amount) * x + bend.amount * x * torch.tanh(torch.log1p(torch.exp(x)))
    expected = x @ last.weight.T / math.sqrt(5) + last.bias
    torch.testing.assert_close(model(numbers, categories), expected)


def test_it_begins_by_saying_zero():
    torch.testing.assert_close(RealMLP(columns=3)(torch.randn(4, 3)), torch.zeros(4, 1))


def test_a_tangent_layer_keeps_the_size_of_its_input():
    """N(0, 1) weights over sqrt(features): unit variance in, unit variance (and that of the bias, 1) out."""
    torch.manual_seed(0)
    out = TangentLinear(400, 2000)(torch.randn(200, 400))
    assert out.var().item() == pytest.approx(2.0, rel=0.1)


def test_a_bend_of_zero_is_the_identity_and_of_one_the_activation():
    bend, x = Bend(3, "selu"), torch.randn(5, 3)
    torch.testing.assert_close(bend(x), torch.nn.functional.selu(x))
    torch.nn.init.zeros_(bend.amount)
    torch.testing.assert_close(bend(x), x)


def test_each_kind_of_parameter_learns_at_the_papers_own_rate():
    rates = {r.name: r.lr_scale for r in roles(RealMLP(columns=2, cardinalities=[3], hidden=[4]))}
    assert rates["layers.0.scale"] == 6
    assert rates["layers.1.weight"] == 1
    assert rates["layers.1.bias"] == rates["layers.2.amount"] == rates["numbers.frequencies"] == 0.1


def test_a_table_without_columns_is_refused():
    with pytest.raises(ShapeError, match="columns is 0 and cardinalities is empty"):
        RealMLP(columns=0)
