"""Columns as integer codes and as hashes, so that checks over them are array work.

None, nan, '' and 'NA' are missing. Words that are all numbers count as numbers: a CSV knows no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.seeds import mix

__all__ = ["Coded", "code", "groups_of_duplicates", "is_number", "show", "take"]

MISSING = {"", "na", "nan", "null", "none", "n/a"}


@dataclass
class Coded:
    """A column of plain values.

    codes: into levels, -1 where missing. numbers: the levels as numbers, where all of them are.
    """

    codes: np.ndarray
    levels: Sequence[Any]
    numbers: np.ndarray | None


def _raw(column: Any) -> Any:
    values = getattr(column, "values", column)
    return column if callable(values) else values


def code(column: Any) -> Coded | None:
    """None for what has no plain values: pictures, lists, arrays of several axes."""
    values = _raw(column)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        return None
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
        known = np.isfinite(numbers)
        levels, inverse = np.unique(numbers[known], return_inverse=True)
        codes = np.full(len(values), -1, np.int64)
        codes[known] = inverse.reshape(-1)
        return Coded(codes, [int(v) if v == int(v) else float(v) for v in levels.tolist()], levels)
    known_levels: dict[Any, int] = {}
    try:
        listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
        raw = np.array([known_levels.setdefault(v, len(known_levels)) for v in listed], dtype=np.int64)
    except TypeError:
        return None
    held = [level for level in known_levels if not _is_missing(level)]
    index = {level: i for i, level in enumerate(held)}
    renumber = np.array([-1 if _is_missing(level) else index[level] for level in known_levels], dtype=np.int64)
    codes = renumber[raw] if len(raw) else raw
    try:
        numbers = np.array([float(level) for level in held])
    except (TypeError, ValueError):
        return Coded(codes, held, None)
    return Coded(codes, held, numbers if np.isfinite(numbers).all() else None)


def take(column: Any, rows: np.ndarray) -> Any:
    """The raw values of some rows."""
    values = _raw(column)
    return values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows.tolist()]


def _is_missing(value: Any) -> bool:
    if value is None or value != value:
        return True
    return isinstance(value, str) and value.strip().lower() in MISSING


def is_number(coded: Coded) -> bool:
    """Whether a column counts as one of numbers: too many levels to be classes."""
    return coded.numbers is not None and len(coded.levels) > 20


def show(value: Any) -> str:
    """A value for a message, at most 40 characters long."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else text[:37] + "…" + text[-1]


def groups_of_duplicates(columns: Mapping[str, Any]) -> np.ndarray:
    """A group number for each row (int64, 0.. in order of first appearance); equal rows share one.

    Rows are compared by a 64-bit hash: of 10⁶ rows, two unequal ones meet once in 30 million tables.
    """
    state: np.ndarray | None = None
    for position, column in enumerate(columns.values()):
        keys = _keys(_raw(column))
        with np.errstate(over="ignore"):
            salt = np.uint64(mix(position, "duplicates"))
            state = (
                _scramble(keys + salt) if state is None else _scramble(state * np.uint64(3) + _scramble(keys + salt))
            )
    if state is None:
        return np.zeros(0, np.int64)
    _, first, inverse = np.unique(state, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def _keys(values: Any) -> np.ndarray:
    """64 bits a row, equal for equal values."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        if values.dtype.kind in "iub":
            return values.astype(np.int64).view(np.uint64)
        if values.dtype.kind == "f":
            plain = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
            return np.where(np.isnan(plain), np.nan, plain).view(np.uint64)
        listed = values.tolist()
    else:
        listed = list(values)
    known: dict[Any, int] = {}
    codes = [known.setdefault(v if v == v else None, len(known)) for v in map(_hashable, listed)]
    return np.array(codes, dtype=np.int64).view(np.uint64)


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, dict | set):
        return repr(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _scramble(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
