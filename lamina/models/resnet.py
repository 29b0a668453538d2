"""ResNet: layers that learn what to add to their input, so that depth costs nothing.

Papers: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015), arXiv:1512.03385: 18 to 152 for
large pictures, 20 to 110 for small ones (section 4.2), whose shortcuts pad with zeros. As in torchvision, the stride
of a bottleneck sits in its 3x3 convolution. `9` is the small net for a few minutes of training, in the manner of
DAWNBench's winner (Page, "How to train your ResNet", 2018): a stage is a convolution, a max-pooling and then residual
blocks without a norm or activation on the sum; here on half the picture's side, a quarter of the width, for CPUs.

Checkpoints: `18` to `152` have torchvision's names and shapes, both ways.
"""

import functools
from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from lamina.core.errors import SettingError, ShapeError

__all__ = ["ResNet"]

VARIANTS = {
    "18": dict(block="basic", layers=[2, 2, 2, 2]),
    "34": dict(block="basic", layers=[3, 4, 6, 3]),
    "50": dict(block="bottleneck", layers=[3, 4, 6, 3]),
    "101": dict(block="bottleneck", layers=[3, 4, 23, 3]),
    "152": dict(block="bottleneck", layers=[3, 8, 36, 3]),
    "20": dict(block="basic", layers=[3, 3, 3], width=16, stem="small", shortcut="padding", classes=10),
    "32": dict(block="basic", layers=[5, 5, 5], width=16, stem="small", shortcut="padding", classes=10),
    "44": dict(block="basic", layers=[7, 7, 7], width=16, stem="small", shortcut="padding", classes=10),
    "56": dict(block="basic", layers=[9, 9, 9], width=16, stem="small", shortcut="padding", classes=10),
    "110": dict(block="basic", layers=[18, 18, 18], width=16, stem="small", shortcut="padding", classes=10),
    "9": dict(block="pooled", layers=[0, 1, 1], width=32, stem="half", classes=10),
    "9wide": dict(block="pooled", layers=[0, 1, 1], width=48, stem="half", classes=10),
    "tiny": dict(block="basic", layers=[1, 1], width=8, stem="small", classes=10),
}
EXEMPT = {"leak in training": "batch norm takes mean and variance over the pictures of a batch"}


class Padding(nn.Module):
    """The shortcut without weights (option A): every second pixel, and zeros for the channels that are new."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.more, self.stride = after - before, stride

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after rows across"]:
        half = self.more // 2
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))


def projection(before: int, after: int, stride: int) -> nn.Module:
    """The shortcut with weights (option B): a 1x1 convolution and a norm."""
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


SHORTCUTS = {"projection": projection, "padding": Padding}


class BasicBlock(nn.Module):
    """relu(shortcut(x) + two 3x3 convolutions of x)."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after rows across"]:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """relu(shortcut(x) + 1x1, 3x3 and 1x1 convolutions of x), a quarter as wide inside as outside."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after rows across"]:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def convolve(before: int, after: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class OpenBlock(nn.Module):
    """x + relu(bn(conv(relu(bn(conv(x)))))): nothing stands between the sum and the next block."""

    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(convolve(width, width), convolve(width, width))

    def forward(self, x: Float[Tensor, "batch width rows across"]) -> Float[Tensor, "batch width rows across"]:
        return x + self.branch(x)


def stage(
    block: type[BasicBlock | Bottleneck], before: int, width: int, depth: int, stride: int, shortcut: str
) -> nn.Sequential:
    """Blocks of one size; the first one changes the size and has a shortcut that does so too."""
    after = width * block.expansion
    changed = SHORTCUTS[shortcut](before, after, stride) if stride > 1 or before != after else None
    first = block(before, width, stride, changed)
    return nn.Sequential(first, *(block(after, width, 1, None) for _ in range(depth - 1)))


def pooled_stage(before: int, width: int, depth: int, stride: int) -> nn.Sequential:
    """A convolution, a max-pooling where the side is to be halved, then `depth` open blocks, which may be none."""
    pool = [nn.MaxPool2d(2)] if stride > 1 else []
    return nn.Sequential(convolve(before, width), *pool, *(OpenBlock(width) for _ in range(depth)))


BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}
STEMS = {  # kernel, stride, padding
    "large": (7, 2, 3),
    "small": (3, 1, 1),
    "half": (4, 2, 1),
}


class ResNet(nn.Module):
    """A residual network over pictures.

    Args:
        channels: of the pictures.
        size: their side in pixels, or (height, width): not needed, but if given it is checked against the strides.
        classes: scores it gives.
        block: "basic", "bottleneck", or "pooled" for the stages of `9`.
        layers: blocks of each stage; all stages but the first halve the side and double the width.
        width: of the first stage.
        stem: "large", 7x7 by steps of 2 and a pooling, for sides from about 100 pixels; "small", 3x3, which keeps the
            side; "half", 4x4 by steps of 2.
        shortcut: where the size changes, "projection" (B in the paper) or "padding" (A).
        drop: share of the last features set to zero in training.

    Shapes: (batch, channels, height, width) -> (batch, classes).
    Raises: SettingError for a word that is none of these; ShapeError for a stage without blocks, or a picture of which
        nothing is left.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        size: int | tuple[int, int] | None = None,
        classes: int = 1000,
        block: str = "bottleneck",
        layers: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        stem: str = "large",
        shortcut: str = "projection",
        drop: float = 0.0,
    ):
        super().__init__()
        for what, word, known in (
            ("block", block, [*BLOCKS, "pooled"]),
            ("stem", stem, list(STEMS)),
            ("shortcut", shortcut, list(SHORTCUTS)),
        ):
            if word not in known:
                raise SettingError(f"ResNet knows the {what}s {known}, but {what} is {word!r}.")
        if block != "pooled" and min(layers, default=0) < 1:
            raise ShapeError(f"Each stage of a ResNet has at least one block, but layers is {list(layers)}.")
        least = 2 ** (len(layers) - 1) * STEMS[stem][1] if block == "pooled" else STEMS[stem][1]
        if size is not None and min((size, size) if isinstance(size, int) else size) < least:
            raise ShapeError(
                f"This ResNet halves a picture until {least} pixels are one, but its side is {size}. "
                f"Resize to at least {least}, or take fewer layers or stem='small'."
            )
        self.conv1 = nn.Conv2d(channels, width, *STEMS[stem], bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "large" else nn.Identity()
        build: Callable[..., nn.Module] = pooled_stage
        growth = 1
        if block != "pooled":
            build, growth = functools.partial(stage, BLOCKS[block], shortcut=shortcut), BLOCKS[block].expansion
        before = width
        self.stages = [f"layer{i + 1}" for i in range(len(layers))]
        for i, depth in enumerate(layers):
            setattr(self, self.stages[i], build(before, width * 2**i, depth, stride=1 if i == 0 else 2))
            before = width * 2**i * growth
        self.avgpool = nn.AdaptiveMaxPool2d(1) if block == "pooled" else nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(drop)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, image: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """What each stage gives, finest first: for networks that stand on this one as their backbone."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        return [x := getattr(self, name)(x) for name in self.stages]

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.fc(self.drop(self.avgpool(self.features(image)[-1]).flatten(1)))
