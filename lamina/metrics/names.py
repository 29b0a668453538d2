"""Which way a metric is better: read, not imported, from the `BETTER` table that each file of this folder states."""

import ast
import math
from functools import cache
from pathlib import Path

from lamina.core.errors import UnknownName, did_you_mean

__all__ = ["better", "improves", "table"]


@cache
def table() -> dict[str, str]:
    """Every metric's name with 'max' or 'min'."""
    known: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BETTER":
                known |= ast.literal_eval(node.value)
    return known


def better(name: str) -> str:
    """'max' or 'min'; a prefix ('price/r2', 'valid/accuracy') does not matter."""
    own = name.rsplit("/", 1)[-1]
    if own not in table():
        raise UnknownName(
            f"No metric is called {own!r}.{did_you_mean(own, table())} Known are {', '.join(sorted(table()))}."
        )
    return table()[own]


def improves(name: str, new: float, old: float) -> bool:
    """Is `new` better than `old`? Nothing is better than itself, nan is better than nothing, anything is than nan."""
    if math.isnan(new):
        return False
    if math.isnan(old):
        return True
    return new > old if better(name) == "max" else new < old
