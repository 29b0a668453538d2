"""show: a network, by name or from a run, layer by layer."""

import contextlib
import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from lamina.core import calls, names
from lamina.core.errors import SettingError, ShapeError, UnknownName, did_you_mean
from lamina.core.settings import arguments, check
from lamina.verbs import run as runs

__all__ = ["layers", "show"]

_ROOMS = ("models", "tasks", "methods", "data/builtin")
# What a network is told of data where its signature has no default that makes sense alone.
_EXAMPLE = {
    "channels": 3,
    "size": 224,
    "classes": 1000,
    "outputs": 1,
    "columns": 16,
    "cardinalities": [],
    "vocab": 1024,
}


# The size that a run's data have where the network is given such an input.
_TELLING = {"image": "channels", "text": "vocab", "words": "words"}


def show(
    name: str | Path | runs.Run,
    *,
    set: dict[str, Any] | None = None,
    model: str | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Layers with shapes, parameters and FLOPs of one sample; a task's, method's or data set's documentation.

    name: a network, or a run's folder. set: arguments of the network; of a run's, other than it was trained with.
    model, task: of a run, given again where they are one's own.
    """
    if isinstance(name, runs.Run) or (Path(name) / "run.json").is_file():
        run = runs.open(name)
        about = run.about
        called, sizes = about["model"]["name"], about["data"]["sizes"]
        if set:
            made, variant = names.load("models", model or called, trusted=model is not None)
            takes = inspect.signature(made).parameters
            own = {**variant, **{k: v for k, v in sizes.items() if k in takes}, **about["settings"].get("model", {})}
            network = made(**{**own, **check(made, set)}).eval()
        else:
            network = run.model(model=model, task=task)
        return _of_run(about, network)
    called = str(name)
    room = _room(called)
    if room != "models":
        entry = names.find(room, called).entry
        kind, _ = names.load(room, called)
        known = {k: repr(a.default) for k, a in arguments(kind).items() if not a.required}
        if set:
            raise SettingError(f"show takes --set for networks; {called} is a {room.rpartition('/')[2].rstrip('s')}.")
        return {"name": called, "about": entry.doc.strip(), "room": room, "settings": known}
    made, variant = names.load("models", called)
    own = {k: a.default for k, a in arguments(made).items() if not a.required}
    given = {**variant, **check(made, set or {})}
    try:
        network = made(**given).eval()
    except (ShapeError, TypeError):  # it has to be told of data
        given = {k: v for k, v in _EXAMPLE.items() if k in arguments(made) and not own.get(k)} | given
        network = made(**given).eval()
    return _summary(called, network, {**own, **given})


def layers(about: dict[str, Any], network: torch.nn.Module) -> list[dict[str, Any]]:
    """The layers of a run's network; none where it cannot be tried on a sample of zeros."""
    try:
        return _of_run(about, network)["layers"]
    except Exception:  # one's own network may refuse zeros, and the layers are only told of
        return []


def _of_run(about: dict[str, Any], network: torch.nn.Module) -> dict[str, Any]:
    sizes = about["data"]["sizes"]
    lacks = {kind for kind, size in _TELLING.items() if size not in sizes}
    return _summary(about["model"]["name"], network, {**sizes, **about["settings"].get("model", {})}, lacks)


def _room(called: str) -> str:
    """The shelf that a name is on. Raises: UnknownName with the nearest of all shelves."""
    if ":" in called:
        return "models"
    known = {room: names.names(room) for room in _ROOMS}
    for room, there in known.items():
        if called.replace("-", "_").lower() in {n.replace("-", "_").lower() for n in there}:
            return room
    with contextlib.suppress(UnknownName):
        names.find("models", called)
        return "models"
    everything = [n for there in known.values() for n in there]
    raise UnknownName(
        f"No network, task, method, data set or run is called {called!r}.{did_you_mean(called, everything)} "
        "`lamina models`, `lamina tasks`, `lamina methods`, `lamina datasets` and `lamina runs` list what there is."
    )


def _summary(called: str, model: torch.nn.Module, sizes: dict[str, Any], lacks: Collection[str] = ()) -> dict[str, Any]:
    from lamina.nn.summary import summarise

    with torch.no_grad():
        summary = summarise(model, {k: v for k, v in example(model, sizes).items() if k.split("_")[0] not in lacks})
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
