"""Numbers: scaled robustly as inputs, standardised as targets.

Input, as RealMLP (Holzmüller et al. 2024, arXiv:2407.04491, section 3.1): z = (x - median) / (q75 - q25), then
z / sqrt(1 + (z/3)²), which is z near zero and never beyond ±3, so that no outlier runs away with the network. Where the
quartiles agree, 2 / (max - min) is the scale; a constant column becomes 0. A missing value becomes 0, and where the
training rows had some, a second column says which.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Column
from lamina.fields._places import MISSING, of, rows, values_at
from lamina.fields._state import put_back

__all__ = ["Number", "parse", "written"]

ABSENT = frozenset(word.lower() for word in MISSING) | {"none", "?"}  # a column of numbers has no other use for them
GROUPS = ("", ",", ".", " ", "'")
_WORDS = {" ": "space"}
TOLERATED = 0.05  # share of values that may be no numbers in a column that is guessed to hold numbers
REFUSED = 0.1  # and in any part of it, such as the training rows, that is then read


class Number:
    """A column of numbers.

    Args:
        decimal: the sign between units and tenths, "." or ",".
        thousands: the sign between groups of three digits: one of , . ' or space; none where there is none.

    Encoded: {"numbers": (n, 1 or 2) float32}; as a target (n,) float32 of mean 0 and deviation 1 in training.
    """

    kinds = ("numbers",)

    def __init__(self, name: str, *, decimal: str = ".", thousands: str = ""):
        thousands = {word: sign for sign, word in _WORDS.items()}.get(thousands, thousands)
        if decimal not in (".", ",") or thousands not in GROUPS or decimal == thousands:
            raise SettingError(
                f"decimal is . or , and thousands another of , . ' or space; {decimal!r} and {thousands!r} came."
            )
        self.name, self.decimal, self.thousands = name, decimal, thousands
        self.median, self.factor, self.mean, self.deviation = 0.0, 1.0, 0.0, 1.0
        self.low, self.high = 0.0, 0.0
        self.gaps = False  # the training rows had missing values
        self.whole = False  # every training value was an integer

    @classmethod
    def guess(cls, column: Column) -> float:
        values, absent, bad = parse(column.values)
        there = len(values) - int((absent & ~bad).sum())
        if there == bad.sum() or bad.sum() > TOLERATED * there:
            return 0.0
        return 0.9 if not bad.any() else 0.7

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Number":
        field = cls(name)
        put_back(field, state)
        cls(name, decimal=field.decimal, thousands=field.thousands)  # which refuses other signs
        return field

    def state(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "name"}

    def fit(self, column: Column) -> None:
        """Learn centre and scale from the training rows."""
        values, absent = self._values(column)
        known = values[~absent]
        if not len(known):
            raise DataError(f"{of(column)} has no number in its {len(values)} rows. Leave the column out.")
        low, quarter, self.median, three, high = (float(q) for q in np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
        # A spread lost in rounding beside the values themselves is none.
        least = 1e-12 * max(abs(low), abs(high))
        spread, reach = three - quarter, high - low
        self.factor = 1 / spread if spread > least else 2 / reach if reach > least else 0.0
        if not np.isfinite(self.factor):  # a spread so small that its inverse overflows
            self.factor = 0.0
        unit = max(abs(low), abs(high)) or 1.0  # so that squares of huge values do not overflow
        self.mean = float((known / unit).mean() * unit)
        self.deviation = float((known / unit).std() * unit) if reach > least else 1.0
        self.deviation = self.deviation or 1.0
        self.low, self.high = low, high
        self.gaps = bool(absent.any())
        self.whole = bool((known == np.round(known)).all())

    def encode(self, column: Column) -> dict[str, np.ndarray]:
        values, absent = self._values(column)
        values = np.where(absent, self.median, values)
        with np.errstate(over="ignore"):  # beyond what a float holds is still only "very far out"
            z = np.clip((values - self.median) * self.factor, -1e15, 1e15)
        z = z / np.sqrt(1 + (z / 3) ** 2)
        parts = [z, absent] if self.gaps else [z]
        return {"numbers": np.stack(parts, axis=1).astype(np.float32)}

    def decode_input(self, values: Any) -> list[float | None]:
        """What `encode` was given, as far as float32 keeps it: far outliers come back rounded."""
        values = np.asarray(values, dtype=np.float64).reshape(-1, 1 + self.gaps)
        y = np.clip(values[:, 0], -3 + 1e-7, 3 - 1e-7)
        x = y / np.sqrt(1 - (y / 3) ** 2) / self.factor + self.median if self.factor else np.full(len(y), self.median)
        return [None if self.gaps and gap > 0.5 else float(v) for v, gap in zip(x, values[:, -1], strict=True)]

    def encode_target(self, column: Column) -> np.ndarray:
        """(n,) float32, standardised. Raises DataError where a value is missing or no number."""
        values, absent = self._values(column, tolerated=0.0)
        if absent.any():
            raise DataError(
                f"{of(column)} has no value in {int(absent.sum())} of {len(values)} rows "
                f"({rows(column, np.flatnonzero(absent))}), and a target needs one. Fill them in, or drop these rows."
            )
        return ((values - self.mean) / self.deviation).astype(np.float32)

    def decode(self, values: Any) -> list[float]:
        """Standardised predictions in the user's unit."""
        return (np.asarray(values, dtype=np.float64).reshape(-1) * self.deviation + self.mean).tolist()

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool: where there is no (finite) number."""
        return self._values(column)[1]

    def sizes(self) -> dict[str, Any]:
        return {"columns": 1 + self.gaps}

    def target_sizes(self) -> dict[str, Any]:
        return {"outputs": 1}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, a sentence each."""
        values, absent, bad = parse(column.values, self.decimal, self.thousands)
        found, total = [], len(values)
        wrong, infinite = np.flatnonzero(bad), np.flatnonzero(absent & np.isinf(values))
        if len(wrong):
            what = f"{values_at(column.values, wrong)} ({rows(column, wrong)})"
            found.append(f"{of(column)}: {len(wrong)} of {total} values are no numbers and count as missing: {what}.")
        if len(infinite):
            what = f"{len(infinite)} of {total} values are infinite and count as missing"
            found.append(f"{of(column)}: {what} ({rows(column, infinite)}).")
        gaps = int(absent.sum()) - len(wrong) - len(infinite)
        if gaps:
            found.append(f"{of(column)}: {gaps} of {total} values are missing.")
        if self.decimal == "," or self.thousands:
            found += self._signs(column, values, absent)
        known = values[~absent]
        if len(known) > 1 and (known == known[0]).all():
            found.append(f"{of(column)} is constant ({known[0]:g}), so it tells nothing.")
        return found

    def _signs(self, column: Column, values: np.ndarray, absent: np.ndarray) -> list[str]:
        """How a number with a sign was read, for whoever meant it otherwise."""
        for i in np.flatnonzero(~absent).tolist():
            if any(sign in str(column.values[i]) for sign in (self.decimal, self.thousands) if sign not in ("", ".")):
                return [f'{of(column)}: "{column.values[i]}" is read as {values[i]:.15g} (decimal, thousands).']
        return []

    def _values(self, column: Column, tolerated: float = REFUSED) -> tuple[np.ndarray, np.ndarray]:
        values, absent, bad = parse(column.values, self.decimal, self.thousands)
        if bad.sum() > tolerated * len(values):
            where = np.flatnonzero(bad)
            style = None if self.decimal == "," or self.thousands else written([column.values[i] for i in where[:50]])
            remedy = "Mend them, or read the column as category"
            if style is not None:
                remedy = f"They seem to be written as number({style}): say so with --set data.types"
            raise DataError(
                f"{of(column)} should hold numbers, but {len(where)} of {len(values)} values are none: "
                f"{values_at(column.values, where)} ({rows(column, where)}). {remedy}."
            )
        return values, absent


def written(values: Sequence[Any]) -> str | None:
    """The arguments of `Number` that (nearly) all of these texts are numbers under, such as 'decimal=,'.

    None for plain numbers and for what is none. "1,234" alone may mean either: groups of thousands are taken.
    """
    texts = [v for v in values if isinstance(v, str) and v.strip().lower() not in ABSENT]
    if not texts or len(texts) < len([v for v in values if v is not None]):
        return None
    for decimal, thousands in ((".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'")):
        signs = [sign for sign in (decimal, thousands) if sign not in ("", ".")] or [thousands]
        if sum(any(sign in text for sign in signs) for text in texts) < 0.2 * len(texts):
            continue
        if parse(texts, decimal, thousands)[2].sum() <= TOLERATED * len(texts):
            said = [f"decimal={decimal}"] if decimal == "," else []
            return ";".join(said + ([f"thousands={_WORDS.get(thousands, thousands)}"] if thousands else []))
    return None


def parse(values: Sequence[Any], decimal: str = ".", thousands: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(numbers float64, absent, bad): absent where missing, infinite or bad; bad where something else stood there."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb" and values.ndim == 1:
        numbers = values.astype(np.float64)
        return numbers, ~np.isfinite(numbers), np.zeros(len(numbers), bool)
    if decimal == "." and not thousands and len(values):
        try:
            if "_" not in "".join(values):  # Python reads 1_000, which elsewhere is a code
                numbers = np.array(values, dtype=np.float64)
                return numbers, ~np.isfinite(numbers), np.zeros(len(numbers), bool)
        except (TypeError, ValueError):
            pass  # not all are text, or not all are numbers: one by one
    try:
        different = set(values)
    except TypeError:  # arrays, lists
        numbers = np.full(len(values), np.nan)
        absent = np.array([v is None for v in values], bool)
        return numbers, np.ones(len(values), bool), ~absent
    known = {value: _number(value, decimal, thousands) for value in different}
    wrong = [value for value, number in known.items() if number is None]
    bad = np.zeros(len(values), bool)
    if wrong:
        for value in wrong:
            known[value] = np.nan
        wrongs = set(wrong)
        bad = np.fromiter((value in wrongs for value in values), bool, len(values))
    numbers = np.fromiter(map(known.__getitem__, values), np.float64, len(values))
    return numbers, ~np.isfinite(numbers), bad


def _number(value: Any, decimal: str, thousands: str) -> float | None:
    """A float, NaN where missing, None where it is something else."""
    if isinstance(value, str):
        try:
            if thousands or decimal == ",":
                return float(_plain(value.strip(), decimal, thousands))
            if "_" not in value:
                return float(value)
        except ValueError:
            pass
        return np.nan if value.strip().lower() in ABSENT else None
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(text: str, decimal: str, thousands: str) -> str:
    """The text with a point and without groups, 'x' where the groups are none of three digits."""
    if thousands and thousands in text:
        whole, point, rest = text.partition(decimal)
        first, *groups = whole.replace("\N{NO-BREAK SPACE}", " ").split(thousands)
        lead = first.lstrip("+-")
        if not 1 <= len(lead) <= 3 or not lead.isdecimal() or lead[0] == "0":
            return "x"
        if not all(len(group) == 3 and group.isdecimal() for group in groups):
            return "x"
        text = first + "".join(groups) + point + rest
    if "_" in text or (decimal == "," and "." in text):
        return "x"
    return text.replace(",", ".") if decimal == "," else text
