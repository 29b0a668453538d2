"""What a run writes of itself: run.json, the fitted fields, and the rows that were left out."""

import csv
import datetime
import io
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.core.display import as_json, harmless
from lamina.core.errors import SettingError
from lamina.core.files import sweep, told, write_text
from lamina.fields import guess
from lamina.verbs.assemble import Assembly
from lamina.verbs.run import SCHEMA

__all__ = ["about", "called", "own_fields", "plain", "versions", "write_fields"]


def about(
    parts: Assembly, asked: Mapping[str, Any], source: Any, own: Mapping[str, Any], budget: str, better: str | None
) -> dict[str, Any]:
    """run.json as a run begins. own: one's own loss and metrics. better: max or min, None where nothing is judged."""
    named = {
        k: (v if isinstance(v, str | int | float | list | type(None)) else f"<{type(v).__name__}>")
        for k, v in asked.items()
    }
    data, sizes = parts.data, {**parts.data.sizes(), **parts.task.sizes()}
    return {
        "schema": SCHEMA,
        "status": "running",
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>",
        "asked": named | {name: called(value) for name, value in own.items()},
        "inferred": parts.notes,
        "findings": [vars(f) | {"rows": list(f.rows[:100])} for f in getattr(parts.data, "findings", [])],
        "task": {"name": parts.names["task"]},
        "model": {"name": parts.names["model"], "parameters": sum(p.numel() for p in parts.model.parameters())},
        "method": {"name": parts.names["method"]},
        "settings": parts.settings,
        "seed": asked["seed"],
        "budget": budget,
        "better": better,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "inputs": data.inputs,
            "targets": data.targets,
            "weight": getattr(data, "weight", None),
            "sizes": {k: v for k, v in sizes.items() if isinstance(v, int | float | str | list)},
            "splits": {name: data.count(name) for name in getattr(data, "splits", {})},
            "skipped": len(getattr(data, "skipped", [])),
        },
        "versions": versions(),
        "hardware": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
    }


def versions() -> dict[str, str]:
    """Of what the bits of a training depend on."""
    from lamina import __version__

    return {
        "lamina": __version__, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()
    }  # fmt: skip


def write_fields(folder: Path, data: Any) -> None:
    """fields/fields.json and skipped.csv. Raises: SettingError for a field that nothing could find again."""
    fields = folder / "fields"
    with told(folder):
        fields.mkdir(exist_ok=True)
        sweep(fields)
    held = {column: {"field": _address(column, one), "state": one.state()} for column, one in data.fields.items()}
    skipped = [[harmless(str(cell)) for cell in row] for row in getattr(data, "skipped", [])]
    with told(folder):
        write_text(fields / "fields.json", as_json(held))
        if skipped:
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows([("where", "why"), *skipped])
            write_text(folder / "skipped.csv", buffer.getvalue())


def own_fields(data: Any) -> dict[str, Any]:
    """Classes of fields that are not of the house, by column."""
    known = set(guess.fields().values())
    return {column: type(one) for column, one in data.fields.items() if type(one) not in known}


def _address(column: str, field: Any) -> str:
    """A field's name on the shelf; of one's own, its name in lamina_ext or module:Class."""
    kind = type(field)
    known = {made: stem for stem, made in guess.fields().items()}
    if kind in known:
        return known[kind]
    module = kind.__module__
    if module.startswith("lamina_ext.fields."):
        return module.rpartition(".")[2]
    if "." in kind.__qualname__ or module == "__main__":
        raise SettingError(
            f"The field of {column!r}, {kind.__qualname__}, cannot be found again when the run is opened. Put the "
            "class into a module, or into a file of lamina_ext/fields."
        )
    return f"{module}:{kind.__qualname__}"


def called(value: Any) -> str:
    """'<f>' or '<f, g>', by the names of one's own functions."""
    each = value if isinstance(value, list | tuple) else [value]
    return f"<{', '.join(getattr(one, '__name__', type(one).__name__) for one in each)}>"


def plain(value: Any) -> Any:
    """JSON-able: numbers that JSON lacks become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
