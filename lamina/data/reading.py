"""From what a user calls a source to a table: found by its name, and read by whoever knows its kind."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core import names
from lamina.core.errors import DataError, SettingError, UnknownName
from lamina.core.settings import arguments, check
from lamina.data.sources.folder import SUFFIXES as PICTURES
from lamina.data.sources.frame import Table, TableColumn, some

__all__ = ["appended", "keywords", "read"]


def read(source: Any, **settings: Any) -> tuple[Any, str | None]:
    """What a source holds, and the column it suggests as target.

    source: a path, the name of a built-in set, `gym:ID`, or an object (frame, arrays, records, graph, data set).
    Raises: DataError, UnknownName, and SettingError for a setting that the source's reader does not have.
    """
    reader, target = _reader(source)
    try:
        settings = check(reader, settings)
    except SettingError as error:
        raise SettingError(f"Reading {_called(source)}: {error}") from error
    return reader(_place(source), **settings) if _takes_source(reader) else reader(**settings), target


def keywords(source: Any) -> list[str]:
    """The settings that the source's reader takes."""
    reader, _ = _reader(source)
    return [name for name in arguments(reader) if name not in ("path", "source", "name")]


def _reader(source: Any) -> tuple[Callable[..., Any], str | None]:
    if not isinstance(source, str | Path):
        return _object(source), None
    text = str(source)
    if not text.strip():
        raise DataError("The source is empty. Name a file, a folder, or a built-in such as digits.")
    if text.startswith("gym:"):
        return _environment, None
    path = Path(text)
    if not path.exists() and "/" not in text and os.sep not in text and "." not in text:
        try:
            found = names.find("data/builtin", text)
        except UnknownName as error:
            raise UnknownName(f"There is no file or folder {text} here, and: {error}") from None
        module = importlib.import_module(found.entry.module)
        return module.read, getattr(module, "TARGET", None)
    modules = {entry.name: importlib.import_module(entry.module) for entry in names.shelf("data/sources").values()}
    scores = {n: m.sniff(path) if path.exists() else 0.0 for n, m in modules.items() if hasattr(m, "sniff")}
    best = max(scores, key=lambda name: scores[name])
    if path.exists() and not scores[best]:
        raise DataError(_nothing(path))
    module = modules[best if scores[best] else "table"]  # the table's message about a missing path is the one to give
    return module.read, getattr(module, "TARGET", None)


def _nothing(path: Path) -> str:
    held = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    what = "is an empty folder" if path.is_dir() and not held else "is nothing that can be read"
    if held:
        what = f"is a folder in which nothing can be read (it holds {some(held)})"
    elif path.is_file() and not path.stat().st_size:
        what = "is empty (0 bytes)"
    return (
        f"{path} {what}. Expected a table (CSV, TSV, JSON lines, Parquet), a folder of pictures, text, "
        "or a graph (nodes.csv and edges.csv)."
    )


def _environment(source: str, **settings: Any) -> Any:
    from lamina.data import acting, environment

    return acting.ActingData(environment.open(source, **settings))


def _object(source: Any) -> Callable[..., Any]:
    from lamina.data import loader
    from lamina.data.sources import frame, graph

    if hasattr(source, "nodes") and hasattr(source, "edges"):
        return graph.read
    if loader.is_dataset(source):
        return loader.read
    return loader.tensors if isinstance(source, tuple) else frame.read


def _takes_source(reader: Callable[..., Any]) -> bool:
    return next(iter(arguments(reader)), "") in ("path", "source")


def _place(source: Any) -> Any:
    return Path(source) if isinstance(source, str) and not source.startswith("gym:") else source


def _called(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"


# --------------------------------------------------------------------------------------------- one below the other


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


def appended(table: Table, others: Mapping[str, Any], settings: Mapping[str, Any]) -> Table:
    """The tables of the user's own splits below each other, with a `split` column that says which is which."""
    parts = {"train": table}
    for split, source in others.items():
        if source is None:
            continue
        other, _ = read(source, **{k: v for k, v in settings.items() if k in keywords(source)})
        if not hasattr(other, "columns") or hasattr(other, "edges"):
            raise DataError(f"--{split} takes a table like the one to learn from; {_called(source)} is none.")
        lacking = [c for c in table.columns if c not in other.columns and c != "split"]
        if lacking:
            raise DataError(
                f"--{split} {other.source or 'data'} lacks the column{'s' if len(lacking) > 1 else ''} {some(lacking)} "
                f"that {table.source or 'the training data'} has. Both need the same columns."
            )
        parts[split] = other
    homes = [Path(p.source).parent for p in parts.values() if p.source]
    home = Path(os.path.commonpath([h.absolute() for h in homes])) if len(set(homes)) > 1 else None
    columns: dict[str, TableColumn] = {}
    for name in table.columns:
        if name != "split":
            held = [part[name] for part in parts.values()]
            values: Any = [v for c in held for v in (_moved(c, home) if home else c.values)]
            source = str(home / Path(held[0].source).name) if home else held[0].source
            if all(isinstance(c.values, np.ndarray) for c in held):
                values = np.concatenate([c.values for c in held])
            columns[name] = Stacked(name, values, source, 0, None, held)
    words = [name for name, part in parts.items() for _ in range(part.rows)]
    columns["split"] = TableColumn("split", words, table.source, 0)
    skipped = [row for part in parts.values() for row in part.skipped]
    return Table(columns, len(words), table.source, 0, skipped, list(table.notes))


def _moved(column: TableColumn, home: Path) -> list[Any]:
    """Paths of pictures, relative to their own table's folder, as relative to the folder above all tables."""
    own = Path(column.source).parent.absolute() if column.source else home

    def one(value: Any) -> Any:
        path = isinstance(value, str) and value.lower().endswith(PICTURES) and not Path(value).is_absolute()
        return os.path.relpath(own / value, home) if path else value

    return [one(v) for v in column.values]
