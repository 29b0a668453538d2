"""Initialisation by name: how large the weights are before the first step.

    he          N(0, gain^2 / fan_in), gain sqrt(2): keeps E[x^2] through ReLU layers   He et al. 2015, arXiv:1502.01852
    xavier      U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)): forward and backward  Glorot & Bengio 2010
    lecun       N(0, 1 / fan_in): keeps the variance through linear and SELU layers    LeCun et al. 1998
    orthogonal  gain times a matrix with orthonormal rows or columns                   Saxe et al. 2014, arXiv:1312.6120
    normal      N(0, std^2), std 0.02, tables of embeddings too                        Radford et al. 2018
    zero        0, tables of embeddings too

fan_in counts what one output is a sum over, fan_out how many outputs one input goes into; groups, kernels and
transposed convolutions are counted so. Matrices stacked in one parameter (gates; queries, keys and values) are drawn
one by one. Norms keep their weights; tables keep theirs but with `normal` and `zero`. Biases become 0.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.nn.choice import choose, options_of
from lamina.nn.groups import is_norm

__all__ = ["INITIALISATIONS", "fans", "initialise"]


@dataclass
class _Matrix:
    weight: Tensor  # a view of the parameter
    fan_in: float
    fan_out: float


def _he(m: _Matrix, generator: torch.Generator | None, *, gain: float = math.sqrt(2)) -> None:
    m.weight.normal_(0, gain / math.sqrt(m.fan_in), generator=generator)


def _xavier(m: _Matrix, generator: torch.Generator | None, *, gain: float = 1.0) -> None:
    bound = gain * math.sqrt(6 / (m.fan_in + m.fan_out))
    m.weight.uniform_(-bound, bound, generator=generator)


def _lecun(m: _Matrix, generator: torch.Generator | None, *, gain: float = 1.0) -> None:
    m.weight.normal_(0, gain / math.sqrt(m.fan_in), generator=generator)


def _orthogonal(m: _Matrix, generator: torch.Generator | None, *, gain: float = 1.0) -> None:
    nn.init.orthogonal_(m.weight, gain, generator=generator)


def _normal(m: _Matrix, generator: torch.Generator | None, *, std: float = 0.02) -> None:
    m.weight.normal_(0, std, generator=generator)


def _zero(m: _Matrix, generator: torch.Generator | None) -> None:
    m.weight.zero_()


INITIALISATIONS: dict[str, Callable[..., None]] = {
    "he": _he,
    "xavier": _xavier,
    "lecun": _lecun,
    "orthogonal": _orthogonal,
    "normal": _normal,
    "zero": _zero,
}


@torch.no_grad()
def initialise(module: nn.Module, name: str, *, generator: torch.Generator | None = None, **options: Any) -> nn.Module:
    """Draws all weights of the module anew, in their order, and gives it back.

    generator: where the numbers come from; torch's own one when None, so that a seed decides.
    Raises: UnknownName, SettingError.
    """
    draw = choose("initialisation", name, INITIALISATIONS)
    options = options_of("initialisation", name, draw, options, given=2)
    for layer in module.modules():
        if is_norm(layer):
            continue
        table = isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        for key, parameter in layer.named_parameters(recurse=False):
            if "bias" in key and parameter.ndim == 1:
                parameter.zero_()
            elif parameter.ndim >= 2 and (not table or draw in (_normal, _zero)):
                for matrix in _matrices(layer, key, parameter):
                    draw(matrix, generator, **options)
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.padding_idx is not None:
            layer.weight[layer.padding_idx].zero_()
    return module


def fans(layer: nn.Module, weight: Tensor) -> tuple[float, float]:
    """(fan_in, fan_out) of a layer's weight: (out, in, places...), or (in, out / groups, places...) when transposed."""
    places = math.prod(weight.shape[2:])
    groups = getattr(layer, "groups", 1) if isinstance(layer, nn.modules.conv._ConvNd) else 1
    if isinstance(layer, nn.modules.conv._ConvNd) and layer.transposed:
        # Each output is hit by every stride-th place of the kernel only.
        reached = places / math.prod(layer.stride)
        return weight.shape[0] / groups * reached, weight.shape[1] * places
    return weight.shape[1] * places, weight.shape[0] / groups * places


def _matrices(layer: nn.Module, key: str, parameter: Tensor) -> Iterator[_Matrix]:
    pieces = 1
    if isinstance(layer, nn.RNNBase | nn.modules.rnn.RNNCellBase) and key.startswith("weight_"):
        pieces = parameter.shape[0] // layer.hidden_size if "_hr_" not in key else 1
    elif isinstance(layer, nn.MultiheadAttention) and key == "in_proj_weight":
        pieces = 3
    for piece in parameter.chunk(pieces):
        yield _Matrix(piece, *fans(layer, piece))
