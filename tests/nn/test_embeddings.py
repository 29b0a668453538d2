import math

import pytest
import torch

from lamina.core.errors import SettingError, ShapeError
from lamina.nn.embeddings import Categories, PeriodicDense, PeriodicLinear, PiecewiseLinear


def test_categories_are_one_hot_where_few_and_vectors_where_many():
    torch.manual_seed(0)
    embed = Categories([3, 20, 2, 15], width=4, onehot=9)
    codes = torch.tensor([[2, 19, 1, 0], [0, 7, 0, 14]])
    table = embed.table.weight
    rows = [
        torch.cat([torch.tensor([0.0, 1, 1]), table[19], table[20 + 0]]),
        torch.cat([torch.tensor([0.0, 0, 0]), table[7], table[20 + 14]]),
    ]
    assert embed.features == 3 + 2 * 4
    torch.testing.assert_close(embed(codes), torch.stack(rows))


@pytest.mark.covers("layer/embedding-layer")
def test_only_the_vectors_that_were_read_get_a_gradient():
    embed = Categories([12], width=3)
    embed(torch.tensor([[4], [4], [7]])).sum().backward()
    assert embed.table.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [4, 7]


def test_periodic_features_agree_with_the_definition():
    torch.manual_seed(0)
    embed, x = PeriodicLinear(2, width=3, waves=4), torch.randn(5, 2)
    columns = []
    for c in range(2):
        angle = 2 * math.pi * x[:, c : c + 1] * embed.frequencies[c]
        waves = torch.cat([torch.cos(angle), torch.sin(angle)], 1)
        columns.append((waves @ embed.weight[c] + embed.bias[c]).clamp_min(0))
    torch.testing.assert_close(embed(x), torch.cat(columns, 1))


def test_pbld_keeps_the_number_itself_first():
    torch.manual_seed(0)
    embed, x = PeriodicDense(3, width=4, waves=5), torch.randn(6, 3)
    out = embed(x).reshape(6, 3, 4)
    torch.testing.assert_close(out[..., 0], x)
    waves = torch.cos(2 * math.pi * x[:, 1:2] * embed.frequencies[1] + embed.phases[1])
    torch.testing.assert_close(out[:, 1, 1:], waves @ embed.weight[1] + embed.bias[1])


def test_pieces_fill_one_after_another_and_the_ends_stay_open():
    embed = PiecewiseLinear(1, pieces=3, limit=1.5)  # edges -1.5, -0.5, 0.5, 1.5
    x = torch.tensor([[-2.5], [-1.0], [0.0], [1.5], [2.5]])
    expected = [[-1, 0, 0], [0.5, 0, 0], [1, 0.5, 0], [1, 1, 1], [1, 1, 2]]
    torch.testing.assert_close(embed.pieces(x)[:, 0], torch.tensor(expected))


def test_edges_are_taken_from_quantiles_and_repeated_values_do_no_harm():
    embed = PiecewiseLinear(2, pieces=4)
    rows = torch.stack([torch.arange(101.0), (torch.arange(101) > 90).float()], 1)
    embed.fit(rows)
    torch.testing.assert_close(embed.edges[0], torch.tensor([0.0, 25, 50, 75, 100]))
    out = embed(rows)
    out.sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in embed.parameters())


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(ShapeError, match=r"counts slot 0 \(unknown\) in each cardinality, but got \[3, 1\]"):
        Categories([3, 1])
    with pytest.raises(SettingError, match="but width is 0"):
        Categories([3], width=0)
    with pytest.raises(SettingError, match=r"but width is 1\. Take 2 or more"):
        PeriodicDense(3, width=1)
    with pytest.raises(SettingError, match=r"but pieces is 1\. Take 2 or more"):
        PiecewiseLinear(3, pieces=1)
