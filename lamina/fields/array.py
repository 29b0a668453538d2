"""Arrays: cells of numbers of any shape, such as tensors that somebody has made ready; taken as they are."""

from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.core.untrusted import fits
from lamina.fields._state import require

__all__ = ["Array"]


class Array:
    """A column of equally shaped arrays. Three axes (channels, height, width) are read as an image, others as numbers.

    Encoded: {"image" or "numbers": (n, *shape)}, float32, or int64 where the cells hold integers. Nothing is scaled.
    """

    kinds: tuple[str, ...] = ("numbers",)

    def __init__(self, name: str):
        self.name = name
        self.shape: list[int] = []

    @classmethod
    def guess(cls, column: Column) -> float:
        """Sure of numpy arrays of two axes or more that are no uint8 pixels."""
        shapes = {v.shape if _is_array(v) else None for v in column.values}
        return 0.97 if len(shapes) == 1 and None not in shapes else 0.0

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Array":
        field = cls(name)
        wrong = fits(state.get("shape"), [int], "shape")
        require(not wrong and len(state["shape"]) < 16 and min(state["shape"], default=0) >= 0, wrong or "shape")
        field._become(state["shape"])
        return field

    def state(self) -> dict[str, Any]:
        return {"shape": self.shape}

    def fit(self, column: Column) -> None:
        """Take the shape of the first cell. Raises: DataError for cells that are no arrays of numbers."""
        first = column.values[0]
        if isinstance(first, str) or np.asarray(first).dtype.kind not in "iufb":
            raise DataError(
                f"Column {self.name!r} holds {type(first).__name__} ({column.where(0)}), where arrays of numbers were "
                "expected. Say what it is, --set data.types={COLUMN: FIELD}, or leave it out."
            )
        self._become(list(np.shape(first)))

    def _become(self, shape: list[int]) -> None:
        self.shape = shape
        self.kinds = ("image",) if len(shape) == 3 else ("numbers",)

    def encode(self, column: Column, **how: Any) -> dict[str, np.ndarray]:
        for i, value in enumerate(column.values):
            if list(np.shape(value)) != self.shape:
                raise DataError(
                    f"Column {self.name!r} holds arrays of shape {tuple(self.shape)}, but {column.where(i)} has "
                    f"{tuple(np.shape(value)) if value is not None else 'nothing'}. Make them alike."
                )
        values = np.stack([np.asarray(v) for v in column.values])
        return {self.kinds[0]: values.astype(np.int64 if values.dtype.kind in "iub" else np.float32)}

    def encode_target(self, column: Column) -> np.ndarray:
        return self.encode(column)[self.kinds[0]]

    def standardise(self, batch: Any) -> Any:
        """As they are."""
        return batch

    def missing(self, column: Column) -> np.ndarray:
        return np.array([v is None for v in column.values], bool)

    def decode(self, values: Any) -> list[Any]:
        return list(np.asarray(values))

    def sizes(self) -> dict[str, Any]:
        if len(self.shape) == 3:
            high, wide = self.shape[1:]
            return {"channels": self.shape[0], "size": high if high == wide else [high, wide]}
        return {"columns": self.shape[-1] if self.shape else 1}


def _is_array(value: Any) -> bool:
    pixels = isinstance(value, np.ndarray) and value.dtype == np.uint8
    return isinstance(value, np.ndarray) and value.dtype.kind in "iufb" and value.ndim >= 2 and not pixels
