"""Vectors: a fixed number of numbers in each cell, such as an embedding or what an environment shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.core.untrusted import parsed
from lamina.fields._state import put_back, require

__all__ = ["Vector"]


class Vector:
    """A column of equally long lists of numbers, JSON lists in text files; standardised number by number.

    Args:
        width: numbers in a cell; 0 takes those of the first training row. raw: leave them as they are.
    """

    kinds: tuple[str, ...] = ("numbers",)

    def __init__(self, name: str, *, width: int = 0, raw: bool = False):
        self.name, self.width, self.raw = name, width, raw
        self.mean, self.deviation = [0.0] * width, [1.0] * width

    @classmethod
    def guess(cls, column: Column) -> float:
        """Sure where every value is a list of as many numbers."""
        lengths = set()
        for value in column.values:
            vector = _vector(value)
            if vector is None:
                return 0.0
            lengths.add(len(vector))
        return 0.95 if len(lengths) == 1 and lengths != {0} else 0.0

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Vector":
        field = cls(name)
        put_back(field, state, mean=[float], deviation=[float])
        require(len(field.mean) == len(field.deviation) == field.width, "mean and deviation have another width")
        return field

    def state(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "name"}

    def fit(self, column: Column) -> None:
        """Learn width, mean and deviation from the training rows."""
        first = next((v for v in map(_vector, column.values) if v is not None), None)
        if first is None:
            raise DataError(f"Column {self.name!r} holds no list of numbers. Leave it out, or say what it is.")
        self.width = self.width or len(first)
        values = self._matrix(column)
        self.mean, deviation = values.mean(0).tolist(), values.std(0)
        self.deviation = np.where(deviation > 1e-12, deviation, 1.0).tolist()

    def encode(self, column: Column, **how: Any) -> dict[str, np.ndarray]:
        """(n, width) float32."""
        values = self._matrix(column)
        if not self.raw:
            values = (values - np.array(self.mean)) / np.array(self.deviation)
        return {"numbers": values.astype(np.float32)}

    def encode_target(self, column: Column) -> np.ndarray:
        return self.encode(column)["numbers"]

    def missing(self, column: Column) -> np.ndarray:
        return np.array([_vector(value) is None for value in column.values])

    def decode(self, values: Any) -> list[list[float]]:
        """Lists of numbers in the column's own unit."""
        values = np.asarray(values, dtype=np.float64)
        return (values if self.raw else values * np.array(self.deviation) + np.array(self.mean)).tolist()

    def sizes(self) -> dict[str, Any]:
        return {"columns": self.width}

    def _matrix(self, column: Column) -> np.ndarray:
        rows = []
        for i, value in enumerate(column.values):
            vector = _vector(value)
            if vector is None or len(vector) != self.width:
                came = "nothing" if value is None else f"{str(value)[:60]!r}"
                where = column.where(i)
                raise DataError(
                    f"Column {self.name!r} holds lists of {self.width} numbers; {where} has {came}. Mend it, or leave "
                    "the column out."
                )
            rows.append(vector)
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), self.width)


def _vector(value: Any) -> Sequence[float] | None:
    """A cell as a list of finite numbers, None where it is none."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return None
        try:
            value = parsed(value)
        except ValueError:
            return None
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf":
        return value.tolist() if np.isfinite(value).all() else None
    if not isinstance(value, list | tuple) or not value:
        return None
    return value if all(isinstance(v, int | float) and v == v and abs(v) != float("inf") for v in value) else None
