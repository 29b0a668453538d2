"""The Fréchet distance against its closed form."""

import pytest
import torch

from lamina.core.errors import ShapeError
from lamina.metrics.frechet import between, frechet, moments


def spread(n, seed):
    """A random covariance."""
    a = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.mT


def test_agrees_with_the_closed_form_of_diagonal_gaussians():
    """|m₁ - m₂|² + Σ (σ₁ - σ₂)²."""
    m1, m2 = torch.tensor([1.0, 2, 3]).double(), torch.tensor([0.0, 2, 5]).double()
    s1, s2 = torch.tensor([1.0, 0, 3]).double(), torch.tensor([2.0, 1, 0.5]).double()
    expected = (m1 - m2).square().sum() + (s1 - s2).square().sum()
    assert between(m1, s1.square().diag(), m2, s2.square().diag()) == pytest.approx(expected.item(), rel=1e-12)


def test_agrees_with_the_matrix_root_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    c1, c2, m = spread(6, 1), spread(6, 2), torch.zeros(6).double()
    root = torch.as_tensor(linalg.sqrtm((c1 @ c2).numpy()).real)
    assert between(m, c1, m, c2) == pytest.approx((c1 + c2 - 2 * root).trace().item(), rel=1e-9)


def test_is_nought_for_itself_symmetric_and_blind_to_rotation():
    x, y = torch.randn(50, 4), 2 * torch.randn(60, 4) + 1
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-9)
    assert frechet(x.double() @ turn, y.double() @ turn) == pytest.approx(frechet(x, y), rel=1e-9)


def test_a_large_mean_costs_no_digits():
    """In float32 a mean of 10⁴ leaves no digit of a variance of 10⁻²; the moments are taken in float64."""
    x = torch.randn(1000, 3, dtype=torch.float64) * 0.1 + 1e4
    torch.testing.assert_close(moments(x)[1], torch.cov(x.mT), rtol=1e-9, atol=0)
    assert frechet(x, x + 1) == pytest.approx(3, rel=1e-9)


def test_features_that_cannot_be_compared_are_refused():
    with pytest.raises(ShapeError, match=r"\(5, 3\) and \(5, 4\); expected \(samples, features\)"):
        frechet(torch.randn(5, 3), torch.randn(5, 4))
    with pytest.raises(ShapeError, match="at least 2 samples"):
        frechet(torch.randn(1, 3), torch.randn(5, 3))
