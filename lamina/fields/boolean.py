"""Booleans: a category of two, in any of the usual pairs of words."""

from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.fields._places import is_missing, of, rows, values_at
from lamina.fields.category import Category, label

__all__ = ["Boolean"]

PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("0", "1"), ("off", "on"))
CODES = {word: code for pair in PAIRS for code, word in enumerate(pair)}


class Boolean(Category):
    """True or false.

    Encoded: {"categories": (n, 1) int64} with 0 missing, 1 false, 2 true; as a target 0 and 1. Decoded to the words of
    the training rows, or to True and False where they came as such.
    """

    kinds = ("categories",)

    def __init__(self, name: str):
        super().__init__(name)
        self.labels = ["false", "true"]
        self.truth = False  # values came as True and False

    @classmethod
    def guess(cls, column: Column) -> float:
        try:
            words = {label(value).lower() for value in set(column.values) if not is_missing(value)}
        except TypeError:
            return 0.0
        return 0.95 if any(words == set(pair) for pair in PAIRS) else 0.0

    def fit(self, column: Column) -> None:
        seen: dict[int, Any] = {}
        for value in column.values:
            if not is_missing(value):
                code = CODES.get(label(value).lower())
                if code is not None:
                    seen.setdefault(code, value)
        codes = self._codes(column)
        wrong = np.flatnonzero((codes < 0) & ~self.missing(column))
        if len(wrong):
            raise DataError(
                f"{of(column)} should be true or false, but holds {values_at(column.values, wrong)} "
                f"({rows(column, wrong)}). Write {', '.join('/'.join(pair) for pair in PAIRS)}, or read it as category."
            )
        if not seen:
            raise DataError(f"{of(column)} has no value in its {len(column.values)} rows. Leave the column out.")
        self.truth = all(isinstance(value, bool | np.bool_) for value in seen.values())
        self.labels = self._words({code: label(value) for code, value in seen.items()})
        self.whole = self.labels == ["0", "1"] and not any(isinstance(value, str) for value in seen.values())
        self.counts = [int((codes == 0).sum()), int((codes == 1).sum())]

    @staticmethod
    def _words(seen: dict[int, str]) -> list[str]:
        """The user's own two words; the missing one of a pair is supplied in the same case."""
        if len(seen) == 2:
            return [seen[0], seen[1]]
        code, word = next(iter(seen.items()))
        pair = next(pair for pair in PAIRS if word.lower() == pair[code])
        case = str.upper if word.isupper() else str.capitalize if word[0].isupper() else str
        return [case(pair[0]), case(pair[1])]

    def _find(self, value: Any, index: dict[str, int]) -> int:
        return -1 if is_missing(value) else CODES.get(label(value).lower(), -1)

    def _word(self, code: int) -> Any:
        return bool(code) if self.truth else super()._word(code)
