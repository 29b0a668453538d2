"""Tables below each other: a train, a validation and a test table, or the pieces of a large one, as one table."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.data.sources.folder import SUFFIXES as PICTURES
from lamina.data.sources.frame import Table, TableColumn, some

__all__ = ["stacked"]


@dataclass
class Stacked(TableColumn):
    """A column of several tables: each value still knows the file and the row that it came from."""

    parts: Sequence[TableColumn] = ()

    def where(self, index: int) -> str:
        for part in self.parts:
            if index < len(part.values):
                return part.where(index)
            index -= len(part.values)
        return super().where(index)

    def take(self, rows: np.ndarray) -> TableColumn:
        kept = super().take(rows)
        return Picked(kept.name, kept.values, kept.source, kept.first_row, kept.lines, self, rows)


@dataclass
class Picked(TableColumn):
    """Some rows of a stacked column."""

    of: Any = None
    rows: Any = None

    def where(self, index: int) -> str:
        return self.of.where(int(self.rows[index]))

    def take(self, rows: np.ndarray) -> TableColumn:
        kept = super().take(rows)
        return Picked(kept.name, kept.values, kept.source, kept.first_row, kept.lines, self.of, self.rows[rows])


def stacked(parts: Sequence[tuple[str, Table]]) -> Table:
    """(split, table) pairs as one Table of the first one's columns; of several splits, `split` says which is which.

    Raises: DataError for a table that lacks a column of the first.
    """
    (_, first), *others = parts
    for split, other in others:
        lacking = [c for c in first.columns if c not in other.columns and c != "split"]
        if lacking:
            raise DataError(
                f"--{split} {other.source or 'data'} lacks the column{'s' if len(lacking) > 1 else ''} {some(lacking)} "
                f"that {first.source or 'the training data'} has. Both need the same columns."
            )
    tables = [table for _, table in parts]
    homes = [Path(t.source).parent for t in tables if t.source]
    home = Path(os.path.commonpath([h.absolute() for h in homes])) if len(set(homes)) > 1 else None
    columns: dict[str, TableColumn] = {}
    for name in first.columns:
        if name != "split":
            held = [table[name] for table in tables]
            values: Any = [v for c in held for v in (_moved(c, home) if home else c.values)]
            source = str(home / Path(held[0].source).name) if home else held[0].source
            if all(isinstance(c.values, np.ndarray) for c in held):
                values = np.concatenate([c.values for c in held])
            columns[name] = Stacked(name, values, source, 0, None, held)
    words = [split for split, table in parts for _ in range(table.rows)]
    if len({split for split, _ in parts}) > 1:
        columns["split"] = TableColumn("split", words, first.source, 0)
    skipped = [row for table in tables for row in table.skipped]
    return Table(columns, len(words), first.source, 0, skipped, list(first.notes))


def _moved(column: TableColumn, home: Path) -> list[Any]:
    """Paths of pictures, relative to their own table's folder, as relative to the folder above all tables."""
    own = Path(column.source).parent.absolute() if column.source else home

    def one(value: Any) -> Any:
        path = isinstance(value, str) and value.lower().endswith(PICTURES) and not Path(value).is_absolute()
        return os.path.relpath(own / value, home) if path else value

    return [one(v) for v in column.values]
