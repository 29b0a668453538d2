"""How messages name a column and its rows, and which raw values count as missing."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from lamina.core.protocols import Column

__all__ = ["MISSING", "is_missing", "of", "rows", "values_at"]

# Words that stand for "no value" wherever they are met; "none" is not among them, because it is a good label.
MISSING = frozenset(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL", "Null"])


def is_missing(value: Any) -> bool:
    """None, a NaN, or one of the words of `MISSING`, white space aside."""
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip() in MISSING
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in {"NAType", "NaTType"} or (type(value).__name__ == "datetime64" and value != value)


def of(column: Column) -> str:
    """'Column "price" of houses.csv'."""
    return f'Column "{column.name}"' + (f" of {column.source}" if column.source else "")


def rows(column: Column, indexes: Iterable[int], most: int = 3) -> str:
    """'row 12', or 'rows 12, 80, 81 and 9 more', as the file counts them."""
    indexes = list(indexes)
    numbers = [column.where(int(i)).removeprefix("row ").split(" of ", 1)[0] for i in indexes[:most]]
    more = f" and {len(indexes) - most} more" if len(indexes) > most else ""
    return ("row " if len(indexes) == 1 else "rows ") + ", ".join(numbers) + more


def values_at(values: Sequence[Any], indexes: Iterable[int], most: int = 3) -> str:
    """'"lynx", "ocelot"': the first few different values at these places."""
    found = list(dict.fromkeys(str(values[int(i)])[:60] for i in indexes))
    return ", ".join(f'"{v}"' for v in found[:most]) + (", …" if len(found) > most else "")
