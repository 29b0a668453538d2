"""One geometry a sample, drawn once and laid on the picture, its mask, its boxes and its points alike.

A geometry is an affine map from places of the *output* to places of the *input*, in pixels counted from the middle of
the picture, x to the right and y downwards: in = M[:, :2] out + M[:, 2]. Composed, a chain costs one interpolation.
Flips and shifts by whole pixels are copied, not interpolated: exact, several times as fast, and on uint8 too.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lamina.core.errors import SettingError, ShapeError

__all__ = ["Geometry", "draw_flip", "draw_rotation", "draw_scale", "draw_shift", "rotation", "uniform", "warp"]


@dataclass
class Geometry:
    """matrix: (batch, 2, 3) float32. size: (height, width) of the pictures. exact: flips and whole shifts only."""

    matrix: Tensor
    size: tuple[int, int]
    exact: bool = True

    @classmethod
    def identity(cls, batch: int, size: tuple[int, int], device: torch.device | None = None) -> "Geometry":
        return cls(torch.eye(2, 3, device=device).repeat(batch, 1, 1), size)

    def then(self, after: "Geometry") -> "Geometry":
        """This one first, then `after`: warp(x, a.then(b)) is warp(warp(x, a), b), interpolated once."""
        if self.size != after.size:
            raise ShapeError(f"Geometries follow each other on pictures of one size, not {self.size}, {after.size}.")
        linear = self.matrix[:, :, :2] @ after.matrix[:, :, :2]
        shift = self.matrix[:, :, :2] @ after.matrix[:, :, 2:] + self.matrix[:, :, 2:]
        return Geometry(torch.cat([linear, shift], 2), self.size, self.exact and after.exact)

    def points(self, xy: Tensor) -> Tensor:
        """Where points of the input come to lie. Shapes: (batch, n, 2) as x, y in pixels from the top left corner."""
        middle = xy.new_tensor([self.size[1] / 2, self.size[0] / 2])
        back = torch.linalg.inv(self.matrix[:, :, :2].double())  # from input to output
        moved = (xy - middle).double() - self.matrix[:, None, :, 2].double()
        return (moved @ back.mT).to(xy.dtype) + middle

    def boxes(self, xyxy: Tensor) -> Tensor:
        """The upright boxes around the warped ones, cut at the picture's edge. Shapes: (batch, n, 4), pixels."""
        x0, y0, x1, y1 = xyxy.unbind(-1)
        corners = torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], -1).reshape(len(xyxy), -1, 2)
        corners = self.points(corners).reshape(*xyxy.shape[:2], 4, 2)
        low, high = corners.amin(2), corners.amax(2)
        edge = xyxy.new_tensor([self.size[1], self.size[0]])
        return torch.cat([low.clamp_min(0).minimum(edge), high.clamp_min(0).minimum(edge)], -1)


def uniform(batch: int, low: float, high: float, generator: torch.Generator, device: torch.device | None) -> Tensor:
    """(batch,) numbers in [low, high), drawn where the generator lives: the same for pictures on any device."""
    return (low + (high - low) * torch.rand(batch, generator=generator, device=generator.device)).to(device)


def _of(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b, x], -1), torch.stack([c, d, y], -1)], 1).float()


def draw_flip(
    batch: int,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device | None = None,
    *,
    p: float = 0.5,
    axis: str = "horizontal",
) -> Geometry:
    """Mirrored with probability p, left and right ('horizontal') or top and bottom ('vertical')."""
    if axis not in ("horizontal", "vertical"):
        raise SettingError(f"A flip is 'horizontal' or 'vertical', but axis came as {axis!r}.")
    sign = 1.0 - 2.0 * (uniform(batch, 0, 1, generator, device) < p).float()
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    a, d = (sign, one) if axis == "horizontal" else (one, sign)
    return Geometry(_of(a, zero, zero, d, zero, zero), size)


def draw_shift(
    batch: int,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device | None = None,
    *,
    padding: int = 4,
) -> Geometry:
    """Moved by up to `padding` whole pixels either way: a crop of the padded picture."""
    x, y = (
        torch.randint(-padding, padding + 1, (batch,), generator=generator, device=generator.device).to(device)
        for _ in range(2)
    )
    one, zero = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    return Geometry(_of(one, zero, zero, one, x.float(), y.float()), size)


def draw_rotation(
    batch: int,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device | None = None,
    *,
    degrees: float = 15.0,
) -> Geometry:
    """Turned about the middle by an angle in [-degrees, degrees], counter-clockwise positive."""
    angle = uniform(batch, -degrees, degrees, generator, device).double() * (math.pi / 180)
    return rotation(angle, size)


def rotation(angle: Tensor, size: tuple[int, int]) -> Geometry:
    """Turned about the middle by these angles (batch,), in radians, counter-clockwise as one sees it."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return Geometry(_of(cos, -sin, sin, cos, zero, zero), size, exact=False)


def draw_scale(
    batch: int,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device | None = None,
    *,
    factor: float = 1.25,
) -> Geometry:
    """Enlarged by a factor in [1 / factor, factor], log-uniform, about the middle."""
    if factor < 1:
        raise SettingError(f"factor is the largest enlargement, at least 1, but came as {factor!r}.")
    s = uniform(batch, -math.log(factor), math.log(factor), generator, device).exp()
    zero = torch.zeros_like(s)
    return Geometry(_of(1 / s, zero, zero, 1 / s, zero, zero), size, exact=False)


def warp(images: Tensor, geometry: Geometry, *, mode: str = "bilinear", fill: str = "zeros") -> Tensor:
    """The pictures, each by its geometry. Shapes: (batch, channels, height, width), or (batch, height, width) masks.

    mode: 'bilinear', or 'nearest' for masks (labels stay labels; any dtype). fill: 'zeros', 'border' or 'reflection'.
    """
    if images.ndim == 3:
        return warp(images[:, None], geometry, mode="nearest", fill=fill)[:, 0]
    if tuple(images.shape[-2:]) != tuple(geometry.size) or len(images) != len(geometry.matrix):
        raise ShapeError(
            f"A geometry for {len(geometry.matrix)} pictures of {geometry.size} was laid on "
            f"{len(images)} of {tuple(images.shape[-2:])}."
        )
    if geometry.exact:
        return _copied(images, geometry, fill)
    if not images.is_floating_point() and mode != "nearest":
        raise ShapeError(f"Pictures of {images.dtype} cannot be interpolated. Convert to float, or mode='nearest'.")
    height, width = geometry.size
    theta = geometry.matrix.clone()
    theta[:, 0, 1] *= height / width
    theta[:, 1, 0] *= width / height
    theta[:, 0, 2] *= 2 / width
    theta[:, 1, 2] *= 2 / height
    values = images if images.is_floating_point() else images.double()  # exact for labels up to 2^53
    grid = F.affine_grid(theta.to(values.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(values, grid, mode=mode, padding_mode=fill, align_corners=False).to(images.dtype)


def _copied(images: Tensor, geometry: Geometry, fill: str) -> Tensor:
    rows, rows_in = _source(geometry.matrix[:, 1, 1], geometry.matrix[:, 1, 2], images.shape[-2], fill)
    columns, columns_in = _source(geometry.matrix[:, 0, 0], geometry.matrix[:, 0, 2], images.shape[-1], fill)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # One gather over (height, width) places, channels along.
    places = rows[:, :, None] * images.shape[-1] + columns[:, None, :]
    flat = images.flatten(2)
    out = flat.gather(2, places.reshape(len(batch), 1, -1).expand(-1, flat.shape[1], -1)).reshape(images.shape)
    if fill != "zeros":
        return out
    inside = rows_in[:, None, :, None] & columns_in[:, None, None, :]
    return torch.where(inside, out, torch.zeros((), dtype=out.dtype, device=out.device))


def _source(sign: Tensor, shift: Tensor, size: int, fill: str) -> tuple[Tensor, Tensor]:
    """For each place of the output its place in the input, and whether that lies inside."""
    middle = (size - 1) / 2
    places = torch.arange(size, device=sign.device) - middle
    source = (sign[:, None] * places + shift[:, None] + middle).round().long()
    inside = (source >= 0) & (source < size)
    if fill == "reflection":  # about the outer edges, as grid_sample does
        source = source.remainder(2 * size)
        source = torch.minimum(source, 2 * size - 1 - source)
    return source.clamp(0, size - 1), inside
