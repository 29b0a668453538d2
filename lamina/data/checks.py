"""What is wrong with a table, found before the first step: each finding says what, where, and what to do.

Columns are raw values (lists, arrays, or `Column`s that know their file's rows); None, nan, '' and 'NA' are missing.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.data.codes import code, groups_of_duplicates, is_number, show
from lamina.data.leakage import giveaways

__all__ = [
    "Finding", "classes", "constants", "duplicates", "groups_of_duplicates", "identifiers", "inspect", "leakage",
    "missing_targets",
]  # fmt: skip

IMBALANCE = 20  # rows of the largest class for each of the smallest


@dataclass(frozen=True)
class Finding:
    """level: 'error' (nothing can be learned) or 'warning'. rows: where it is about rows, counted from 0.

    column: where it is about an input column.
    """

    level: str
    what: str
    where: str
    remedy: str
    rows: tuple[int, ...] = ()
    column: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


def inspect(
    columns: Mapping[str, Any],
    target: str | None = None,
    *,
    splits: Mapping[str, np.ndarray] | None = None,
    numeric: bool | None = None,
    seed: int = 0,
) -> list[Finding]:
    """All findings over a table, errors first.

    columns: inputs and the target, by name. splits: row numbers by side. numeric: whether the target is a number;
    None guesses (more than 20 distinct numbers).
    """
    inputs = {name: c for name, c in columns.items() if name != target}
    names = identifiers(inputs)
    found = constants(inputs) + names
    if target is not None:
        known = code(columns[target])
        found += missing_targets(target, columns[target])
        if known is not None and not (is_number(known) if numeric is None else numeric):
            found += classes(target, columns[target])
        found += leakage(inputs, target, columns[target], numeric=numeric, seed=seed)
    telling = {name: c for name, c in inputs.items() if name not in {f.column for f in names}}
    found += duplicates(telling, splits)
    return sorted(found, key=lambda f: f.level != "error")


def constants(columns: Mapping[str, Any]) -> list[Finding]:
    """Columns that hold one value, or none."""
    found = []
    for name, column in columns.items():
        coded = code(column)
        if coded is None or len(coded.levels) > 1 or ((coded.codes < 0).any() and len(coded.levels) == 1):
            continue  # one value and gaps: that a value is there may tell something
        what = f"every row holds {show(coded.levels[0])}" if len(coded.levels) else "every row is empty"
        found.append(Finding("warning", what, f"Column {name!r}", "It tells nothing; leave it out.", column=name))
    return found


def identifiers(columns: Mapping[str, Any]) -> list[Finding]:
    """Columns that number or name the rows: whole numbers without gaps, distinct words in a column named like an id."""
    found = []
    for name, column in columns.items():
        coded = code(column)
        if coded is None or len(coded.codes) < 20:
            continue
        n = len(coded.codes)
        named = _sounds_like_id(name)
        if coded.numbers is not None:
            if len(coded.levels) < n or not (coded.numbers == np.floor(coded.numbers)).all():
                continue
            dense = coded.numbers.max() - coded.numbers.min() + 1 <= 1.1 * n
            what = f"its {n:,} whole numbers are all different" if named or dense else ""
        else:
            share = len(coded.levels) / n
            single = not any(c.isspace() for level in coded.levels[:200] for c in str(level).strip())
            what = f"{len(coded.levels):,} different words in {n:,} rows" if named and single and share > 0.5 else ""
        if what:
            remedy = "It names rows rather than describes them; leave it out, or group the split by it."
            found.append(Finding("warning", what, f"Column {name!r}", remedy, column=name))
    return found


def missing_targets(name: str, column: Any) -> list[Finding]:
    """Rows without a target: an error where no row has one."""
    coded = code(column)
    empty = np.flatnonzero(coded.codes < 0) if coded is not None else np.array([], int)
    if coded is None or not len(empty):
        return []
    where = f"Target {name!r}"
    if len(empty) == len(coded.codes):
        remedy = "Name another column with --target."
        return [Finding("error", f"all {len(empty):,} values are missing", where, remedy)]
    what = f"{len(empty):,} of {len(coded.codes):,} values are missing ({_rows(column, empty)})"
    return [
        Finding("warning", what, where, "These rows are left out; fill them in to use them.", tuple(empty.tolist()))
    ]


def classes(name: str, column: Any) -> list[Finding]:
    """A single class (an error), classes of one sample, and classes of very different sizes."""
    coded = code(column)
    if coded is None or not len(coded.levels):
        return []
    where, counts = f"Target {name!r}", np.bincount(coded.codes[coded.codes >= 0], minlength=len(coded.levels))
    if len(counts) == 1:
        what = f"all {counts[0]:,} rows are of one class, {show(coded.levels[0])}"
        return [Finding("error", what, where, "Give rows of at least two classes, or name another target.")]
    found = []
    alone = np.flatnonzero(counts == 1)
    if len(alone):
        rows = np.array([int(np.argmax(coded.codes == c)) for c in alone[:10]])
        named = ", ".join(show(coded.levels[c]) for c in alone[:5]) + (", …" if len(alone) > 5 else "")
        have = "has" if len(alone) == 1 else "have"
        what = (
            f"{len(alone):,} of {len(counts):,} classes {have} one sample: {named} ({_rows(column, rows, len(alone))})"
        )
        remedy = "They can be learned but not tested; merge them, drop them, or give more samples."
        found.append(Finding("warning", what, where, remedy, tuple(rows.tolist())))
    most, least = int(counts.argmax()), int(np.where(counts > 1, counts, counts.max()).argmin())
    if counts[most] >= IMBALANCE * counts[least]:
        what = (
            f"classes are uneven: {counts[most]:,} rows of {show(coded.levels[most])}, "
            f"{counts[least]:,} of {show(coded.levels[least])}"
        )
        remedy = f"Always saying the first is right in {counts.max() / counts.sum():.1%} of rows: judge by f1 or auroc."
        found.append(Finding("warning", what, where, remedy))
    return found


def duplicates(columns: Mapping[str, Any], splits: Mapping[str, np.ndarray] | None = None) -> list[Finding]:
    """Rows that repeat another row, and rows of one split that repeat rows of another."""
    group = groups_of_duplicates(columns)
    if not len(group):
        return []
    found = []
    extra = len(group) - int(group.max()) - 1
    if extra:
        again = np.ones(len(group), bool)
        again[np.unique(group, return_index=True)[1]] = False
        rows = np.flatnonzero(again)
        column = next(iter(columns.values()))
        what = f"{extra:,} of {len(group):,} rows repeat an earlier one in all inputs ({_rows(column, rows)})"
        remedy = "Drop them, or see that they stand on one side of your split."
        if splits is None:
            remedy = "Repeats are kept on one side of the split."
        found.append(Finding("warning", what, "Rows", remedy, tuple(rows[:100].tolist())))
    sides = {name: np.asarray(rows) for name, rows in (splits or {}).items()}
    for one, other in itertools.combinations(sides, 2):
        twins = np.isin(group[sides[other]], group[sides[one]])
        if twins.any():
            where = sides[other][twins]
            what = f"{len(where):,} of its {len(twins):,} rows stand in {one!r} too"
            remedy = "Scores on them are too good; drop them, or let the split be made for you."
            found.append(Finding("warning", what, f"Split {other!r}", remedy, tuple(where[:100].tolist())))
    return found


def leakage(
    columns: Mapping[str, Any], name: str, target: Any, *, numeric: bool | None = None, seed: int = 0
) -> list[Finding]:
    """Columns that alone predict the target on rows that they were not fitted on; see `giveaways` for when."""
    remedy = "If it is not known when predictions are made, it is the answer in disguise: leave it out."
    found = giveaways(columns, name, target, numeric=numeric, seed=seed)
    return [Finding("warning", how, f"Column {c!r}", remedy, column=c) for c, how in found.items()]


def _sounds_like_id(name: str) -> bool:
    word = name.strip().lower().replace("-", "_").replace(" ", "_")
    return word in {"index", "rownames", "rowname", "row", "key", "uuid", "guid"} or word.endswith(
        ("_id", "id", "_uuid")
    )


def _rows(column: Any, rows: np.ndarray, total: int | None = None) -> str:
    """'rows 12, 80, 81 of train.csv', the first ten; counted from 0 where the column knows no file."""
    total = len(rows) if total is None else total
    first = getattr(column, "first_row", None)
    lines = getattr(column, "lines", None)
    places = [int(r) + (first or 0) if lines is None else int(lines[r]) for r in rows[:10]]
    shown = ", ".join(map(str, places)) + (", …" if total > 10 else "")
    source = getattr(column, "source", "")
    tail = f" of {source}" if source else ""
    return f"row{'s' if total > 1 else ''} {shown}{tail}" + ("" if first is not None else ", counted from 0")
