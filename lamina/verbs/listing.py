"""What there is: runs of a folder, and the shelves of models, tasks, methods and data sets. Imports no torch."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from lamina.core import names
from lamina.core.errors import RunError
from lamina.core.files import read_sealed

__all__ = ["datasets", "methods", "models", "runs", "tasks"]


_NAMED = {"name": str}
_ROW = {"source": str, "status": str, "made": str, "task": _NAMED, "model": _NAMED, "method": _NAMED,
        "metric?": (str, None), "metrics?": ({str: {"value": (float, None)}}, None)}  # fmt: skip


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
    """Built-in data sets by name: for which task, how large, whether they are here, and the command if not."""
    rows = _shelf("data/builtin")
    for row, entry in zip(rows, names.shelf("data/builtin").values(), strict=True):
        row |= {key: entry.facts[key] for key in ("task", "size", "install") if key in entry.facts}
        row["installed"] = _here(entry.facts)
    return rows


def _here(facts: dict[str, Any]) -> bool:
    """Whether a data set's package can be found, or one of its files; nothing is imported."""
    if "module" in facts:
        return importlib.util.find_spec(facts["module"]) is not None
    return not facts.get("files") or any(Path(os.path.expandvars(file)).is_file() for file in facts["files"])


def runs(folder: str | Path = "runs") -> list[dict[str, Any]]:
    """The runs below a folder, newest first; a folder that is no run, or a damaged one, is said so."""
    if not Path(folder).is_dir() and str(folder) != "runs":
        raise RunError(f"There is no folder {folder}.")
    found = []
    for path in sorted(Path(folder).glob("*/run.json"), key=lambda p: p.lstat().st_mtime, reverse=True):
        row: dict[str, Any] = {"run": str(path.parent)}
        try:
            about = read_sealed(path, _ROW)
        except RunError:
            row |= {"status": "damaged"}
        else:
            metric = about.get("metric")
            row |= {k: about[k] for k in ("source", "status", "made")}
            row |= {k: about[k]["name"] for k in ("task", "model", "method")}
            row |= {"metric": metric, "value": ((about.get("metrics") or {}).get(metric) or {}).get("value")}
        found.append(row)
    return found
