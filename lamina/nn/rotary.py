"""Rotary positions: a query and a key are turned by angles that grow with their places, so that they meet by distance.

Paper: Su et al., "RoFormer" (2021), arXiv:2104.09864, equation 34. Feature i of the first half and feature i of the
second half are one pair, turned at place p by the angle p · base^(-2 i / features): the layout of GPT-NeoX and Llama
(the paper pairs neighbours, which is the same up to the order of features).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lamina.core.errors import ShapeError

__all__ = ["rotate", "turns"]


def turns(
    places: Int[Tensor, " time"], features: int, base: float = 10_000.0
) -> tuple[Float[Tensor, "time half"], Float[Tensor, "time half"]]:
    """Cosine and sine of each pair's angle at each place.

    features: of one head, an even number. base: the slowest pair turns once in about 2 pi · base places.
    Raises: ShapeError if features do not pair up.
    """
    if features % 2 or features < 2:
        raise ShapeError(f"Rotary positions turn pairs of features, but a head has {features}. Give it an even number.")
    # fp32 whatever the network's: place 1000 has no neighbours in 16 bits
    speeds = base ** (-torch.arange(0, features, 2, device=places.device, dtype=torch.float32) / features)
    angles = places.float()[:, None] * speeds
    return angles.cos(), angles.sin()


def rotate(x: Float[Tensor, "*any time features"], cos: Tensor, sin: Tensor) -> Float[Tensor, "*any time features"]:
    """Each pair (a, b) of x becomes (a cos - b sin, a sin + b cos); lengths stay."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
