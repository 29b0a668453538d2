"""What a column is: the field that is surest of it, or why it is left out.

Besides the fields there are three answers that leave a column out: "identifier" (it names the row, so it can only be
learned by heart), "constant" and "empty".
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
from lamina.fields.number import parse
from lamina.fields.places import is_missing

__all__ = ["LEFT_OUT", "Guess", "create", "fields", "guess", "restore"]

LEFT_OUT = ("identifier", "constant", "empty")
CLASSES = 20  # a target, or a column with a label's name, of at most so many different whole numbers is a category
_LABEL = re.compile(
    r"(^|[_\W])(class|label|category|kind|type|group|species|target|cluster|code|zip|postcode)s?($|[_\W\d])", re.I
)
_IDENTIFIER = re.compile(r"(^|[_\W])(id|uuid|guid|index|rownames?|rownum|row|key|unnamed: 0|column1)($|[_\W])", re.I)


class Guess(NamedTuple):
    """A field's name (its file), or one of `LEFT_OUT`; and why, as the end of a sentence."""

    field: str
    why: str


def guess(column: Column, *, target: bool = False) -> Guess:
    """The field for a column. A target is never left out as an identifier, and few whole numbers in it are classes."""
    values = column.values
    pixels = isinstance(values, np.ndarray) and values.ndim > 1
    known = [] if pixels else [value for value in values if not is_missing(value)]
    if not pixels and not known:
        return Guess("empty", "it has no values")
    try:
        different = len(values) if pixels else len(set(known))
    except TypeError:  # arrays or lists
        different = len(known)
    if different == 1 and len(known) > 1 and not pixels:
        return Guess("constant", f'all its values are "{str(known[0])[:40]}"')
    scores = {name: kind.guess(column) for name, kind in fields().items()}
    best = max(scores, key=scores.__getitem__)
    if not scores[best]:
        return Guess("category", f"nothing else fits values like {str(known[0])[:40]!r}")
    if best == "number":
        return _of_numbers(column, known, different, target)
    if not target and best in {"category", "text"} and _names_rows(known, different):
        return Guess("identifier", f"its {len(known)} values are all different names, like {known[0]!r}")
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
        if (steps == 1).all() and numbers[0] in (0, 1):
            return Guess("identifier", f"it counts the rows, {numbers[0]:.0f} to {numbers[-1]:.0f}")
        if _IDENTIFIER.search(column.name):
            return Guess("identifier", f"its {len(known)} values are all different, and its name says so")
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
