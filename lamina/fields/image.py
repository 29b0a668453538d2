"""Pictures: paths or arrays of pixels, as square uint8 planes and standardised by the training pixels."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Column
from lamina.core.untrusted import plain
from lamina.fields._pixels import PIXELS, STARTS, SUFFIXES, Unreadable, contents, decode, fit_square, png
from lamina.fields._places import is_missing, of, rows
from lamina.fields._state import put_back, require

__all__ = ["Image"]

SIDE = 8_000  # of a square that pictures are brought to
SAMPLE = 500  # training pictures that size, channels, mean and deviation are taken from
LARGEST = 224  # the side that the data alone may ask for
RESIZES = ("cover", "pad", "stretch")


class Image:
    """A column of pictures: paths (relative to the table's folder, or `folder`), or uint8 arrays (h, w) or (h, w, c).

    Args:
        size: side in pixels; None is the median shorter side of the training pictures, at most 224.
        channels: 1 grey, 3 colour; None is 1 where all training pictures are grey.
        resize: "cover" cuts the middle out, "pad" adds black, "stretch" gives up the shape.
        folder: where relative paths start; None is the folder of the table.
        outside: also read files outside that folder.
        pixels: a larger picture is not decoded, nor a file of far more bytes than it could need.

    Encoded: {"image": (n, channels, size, size) uint8}; `standardise` makes floats of a batch.
    """

    kinds = ("image",)

    def __init__(
        self,
        name: str,
        *,
        size: int | None = None,
        channels: int | None = None,
        resize: str = "cover",
        folder: str | None = None,
        outside: bool = False,
        pixels: int = PIXELS,
    ):
        if resize not in RESIZES:
            raise SettingError(f"resize is one of {', '.join(RESIZES)}, but {resize!r} came.")
        if (size is not None and not 0 < size <= SIDE) or channels not in (None, 1, 3, 4):
            raise SettingError(
                f"A picture has a size of 1 to {SIDE:,} and 1, 3 or 4 channels, not {size} and {channels}."
            )
        self.name, self.size, self.channels, self.resize = name, size, channels, resize
        self.folder, self.outside, self.pixels = folder, outside, pixels
        self.mean: list[float] = []
        self.deviation: list[float] = []

    @classmethod
    def guess(cls, column: Column) -> float:
        """Sure of uint8 arrays, of a picture file's bytes, and of paths with its ending to files that are there."""
        step = max(1, len(column.values) // 50)
        known = [value for value in column.values[::step] if not _absent(value)]
        if not known:
            return 0.0
        if all(_is_pixels(value) for value in known):
            return 1.0
        if all(isinstance(value, bytes) and value.startswith(STARTS) for value in known):
            return 1.0
        if not all(isinstance(value, str | Path) and str(value).lower().endswith(SUFFIXES) for value in known):
            return 0.0
        field = cls(column.name, outside=True)
        there = sum(plain(field._path(column, value)) for value in known)
        return 0.99 if there >= 0.5 * len(known) else 0.6  # so that missing files are said, not taken for labels

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Image":
        field = cls(name)
        put_back(field, state, size=int, channels=int, mean=[float], deviation=[float])
        require(field.resize in RESIZES and field.channels in (1, 3, 4), "resize or channels")
        require(0 < (field.size or 0) <= SIDE, f"size {field.size}")
        require(len(field.mean) == len(field.deviation) == field.channels, "mean and deviation")
        return field

    def state(self) -> dict[str, Any]:
        # Where the training pictures lay says nothing on another machine, and what may be opened there is not theirs.
        return {k: v for k, v in self.__dict__.items() if k not in {"name", "folder", "outside", "pixels"}}

    def fit(self, column: Column) -> None:
        """Find size, channels, and the mean and deviation of each channel, on up to 500 of the training pictures."""
        step = max(1, len(column.values) // SAMPLE)
        found, sides, bad = [], [], []

        def shrink(item: np.ndarray) -> tuple[np.ndarray, int]:  # so that no large picture waits in memory
            side, most = min(item.shape[:2]), self.size or LARGEST
            return (fit_square(item, most, self.resize) if side > most else item), side

        for i, item in self._read(column, range(0, len(column.values), step), shrink, least=self.size or LARGEST):
            if isinstance(item, str):
                bad.append((i, item))
            else:
                found.append(item[0])
                sides.append(item[1])
        if not found:
            raise self._error(column, bad)
        if self.channels is None:
            self.channels = max(item.shape[2] for item in found)
        if self.size is None:
            self.size = min(LARGEST, round(float(np.median(sides))))
        planes = np.stack([self._plane(item) for item in found])
        total, squares = np.zeros(self.channels), np.zeros(self.channels)
        for part in np.array_split(planes, max(1, len(planes) // 64)):  # in parts: float64 of all would be large
            pixels = part.transpose(1, 0, 2, 3).reshape(self.channels, -1) / 255
            total, squares = total + pixels.sum(axis=1), squares + (pixels**2).sum(axis=1)
        count = planes.size / self.channels
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.mean = mean.tolist()
        self.deviation = [d if d > 1e-4 else 1.0 for d in deviation.tolist()]  # an empty channel stays 0

    def encode(self, column: Column, skip: list[tuple[int, str]] | None = None) -> dict[str, np.ndarray]:
        """All pictures; a list in `skip` collects (index, reason) of the unreadable ones, which stay black.

        Without one the first unreadable picture is a DataError that names it.
        """
        assert self.size and self.channels, "fit first"
        square = (self.size, self.size, self.channels)
        if all(_is_pixels(v) and (*v.shape, 1)[:3] == square for v in column.values):  # the common case of arrays
            planes = np.stack(list(column.values)).reshape(-1, *square).transpose(0, 3, 1, 2)
            return {"image": np.ascontiguousarray(planes)}
        planes = np.zeros((len(column.values), self.channels, self.size, self.size), np.uint8)
        bad = []
        for i, item in self._read(column, range(len(column.values)), self._plane, least=self.size):
            if isinstance(item, str):
                bad.append((i, item))
            else:
                planes[i] = item
        if bad and (skip is None or len(bad) == len(planes)):
            raise self._error(column, bad)
        if skip is not None:
            skip.extend(bad)
        return {"image": planes}

    def encode_target(self, column: Column) -> np.ndarray:
        """(n, channels, size, size) uint8: what a network draws is standardised pixels."""
        return self.encode(column)["image"]

    def standardise(self, batch: Any) -> Any:
        """uint8 (n, channels, size, size), tensor or array, as float32 of mean 0 and deviation 1 over training."""
        mean = np.array(self.mean, np.float32).reshape(-1, 1, 1) * 255
        scale = 1 / (np.array(self.deviation, np.float32).reshape(-1, 1, 1) * 255)
        if isinstance(batch, np.ndarray):
            return (batch.astype(np.float32) - mean) * scale
        batch = batch.float()
        return (batch - batch.new_tensor(mean)) * batch.new_tensor(scale)

    def decode(self, values: Any) -> list[np.ndarray]:
        """Pictures (h, w, c) uint8, of uint8 planes or of standardised floats."""
        values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
        if values.dtype != np.uint8:
            mean, deviation = (np.array(v).reshape(-1, 1, 1) for v in (self.mean, self.deviation))
            values = np.clip(np.round((values * deviation + mean) * 255), 0, 255).astype(np.uint8)
        return list(values.transpose(0, 2, 3, 1))

    def thumbnail(self, value: Any, side: int = 96, column: Column | None = None) -> bytes:
        """A small PNG of a path, an array (h, w[, c]) or an encoded picture (channels, size, size)."""
        if isinstance(value, np.ndarray):
            pixels = value if value.ndim == 3 else value[:, :, None]
            if value.ndim == 3 and value.shape == (self.channels, self.size, self.size):
                pixels = value.transpose(1, 2, 0)
        else:
            pixels = self._one(column or Column(self.name, [value]), value, least=side)
        return png(fit_square(pixels, side, "pad") if max(pixels.shape[:2]) > side else pixels)

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool: where no picture is named. One that cannot be read shows only in `encode`."""
        return np.array([_absent(value) for value in column.values], bool)

    def sizes(self) -> dict[str, Any]:
        return {"channels": self.channels, "size": self.size}

    def target_sizes(self) -> dict[str, Any]:
        return {"channels": self.channels, "size": self.size}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, from up to 500 pictures, a sentence each."""
        step = max(1, len(column.values) // SAMPLE)
        items = list(self._read(column, range(0, len(column.values), step), np.shape, least=0))
        bad = [(i, item) for i, item in items if isinstance(item, str)]
        shapes = {item[:2] for _, item in items if not isinstance(item, str)}
        found = []
        if bad:
            what = f"{bad[0][1]} ({rows(column, [i for i, _ in bad])})"
            found.append(f"{of(column)}: {len(bad)} of {len(items)} pictures cannot be read: {what}.")
        if len(shapes) > 1:
            low, high = min(shapes, key=np.prod), max(shapes, key=np.prod)
            how = {"cover": "scaled and cut", "pad": "scaled and padded", "stretch": "stretched"}[self.resize]
            found.append(
                f"{of(column)} has pictures from {low[1]}x{low[0]} to {high[1]}x{high[0]} pixels; they are {how} to "
                f"{self.size}x{self.size} (size, resize)."
            )
        return found

    def _read(
        self, column: Column, indexes: Sequence[int], then: Callable[[np.ndarray], Any], least: int
    ) -> Iterator[tuple[int, Any]]:
        """(index, what `then` makes of the pixels (h, w, c)), or (index, the reason as a string)."""

        def one(i: int) -> tuple[int, Any]:
            try:
                return i, then(self._one(column, column.values[i], least))
            except Unreadable as e:
                return i, str(e)

        if len(indexes) < 32 or isinstance(column.values[0], np.ndarray):
            yield from map(one, indexes)
            return
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding leaves Python's lock
            yield from pool.map(one, indexes)

    def _one(self, column: Column, value: Any, least: int) -> np.ndarray:
        if _absent(value):
            raise Unreadable("no picture is named")
        if isinstance(value, bytes):
            return decode(value, channels=self.channels, least=self._least(least), pixels=self.pixels)
        if not isinstance(value, str | Path):
            return _pixels(value, self.channels)
        path = self._path(column, value)
        if not self.outside and (self.folder is not None or column.source):
            home = Path(self.folder) if self.folder is not None else Path(column.source).parent
            if not Path(os.path.realpath(str(path).replace("\0", "?"))).is_relative_to(home.resolve()):
                raise Unreadable(f"{value} lies outside of the folder {home} (outside=true reads it all the same)")
        try:
            data = contents(path, self.pixels)
        except (OSError, ValueError) as e:
            raise Unreadable(f"{path}: {getattr(e, 'strerror', None) or e}") from None
        except Unreadable as e:
            raise Unreadable(f"{path}: {e}") from None
        try:
            return decode(data, channels=self.channels, least=self._least(least), pixels=self.pixels)
        except Unreadable as e:
            raise Unreadable(f"{path}: {e}") from None

    def _least(self, least: int) -> int:
        return 0 if self.resize == "pad" or (self.size is None and least < LARGEST) else least

    def _path(self, column: Column, value: Any) -> Path:
        path = Path(value)
        if path.is_absolute():
            return path
        if self.folder is not None:
            return Path(self.folder) / path
        return Path(column.source).parent / path if column.source else path

    def _plane(self, item: np.ndarray) -> np.ndarray:
        assert self.size and self.channels
        if item.shape[2] != self.channels:
            item = _pixels(item, self.channels)
        return fit_square(item, self.size, self.resize).transpose(2, 0, 1)

    def _error(self, column: Column, bad: list[tuple[int, str]]) -> DataError:
        index, reason = bad[0]
        if len(bad) == 1:
            return DataError(
                f"{of(column)} has a picture that cannot be read, {column.where(index)}: {reason}. Mend or drop it."
            )
        return DataError(
            f"{of(column)} has {len(bad)} pictures that cannot be read ({rows(column, [i for i, _ in bad])}); the "
            f"first: {reason}. Mend them, or drop these rows."
        )


def _absent(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and is_missing(value)


def _is_pixels(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3)


def _pixels(value: Any, channels: int | None) -> np.ndarray:
    """An array as (h, w, c) in these channels: grey repeated, colour weighed to grey, transparency over white."""
    if hasattr(value, "convert"):  # a picture of Pillow
        return decode(png(np.asarray(value.convert("RGBA"))), channels=channels)
    if not _is_pixels(value):
        kind = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise Unreadable(f"it is {kind}, where a path or uint8 pixels (height, width[, channels]) were expected")
    if min(value.shape[:2]) < 2:
        raise Unreadable(f"it has {value.shape[1]}x{value.shape[0]} pixels, which shows nothing")
    value = value if value.ndim == 3 else value[:, :, None]
    have = value.shape[2]
    if channels is None or channels == have:
        return value
    if have == 4 and channels in (1, 3):
        alpha = value[:, :, 3:] / 255
        value = np.round(value[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
        have = 3
    if have == 1 and channels in (3, 4):
        value = np.repeat(value, 3, axis=2)
    elif have == 3 and channels == 1:
        value = np.round(value @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[:, :, None]  # ITU-R 601, as in JPEG
    elif have not in (3, channels):
        raise Unreadable(f"it has {have} channels, where {channels} were expected")
    if channels == 4:
        value = np.concatenate([value, np.full((*value.shape[:2], 1), 255, np.uint8)], axis=2)
    return value
