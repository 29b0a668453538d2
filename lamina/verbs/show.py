"""show: a network, by name or from a run, layer by layer."""

import inspect
from pathlib import Path
from typing import Any

import torch

from lamina.core import calls, names
from lamina.core.settings import check
from lamina.verbs import run as runs

__all__ = ["show"]

_EXAMPLE = {
    "channels": 3,
    "size": 224,
    "classes": 1000,
    "outputs": 1,
    "columns": 16,
    "cardinalities": [],
    "vocab": 1024,
}


def show(name: str | Path | runs.Run, *, set: dict[str, Any] | None = None) -> dict[str, Any]:
    """Layers with shapes, parameters and FLOPs of one sample; a task's, method's or data set's documentation.

    name: a network, or a run's folder. set: arguments of the network.
    """
    from lamina.nn.summary import summarise

    if isinstance(name, runs.Run) or (Path(name) / "run.json").is_file():
        run = runs.open(name)
        model, sizes, called = run.model(), run.about["data"]["sizes"], run.about["model"]["name"]
    else:
        called = str(name)
        for room in ("tasks", "methods", "data/builtin"):
            if called.replace("-", "_") in names.shelf(room):
                entry = names.find(room, called).entry
                return {"name": called, "about": entry.doc, "room": room}
        made, variant = names.load("models", called)
        takes = inspect.signature(made).parameters
        own = {k: p.default for k, p in takes.items() if p.default is not p.empty}
        sizes = {
            **{k: v for k, v in _EXAMPLE.items() if k in takes and own.get(k) in (None, 0)},
            **variant,
            **check(made, set or {}),
        }
        model = made(**sizes).eval()
        sizes = {**own, **sizes}
    with torch.no_grad():
        summary = summarise(model, example(model, sizes))
    return {"name": called, "about": (inspect.getdoc(type(model)) or "").partition("\n")[0], **_rows(summary)}


def _rows(summary: Any) -> dict[str, Any]:
    return {
        "layers": summary.table(),
        "parameters": summary.parameters,
        "flops": summary.flops,
        "receptive_field": getattr(summary, "receptive", None),
    }


def example(model: torch.nn.Module, sizes: dict[str, Any]) -> dict[str, Any]:
    """A batch of one sample of zeros, of the kinds and sizes that a network reads."""
    size = sizes.get("size") or 28
    height, width = size if isinstance(size, list | tuple) else (size, size)
    cards = sizes.get("cardinalities") or []
    shapes = {
        "numbers": lambda: torch.zeros(1, sizes.get("columns") or 0),
        "categories": lambda: torch.zeros(1, len(cards), dtype=torch.long),
        "image": lambda: torch.zeros(1, sizes.get("channels") or 1, height, width),
        "text": lambda: torch.zeros(1, min(64, sizes.get("context") or 64), dtype=torch.long),
        "words": lambda: torch.zeros(4, dtype=torch.long),
        "edges": lambda: torch.zeros(2, 0, dtype=torch.long),
    }
    batch = {kind: shapes[kind]() for kind in calls.reads(model)}
    batch = {k: v for k, v in batch.items() if v.numel() or k == "edges"}
    if "words" in batch:
        batch |= {"words_offsets": torch.zeros(1, dtype=torch.long), "words_weights": torch.ones(4)}
    if "text" in batch:
        batch["text_lengths"] = torch.tensor([batch["text"].shape[1]])
    return batch
