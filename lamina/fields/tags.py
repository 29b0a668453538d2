"""Tags: any number of labels at once, as one 0 or 1 for each."""

from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.fields._places import is_missing, of, rows
from lamina.fields._state import put_back
from lamina.fields.category import label, natural

__all__ = ["Tags"]

SEPARATORS = ("|", ";", ",")


class Tags:
    """A column of sets of labels: text like "red|round", or lists.

    Args:
        separator: between the tags of a text; None takes the first of | ; , that the training rows hold.

    Encoded: {"numbers": (n, tags) float32} of 0 and 1; as a target the same array. An empty value is no tag at all.
    """

    kinds = ("numbers",)

    def __init__(self, name: str, *, separator: str | None = None):
        self.name, self.separator = name, separator
        self.labels: list[str] = []
        self.counts: list[int] = []  # training rows with each tag

    @classmethod
    def guess(cls, column: Column) -> float:
        """Sure where most values are lists of words, or hold bars, and the same tags come again."""
        known = [value for value in column.values if not isinstance(value, np.ndarray) and not is_missing(value)]
        known = known[:: max(1, len(known) // 500)]
        if known and all(isinstance(value, list | tuple | set | frozenset) for value in known):
            return 0.95 if all(isinstance(tag, str | int) for value in known for tag in value) else 0.0
        if not known or not all(isinstance(value, str) for value in known):
            return 0.0
        for separator in SEPARATORS[:2]:  # commas stand in prose and names, too
            several = sum(separator in value for value in known)
            tags = [tag.strip() for value in known for tag in value.split(separator) if tag.strip()]
            if tags and several >= 0.3 * len(known) and len(set(tags)) <= 0.5 * len(tags) and max(map(len, tags)) <= 40:
                return 0.9
        return 0.0

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Tags":
        field = cls(name)
        put_back(field, state, labels=[str], counts=[int], separator=(str, None))
        return field

    def state(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "name"}

    def fit(self, column: Column) -> None:
        """Take the tags of the training rows."""
        if self.separator is None:
            texts = [value for value in column.values if isinstance(value, str)]
            self.separator = next((s for s in SEPARATORS if any(s in text for text in texts)), SEPARATORS[0])
        times: dict[str, int] = {}
        for value in column.values:
            for tag in self._cut(value):
                times[tag] = times.get(tag, 0) + 1
        if not times:
            raise DataError(f"{of(column)} has no tag in its {len(column.values)} rows. Leave the column out.")
        self.labels = sorted(times, key=natural)
        self.counts = [times[word] for word in self.labels]

    def encode(self, column: Column) -> dict[str, np.ndarray]:
        return {"numbers": self._marks(column)[0]}

    def encode_target(self, column: Column) -> np.ndarray:
        """(n, tags) float32 of 0 and 1. Raises DataError for tags that training lacks."""
        marks, unknown = self._marks(column)
        if unknown:
            where = rows(column, dict.fromkeys(i for i, _ in unknown))
            words = list(dict.fromkeys(tag for _, tag in unknown))
            shown = ", ".join(f'"{word}"' for word in words[:3]) + (", …" if len(words) > 3 else "")
            raise DataError(
                f"{of(column)} has {len(words)} tag{'s' * (len(words) > 1)} that the {len(self.labels)} seen in "
                f"training lack: {shown} ({where}). Fit anew, or drop these rows."
            )
        return marks

    def decode(self, values: Any) -> list[list[str]]:
        """The tags of each row of marks or probabilities, those of at least 0.5."""
        return [[self.labels[i] for i in np.flatnonzero(row >= 0.5)] for row in np.asarray(values)]

    decode_input = decode

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool, all False: an empty value says that there is no tag."""
        return np.zeros(len(column.values), bool)

    def sizes(self) -> dict[str, Any]:
        return {"columns": len(self.labels)}

    def target_sizes(self) -> dict[str, Any]:
        return {"classes": len(self.labels)}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, a sentence each."""
        found, total = [], len(column.values)
        empty = sum(not self._cut(value) for value in column.values)
        if empty:
            found.append(f"{of(column)}: {empty} of {total} rows have no tag.")
        unknown = self._marks(column)[1] if self.labels else []
        if unknown:
            where = rows(column, dict.fromkeys(i for i, _ in unknown))
            count = f"{len(unknown)} tag{'s are' if len(unknown) > 1 else ' is'}"
            found.append(f'{of(column)}: {count} unknown to training, like "{unknown[0][1]}" ({where}).')
        return found

    def _cut(self, value: Any) -> list[str]:
        if isinstance(value, list | tuple | set | frozenset | np.ndarray):
            return list(dict.fromkeys(label(tag) for tag in value))
        if is_missing(value):
            return []
        parts = str(value).split(self.separator or SEPARATORS[0])
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def _marks(self, column: Column) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """0 and 1 for each row and tag, and (index, tag) of those that training lacks."""
        index = {word: i for i, word in enumerate(self.labels)}
        marks = np.zeros((len(column.values), len(self.labels)), np.float32)
        unknown = []
        for i, value in enumerate(column.values):
            for tag in self._cut(value):
                if tag in index:
                    marks[i, index[tag]] = 1
                else:
                    unknown.append((i, tag))
        return marks, unknown
