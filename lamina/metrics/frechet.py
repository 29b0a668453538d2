"""Fréchet distance between two sets of features: how far apart two Gaussians fitted to them lie.

    d² = |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½)

Paper: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), arXiv:1706.08500, who take Inception's
features (FID); here the features are the caller's. Smaller is better, 0 for equal means and covariances, in squared
units of the features. It is biased upwards for few samples: compare only equal counts, and print real against real.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from lamina.core.errors import ShapeError

__all__ = ["between", "frechet", "moments"]

BETTER = {"frechet": "min", "frechet_real": "min"}


def frechet(a: Float[Tensor, "samples features"], b: Float[Tensor, "others features"]) -> float:
    """The squared distance between the Gaussians fitted to two sets of features.

    Raises: ShapeError for features of unlike widths or fewer than two samples.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ShapeError(
            f"The Fréchet distance compares two sets of at least 2 samples with the same features, "
            f"but got {tuple(a.shape)} and {tuple(b.shape)}; expected (samples, features) twice."
        )
    return between(*moments(a), *moments(b))


def moments(x: Float[Tensor, "samples features"]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased covariance, in float64: differences of large sums lose all digits in less."""
    x = x.detach().to("cpu", torch.float64)
    mean = x.mean(0)
    return mean, (x - mean).mT @ (x - mean) / (len(x) - 1)


def between(m1: Tensor, c1: Tensor, m2: Tensor, c2: Tensor) -> float:
    """The squared distance of two Gaussians given by means and covariances.

    tr (C₁ C₂)^½ is the sum of the roots of the eigenvalues of C₁^½ C₂ C₁^½, which is symmetric, so that no root of an
    unsymmetric matrix is needed and singular covariances do no harm.
    """
    values, vectors = torch.linalg.eigh(c1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return max(float((m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross), 0.0)
