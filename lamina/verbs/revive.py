"""A run brought back to life: its task and its trained network, without its data."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lamina.core import names, settings
from lamina.core.errors import RunError, UserError
from lamina.core.untrusted import tensors
from lamina.nn.outline import outline
from lamina.tasks._own import Own
from lamina.train.plan import Plan
from lamina.verbs import weights
from lamina.verbs.assemble import Assembly, build_model, build_task
from lamina.verbs.run import Run

__all__ = ["revive"]


def revive(run: Run, *, model: Any = None, task: Any = None) -> Assembly:
    """Task and trained network of a run. model, task: given again where they are the user's own.

    Warns: DataWarning where the run has no best weights yet, and the last checkpoint's are taken.
    """
    about = run.about
    fields = run.fields()
    own, held = about["settings"], about["data"]
    model, task = (run.own.get(k) if v is None else v for k, v in {"model": model, "task": task}.items())
    for name, value in (("model", model), ("task", task)):
        if value is None and str(about["asked"].get(name)).startswith("<"):
            raise RunError(
                f"{run.folder} was made with one's own {name}, {about['asked'][name]}, which no folder holds; "
                f"give it again: {name}=…"
            )
    if lacking := [name for name in [*held["inputs"], *held["targets"]] if name not in fields]:
        raise RunError(f"{run.folder} lacks the field of {lacking[0]!r}. Restore it from a copy, or fit anew.")
    path, state = weights.held(run)
    if task is None or inspect.isclass(task) or isinstance(task, str):
        kind = _given("tasks", task, about["task"]["name"])
        task = build_task(kind, fields, held["inputs"], held["targets"], own.get("task", {}))
    if model is None or inspect.isclass(model) or isinstance(model, str):
        chosen = _given("models", model, about["model"]["name"])
        how = (None, chosen, about["data"]["sizes"], own.get("model", {}), about["seed"])
        if model is None:
            shapes = {k: list(v.shape) for k, v in state.items()} if state is not None else _shapes(path)
            _as_held(run, path, shapes, lambda: build_model(*how)[0])
        model, _ = build_model(*how)
    if run.own.get("metrics"):
        task = Own(task, run.own.get("loss"), run.own["metrics"])
    model.load_state_dict(weights.read(path) if state is None else state)
    model.eval()
    # where it answers; the number format is the one it was judged in
    plan = Plan(**settings.check(Plan, {**about["plan"], "device": "cpu"}))
    plan.settled()
    return Assembly(None, task, model, None, plan, {}, own)


def _given(room: str, given: Any, recorded: str) -> tuple[Any, dict[str, Any]]:
    """A class and its variant: what the user gives again, or what the run names, which is then ours alone."""
    if given is None:
        return names.load(room, recorded, trusted=False)
    return names.load(room, given) if isinstance(given, str) else (given, {})


def _shapes(path: Path) -> dict[str, Any]:
    return {name: shape for name, (_, shape) in tensors(path).items()}


def _as_held(run: Run, path: Path, held: Mapping[str, Any], make: Callable[[], nn.Module]) -> None:
    """Refuse a run whose settings make another network than its weights are of, before memory is taken for either."""
    try:
        shapes = outline(make, 100 * len(held) + 1000)
    except UserError:
        raise
    except Exception as error:
        raise RunError(
            f"{run.folder / 'run.json'} is damaged: its settings make no {run.about['model']['name']} "
            f"({type(error).__name__}: {error}). Restore it from a copy, or fit anew."
        ) from error
    if {k: list(v) for k, v in held.items()} != {k: list(v) for k, v in shapes.items()}:
        name = next(iter(held.keys() ^ shapes.keys()), "") or next(n for n in held if list(held[n]) != list(shapes[n]))
        raise RunError(
            f"{path} does not fit the {run.about['model']['name']} that {run.folder / 'run.json'} describes: {name!r} "
            f"is {held.get(name, 'missing')} in it and {shapes.get(name, 'not part')} of the network. Restore both."
        )
