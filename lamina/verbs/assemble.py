"""The one place where the system is put together: data, task, network and method, from what was asked."""

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina.core import calls, hub, names, settings
from lamina.core.errors import SettingError
from lamina.core.protocols import Dataset, Problem, Task
from lamina.core.seeds import mix
from lamina.data import opening
from lamina.metrics import names as metric_names
from lamina.nn.misfits import named
from lamina.nn.outline import TooLarge, outline
from lamina.tasks._own import Own
from lamina.train import memory
from lamina.train.plan import Plan
from lamina.verbs.run import Run
from lamina.verbs.weights import sure

__all__ = ["Assembly", "Judgement", "assemble", "build_model", "build_task"]


MOST_PARTS = 100_000  # parameters, buffers and modules of a network, together


@dataclass
class Assembly:
    """Everything a fit needs, and what was inferred on the way."""

    data: Any
    task: Task
    model: nn.Module
    method: Any
    plan: Plan
    names: dict[str, str]  # task, model and method by name
    settings: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    create: Any = None

    def problem(self, seed: int) -> Problem:
        """What the method is handed."""
        device = torch.device(self.plan.settled().device)
        return Problem(self.model, self.task, self.data, seed, device, self.create)


class Judgement:
    """Evaluates a module on a split during training; picks the best by the task's metric."""

    def __init__(self, task: Task, data: Dataset, split: str):
        self.metric, self._task, self._data, self._split = task.metric, task, data, split
        self.larger = getattr(task, "better", None) or metric_names.better(task.metric)

    def __call__(self, module: nn.Module) -> dict[str, float]:
        values = self._task.evaluate(module, self._data, self._split, intervals=False)
        return {name: float(value) for name, value in values.items()}

    def better(self, new: float, old: float) -> bool:
        """Is `new` better than `old`?"""
        return new > old if self.larger == "max" else new < old


def assemble(
    source: Any,
    *,
    target: Any = None,
    task: Any = None,
    model: Any = None,
    method: Any = None,
    valid: Any = None,
    test: Any = None,
    weights: Any = None,
    pairs: list[str] | None = None,
    given: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    seed: int = 0,
    own: Mapping[str, Any] | None = None,
) -> Assembly:
    """Open the data, infer what was not said, build task, network and method.

    pairs: KEY=VALUE as the shell gives them. given: room -> settings, typed, as Python gives them.
    own: somebody's own `loss` and `metrics`.
    """
    rooms: dict[str, Any] = {"data": opening.choices, "plan": Plan}
    chosen: dict[str, Any] = {}
    for room, asked in (("tasks", task), ("models", model), ("methods", method)):
        if isinstance(asked, str):
            chosen[room] = names.load(room, asked)
        elif inspect.isclass(asked):
            chosen[room] = (asked, {})
        if room in chosen:
            rooms[room[:-1]] = chosen[room][0]
    # settings of rooms that are only known once the data are open are taken up then
    early, late = _apart(pairs or [], rooms)
    mine = {room: dict(values) for room, values in (given or {}).items()}
    for room, values in settings.split(early, rooms).items():
        mine.setdefault(room, {}).update(values)
    asks = getattr(chosen.get("tasks", (task,))[0], "ASKS", True)
    data, notes = opening.dataset(
        source, target=target, asks=asks, valid=valid, test=test, seed=seed, **mine.get("data", {})
    )
    kinds = data.kinds()
    if "tasks" not in chosen:
        chosen["tasks"] = _infer_task(data) if task is None else (type(task), {})
        if task is None:
            notes.append(f"task {_called(chosen['tasks'][0])}: {_why(data)} (--task)")
    rooms["task"] = chosen["tasks"][0]
    late = _settle(late, rooms, mine, "task")
    functions = own or {}
    select = _selected(mine, functions)
    made_task = task
    if task is None or isinstance(task, str) or inspect.isclass(task):
        made_task = build_task(chosen["tasks"], data.fields, data.inputs, data.targets, mine.get("task", {}))
    if functions:
        made_task = Own(made_task, functions.get("loss"), functions.get("metrics") or (), select=select)
    names_of = {"task": task if isinstance(task, str) else _called(chosen["tasks"][0])}
    if model is None:
        model = made_task.model(kinds)
        notes.append(f"model {model}: the default for {', '.join(kinds)} (--model)")
    if method is None:
        method = made_task.method()
        notes.append(f"method {method}: the default for {names_of['task']} (--method)")
    for room, asked in (("models", model), ("methods", method)):
        if isinstance(asked, str) and room not in chosen:
            chosen[room] = names.load(room, asked)
        if room in chosen:
            rooms[room[:-1]] = chosen[room][0]
    for room, values in settings.split(late, rooms).items():
        mine.setdefault(room, {}).update(values)
    plan = Plan(**settings.check(Plan, {**mine.get("plan", {}), **({"device": device} if device != "auto" else {})}))
    plan.settled()  # refuses what the machine lacks before anything is written
    sizes = {**data.sizes(), **made_task.sizes()}
    made, create = build_model(model, chosen.get("models"), sizes, mine.get("model", {}), seed)
    data.prepare(calls.reads(made), type(made).__name__)
    if not isinstance(model, str) or ":" in model:
        _tried(made, made_task, data)
    if weights is not None:
        _load(made, weights)
    made_method = method
    if "methods" in chosen:
        kind, variant = chosen["methods"]
        made_method = kind(**{**variant, **settings.check(kind, mine.get("method", {}))})
    names_of["model"] = model if isinstance(model, str) else _called(type(made))
    names_of["method"] = method if isinstance(method, str) else _called(type(made_method))
    return Assembly(data, made_task, made, made_method, plan, names_of, mine, notes, create)


def _selected(mine: dict[str, dict[str, Any]], functions: Mapping[str, Any]) -> str | None:
    """The metric that picks the best, where it is one of one's own, which the task itself does not know."""
    known = [getattr(g, "__name__", type(g).__name__) for g in functions.get("metrics") or ()]
    if mine.get("task", {}).get("select") in known:
        return mine["task"].pop("select")
    return None


def _tried(model: nn.Module, task: Any, data: Any) -> None:
    """Try somebody's own network and loss on two samples, so that what does not fit is said before step 1."""
    split = next(iter(data.splits), None)
    if split is None or not hasattr(task, "predict"):
        return
    was = model.training
    model.eval()
    batch = calls.on_device(next(iter(data.batches(task.sampler(model), split=split, batch=2))), model)
    shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in batch.items() if k in calls.KINDS)
    doing = f"{type(model).__name__} was tried on two samples ({shapes}) and"
    try:
        with torch.no_grad(), named({"model": model}, doing):
            outputs = calls.call(model, batch)
            task.predict(model, batch)
            task.loss(outputs, batch)
    finally:
        model.train(was)


def _apart(pairs: list[str], rooms: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Pairs for rooms known now, and pairs that may belong to a room that is not."""
    if {"task", "model", "method"} <= rooms.keys():
        return pairs, []
    early: list[str] = []
    late: list[str] = []
    for pair in pairs:
        key = pair.partition("=")[0].strip()
        room, dot, _ = key.partition(".")
        known = (dot and room in ("data", "plan")) or any(key in settings.arguments(rooms[r]) for r in ("data", "plan"))
        (early if known else late).append(pair)
    return early, late


def _settle(pairs: list[str], rooms: Mapping[str, Any], own: dict[str, dict[str, Any]], room: str) -> list[str]:
    """Take the pairs that name this room outright; the others wait for the rest."""
    mine = [p for p in pairs if p.startswith(f"{room}.")]
    if mine:
        own.setdefault(room, {}).update(settings.split(mine, {room: rooms[room]})[room])
    keys = settings.arguments(rooms[room])
    bare = [p for p in pairs if p.partition("=")[0].strip() in keys and p not in mine]
    if bare:
        own.setdefault(room, {}).update(settings.split(bare, {room: rooms[room]})[room])
    return [p for p in pairs if p not in mine and p not in bare]


def _called(kind: Any) -> str:
    module = getattr(kind, "__module__", "")
    return module.rpartition(".")[2] if module.startswith("lamina.") else getattr(kind, "__name__", str(kind))


def _why(data: Dataset) -> str:
    if not data.targets:
        return "there is no target"
    kinds = ", ".join(f"{name!r} is {type(data.fields[name]).__name__.lower()}" for name in data.targets)
    return f"the target {kinds}"


def _infer_task(data: Dataset) -> tuple[Any, dict[str, Any]]:
    inputs = {name: data.fields[name] for name in data.inputs}
    targets = {name: data.fields[name] for name in data.targets}
    scores = {}
    for name in names.shelf("tasks"):
        kind, _ = names.load("tasks", name)
        scores[name] = kind.fits(inputs, targets)
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        found = ", ".join(f"{n} ({type(f).__name__.lower()})" for n, f in data.fields.items())
        raise SettingError(
            f"No task fits {data.name}: fields {found}; target {', '.join(data.targets) or 'none'}. "
            "Say the column to learn with --target, or the task with --task (`lamina tasks` lists them)."
        )
    return names.load("tasks", best)


def build_task(
    chosen: Any, fields: Mapping[str, Any], inputs: list[str], targets: list[str], own: Mapping[str, Any]
) -> Task:
    kind, variant = chosen
    keywords = {**variant, **settings.check(kind, own)}
    if not getattr(kind, "ASKS", True):
        return kind({name: fields[name] for name in inputs}, **keywords)
    if getattr(kind, "SEVERAL", False):
        return kind({name: fields[name] for name in targets}, **keywords)
    if len(targets) != 1:
        came = ", ".join(targets) or "none"
        raise SettingError(f"{kind.__name__} asks for one target; {came} came. Say it with --target COLUMN.")
    return kind(targets[0], fields[targets[0]], **keywords)


def build_model(
    asked: Any, chosen: Any, sizes: Mapping[str, Any], own: Mapping[str, Any], seed: int
) -> tuple[nn.Module, Any]:
    if isinstance(asked, nn.Module):
        return asked, lambda **more: copy.deepcopy(asked)
    kind, variant = chosen
    takes = inspect.signature(kind).parameters
    fitting = {k: v for k, v in sizes.items() if k in takes}
    if "classes" in takes and "outputs" not in takes and "classes" not in sizes and "outputs" in sizes:
        fitting["classes"] = sizes["outputs"]  # several targets: scores and numbers side by side
    keywords = {**variant, **fitting, **settings.check(kind, own)}

    def create(**more: Any) -> nn.Module:
        torch.manual_seed(mix(seed, "model"))
        return kind(**{**keywords, **more})

    _affordable(kind, create)
    return create(), create


def _affordable(kind: Any, create: Callable[[], nn.Module]) -> None:
    """Refuse a network of ours that this machine has no memory for, before any is taken. Raises: SettingError."""
    if not getattr(kind, "__module__", "").startswith("lamina.") or torch.get_default_device().type == "meta":
        return
    try:
        parts = sum(math.prod(shape) for shape in outline(create, MOST_PARTS).values())
    except TooLarge as error:
        raise SettingError(f"{kind.__name__} would be built of {error}. Take fewer or smaller layers.") from None
    except Exception:  # what is wrong with its settings is said where it is built
        return
    room = memory.whole("cpu")
    if room is not None and 4 * parts > room:
        raise SettingError(
            f"{kind.__name__} would hold {parts:,} numbers, {4 * parts / 1e9:,.0f} GB; this machine has "
            f"{room / 1e9:,.0f} GB of memory. Take a smaller one (--set model.…, or another --model)."
        )


def _load(model: nn.Module, weights: Any) -> None:
    from lamina.models._weights import load

    path: Any = weights.folder if isinstance(weights, Run) else weights
    if not hub.is_address(path) and (Path(path) / "run.json").is_file():
        run = Run(path)
        path = run.folder / "model.safetensors"
        sure(run, path)
    load(model, path, type(model).__name__)
