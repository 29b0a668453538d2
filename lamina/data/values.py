"""What stands in single columns that their fields cannot use, or that the split cannot: findings, as in `checks`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.data.checks import Finding
from lamina.data.codes import show
from lamina.fields._places import is_missing, of, rows
from lamina.fields.category import label
from lamina.fields.number import parse

__all__ = ["groups", "mixed", "unlearnt", "unusable"]

SINGLE = 5  # columns of which gaps are said one by one; those of more in one line
_REMEDIES = {
    "count as missing": "Mend them to have them used.",
    "labels that training lacks": "They are read as unknown; fit anew to have them told apart.",
    "missing": "Fill them in where they are known; the network is told where they are not.",
    "is read as": "Where that is wrong, say how with --set data.types.",
}


def unusable(fields: Mapping[str, Any], columns: Mapping[str, Any], *, learnt: bool = False) -> list[Finding]:
    """Values that are missing, infinite, of another kind than the column's, or read in one of two possible ways.

    Pictures are left to their reading, which lists those it cannot read. learnt: the fields are a run's; what it met in
    training too is not said again.
    """
    found: list[Finding] = []
    gaps: list[Finding] = []
    for name, column in columns.items():
        field = fields[name]
        if field.kinds[0] in ("image", *(("text",) if learnt else ())) or not hasattr(field, "check"):
            continue
        for said in field.check(column):
            what = said.removeprefix(of(column)).lstrip(": ").rstrip(".")
            if what.startswith(("is constant", "has ")):  # `checks` has its own eyes for these
                continue
            if learnt and ("is read as" in what or (what.endswith("are missing") and getattr(field, "gaps", True))):
                continue
            remedy = next((words for sign, words in _REMEDIES.items() if sign in what), "Look at it, or leave it out.")
            if learnt and what.endswith("are missing"):
                remedy = "Training lacked none, so its usual value is taken for them; fill them in."
            made = Finding("warning", what, f"Column {name!r}", remedy, column=name)
            (gaps if what.endswith("are missing") else found).append(made)
    if len(gaps) > SINGLE:
        shown = "; ".join(
            f"{f.where.removeprefix('Column ')}: {f.what.removesuffix(' values are missing')}" for f in gaps[:SINGLE]
        )
        what = f"{len(gaps)} columns have missing values ({shown}; …)"
        gaps = [Finding("warning", what, "Columns", _REMEDIES["missing"])]
    return found + gaps


def mixed(fields: Mapping[str, Any], columns: Mapping[str, Any]) -> list[Finding]:
    """Columns of words, many of which are different numbers: a number here is but a name."""
    found = []
    for name, column in columns.items():
        if fields[name].kinds[0] != "categories" or isinstance(column.values, np.ndarray):
            continue
        numbers, absent, bad = parse(column.values)
        known = numbers[~absent]
        if not bad.any() or len(known) <= 20 or len(np.unique(known)) <= 20:
            continue
        what = (
            f"{len(known)} of {len(numbers)} values are numbers, the others words like "
            f"{show(column.values[int(bad.argmax())])} ({rows(column, np.flatnonzero(bad))}), so each is read as a name"
        )
        found.append(
            Finding("warning", what, f"Column {name!r}", "Mend it to have numbers, or leave it out.", column=name)
        )
    return found


def groups(name: str, column: Any) -> list[Finding]:
    """Rows that name no group."""
    empty = np.array([is_missing(value) for value in column.values])
    if not empty.any():
        return []
    places = rows(column, np.flatnonzero(empty))
    what = f"{empty.sum():,} of {len(empty):,} rows name no group ({places}), which makes them one"
    remedy = "They stand on one side of the split together; fill the column in to have them parted."
    return [Finding("warning", what, f"Group column {name!r}", remedy, tuple(np.flatnonzero(empty)[:100].tolist()))]


def unlearnt(name: str, field: Any, column: Any, splits: Mapping[str, np.ndarray]) -> list[Finding]:
    """Classes that stand on another side of the split, and in no training row: an error."""
    if not hasattr(field, "labels") or hasattr(field, "separator"):
        return []
    words = {side: _words(column.values, where) for side, where in splits.items()}
    found = []
    for side, here in words.items():
        new = {word: i for word, i in here.items() if word not in words.get("train", {})}
        if side == "train" or not new:
            continue
        named = ", ".join(f"{word!r} ({column.where(i)})" for word, i in list(new.items())[:3]) + (
            ", …" if len(new) > 3 else ""
        )
        what = (
            f"{len(new)} class{'es stand' if len(new) > 1 else ' stands'} in no training row, but in {side!r}: {named}"
        )
        remedy = "Move some of these rows into training, merge the class with another, or drop the rows."
        found.append(Finding("error", what, f"Target {name!r}", remedy))
    return found


def _words(values: Sequence[Any], where: np.ndarray) -> dict[str, int]:
    """Each label of these rows and the first of them."""
    found: dict[str, int] = {}
    for i in where.tolist():
        if not is_missing(values[i]):
            found.setdefault(label(values[i]), i)
    return found
