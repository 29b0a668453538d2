"""Choosing a mechanism by its name: one voice for an unknown name, an unknown option, and an option left out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lamina.core.errors import SettingError, UnknownName, did_you_mean

__all__ = ["choose", "options_of"]


def choose(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """`known[name]`, or an UnknownName that offers the nearest. Dashes and spaces count as underscores."""
    key = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    if key in known:
        return known[key]
    raise UnknownName(f"No {kind} is called {name!r}.{did_you_mean(key, known)} Known are: {', '.join(sorted(known))}.")


def options_of(
    kind: str, name: str, function: Callable[..., Any], options: Mapping[str, Any], given: int = 0
) -> dict[str, Any]:
    """The options as a dict, when `function` takes them all as keywords and none without a default is missing.

    given: how many leading parameters the caller fills in itself; they are no options.
    """
    parameters = list(inspect.signature(function).parameters.values())[given:]
    known = {p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    listed = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in known.values())
    takes = f"{kind} {name!r} takes {listed or 'no options'}."
    for option in options:
        if option not in known:
            raise SettingError(f"{takes} It has no {option!r}.{did_you_mean(option, known)}")
    missing = [p.name for p in known.values() if p.default is p.empty and p.name not in options]
    if missing:
        raise SettingError(f"{takes} Give it {', '.join(missing)}.")
    return dict(options)
