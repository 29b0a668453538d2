"""LeNet-5: the convolutional network that read cheques.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), section II.B.
As in the paper: 6, 16 and 120 maps by 5x5 convolutions, 84 units, tanh of 1.7159 tanh(2/3 x), mean pooling with one
learned gain and bias a map. Differently: each map of C3 sees all maps of S2 (the paper's table I leaves some out, to
break symmetry that random starts break too), and the output layer is linear scores instead of distances to drawings.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lamina.core.errors import ShapeError

__all__ = ["LeNet"]

VARIANTS = {
    "5": dict(),
    "tiny": dict(size=8, maps=(6, 16, 32), units=32),
}


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 x), which gives 1 at 1 and -1 at -1 (appendix A)."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return 1.7159 * (x * (2 / 3)).tanh()


class Subsample(nn.Module):
    """The mean of each 2x2 square, times a gain and plus a bias, both one a map."""

    def __init__(self, maps: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch maps rows across"]:
        return nn.functional.avg_pool2d(x, 2) * self.gain + self.bias


class LeNet(nn.Module):
    """LeNet-5.

    Args:
        channels, size: of the pictures, `size` their side in pixels. Smaller ones than 32x32 stand in the middle of
            32x32 zeros, as the paper's digits do; of larger ones the third convolution covers all that is left.
        classes: scores it gives.
        maps: of the three convolutions.
        units: of the layer before the scores.

    Shapes: (batch, channels, size, size) -> (batch, classes).
    Raises: ShapeError if a picture has no pixels.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        size: int = 32,
        classes: int = 10,
        maps: Sequence[int] = (6, 16, 120),
        units: int = 84,
    ):
        super().__init__()
        if size < 1:
            raise ShapeError(f"LeNet reads pictures of a side in pixels, but size is {size}. Give 1 or more.")
        missing = max(0, 32 - size)
        left = ((size + missing - 4) // 2 - 4) // 2
        self.pad = nn.ZeroPad2d((missing // 2, missing - missing // 2, missing // 2, missing - missing // 2))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, maps[0], 5),  # C1
            Subsample(maps[0]),  # S2
            ScaledTanh(),
            nn.Conv2d(maps[0], maps[1], 5),  # C3
            Subsample(maps[1]),  # S4
            ScaledTanh(),
            nn.Conv2d(maps[1], maps[2], left),  # C5
            ScaledTanh(),
            nn.Flatten(),
            nn.Linear(maps[2], units),  # F6
            ScaledTanh(),
            nn.Linear(units, classes),
        )

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.layers(self.pad(image))
