"""What there is: runs of a folder, and the shelves of models, tasks, methods and data sets. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from lamina.core import names
from lamina.core.errors import RunError

__all__ = ["datasets", "methods", "models", "runs", "tasks"]


def _shelf(room: str) -> list[dict[str, Any]]:
    return [
        {"name": entry.name.replace("_", "-") if room == "data/builtin" else entry.name, "about": entry.summary,
         "variants": [entry.spell(key) for key in entry.variants if key], "from": entry.origin}
        for entry in names.shelf(room).values()
    ]  # fmt: skip


def models() -> list[dict[str, Any]]:
    """Networks by name, with their variants."""
    return _shelf("models")


def tasks() -> list[dict[str, Any]]:
    """What can be asked of data."""
    return _shelf("tasks")


def methods() -> list[dict[str, Any]]:
    """Ways of learning."""
    return _shelf("methods")


def datasets() -> list[dict[str, Any]]:
    """Built-in data sets by name."""
    return _shelf("data/builtin")


def runs(folder: str | Path = "runs") -> list[dict[str, Any]]:
    """The runs below a folder, newest first; a folder that is no run, or a damaged one, is said so."""
    if not Path(folder).is_dir() and str(folder) != "runs":
        raise RunError(f"There is no folder {folder}.")
    found = []
    for path in sorted(Path(folder).glob("*/run.json"), key=lambda p: p.stat().st_mtime, reverse=True):
        row: dict[str, Any] = {"run": str(path.parent)}
        try:
            about = json.loads(path.read_text("utf-8"))
            metric = about.get("metric")
            row |= {k: about[k] for k in ("source", "status", "made")}
            row |= {k: about[k]["name"] for k in ("task", "model", "method")}
            row |= {"metric": metric, "value": ((about.get("metrics") or {}).get(metric) or {}).get("value")}
        except (ValueError, KeyError, TypeError, AttributeError):
            row |= {"status": "damaged"}
        found.append(row)
    return found
