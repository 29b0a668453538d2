"""Layers that torch lacks, and the arithmetic of sizes that convolutions and pools share."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lamina.core.errors import SettingError, ShapeError
from lamina.nn.choice import choose

__all__ = ["DepthwiseSeparable", "GlobalPool", "Residual", "StochasticDepth", "conv_size", "pad_same"]


def conv_size(size: int, kernel: int, stride: int = 1, padding: int | str = 0, dilation: int = 1) -> int:
    """How many outputs a convolution or pool gives along one axis.

    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. 'valid' is no padding; 'same' pads so much
    that ceil(size / stride) come out (Dumoulin & Visin 2016, arXiv:1603.07285).
    Raises: ShapeError when the kernel does not fit in.
    """
    if padding == "same":
        return -(-size // stride)
    if isinstance(padding, str) and padding != "valid":
        raise SettingError(f"padding is a number of pixels, 'same' or 'valid', but came as {padding!r}.")
    reach = dilation * (kernel - 1) + 1
    padded = size + (0 if padding == "valid" else 2 * int(padding))
    if padded < reach:
        raise ShapeError(
            f"A kernel of {kernel} with dilation {dilation} reaches over {reach} places, but there are {padded} "
            f"({size} and the padding). Take a smaller kernel or dilation, or padding='same'."
        )
    return (padded - reach) // stride + 1


def pad_same(x: Tensor, kernel: int, stride: int = 1, dilation: int = 1, value: float = 0.0) -> Tensor:
    """x padded on all axes after the second so that ceil(size / stride) come out; the odd place goes behind.

    torch's own padding='same' refuses strides.
    """
    pads: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class Residual(nn.Module):
    """body(x) + shortcut(x): the block learns what is to be added (He et al. 2016, arXiv:1512.03385).

    Args:
        body: gives the shape of x, or of shortcut(x).
        shortcut: x itself when None; a 1x1 convolution, say, where sizes change.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.body(x) + self.shortcut(x)


class DepthwiseSeparable(nn.Module):
    """One filter a channel, then a 1x1 mixture of channels: k^2 c + c c' weights where a full one has k^2 c c'.

    Paper: Howard et al. 2017, arXiv:1704.04861, section 3.1; the idea is Sifre 2014.
    Shapes: (batch, channels, height, width) -> (batch, out, height / stride, width / stride), rounded up.
    """

    def __init__(
        self, channels: int, out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, bias: bool = True
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise SettingError(f"DepthwiseSeparable centres its kernel, so it must be odd, but came as {kernel}.")
        around = dilation * (kernel - 1) // 2
        self.depthwise = nn.Conv2d(
            channels, channels, kernel, stride, padding=around, dilation=dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, out, 1, bias=bias)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out high wide"]:
        return self.pointwise(self.depthwise(x))


class StochasticDepth(nn.Module):
    """Drops the whole of a residual branch, sample by sample, in training (Huang et al. 2016, arXiv:1603.09382).

    What stays is divided by the chance 1 - drop to stay, so that the expectation is that of evaluation.
    Shapes: (batch, ...) -> the same.
    """

    def __init__(self, drop: float = 0.1):
        super().__init__()
        if not 0 <= drop < 1:
            raise SettingError(f"drop is a probability below 1, but came as {drop!r}.")
        self.drop = drop

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if not self.training or self.drop == 0:
            return x
        stays = torch.empty(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(1 - self.drop)
        return x * (stays / (1 - self.drop))


_POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(-1),
    "max": lambda x: x.amax(-1),
    "both": lambda x: torch.cat([x.mean(-1), x.amax(-1)], 1),
}


class GlobalPool(nn.Module):
    """One number a channel, whatever the size: the mean, the largest, or both (Lin et al. 2014, arXiv:1312.4400).

    Shapes: (batch, channels, ...) -> (batch, channels), or (batch, 2 channels) with 'both'.
    """

    def __init__(self, kind: str = "mean"):
        super().__init__()
        choose("global pool", kind, _POOLS)
        self.kind = kind

    def forward(self, x: Float[Tensor, "batch channels ..."]) -> Float[Tensor, "batch features"]:
        return _POOLS[self.kind](x.flatten(2))
