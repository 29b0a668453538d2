"""Rotary positions against their definition by complex numbers, and what they are for: only distance counts."""

import cmath

import pytest
import torch

from lamina.core.errors import ShapeError
from lamina.nn.rotary import rotate, turns


def test_turns_each_pair_like_a_complex_number():
    """Against (a + ib) exp(i p base^(-2j/d)), one pair at a time."""
    x = torch.randn(3, 7, 6, dtype=torch.float64)
    places = torch.tensor([0, 1, 2, 5, 40, 41, 300])
    y = rotate(x, *turns(places, 6))
    for t, p in enumerate(places.tolist()):
        for j in range(3):
            for row in range(3):
                z = complex(x[row, t, j], x[row, t, j + 3]) * cmath.exp(1j * p * 10_000 ** (-2 * j / 6))
                # angles are kept in fp32: at place 300 they are good to 300 · 6e-8
                assert abs(complex(y[row, t, j], y[row, t, j + 3]) - z) < 1e-4


def test_only_the_distance_of_two_places_counts():
    q, k = torch.randn(1, 1, 8, dtype=torch.float64), torch.randn(1, 1, 8, dtype=torch.float64)

    def meet(at, by):
        return (rotate(q, *turns(torch.tensor([at]), 8)) * rotate(k, *turns(torch.tensor([by]), 8))).sum()

    torch.testing.assert_close(meet(3, 10), meet(103, 110), rtol=0, atol=1e-4)  # fp32 angles
    assert not torch.isclose(meet(3, 10), meet(3, 11), atol=1e-3)


def test_keeps_lengths_and_leaves_place_zero_alone():
    x = torch.randn(2, 5, 10)
    y = rotate(x, *turns(torch.arange(5), 10))
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(y[:, 0], x[:, 0])


def test_keeps_the_precision_it_is_given():
    assert rotate(torch.randn(1, 3, 4).bfloat16(), *turns(torch.arange(3), 4)).dtype == torch.bfloat16


def test_refuses_features_that_do_not_pair_up():
    with pytest.raises(ShapeError, match=r"pairs of features, but a head has 5\. Give it an even number"):
        turns(torch.arange(3), 5)
