"""A table in memory: equal columns that know where each value came from; made from frames, arrays and dicts.

Accepted: a pandas, polars or other frame with columns; a dict of columns; a list of dicts; a 2-D array, or (X, y); an
array of pictures (uint8, three or four axes), or (pictures, y). Tensors count as arrays. Rows are counted from 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamina.core.errors import DataError, did_you_mean
from lamina.core.protocols import Column

__all__ = ["Table", "TableColumn", "column_values", "is_frame", "read", "some", "unique"]


@dataclass
class TableColumn(Column):
    """A column that knows the line of each value, also after rows were left out or picked."""

    lines: Any = None  # a sequence of ints; None counts on from first_row

    def where(self, index: int) -> str:
        if self.lines is None:
            return super().where(index)
        return f"row {self.lines[index]}" + (f" of {self.source}" if self.source else "")

    def take(self, rows: np.ndarray) -> "TableColumn":
        """The same column with only these rows (indexes), in this order."""
        if isinstance(self.values, np.ndarray):
            values: Sequence[Any] = self.values[rows]
        else:
            values = [self.values[i] for i in rows.tolist()]
        first, lines = self.first_row, self.lines
        lines = rows + first if lines is None else np.asarray(lines)[rows]
        return TableColumn(self.name, values, self.source, first, lines)


@dataclass
class Table:
    """Columns of equal length and where they came from.

    rows: how many. skipped: (line, reason) of each row left out. notes: what was inferred, a sentence each.
    """

    columns: dict[str, TableColumn]
    rows: int
    source: str = ""
    first_row: int = 2
    skipped: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> TableColumn:
        if name not in self.columns:
            near = did_you_mean(name, self.columns) or f" It has {some(list(self.columns))}."
            raise DataError(f"{self.source or 'The table'} has no column {name!r}.{near}")
        return self.columns[name]

    def take(self, rows: Any) -> "Table":
        """The same table with only these rows: indexes, or a mask."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(
            columns,
            len(rows),
            self.source,
            self.first_row,
            list(self.skipped),
            list(self.notes),
        )


def is_frame(source: Any) -> bool:
    """Is this something that `read` here takes?"""
    if isinstance(source, str | bytes):
        return False
    if isinstance(source, tuple):
        return len(source) == 2 and all(_is_array(part) for part in source)
    if isinstance(source, list):
        return bool(source) and all(isinstance(item, Mapping) for item in source)
    return isinstance(source, Mapping | Table) or _is_array(source) or hasattr(source, "columns")


def read(source: Any, *, name: str = "") -> Table:
    """Anything of the kinds above as a Table; `name` is what messages call it."""
    if isinstance(source, Table):
        return source
    named = name or "The table"
    columns: dict[str, Any] = {}
    if isinstance(source, tuple) and len(source) == 2:
        columns = _arrays(named, source[0], "x") | _arrays(named, source[1], "y")
    elif isinstance(source, list) and source and all(isinstance(item, Mapping) for item in source):
        keys = dict.fromkeys(key for item in source for key in item)
        columns = {str(key): [item.get(key) for item in source] for key in keys}
    elif isinstance(source, Mapping):
        unique(named, [str(key) for key in source])
        columns = {str(key): values for key, values in source.items()}
    elif hasattr(source, "columns"):
        names = [str(key) for key in source.columns]
        unique(named, names)
        columns = {n: source[key] for n, key in zip(names, source.columns, strict=True)}
    elif _is_array(source):
        columns = _arrays(named, source, "x")
    else:
        raise DataError(
            f"{type(source).__name__} is no table. Give a path, a frame of pandas or polars, a dict of columns, a list "
            f"of dicts, a 2-D array, or (X, y)."
        )
    made = {n: column_values(values, where=f"Column {n!r} of {name or 'the table'}") for n, values in columns.items()}
    lengths = {n: len(values) for n, values in made.items()}
    if not lengths or not max(lengths.values()):
        raise DataError(f"{named} has {len(made)} columns and no rows.")
    usual = Counter(lengths.values()).most_common(1)[0][0]
    for n, count in lengths.items():
        if count != usual:
            raise DataError(f"{named} has {usual} rows, but column {n!r} has {count} values. Give each as many.")
    return Table({n: TableColumn(n, values, name, 0) for n, values in made.items()}, usual, name, 0, [], [])


def column_values(values: Any, where: str = "A column") -> Sequence[Any]:
    """One column as an array of numbers, or as a list with None where a value is missing."""
    dtype = str(getattr(values, "dtype", ""))
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().numpy()
    elif hasattr(values, "to_numpy") and hasattr(values, "name"):  # a series
        plain = dtype.lower().startswith(("int", "uint", "float")) and not _nulls(values)
        if plain:
            values = np.asarray(values.to_numpy())
        elif hasattr(values, "to_list"):
            values = values.to_list()
    elif hasattr(values, "tolist") and not isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim > 1:
            return list(values)
        if values.ndim == 0:
            raise DataError(f"{where} is a single value, where a value for each row was expected.")
        if values.dtype.kind in "iuf":
            return values
        values = values.tolist() if values.dtype.kind != "M" else values.astype("datetime64[us]").tolist()
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise DataError(f"{where} is {type(values).__name__}, where a list of values was expected.")
    return [None if _is_missing(v) else v for v in values]


def unique(source: Any, names: list[str]) -> list[str]:
    """The names, or a DataError where one stands twice."""
    if len(set(names)) < len(names):
        twice = [name for name, times in Counter(names).items() if times > 1]
        places = [str(i) for i, name in enumerate(names, 1) if name == twice[0]]
        raise DataError(
            f"{source} has {len(twice)} column name{'s' * (len(twice) > 1)} more than once: {some(twice)} "
            f"({twice[0]!r} stands over columns {' and '.join(places[:3])}). Rename one of them."
        )
    return names


def some(names: Sequence[str], most: int = 5) -> str:
    """'a', 'b' and 7 more."""
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) >= 1


def _nulls(series: Any) -> bool:
    if hasattr(series, "null_count"):
        return bool(series.null_count())
    return bool(series.isna().any()) and str(series.dtype)[:1].isupper()  # numpy's floats keep nan, nullable ones not


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, str) and value == ""):
        return True
    return type(value).__name__ in {"NAType", "NaTType"} or (isinstance(value, float) and value != value)


def _arrays(named: str, values: Any, prefix: str) -> dict[str, Any]:
    """Columns of an array: x0, x1, … of two axes, one column of pictures of three or four."""
    if hasattr(values, "columns"):
        return {str(key): values[key] for key in values.columns}
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
    if values.ndim == 1:
        return {prefix: values}
    if values.ndim == 2:
        if values.shape[1] == 1:
            return {prefix: values[:, 0]}
        return {f"{prefix}{i}": values[:, i] for i in range(values.shape[1])}
    if values.ndim in (3, 4) and values.dtype == np.uint8:
        return {"image" if prefix == "x" else prefix: list(values)}
    raise DataError(
        f"{named} is an array of shape {values.shape} and type {values.dtype}. Two axes are a table; three or four "
        f"of uint8 are pictures: (count, height, width[, channels])."
    )
