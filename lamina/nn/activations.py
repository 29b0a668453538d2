"""Activations by name: the non-linearity between two layers, elementwise unless said otherwise.

relu          max(0, x)                                  Nair & Hinton 2010
relu2         max(0, x)^2                                So et al. 2021, arXiv:2109.08668
leaky_relu    x if x > 0 else a x  (a = 0.01)            Maas et al. 2013
prelu         the same with a learned a (from 0.25)      He et al. 2015, arXiv:1502.01852
elu           x if x > 0 else a (exp(x) - 1)             Clevert et al. 2016, arXiv:1511.07289
selu          1.0507 elu(x), a = 1.6733                  Klambauer et al. 2017, arXiv:1706.02515
gelu          x P(N(0, 1) < x)                           Hendrycks & Gimpel 2016, arXiv:1606.08415
silu, swish   x sigmoid(x)                               Elfwing et al. 2018; Ramachandran et al. 2017
hard_swish    x min(max(x + 3, 0), 6) / 6                Howard et al. 2019, arXiv:1905.02244
mish          x tanh(softplus(x))                        Misra 2020, arXiv:1908.08681
softplus      log(1 + exp(x))
sigmoid       1 / (1 + exp(-x)), within (0, 1)
tanh          (exp(x) - exp(-x)) / (exp(x) + exp(-x)), within (-1, 1)
softmax       exp(x_i) / sum_j exp(x_j) over the last axis: sums to 1
identity      x
glu, reglu, geglu, swiglu   value · f(gate), f = sigmoid, relu, gelu, silu; the last axis is read as
              [value | gate] and comes out half as wide          Shazeer 2020, arXiv:2002.05202
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from lamina.core.errors import ShapeError
from lamina.nn.choice import choose, options_of

__all__ = ["ACTIVATIONS", "Gated", "SquaredReLU", "create", "widening"]


class SquaredReLU(nn.Module):
    """max(0, x)^2: as sparse as ReLU, and smooth at zero (So et al. 2021)."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return x.relu().square()


class Gated(nn.Module):
    """value · f(gate), where the last axis of x is [value | gate] (Shazeer 2020, section 2).

    Shapes: (..., 2 width) -> (..., width). torch's own order: `Gated(nn.Sigmoid())` is `nn.GLU()`.
    """

    def __init__(self, gate: nn.Module):
        super().__init__()
        self.gate = gate

    def forward(self, x: Float[Tensor, "... twice"]) -> Float[Tensor, "... width"]:
        if x.shape[-1] % 2:
            raise ShapeError(
                f"A gated activation reads its last axis as [value | gate], but {x.shape[-1]} features have no "
                f"half. Make the layer before it {x.shape[-1] + 1} wide."
            )
        value, gate = x.chunk(2, dim=-1)
        return value * self.gate(gate)


def _softmax(dim: int = -1) -> nn.Module:
    return nn.Softmax(dim)


ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu2": SquaredReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": _softmax,
    "identity": lambda: nn.Identity(),  # the class itself takes any option and drops it
    "glu": nn.GLU,
    "reglu": lambda: Gated(nn.ReLU()),
    "geglu": lambda: Gated(nn.GELU()),
    "swiglu": lambda: Gated(nn.SiLU()),
}


def create(name: str, **options: Any) -> nn.Module:
    """The activation of that name, new each time (some have weights). Options are the layer's own, e.g. negative_slope.

    Raises: UnknownName, SettingError.
    """
    build = choose("activation", name, ACTIVATIONS)
    return build(**options_of("activation", name, build, options))


def widening(name: str) -> int:
    """How many times as wide as its output an activation's input must be: 2 for the gated ones, else 1."""
    choose("activation", name, ACTIVATIONS)
    return 2 if name.lower().endswith("glu") else 1
