"""What a column is: the field that is surest of it, or why it is left out.

Besides the fields there is None, which leaves a column out: it names the row, so that it could only be learned by
heart, or it is constant, or empty.
"""

import importlib
import pkgutil
import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import lamina.fields
from lamina.core.errors import UnknownName, did_you_mean
from lamina.core.protocols import Column, Field
from lamina.fields._places import is_missing
from lamina.fields.date import several
from lamina.fields.number import parse, written

__all__ = ["Guess", "create", "fields", "guess", "restore"]

SAMPLE = 1000  # values that every field looks at; the winner then looks at all
CLASSES = 20  # a target, or a column with a label's name, of at most so many different whole numbers is a category
_LABEL = re.compile(
    r"(^|[_\W])(class|label|category|kind|type|group|species|target|cluster|code|zip|postcode)s?($|[_\W\d])", re.I
)
_IDENTIFIER = re.compile(r"(^|[_\W])(id|uuid|guid|index|rownames?|rownum|row|key|unnamed: 0|column1)($|[_\W])", re.I)
_MEASURE = re.compile(r"^(x\d*|t|time|step|day|hour|year|position|distance|age)$", re.I)  # may well count evenly


class Guess(NamedTuple):
    """A field's name (its file), with arguments as in 'number(decimal=,)', or None to leave the column out; and why,
    as the end of a sentence."""

    field: str | None
    why: str


def guess(column: Column, *, target: bool = False) -> Guess:
    """The field for a column. A target is left out only if empty, and few whole numbers in it are classes."""
    values = column.values
    pixels = isinstance(values, np.ndarray) and values.ndim > 1
    try:
        distinct = set() if pixels else set(values)
    except TypeError:  # arrays or lists
        distinct = set()
    if distinct:
        absent = {value for value in distinct if is_missing(value)}
        known = [value for value in values if value not in absent] if absent else list(values)
        different = len(distinct) - len(absent)
    else:
        known = list(values) if pixels else [value for value in values if value is not None]
        different = len(known)
    if not known:
        return Guess(None, "it has no values")
    if distinct and different == 1 and len(known) > 1 and not target:
        return Guess(None, f'it is constant: all its values are "{str(known[0])[:40]}"')
    sample = Column(column.name, known[:: max(1, len(known) // SAMPLE)], column.source, column.first_row)
    scores = {name: kind.guess(sample) for name, kind in fields().items()}
    scores = {name: score for name, score in scores.items() if score}
    while True:  # what is surest of a sample has to be sure of the whole, too
        if not scores:
            return Guess("category", f"nothing else fits values like {str(known[0])[:40]!r}")
        best = max(scores, key=scores.__getitem__)
        whole = scores[best] if len(known) <= SAMPLE else fields()[best].guess(column)
        if whole >= min(scores[best], 0.5):
            break
        scores.pop(best)
    if best == "number":
        return _of_numbers(column, known, different, target)
    if best in {"category", "text"}:
        style = written(sample.values)
        if style is not None and written(known) == style:
            return Guess(f"number({style})", "its values are numbers written so")
        ways = [] if target else several(known)
        if ways:
            shown = f"its dates are written in {len(ways)} ways, like {ways[0]!r} and {ways[1]!r}: write them alike"
            return Guess(None, shown)
    if not target and best in {"category", "text"} and _names_rows(known, different):
        return Guess(None, f"it is an identifier: its {len(known)} values are all different names, like {known[0]!r}")
    return Guess(best, _why(best, column, different))


def fields() -> dict[str, type[Field]]:
    """Every field by its name: the files of this folder whose first public name is a class with `kinds`."""
    return dict(_fields())


def create(field: str, name: str, **settings: Any) -> Field:
    """A field by name, for the column `name`, e.g. create("category", "species")."""
    known = _fields()
    if field not in known:
        raise UnknownName(f"No field is called {field!r}.{did_you_mean(field, known)} There are: {', '.join(known)}.")
    return known[field](name, **settings)  # type: ignore[call-arg]


def restore(field: str, name: str, state: dict[str, Any]) -> Field:
    """A fitted field from its state."""
    return type(create(field, name)).restore(name, state)  # type: ignore[attr-defined]


@cache
def _fields() -> dict[str, type[Field]]:
    found = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(lamina.fields.__path__)):
        content = importlib.import_module(f"lamina.fields.{module}")
        first = getattr(content, content.__all__[0])
        if isinstance(first, type) and hasattr(first, "kinds"):
            found[module] = first
    return found


def _of_numbers(column: Column, known: list[Any], different: int, target: bool) -> Guess:
    values, absent, _ = parse(column.values)
    numbers = values[~absent]
    whole = bool((numbers == np.round(numbers)).all())
    few = whole and different <= CLASSES and len(known) >= 2 * different
    if few and target:
        return Guess("category", f"it is a target of {different} different whole numbers")
    if few and _LABEL.search(column.name):
        return Guess("category", f"its name says so, and it has {different} different whole numbers")
    if not target and whole and different == len(known) == len(values) > 20:
        steps = np.diff(numbers)
        if (steps == 1).all() and numbers[0] in (0, 1) and not _MEASURE.search(column.name):
            return Guess(None, f"it is an identifier: it counts the rows, {numbers[0]:.0f} to {numbers[-1]:.0f}")
        if _IDENTIFIER.search(column.name):
            return Guess(None, f"it is an identifier: its {len(known)} values are all different, and its name says so")
    return Guess("number", _why("number", column, different))


def _names_rows(known: list[Any], different: int) -> bool:
    """All different, and single words: codes or names of the rows, not prose."""
    if different < len(known) or len(known) < 20 or not all(isinstance(value, str) for value in known[:100]):
        return False
    return float(np.mean([len(value.split()) for value in known[:100]])) < 2.5


def _why(field: str, column: Column, different: int) -> str:
    return {
        "boolean": "it has two values, like false and true",
        "category": f"it has {different} different values",
        "date": "its values are dates",
        "image": "its values are pictures",
        "number": "its values are numbers",
        "tags": "its values are lists of tags",
        "text": "its values are mostly different and of many words",
    }.get(field, f"{field} fits best")
