"""Dates and times: where on the line of time, and where in the year, the week and the day.

Each round is a pair (sin, cos), so that December stands beside January. The rounds that do not vary in training (the
hour of plain dates) are left out. As a target a moment is a standardised number, given back as ISO text.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Column
from lamina.core.untrusted import fits
from lamina.fields._places import is_missing, of, rows, values_at
from lamina.fields._state import require
from lamina.fields.number import Number

__all__ = ["Date", "several"]

DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
FORMATS = ("iso", *(day + time for day in DAYS for time in TIMES), "%a, %d %b %Y %H:%M:%S %z", "%Y%m%d")
ROUNDS = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
TOLERATED = 0.05  # share of values that may be no dates in a column that is guessed to hold dates
REFUSED = 0.1  # and in any part of it, such as the training rows, that is then read
# What could be a date at all; the patterns of strptime are slow to say no.
_LIKELY = re.compile(r"^\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}\s*$|\d{1,2} [^\W\d]{3,}|[^\W\d]{3,}[ ,].*\d)")
LONGEST = 64  # characters of a date, however it is written
EPOCH = datetime(1970, 1, 1)


class Date:
    """A column of dates or times; those with a zone are moved to UTC.

    Args:
        format: "iso", or a pattern of strptime such as "%d/%m/%Y"; None takes the one that fits the training rows.

    Encoded: {"numbers": (n, columns) float32}: linear time scaled as `Number`, then the rounds, then missing or not.
    """

    kinds = ("numbers",)

    def __init__(self, name: str, *, format: str | None = None):
        if format not in (None, "iso"):
            _tried(format)
        self.name, self.format = name, format
        self.line = Number(name)  # seconds since 1970
        self.rounds: list[str] = []
        self.plain = False  # days without a time

    @classmethod
    def guess(cls, column: Column) -> float:
        known = [value for value in column.values if not _absent(value)]
        if not known or not all(isinstance(value, str | date | np.datetime64) for value in known):
            return 0.0
        if all(isinstance(value, date) for value in known):
            return 0.98
        format = _format(known)
        return 0.97 if format and format != "%Y%m%d" else 0.6 if format else 0.0  # 20240131 may be a mere number

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Date":
        wrong = fits(state, {"format": (str, None), "rounds": [str], "plain": bool, "line": dict})
        require(not wrong and set(state["rounds"]) <= set(ROUNDS), wrong or "rounds")
        field = cls(name, format=state["format"])
        field.rounds, field.plain = list(state["rounds"]), state["plain"]
        field.line = Number.restore(name, state["line"])
        return field

    def state(self) -> dict[str, Any]:
        return {"format": self.format, "rounds": self.rounds, "plain": self.plain, "line": self.line.state()}

    def fit(self, column: Column) -> None:
        known = [value for value in column.values if not _absent(value)]
        if not known:
            raise DataError(f"{of(column)} has no date in its {len(column.values)} rows. Leave the column out.")
        if self.format is None and not all(isinstance(value, date) for value in known):
            self.format = _format(known)
            if self.format is None:
                raise DataError(
                    f"{of(column)} should hold dates, but no format fits {values_at(known, range(len(known)))}. Write "
                    f"them as 2024-01-31 or 2024-01-31 13:45:00, or give the pattern, e.g. format=%d/%m/%Y."
                )
        seconds = self._seconds(column)
        self.line.fit(self._column(column, seconds))
        seconds = seconds[np.isfinite(seconds)]
        self.plain = bool((seconds % 86400 == 0).all())
        self.rounds = [name for name in ROUNDS if len(np.unique(_phase(name, seconds))) > 1]

    def encode(self, column: Column) -> dict[str, np.ndarray]:
        seconds = self._seconds(column)
        line = self.line.encode(self._column(column, seconds))["numbers"]
        absent = ~np.isfinite(seconds)
        parts = [line[:, :1]]
        for name in self.rounds:
            angle = 2 * np.pi * _phase(name, np.where(absent, 0.0, seconds)) / ROUNDS[name]
            parts.append(np.where(absent[:, None], 0.0, np.stack([np.sin(angle), np.cos(angle)], axis=1)))
        return {"numbers": np.concatenate([*parts, line[:, 1:]], axis=1).astype(np.float32)}

    def encode_target(self, column: Column) -> np.ndarray:
        """(n,) float32, standardised. Raises DataError where a value is missing or no date."""
        return self.line.encode_target(self._column(column, self._seconds(column)))

    def decode(self, values: Any) -> list[str]:
        """ISO text of standardised predictions, to the second, or to the day where training had only days."""
        seconds = np.clip(np.round(self.line.decode(values)), -62_135_596_800, 253_402_300_799)  # years 1 to 9999
        if self.plain:
            seconds = np.round(seconds / 86400) * 86400
        moments = np.asarray(seconds, np.int64).astype("datetime64[s]").tolist()
        return [(m.date() if self.plain else m).isoformat() for m in moments]

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool: where there is no date."""
        return ~np.isfinite(self._seconds(column))

    def sizes(self) -> dict[str, Any]:
        return {"columns": 1 + 2 * len(self.rounds) + self.line.gaps}

    def target_sizes(self) -> dict[str, Any]:
        return {"outputs": 1}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, a sentence each."""
        found = []
        known = [value for value in column.values if not _absent(value)]
        total = len(column.values)
        if len(known) < total:
            found.append(f"{of(column)}: {total - len(known)} of {total} values are missing.")
        format = self.format or (_format(known) if known else None)
        wrong = [i for i, v in enumerate(column.values) if not _absent(v) and _moment(v, format) is None]
        if wrong:
            what = f"{values_at(column.values, wrong)} ({rows(column, wrong)})"
            found.append(f"{of(column)}: {len(wrong)} of {total} values are no dates and count as missing: {what}.")
        if format and format.startswith("%m/%d/%Y"):
            other = format.replace("%m/%d", "%d/%m")
            if all(_moment(value, other) is not None for value in set(known)):
                found.append(
                    f'{of(column)} is read as month/day/year; if "{known[0]}" has the day first, set format to {other}.'
                )
        return found

    def _seconds(self, column: Column) -> np.ndarray:
        """Seconds since 1970, NaN where missing; few strange values count as missing, many are refused."""
        different = set(column.values)
        known: dict[Any, float] = {}
        wrong = set()
        for value in different:
            moment = None if _absent(value) else _moment(value, self.format)
            known[value] = np.nan if moment is None else (moment - EPOCH).total_seconds()
            if moment is None and not _absent(value):
                wrong.add(value)
        if wrong:
            where = [i for i, value in enumerate(column.values) if value in wrong]
            if len(where) > REFUSED * len(column.values):
                raise DataError(
                    f"{of(column)} should hold dates like {self._example()}, but {len(where)} of {len(column.values)} "
                    f"values are none: {values_at(column.values, where)} ({rows(column, where)}). Mend them, or give "
                    f"the pattern, e.g. format=%d/%m/%Y."
                )
        return np.fromiter(map(known.__getitem__, column.values), np.float64, len(column.values))

    def _example(self) -> str:
        moment = datetime(2024, 1, 31, 13, 45)
        return moment.isoformat(" ") if self.format in (None, "iso") else moment.strftime(str(self.format))

    @staticmethod
    def _column(column: Column, seconds: Any) -> Column:
        """The same places, so that messages of `Number` name the right rows."""
        made = _Moments(column.name, seconds, column.source, column.first_row)
        made.original = column
        return made


class _Moments(Column):
    original: Column

    def where(self, index: int) -> str:
        return self.original.where(index)


def _phase(name: str, seconds: np.ndarray) -> np.ndarray:
    """Where in its round a moment stands: month 0…12 with the share of days gone, weekday 0…7, hour 0…24."""
    days = np.floor(seconds / 86400)
    if name == "hour":
        return (seconds - days * 86400) / 3600
    if name == "weekday":
        return (days + 3) % 7  # 1970-01-01 was a Thursday
    day = days.astype(np.int64).astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.float64)
    return month.astype(np.int64) % 12 + (day - month.astype("datetime64[D]")).astype(np.float64) / length


def _absent(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() == "none")


def _format(known: Sequence[Any]) -> str | None:
    """The first format that reads (nearly) all of the values; a sample of them decides quickly."""
    sample = list(dict.fromkeys(known[:: max(1, len(known) // 50)]))[:50]
    if not any(isinstance(v, str) and len(v) < 40 and _LIKELY.search(v) for v in sample[:5]):
        return None
    different = None
    for format in FORMATS:
        if all(_moment(value, format) is None for value in sample[:5]):
            continue
        fitting = sum(_moment(value, format) is not None for value in sample)
        if fitting >= max(1, (1 - 2 * TOLERATED) * len(sample)):
            different = different if different is not None else list(dict.fromkeys(known))
            if sum(_moment(v, format) is not None for v in different) >= (1 - TOLERATED) * len(different):
                return format
    return None


def several(known: Sequence[Any]) -> list[str]:
    """Values in two or more formats that together read nearly all of them, one value a format; else none."""
    sample = list(dict.fromkeys(known[:: max(1, len(known) // 50)]))[:50]
    if not all(isinstance(v, str) and len(v) < 40 and _LIKELY.search(v) for v in sample):
        return []
    left, found = list(sample), []
    for format in FORMATS:
        read = [value for value in left if _moment(value, format) is not None]
        if read:
            found.append(read[0])
            left = [value for value in left if value not in read]
    return found if len(found) > 1 and len(left) <= TOLERATED * len(sample) else []


def _moment(value: Any, format: str | None) -> datetime | None:
    """A datetime without zone, in UTC where it had one; None where it cannot be read so."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    elif isinstance(value, np.datetime64):
        moment = value.astype("datetime64[us]").item()
    elif not isinstance(value, str):
        return None
    else:
        text = value.strip()
        if len(text) > LONGEST:
            return None
        try:
            if format in (None, "iso"):
                if len(text) < 8 or "-" not in text[:8]:  # 2024, 20240131 and 2024W05 are rather numbers or codes
                    return None
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, str(format))
        except ValueError:
            return None
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:  # before the year 1 or after 9999, once in UTC
        return None


def _tried(format: str) -> None:
    """Refuse a pattern that is none: strptime says so with errors of several kinds."""
    try:
        datetime.strptime("", format)
    except ValueError as error:
        if "does not match" in str(error) or "time data" in str(error):
            return
        reason = str(error)
    except re.error:
        reason = "it has a part twice"
    else:
        return
    raise SettingError(f"format is a pattern of strptime such as %d/%m/%Y, but {format[:60]!r} came: {reason}.")
