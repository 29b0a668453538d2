"""From what a user calls a source to a data set: found, read, typed, split, encoded."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core import names
from lamina.core.errors import DataError, SettingError, did_you_mean
from lamina.core.settings import check
from lamina.core.settings import split as split_settings
from lamina.data import checks, splits
from lamina.data.dataset import TableData
from lamina.data.sources.table import Table, TableColumn
from lamina.fields import guess

__all__ = ["Roles", "dataset", "read", "reopen"]


@dataclass
class Roles:
    """What each column is for, which splitting follows from, and why."""

    targets: list[str]
    inputs: list[str]
    types: dict[str, str]
    weight: str | None = None
    notes: list[str] = field(default_factory=list)


# --------------------------------------------------------------------------------------------------------- reading


def read(source: Any, **settings: Any) -> tuple[Any, str | None]:
    """What a source holds, and the column it suggests as target.

    source: a path, the name of a built-in set, `gym:ID`, or an object (frame, arrays, records, graph).
    """
    if not isinstance(source, str | Path):
        return _object(source, settings), None
    text = str(source)
    if text.startswith("gym:"):
        from lamina.data import acting, environment

        return acting.ActingData(environment.open(text, **settings)), None
    if not Path(text).exists() and "/" not in text and "." not in text:
        module = importlib.import_module(names.find("data/builtin", text).entry.module)
        return module.read(**settings), getattr(module, "TARGET", None)
    scores = {}
    for entry in names.shelf("data/sources").values():
        module = importlib.import_module(entry.module)
        if hasattr(module, "sniff"):
            scores[entry.name] = (module.sniff(Path(text)) if Path(text).exists() else 0.0, module)
    best = max(scores, key=lambda name: scores[name][0])
    score, module = scores[best]
    if Path(text).exists() and not score:
        raise DataError(
            f"{text} is nothing that can be read: neither a table (CSV, TSV, JSON lines, Parquet), a folder of pictures, "
            "a text nor a graph (nodes.csv and edges.csv)."
        )
    module = module if score else scores["table"][1]  # whose message about a missing path is the one to give
    return module.read(Path(text), **_taken(module.read, settings, text)), getattr(module, "TARGET", None)


def _taken(reader: Any, settings: dict[str, Any], source: str) -> dict[str, Any]:
    try:
        return check(reader, settings)
    except SettingError as error:
        raise SettingError(f"Reading {source}: {error}") from error


def _object(source: Any, settings: dict[str, Any]) -> Any:
    from lamina.data.sources import frame, graph

    if hasattr(source, "nodes") and hasattr(source, "edges"):
        return graph.read(source, **settings)
    return frame.read(source, **settings)


# ---------------------------------------------------------------------------------------------------------- typing


def dataset(
    source: Any,
    *,
    target: str | Sequence[str] | None = None,
    asks: bool = True,
    valid: Any = None,
    test: Any = None,
    seed: int = 0,
    drop: Sequence[str] = (),
    inputs: Sequence[str] = (),
    types: Mapping[str, Any] | None = None,
    weight: str | None = None,
    group: str | None = None,
    time: str | None = None,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    duplicates: str = "together",
    **settings: Any,
) -> tuple[Any, list[str]]:
    """A data set and what was inferred on the way, a sentence each.

    Args:
        target: column(s) asked for; None takes what the source suggests. asks: whether the task has a target at all.
        valid, test: sources of the user's own splits.
        drop: columns to leave out. inputs: the only ones to take. types: column -> field, where the guess is wrong.
        weight: column of sample weights. group: rows with equal values stay on one side. time: the latest rows test.
        fractions: shares of train, valid and test. duplicates: equal rows stay 'together', or are 'ignored'.
        settings: keywords of the source's reader (encoding, delimiter, …).
    """
    opened, suggested = read(source, **settings)
    if not hasattr(opened, "columns"):  # an environment is its own data set
        return opened, list(opened.environment.notes)
    table = opened
    if valid is not None or test is not None:
        table = _appended(table, {"valid": valid, "test": test}, settings)
    columns = list(table.columns)
    asked = [target] if isinstance(target, str) else list(target or ([suggested] if suggested and asks else []))
    targets = [t.strip() for one in asked for t in (one.split(",") if one not in columns else [one])]
    used: dict[str, Any] = {"--target": targets, "data.drop": drop, "data.inputs": inputs, "data.types": types or {}}
    used |= {f"data.{k}": [v] for k, v in {"weight": weight, "group": group, "time": time}.items() if v}
    _known(used, columns, table.source)
    apart = {*targets, *drop, *(c for c in (weight, group, time, "split", suggested if not asks else None) if c)}
    if group and group in inputs:
        apart.discard(group)
    wanted = [c for c in columns if c not in apart and (not inputs or c in inputs)]
    roles = _typed(table, targets, wanted, types or {}, suggested=not target and asks)
    roles.weight = weight
    fields = {name: _field(name, kind) for name, kind in roles.types.items()}
    table, dropped = _with_answers(table, roles, fields)
    roles.notes += dropped
    rows = _split(table, roles, fields, seed=seed, group=group, time=time, fractions=fractions, duplicates=duplicates)
    made = _make(table, fields, roles, rows)
    made.fit()
    return made, [*table.notes, *roles.notes]


def _make(table: Table, fields: dict[str, Any], roles: Roles, rows: Mapping[str, np.ndarray]) -> TableData:
    kind = TableData
    if getattr(table, "edges", None) is not None:
        from lamina.data.graph import GraphData

        kind = GraphData
    return kind(table, fields, inputs=roles.inputs, targets=roles.targets, splits=rows, weight=roles.weight)


def _known(used: Mapping[str, Any], columns: list[str], source: str) -> None:
    for option, given in used.items():
        for name in given:
            if name not in columns:
                shown = ", ".join(columns[:12]) + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
                raise DataError(
                    f"{option}: {source or 'the table'} has no column {name!r}.{did_you_mean(name, columns)} "
                    f"Its columns: {shown}."
                )


def _typed(table: Table, targets: list[str], wanted: list[str], types: Mapping[str, Any], *, suggested: bool) -> Roles:
    notes = []
    if targets and suggested:
        notes.append(f"target {targets[0]!r}: the source's own (--target)")
    found: dict[str, str] = {}
    for name in [*targets, *wanted]:
        if name in types:
            found[name] = types[name]
            continue
        kind, why = guess.guess(table[name], target=name in targets)
        if kind is None:
            notes.append(f"left out {name!r}: {why} (--set data.types={{{name!r}: 'category'}} to use it all the same)")
            continue
        found[name] = kind
    inputs = [name for name in wanted if name in found]
    if not inputs:
        raise DataError(
            f"{table.source or 'The table'} leaves no column to learn from: of {', '.join(table.columns)}, "
            f"{', '.join(targets) or 'none'} is the target and the rest is left out. {' '.join(notes)}"
        )
    by_kind: dict[str, list[str]] = {}
    for name in inputs:
        by_kind.setdefault(str(found[name]), []).append(name)
    listing = "; ".join(f"{kind}: {_few(cols)}" for kind, cols in by_kind.items())
    notes.insert(0, f"inputs {listing} (--set data.types=…)")
    return Roles(targets, inputs, found, notes=notes)


def _few(columns: list[str]) -> str:
    return ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def _field(name: str, kind: Any) -> Any:
    if not isinstance(kind, str):
        return kind(name) if isinstance(kind, type) else kind
    stem, _, rest = kind.partition("(")
    made = guess.fields().get(stem) or names.load("fields", stem)[0]
    own = split_settings([p for p in rest.rstrip(")").split(";") if p], {"field": made})["field"]
    return made(name, **own)


# --------------------------------------------------------------------------------------------------------- rows


def _appended(table: Table, others: Mapping[str, Any], settings: dict[str, Any]) -> Table:
    """The tables below each other, with a `split` column that says which is which."""
    parts = {"train": table}
    for split, source in others.items():
        if source is not None:
            other, _ = read(source, **settings)
            lacking = [c for c in table.columns if c not in other.columns and c != "split"]
            if lacking:
                raise DataError(
                    f"--{split} {other.source} lacks the column{'s' if len(lacking) > 1 else ''} {_few(lacking)} that "
                    f"{table.source} has. Both need the same columns."
                )
            parts[split] = other
    columns = {}
    for name in table.columns:
        if name != "split":
            values = [v for part in parts.values() for v in part[name].values]
            lines = [line for part in parts.values() for line in _lines(part[name])]
            columns[name] = TableColumn(name, values, " + ".join(p.source for p in parts.values()), 0, lines)
    split = [name for name, part in parts.items() for _ in range(part.rows)]
    columns["split"] = TableColumn("split", split, table.source, 0)
    skipped = [row for part in parts.values() for row in part.skipped]
    return Table(columns, len(split), table.source, 0, skipped, list(table.notes))


def _lines(column: TableColumn) -> Sequence[int]:
    return column.lines if column.lines is not None else range(column.first_row, column.first_row + len(column.values))


def _with_answers(table: Table, roles: Roles, fields: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """The table without rows whose target is missing; too many of them is an error."""
    if not roles.targets or getattr(table, "edges", None) is not None:
        return table, []
    missing = np.zeros(table.rows, dtype=bool)
    for name in roles.targets:
        missing |= fields[name].missing(table[name])
    if not missing.any():
        return table, []
    where = [table[roles.targets[0]].where(int(i)) for i in np.flatnonzero(missing)[:5]]
    if missing.sum() > 0.5 * len(missing):
        raise DataError(
            f"The target {', '.join(roles.targets)} is missing in {int(missing.sum())} of {table.rows} rows "
            f"(first: {', '.join(where)}). Fill it in, or take another --target."
        )
    kept = np.flatnonzero(~missing)
    columns = {name: column.take(kept) for name, column in table.columns.items()}
    skipped = [*table.skipped, *((int(i), "no target") for i in np.flatnonzero(missing))]
    note = f"left out {int(missing.sum())} rows without a target (first: {', '.join(where)})"
    return Table(columns, len(kept), table.source, table.first_row, skipped, table.notes), [note]


def _split(
    table: Table,
    roles: Roles,
    fields: dict[str, Any],
    *,
    seed: int,
    group: str | None,
    time: str | None,
    fractions: tuple[float, float, float],
    duplicates: str,
) -> dict[str, np.ndarray]:
    if table.rows < 4:
        raise DataError(f"{table.source or 'The table'} has {table.rows} rows; learning and testing need at least 4.")
    given = table["split"].values if "split" in table.columns else None
    groups = np.asarray([str(v) for v in table[group].values]) if group else None
    if groups is None and given is None and time is None and duplicates == "together":
        columns = {n: table[n] for n in roles.inputs}
        if all(hasattr(c.values, "__len__") and not hasattr(_first(c), "shape") for c in columns.values()):
            found = checks.groups_of_duplicates(columns)
            if len(np.unique(found)) < table.rows:
                groups = found
                extra = table.rows - len(np.unique(found))
                roles.notes.append(
                    f"{extra} rows repeat others; repeats stay on one side (--set data.duplicates=ignored)"
                )
    target = None
    if roles.targets:
        target = np.asarray([str(v) for v in table[roles.targets[0]].values], dtype=object)
        if hasattr(fields[roles.targets[0]], "deviation"):
            target = np.asarray([float(v) for v in table[roles.targets[0]].values])
    when = table[time].values if time else None
    rows = splits.split(
        table.rows, target=target, groups=groups, time=when, given=given, fractions=fractions, seed=seed
    )
    how = "your split" if given is not None else f"by {group}" if group else f"by time, {time}" if time else "drawn"
    counts = ", ".join(f"{name} {len(where):,}" for name, where in rows.items())
    roles.notes.append(f"split {counts} ({how}; --valid, --test, --set data.group=…)")
    return rows


def _first(column: TableColumn) -> Any:
    return column.values[0] if len(column.values) else None


# ------------------------------------------------------------------------------------------------- opening it again


def reopen(source: Any, like: Mapping[str, Any], fields: dict[str, Any], **settings: Any) -> Any:
    """A source to evaluate or predict on, with a run's fitted fields; all rows stand in the split 'all'.

    like: the run's inputs, targets and weight.
    """
    table, _ = read(source, **settings)
    if not hasattr(table, "columns"):
        return table
    lacking = [name for name in like["inputs"] if name not in table.columns]
    if lacking:
        raise DataError(
            f"{table.source or 'The table'} lacks the column{'s' if len(lacking) > 1 else ''} {_few(lacking)} that the "
            f"run learnt from.{did_you_mean(lacking[0], table.columns)} It has: {_few(list(table.columns))}."
        )
    roles = Roles(list(like["targets"]), list(like["inputs"]), {}, like.get("weight"))
    return _make(table, fields, roles, {"all": np.arange(table.rows)})
