"""From what a user calls a source to a data set: found, read, typed, split, encoded."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamina.core import names
from lamina.core.errors import DataError, DataWarning, SettingError, did_you_mean
from lamina.core.settings import arguments, check
from lamina.core.settings import split as split_settings
from lamina.data import checks, loader, splits, values
from lamina.data.dataset import TableData
from lamina.data.reading import appended, keywords, read
from lamina.data.sources.frame import some
from lamina.data.sources.table import Table
from lamina.fields import guess

__all__ = ["Roles", "choices", "dataset", "remark", "reopen"]

MOST_INPUTS = 20_000


@dataclass
class Roles:
    """What each column is for, which splitting follows from, and why."""

    targets: list[str]
    inputs: list[str]
    types: dict[str, str]
    weight: str | None = None
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------- typing


def choices(
    *,
    drop: Sequence[str] = (),
    inputs: Sequence[str] = (),
    types: Mapping[str, Any] | None = None,
    weight: str | None = None,
    group: str | None = None,
    time: str | None = None,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    duplicates: str = "together",
    **settings: Any,
) -> dict[str, Any]:
    """What may be said about the columns; the rest are settings of the reader (encoding, …) or of fields (size, …).

    Args:
        drop: columns to leave out. inputs: the only ones to take. types: column -> field, where the guess is wrong,
            such as 'category' or 'image(size=28)'.
        weight: column of sample weights. group: rows with equal values stay on one side. time: the latest rows test.
        fractions: shares of train, valid and test. duplicates: equal rows stay 'together', or are 'ignored'.
    """
    if duplicates not in ("together", "ignored"):
        raise SettingError(f"data.duplicates is together or ignored, but {duplicates!r} came.")
    return dict(locals())


def dataset(
    source: Any,
    *,
    target: str | Sequence[str] | None = None,
    asks: bool = True,
    valid: Any = None,
    test: Any = None,
    seed: int = 0,
    **options: Any,
) -> tuple[Any, list[str]]:
    """A data set and what was inferred on the way, a sentence each.

    Args:
        target: column(s) asked for; None takes what the source suggests. asks: whether the task has a target at all.
        valid, test: sources of the user's own splits. options: see `choices`.
    """
    asked = choices(**check(choices, options))
    settings = asked.pop("settings")
    if loader.is_loader(source):
        return loader.dataset(source, valid=valid, test=test, options=options)
    takes = keywords(source)
    reading = {k: v for k, v in settings.items() if k in takes}
    shaping = {k: v for k, v in settings.items() if k not in takes}
    opened, suggested = read(source, **reading)
    if not hasattr(opened, "columns"):  # an environment is its own data set
        return opened, list(opened.environment.notes)
    table = opened if valid is None and test is None else appended(opened, {"valid": valid, "test": test}, reading)
    targets = _targets(table, target, suggested if asks else None)
    types, weight, group, time = asked["types"] or {}, asked["weight"], asked["group"], asked["time"]
    used: dict[str, Any] = {"--target": targets} | {f"data.{k}": asked[k] for k in ("drop", "inputs")}
    used |= {"data.types": types} | {f"data.{k}": [asked[k]] for k in ("weight", "group", "time") if asked[k]}
    columns = list(table.columns)
    _known(used, columns, table.source)
    apart = {*targets, *asked["drop"]}
    apart |= {c for c in (weight, group, time, "split", suggested if not asks else None) if c}
    if group and group in asked["inputs"]:
        apart.discard(group)
    wanted = [c for c in columns if c not in apart and (not asked["inputs"] or c in asked["inputs"])]
    _not_too_many(table, wanted)
    roles = _typed(table, targets, wanted, types, suggested=not target and asks)
    roles.weight = weight
    fields = _fields(roles.types, shaping, takes)
    table, dropped = _with_answers(table, roles, fields)
    roles.notes += dropped
    how = {k: asked[k] for k in ("group", "time", "fractions", "duplicates")}
    asked_of = np.flatnonzero(~_unanswered(table, roles, fields))  # all rows, but for nodes that stay for their edges
    drawn = _split(table if len(asked_of) == table.rows else table.take(asked_of), roles, fields, seed=seed, **how)
    rows = {name: asked_of[where] for name, where in drawn.items()}
    found = _inspected(table, roles, fields, rows, seed, group)
    made = _make(table, fields, roles, rows)
    made.findings = found
    made.fit()
    if weight:
        made.weights()  # refuses bad ones before anything is made
    return made, [*table.notes, *roles.notes]


def _targets(table: Table, target: str | Sequence[str] | None, suggested: str | None) -> list[str]:
    """The columns asked for; a name with a comma in it is several, unless a column is called so."""
    asked = [target] if isinstance(target, str) else list(target or ([suggested] if suggested else []))
    found = [t.strip() for one in asked for t in (one.split(",") if one not in table.columns else [one])]
    if len(set(found)) < len(found):
        raise SettingError(f"--target names {', '.join(found)}: each column once.")
    return found


def _not_too_many(table: Table, wanted: list[str]) -> None:
    if len(wanted) > MOST_INPUTS:
        raise DataError(
            f"{table.source or 'The table'} has {len(wanted):,} input columns (for {table.rows:,} rows), and at most "
            f"{MOST_INPUTS:,} are learnt from. Name those that matter, --set data.inputs=A,B,C, or turn the table "
            "around if rows and columns are swapped."
        )


def _inspected(
    table: Table,
    roles: Roles,
    fields: Mapping[str, Any],
    rows: Mapping[str, np.ndarray],
    seed: int,
    group: str | None,
) -> list[checks.Finding]:
    """What a careful reader would remark on; an error ends the fit."""
    columns = {name: table[name] for name in [*roles.inputs, *roles.targets]}
    given = rows if "split" in table.columns else None
    found: list[checks.Finding] = []
    asked: list[str | None] = [*roles.targets] or [None]
    for name in asked:
        single = None if name and hasattr(fields[name], "separator") else name  # sets of tags are no classes
        mine = {k: c for k, c in columns.items() if k == single or k not in roles.targets}
        numeric = hasattr(fields[name], "deviation") if name else None
        found += [f for f in checks.inspect(mine, single, splits=given, numeric=numeric, seed=seed) if f not in found]
        if name:
            found += values.unlearnt(name, fields[name], table[name], rows)
    inputs = {name: table[name] for name in roles.inputs}
    found += values.groups(group, table[group]) if group else []
    found += values.unusable(fields, inputs) + values.mixed(fields, inputs)
    wrong = [str(f) for f in found if f.level == "error"]
    if wrong:
        raise DataError(f"{table.source or 'The table'}: {' '.join(wrong)}")
    return found


def _make(table: Table, fields: dict[str, Any], roles: Roles, rows: Mapping[str, np.ndarray]) -> TableData:
    kind: type[TableData] = TableData
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
        said = types.get(name) or getattr(table[name], "field", None)  # the user's word, or the source's
        if said is not None:
            found[name] = said
            continue
        kind, why = guess.guess(table[name], target=name in targets)
        if kind is None and name in targets:
            raise DataError(
                f"The target {name!r} of {table.source or 'the table'} cannot be learnt: {why}. Fill it in, or take "
                "another --target."
            )
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


def _fields(types: Mapping[str, Any], shaping: Mapping[str, Any], reader: Sequence[str]) -> dict[str, Any]:
    """A field for each column. shaping: arguments for whichever of them take it, such as size of every picture."""
    made = {name: _field(name, kind, {}) for name, kind in types.items()}
    takes = {name: [k for k in arguments(type(field)) if k != "name"] for name, field in made.items()}
    for key in shaping:
        if not any(key in own for own in takes.values()):
            known = list(dict.fromkeys([*arguments(choices), *reader, *(k for own in takes.values() for k in own)]))
            raise SettingError(
                f"--set data.{key}: neither the reader nor a field here has a setting {key!r}."
                f"{did_you_mean(key, known)} There are {', '.join(k for k in known if k != 'settings')}."
            )
    for name, kind in types.items():
        own = {k: v for k, v in shaping.items() if k in takes[name]}
        made[name] = _field(name, kind, own) if own else made[name]
    return made


def _field(name: str, kind: Any, more: Mapping[str, Any]) -> Any:
    if not isinstance(kind, str):
        return kind(name, **more) if isinstance(kind, type) else kind
    stem, _, rest = kind.partition("(")
    made: Any = guess.fields().get(stem) or names.load("fields", stem)[0]
    said = split_settings([p for p in rest.rstrip(")").split(";") if p], {"field": made})["field"]
    return made(name, **check(made, {**more, **said}))


# --------------------------------------------------------------------------------------------------------- rows


def _unanswered(table: Table, roles: Roles, fields: Mapping[str, Any]) -> np.ndarray:
    """(rows,) bool: where a target is missing."""
    missing = np.zeros(table.rows, dtype=bool)
    for name in roles.targets:
        missing |= fields[name].missing(table[name])
    return missing


def _with_answers(table: Table, roles: Roles, fields: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """The table without rows whose target is missing; too many of them is an error. Nodes all stay in their graph."""
    missing = _unanswered(table, roles, fields)
    if not missing.any():
        return table, []
    if getattr(table, "edges", None) is not None:
        if missing.all():
            raise DataError(f"{table.source}: no node has a {', '.join(roles.targets)}. Take another --target.")
        return table, [f"{missing.sum():,} nodes without a target stay in the graph and belong to no split"]
    where = [table[roles.targets[0]].where(int(i)) for i in np.flatnonzero(missing)[:5]]
    if missing.sum() > 0.5 * len(missing):
        raise DataError(
            f"The target {', '.join(roles.targets)} is missing in {int(missing.sum())} of {table.rows} rows "
            f"(first: {', '.join(where)}). Fill it in, or take another --target."
        )
    kept = np.flatnonzero(~missing)
    columns = {name: column.take(kept) for name, column in table.columns.items()}
    column = table[roles.targets[0]]
    lines = range(column.first_row, column.first_row + table.rows) if column.lines is None else column.lines
    skipped = [*table.skipped, *((int(lines[i]), "no target") for i in np.flatnonzero(missing).tolist())]
    few = int(missing.sum())
    note = f"left out {few:,} row{'s' * (few > 1)} without a target (first: {', '.join(where)})"
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
        counted = f"{table.rows} row{'s' * (table.rows != 1)}"
        raise DataError(
            f"{table.source or 'The table'} has {counted}; learning and testing need at least 4. Give more."
        )
    given = table["split"].values if "split" in table.columns else None
    groups = np.asarray([str(v) for v in table[group].values]) if group else None
    if groups is None and given is None and time is None and duplicates == "together":
        columns = {n: table[n] for n in roles.inputs}
        named = {f.column for f in checks.identifiers(columns)}
        columns = {n: c for n, c in columns.items() if n not in named}
        if columns:
            found = checks.groups_of_duplicates(columns)
            different = len(np.unique(found))
            if different < max(20, 0.05 * table.rows):
                roles.notes.append(
                    f"only {different} row{'s differ' if different > 1 else ' differs'}, so repeats are split one by "
                    "one and figures will flatter"
                )
            elif different < table.rows:
                groups = found  # said by the finding about repeated rows
    target: Any = None
    if roles.targets:
        target = np.asarray([str(v) for v in table[roles.targets[0]].values], dtype=object)
        if hasattr(fields[roles.targets[0]], "deviation"):
            target = np.asarray([float(v) for v in table[roles.targets[0]].values])
    when = table[time].values if time else None
    rows = splits.split(
        table.rows,
        target=target,
        groups=groups,
        time=when,
        given=given,
        fractions=fractions,
        seed=seed,
        where=next(iter(table.columns.values())).where,
    )
    how = "your split" if given is not None else f"by {group}" if group else f"by time, {time}" if time else "drawn"
    counts = ", ".join(f"{name} {len(where):,}" for name, where in rows.items())
    roles.notes.append(f"split {counts} ({how}; --valid, --test, --set data.group=…)")
    return rows


# ------------------------------------------------------------------------------------------------- opening it again


def reopen(source: Any, like: Mapping[str, Any], fields: dict[str, Any], **settings: Any) -> Any:
    """A source to evaluate or predict on, with a run's fitted fields; all rows stand in the split 'all'.

    like: the run's inputs, targets and weight. settings: of the reader; pixels, folder and outside of pictures, which
    no run brings along.
    """
    if loader.is_loader(source):
        return loader.reopen(source, fields)
    opened = {k: settings.pop(k) for k in ("pixels", "folder", "outside") if k in settings}
    for name, value in opened.items():
        for one in fields.values():
            if hasattr(one, name):
                setattr(one, name, value)
    table, _ = read(source, **settings)
    if not hasattr(table, "columns"):
        return table
    lacking = [name for name in like["inputs"] if name not in table.columns]
    if lacking:
        raise DataError(
            f"{table.source or 'The table'} lacks the column{'s' if len(lacking) > 1 else ''} {some(lacking)} that the "
            f"run learnt from.{did_you_mean(lacking[0], table.columns)} It has: {_few(list(table.columns))}."
        )
    roles = Roles(list(like["targets"]), list(like["inputs"]), {}, like.get("weight"))
    judged = np.arange(table.rows)
    if getattr(table, "edges", None) is not None and all(t in table.columns for t in roles.targets):
        judged = np.flatnonzero(~_unanswered(table, roles, fields))
    made = _make(table, fields, roles, {"all": judged})
    made.findings = values.unusable(fields, {name: table[name] for name in roles.inputs}, learnt=True)
    return made


def remark(data: Any) -> None:
    """Warn (DataWarning) of what a data set to evaluate or predict on lacks: values not used, rows left out."""
    for finding in getattr(data, "findings", []):
        warnings.warn(str(finding), DataWarning, stacklevel=3)
    skipped = list(getattr(data, "skipped", []))
    if skipped:
        where, why = skipped[0]
        more = f", … and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        count = f"{len(skipped):,} row{'s' * (len(skipped) > 1)}"
        warnings.warn(f"{data.name}: left out {count}: {where} ({why}){more}", DataWarning, stacklevel=3)
