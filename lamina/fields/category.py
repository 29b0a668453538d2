"""Categories: one of a few labels, as an index.

As an input 0 stands for unknown or missing and 1…k for the labels of the training rows; as a target the classes are
0…k-1, sorted as people sort ("class 2" before "class 10"), and a label that training did not see is an error.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.fields._places import is_missing, of, rows, values_at
from lamina.fields._state import put_back, require

__all__ = ["Category", "label", "natural"]


class Category:
    """A column of labels.

    Args:
        labels: the classes in the user's order; None takes those of the training rows, sorted naturally.

    Encoded: {"categories": (n, 1) int64}; as a target (n,) int64.
    """

    kinds: tuple[str, ...] = ("categories",)

    def __init__(self, name: str, *, labels: Sequence[Any] | None = None):
        self.name = name
        self.given = labels is not None
        self.labels: list[str] = [label(value) for value in labels or ()]
        self.whole = False  # labels came as integers, and go back as such
        self.counts: list[int] = []  # training rows of each label

    @classmethod
    def guess(cls, column: Column) -> float:
        """Surer, the more often its labels come again."""
        try:
            known = [value for value in column.values if not is_missing(value)]
            different = len(set(known))
        except TypeError:
            return 0.0
        if not known:
            return 0.0
        return 0.3 + 0.4 * (1 - different / len(known))

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Category":
        field = cls(name)
        put_back(field, state, labels=[str], counts=[int])
        require(len(field.counts) in (0, len(field.labels)), "labels and counts are not as many")
        require(not field.whole or all(len(w) < 100 and _is_digits(w) for w in field.labels), "labels are no numbers")
        return field

    def state(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"name"}}

    def fit(self, column: Column) -> None:
        """Take the labels of the training rows."""
        try:
            counts = _count(column.values)
        except TypeError:
            raise DataError(f"{of(column)} holds lists or arrays, where labels were expected.") from None
        known = {value: n for value, n in counts.items() if not is_missing(value)}
        if not known:
            raise DataError(f"{of(column)} has no value in its {len(column.values)} rows. Leave the column out.")
        times: dict[str, int] = {}
        for value, n in known.items():
            times[label(value)] = times.get(label(value), 0) + n
        if not self.given:
            self.labels = sorted(times, key=natural)
        self.whole = all(_is_whole(value) for value in known)
        self.counts = [times.get(word, 0) for word in self.labels]

    def encode(self, column: Column) -> dict[str, np.ndarray]:
        return {"categories": (self._codes(column) + 1)[:, None]}

    def decode_input(self, values: Any) -> list[Any]:
        """Labels of input codes; None for 0."""
        codes = np.asarray(values).reshape(-1).astype(np.int64) - 1
        return [None if code < 0 else self._word(code) for code in codes.tolist()]

    def encode_target(self, column: Column) -> np.ndarray:
        """(n,) int64 classes. Raises DataError where a label is missing or new."""
        codes = self._codes(column)
        if (codes < 0).any():
            absent = np.flatnonzero(self.missing(column))
            if len(absent):
                raise DataError(
                    f"{of(column)} has no value in {len(absent)} of {len(codes)} rows ({rows(column, absent)}), and a "
                    f"target needs one. Fill them in, or drop these rows."
                )
            new = np.flatnonzero(codes < 0)
            different = len({str(column.values[int(i)]) for i in new})
            raise DataError(
                f"{of(column)} has {different} value{'s' * (different > 1)} that the {len(self.labels)} labels seen in "
                f"training lack: {values_at(column.values, new)} ({rows(column, new)}). Fit anew, or drop these rows."
            )
        return codes

    def decode(self, values: Any) -> list[Any]:
        """Labels of classes 0…k-1."""
        return [self._word(code) for code in np.asarray(values).reshape(-1).astype(np.int64).tolist()]

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool: where there is no value (a new label is a value)."""
        known = {value: is_missing(value) for value in set(column.values)}
        return np.fromiter(map(known.__getitem__, column.values), bool, len(column.values))

    def sizes(self) -> dict[str, Any]:
        return {"cardinalities": [len(self.labels) + 1]}

    def target_sizes(self) -> dict[str, Any]:
        return {"classes": len(self.labels)}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, a sentence each."""
        total, found = len(column.values), []
        absent = int(self.missing(column).sum())
        if absent:
            found.append(f"{of(column)}: {absent} of {total} values are missing.")
        if self.labels:
            new = np.flatnonzero((self._codes(column) < 0) & ~self.missing(column))
            if len(new):
                what = f"{values_at(column.values, new)} ({rows(column, new)})"
                found.append(f"{of(column)}: {len(new)} of {total} values are labels that training lacks: {what}.")
        counts = {v: n for v, n in _count(column.values).items() if not is_missing(v)}
        if len(counts) == 1:
            found.append(f'{of(column)} is constant ("{next(iter(counts))}"), so it tells nothing.')
        elif len(counts) > 0.5 * (total - absent) and len(counts) > 20:
            found.append(
                f"{of(column)} has {len(counts)} different labels in {total - absent} rows: is it an identifier?"
            )
        return found

    def _codes(self, column: Column) -> np.ndarray:
        """0…k-1, -1 for unknown or missing; "1" and "1.0" are the same label unless training saw both."""
        index = {word: i for i, word in enumerate(self.labels)}
        found = {value: self._find(value, index) for value in set(column.values)}
        return np.fromiter(map(found.__getitem__, column.values), np.int64, len(column.values))

    def _find(self, value: Any, index: dict[str, int]) -> int:
        if is_missing(value):
            return -1
        word = label(value)
        if word in index:
            return index[word]
        return index.get(word[:-2] if word.endswith(".0") else word + ".0", -1)

    def _word(self, code: int) -> Any:
        return int(self.labels[code]) if self.whole else self.labels[code]


def label(value: Any) -> str:
    """The word for a value: text without white space around it, 3.0 and numpy's 3 as "3"."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)


def natural(word: str) -> tuple[Any, ...]:
    """A key that sorts numbers inside words by their size, and -2 before 1.5."""
    try:
        return (0, float(word), word)
    except ValueError:
        parts = re.split(r"(\d+)", word)
        return (
            1,
            [(0, int(p), "") if p.isdecimal() and len(p) < 1000 else (1, 0, p.casefold()) for p in parts if p],
            word,
        )


def _is_digits(word: str) -> bool:
    return word.removeprefix("-").isdecimal()


def _is_whole(value: Any) -> bool:
    if isinstance(value, float | np.floating):
        return float(value).is_integer() and abs(float(value)) < 1e15
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _count(values: Iterable[Any]) -> dict[Any, int]:
    if isinstance(values, np.ndarray):
        different, counts = np.unique(values, return_counts=True)
        return dict(zip(different.tolist(), counts.tolist(), strict=True))
    counted: dict[Any, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    return counted
