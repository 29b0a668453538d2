"""From what a user calls a source to a table: found by its name, and read by whoever knows its kind."""

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lamina.core import names
from lamina.core.errors import DataError, SettingError, UnknownName
from lamina.core.settings import arguments, check
from lamina.data import repository
from lamina.data.sources import table as tables
from lamina.data.sources.frame import Table, some
from lamina.data.stacking import stacked

__all__ = ["appended", "keywords", "read"]


def read(source: Any, **settings: Any) -> tuple[Any, str | None]:
    """What a source holds, and the column it suggests as target.

    source: a path, the name of a built-in set, `gym:ID`, `hf:OWNER/NAME`, or an object (frame, arrays, records, graph,
        data set).
    Raises: DataError, UnknownName, and SettingError for a setting that the source's reader does not have.
    """
    called, source = _called(source), repository.fetched(source)
    reader, target = _reader(source)
    try:
        settings = check(reader, settings)
    except SettingError as error:
        raise SettingError(f"Reading {called}: {error}") from error
    if isinstance(source, repository.Pieces):
        return repository.read(source, **settings), target
    return reader(_place(source), **settings) if _takes_source(reader) else reader(**settings), target


def keywords(source: Any) -> list[str]:
    """The settings that the source's reader takes."""
    reader, _ = _reader(repository.fetched(source))
    return [name for name in arguments(reader) if name not in ("path", "source", "name")]


def _reader(source: Any) -> tuple[Callable[..., Any], str | None]:
    if isinstance(source, repository.Pieces):
        return tables.read, None
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


def appended(table: Table, others: Mapping[str, Any], settings: Mapping[str, Any]) -> Table:
    """The tables of the user's own splits below each other, with a `split` column that says which is which."""
    parts = [("train", table)]
    for split, source in others.items():
        if source is None:
            continue
        other, _ = read(source, **{k: v for k, v in settings.items() if k in keywords(source)})
        if not hasattr(other, "columns") or hasattr(other, "edges"):
            raise DataError(f"--{split} takes a table like the one to learn from; {_called(source)} is none.")
        parts.append((split, other))
    return stacked(parts)
