"""Augmentation of pictures, batched on tensors: each sample its own draw, all from the generator that is given.

    flip, vflip   mirrored left-right, top-bottom                 crop     shifted by whole pixels over a padded edge
    rotate        turned by up to `degrees`                       scale    enlarged or shrunk about the middle
    cutout        a square blotted out   DeVries & Taylor 2017, arXiv:1708.04552
    erase         a rectangle of noise   Zhong et al. 2020, arXiv:1708.04896
    jitter        brightness and contrast
    mixup         two samples averaged   Zhang et al. 2018, arXiv:1710.09412
    cutmix        a window from another  Yun et al. 2019, arXiv:1905.04899

All take (batch, channels, height, width); flip, crop and cutout take uint8 too, the others floats. A policy such as
"flip,crop,cutout" or "rotate=20,scale=1.2,mixup" does its geometry in one go, and says which, for masks and boxes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.nn.choice import choose
from lamina.nn.geometry import Geometry, draw_flip, draw_rotation, draw_scale, draw_shift, uniform, warp

__all__ = [
    "Mixing",
    "Policy",
    "crop",
    "cutmix",
    "cutout",
    "draw_cutmix",
    "draw_mixup",
    "erase",
    "flip",
    "jitter",
    "mixup",
    "policy",
    "rotate",
    "scale",
]


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def flip(images: Tensor, *, generator: torch.Generator, p: float = 0.5, axis: str = "horizontal") -> Tensor:
    """Mirrors each picture with probability p."""
    return warp(images, draw_flip(len(images), _size(images), generator, images.device, p=p, axis=axis))


def crop(images: Tensor, *, generator: torch.Generator, padding: int = 4, fill: str = "zeros") -> Tensor:
    """A window of the same size from the picture padded on all sides. fill: 'zeros', 'border' or 'reflection'."""
    return warp(images, draw_shift(len(images), _size(images), generator, images.device, padding=padding), fill=fill)


def rotate(images: Tensor, *, generator: torch.Generator, degrees: float = 15.0, fill: str = "zeros") -> Tensor:
    """Turns each picture about its middle by an angle in [-degrees, degrees]."""
    return warp(images, draw_rotation(len(images), _size(images), generator, images.device, degrees=degrees), fill=fill)


def scale(images: Tensor, *, generator: torch.Generator, factor: float = 1.25, fill: str = "zeros") -> Tensor:
    """Enlarges each picture about its middle by a factor in [1 / factor, factor]; the size stays."""
    return warp(images, draw_scale(len(images), _size(images), generator, images.device, factor=factor), fill=fill)


def cutout(images: Tensor, *, generator: torch.Generator, size: float = 0.5, value: float = 0.0) -> Tensor:
    """Sets a square to `value`: its middle anywhere, its side `size` of the shorter one; what sticks out is cut off."""
    height, width = _size(images)
    side = max(1, round(size * min(height, width)))
    tops = (uniform(len(images), 0, height, generator, images.device).floor() - side // 2).long()
    lefts = (uniform(len(images), 0, width, generator, images.device).floor() - side // 2).long()
    return images.masked_fill(_window(tops, lefts, side, side, height, width)[:, None], value)


def erase(
    images: Tensor,
    *,
    generator: torch.Generator,
    p: float = 0.5,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: float = 10 / 3,
) -> Tensor:
    """With probability p a rectangle becomes noise: its share of the area, and its aspect in [1 / aspect, aspect]."""
    height, width = _size(images)
    batch, device = len(images), images.device
    share = uniform(batch, *area, generator, device) * height * width
    ratio = (uniform(batch, -1, 1, generator, device) * torch.tensor(aspect).log().item()).exp()
    high = (share * ratio).sqrt().round().clamp(1, height).long()
    wide = (share / ratio).sqrt().round().clamp(1, width).long()
    tops = (uniform(batch, 0, 1, generator, device) * (height - high + 1)).long()
    lefts = (uniform(batch, 0, 1, generator, device) * (width - wide + 1)).long()
    hit = uniform(batch, 0, 1, generator, device) < p
    window = _window(tops, lefts, high, wide, height, width) & hit[:, None, None]
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    return torch.where(window[:, None], noise, images)


def jitter(images: Tensor, *, generator: torch.Generator, brightness: float = 0.2, contrast: float = 0.2) -> Tensor:
    """(x - m) c + m + b, m the picture's mean: c in [1 - contrast, 1 + contrast], b in [-brightness, brightness].

    b is in standard deviations of the picture, so that it means the same for bytes and for standardised floats.
    """
    one = (-1,) + (1,) * (images.ndim - 1)
    axes = tuple(range(1, images.ndim))
    mean, spread = images.mean(axes, keepdim=True), images.std(axes, keepdim=True)
    c = uniform(len(images), 1 - contrast, 1 + contrast, generator, images.device).reshape(one).to(images.dtype)
    b = uniform(len(images), -brightness, brightness, generator, images.device).reshape(one).to(images.dtype)
    return (images - mean) * c + mean + b * spread


def _window(tops: Tensor, lefts: Tensor, high: Any, wide: Any, height: int, width: int) -> Tensor:
    """(batch, height, width) bool: inside the rectangle."""
    y = torch.arange(height, device=tops.device) - tops[:, None]
    x = torch.arange(width, device=tops.device) - lefts[:, None]
    high = high[:, None] if isinstance(high, Tensor) else high
    wide = wide[:, None] if isinstance(wide, Tensor) else wide
    return ((y >= 0) & (y < high))[:, :, None] & ((x >= 0) & (x < wide))[:, None, :]


# -------------------------------------------------------------------------------------------------- mixing samples


@dataclass
class Mixing:
    """Each sample with another one. share: (batch,) of itself that is kept. window: where the other shows, or None."""

    other: Tensor
    share: Tensor
    window: Tensor | None = None

    def images(self, images: Tensor) -> Tensor:
        """Averaged, or with the window from the other."""
        if self.window is not None:
            return torch.where(self.window[:, None], images[self.other], images)
        return self.targets(images)

    def targets(self, targets: Tensor) -> Tensor:
        """share t + (1 - share) t of the other: floats, for classes their one-hot or probabilities."""
        share = self.share.reshape((-1,) + (1,) * (targets.ndim - 1)).to(targets.dtype)
        return share * targets + (1 - share) * targets[self.other]


def draw_mixup(batch: int, generator: torch.Generator, device: torch.device | None, alpha: float = 0.2) -> Mixing:
    """The share from Beta(alpha, alpha), one for each sample, the larger part its own."""
    share = _beta(batch, alpha, generator, device)
    return Mixing(_others(batch, generator, device), torch.maximum(share, 1 - share))


def draw_cutmix(
    batch: int, size: tuple[int, int], generator: torch.Generator, device: torch.device | None, alpha: float = 1.0
) -> Mixing:
    """A window of 1 - Beta(alpha, alpha) of the area, cut at the edges; the share is what is truly left."""
    height, width = size
    side = (1 - _beta(batch, alpha, generator, device)).sqrt()
    high, wide = (side * height).round().long(), (side * width).round().long()
    tops = uniform(batch, 0, height, generator, device).long() - high // 2
    lefts = uniform(batch, 0, width, generator, device).long() - wide // 2
    window = _window(tops, lefts, high, wide, height, width)
    return Mixing(_others(batch, generator, device), 1 - window.float().mean((1, 2)), window)


def _beta(batch: int, alpha: float, generator: torch.Generator, device: torch.device | None) -> Tensor:
    if not alpha > 0:
        raise SettingError(f"alpha of a mixture is above 0, but came as {alpha!r}.")
    # By logarithms, Gamma(a) = Gamma(a + 1) U^(1 / a): at a small alpha the gammas themselves underflow, both to 0.
    shape = torch.full((2, batch), alpha + 1.0, dtype=torch.float64, device=generator.device)
    chance = torch.rand(shape.shape, generator=generator, dtype=torch.float64, device=generator.device)
    a, b = torch._standard_gamma(shape, generator=generator).log() + chance.log() / alpha
    return (a - b).sigmoid().float().to(device)


def _others(batch: int, generator: torch.Generator, device: torch.device | None) -> Tensor:
    return torch.randperm(batch, generator=generator, device=generator.device).to(device)


def mixup(images: Tensor, targets: Tensor, *, generator: torch.Generator, alpha: float = 0.2) -> tuple[Tensor, Tensor]:
    """Pictures and targets (one-hot, or numbers), averaged by the same share."""
    mixing = draw_mixup(len(images), generator, images.device, alpha)
    return mixing.images(images), mixing.targets(targets)


def cutmix(images: Tensor, targets: Tensor, *, generator: torch.Generator, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """A window from another picture; targets (one-hot, or numbers) are averaged by the share of the area."""
    mixing = draw_cutmix(len(images), _size(images), generator, images.device, alpha)
    return mixing.images(images), mixing.targets(targets)


# --------------------------------------------------------------------------------------------------------- policies

# name -> (how it is drawn, its one option in a policy's text)
_GEOMETRIC: dict[str, tuple[Callable[..., Geometry], str]] = {
    "flip": (draw_flip, "p"),
    "vflip": (lambda *a, p=0.5: draw_flip(*a, p=p, axis="vertical"), "p"),
    "crop": (draw_shift, "padding"),
    "rotate": (draw_rotation, "degrees"),
    "scale": (draw_scale, "factor"),
}
_COLOURS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "cutout": (cutout, "size"),
    "erase": (erase, "p"),
    "jitter": (jitter, "contrast"),
}
_MIXTURES = {"mixup": (draw_mixup, "alpha"), "cutmix": (draw_cutmix, "alpha")}


@dataclass(frozen=True)
class Policy:
    """A list of (name, options). Called on pictures it gives pictures; `draw`, `apply` and `mix` are its parts.

    Order: all geometry, as one warp; then colours in their order; the mixing of samples is left to the caller, who
    has the targets.
    """

    steps: tuple[tuple[str, dict[str, Any]], ...]
    fill: str = "zeros"

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        return self.apply(images, generator=generator)[0]

    def apply(self, images: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Geometry]:
        """The pictures, and the geometry they were warped by: for `warp(mask, geometry)` and `geometry.boxes(...)`."""
        geometry = self.draw(len(images), _size(images), generator, images.device)
        if any(name in _GEOMETRIC for name, _ in self.steps):
            images = warp(images, geometry, fill=self.fill)
        for name, options in self.steps:
            if name in _COLOURS:
                images = _COLOURS[name][0](images, generator=generator, **options)
        return images, geometry

    def draw(
        self, batch: int, size: tuple[int, int], generator: torch.Generator, device: torch.device | None = None
    ) -> Geometry:
        """The geometry alone, one a sample."""
        geometry = Geometry.identity(batch, size, device)
        for name, options in self.steps:
            if name in _GEOMETRIC:
                geometry = geometry.then(_GEOMETRIC[name][0](batch, size, generator, device, **options))
        return geometry

    def mix(
        self, batch: int, size: tuple[int, int], generator: torch.Generator, device: torch.device | None = None
    ) -> Mixing | None:
        """How the samples are mixed, when the policy names mixup or cutmix."""
        for name, options in self.steps:
            if name == "mixup":
                return draw_mixup(batch, generator, device, **options)
            if name == "cutmix":
                return draw_cutmix(batch, size, generator, device, **options)
        return None


def policy(text: str, *, fill: str = "zeros") -> Policy:
    """The policy that the words name: "flip,crop=4,rotate=15"; "" and "none" change nothing.

    The number sets the step's main option: p of flip, vflip and erase, padding of crop (pixels), degrees of rotate,
    factor of scale, size of cutout (share of the side), contrast of jitter, alpha of mixup and cutmix.
    Raises: UnknownName, SettingError.
    """
    known, steps = {**_GEOMETRIC, **_COLOURS, **_MIXTURES}, []
    for word in [w.strip() for w in text.split(",") if w.strip() not in ("", "none")]:
        name, _, number = word.partition("=")
        option = choose("augmentation", name, known)[1]
        name = name.strip().lower()
        try:
            value = {option: int(number) if option == "padding" else float(number)} if number else {}
        except ValueError:
            raise SettingError(
                f"Augmentation {name!r} takes a number for its {option}, e.g. {name}={4 if name == 'crop' else 0.5}, "
                f"but {number!r} came."
            ) from None
        steps.append((name, value))
    return Policy(tuple(steps), fill)
