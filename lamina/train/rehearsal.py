"""A stage's first step on a few of its samples, forward and backward, on copies: nothing of it stays."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.protocols import Problem, Stage, Tick
from lamina.nn.misfits import named
from lamina.train.accumulation import summed
from lamina.train.level import Level
from lamina.train.plan import Plan

__all__ = ["Rehearsal", "rehearse"]

FEW = 4  # samples tried


@dataclass
class Rehearsal:
    """What was seen.

    fixed: bytes of weights, gradients, the optimizers' memory and the copy that a checkpoint is written from. sample:
    bytes that each sample keeps from forward to backward. batch: samples of an update's micro-batch, 0 where they are
    not to be parted (a graph). idle: parameters that are to be moved, and that no phase gave a gradient.
    """

    fixed: int
    sample: float
    batch: int
    idle: list[str] = field(default_factory=list)

    def bytes(self, parts: int = 1) -> float:
        """What a step takes with the batch in so many more parts."""
        return self.fixed + self.sample * max(1, self.batch) / parts


class _Seen(Exception):
    """The first stage has been tried; what the method would do after it is not."""


def rehearse(method: Any, problem: Problem, plan: Plan) -> Rehearsal | None:
    """The method's first stage, tried. None where its feed acts or keeps a place, which a try would move, or where the
    network cannot be copied.

    Raises: ShapeError that names the layer that the batch does not fit.
    """
    found: list[Rehearsal] = []

    def run(level: Level, stage: Stage) -> Iterator[Tick]:
        if not stage.feed.state_dict() and stage.feed.length is not None:
            found.append(_stage(stage, plan))
        raise _Seen
        yield  # a generator, as a training is

    try:
        method, model = copy.deepcopy(method), copy.deepcopy(problem.model)
    except Exception:  # somebody's own network may hold what cannot be copied
        return None
    generators = [(g, g.get_state()) for g in plan.generators()]
    try:
        learning = method.learn(replace(problem, model=model), Level(run, lambda: None, None, "", {"model": model}))
        next(iter(learning), None)
    except _Seen:
        pass
    finally:
        for generator, state in generators:
            generator.set_state(state)
    return found[0] if found else None


def _stage(stage: Stage, plan: Plan) -> Rehearsal:
    device = torch.device(plan.device)
    groups = [_parameters(phase.parameters) for phase in stage.phases]
    moved = {id(p): p for group in groups for p in group}
    for module in stage.modules.values():
        module.to(device)
        module.train(any(id(p) in moved for p in module.parameters()))
    size = int(getattr(stage.feed, "batch", 0))
    batch = {k: v.to(device) for k, v in stage.feed.next(0, max(1, size // FEW))[0].items()}
    weights = {v.data_ptr(): _size(v) for m in stage.modules.values() for v in m.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    held, touched = 0, set()
    shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in batch.items())
    for phase, group in zip(stage.phases, groups, strict=True):
        kept.clear()
        doing = f"The first step of {stage.name!r} was tried on a few samples ({shapes}), and its phase {phase.name!r}"
        with named(stage.modules, doing):
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value), plan.autocast():
                losses = phase.loss(dict(batch))
            minimised = [v for v in losses.values() if v.requires_grad]
            if minimised:
                grads = torch.autograd.grad(summed(minimised), group, allow_unused=True)
                touched |= {id(p) for p, g in zip(group, grads, strict=True) if g is not None}
        held = max(held, sum(kept.values()))
    trainable = sum(map(_size, moved.values()))
    names = {id(p): _called(m, n) for m, module in stage.modules.items() for n, p in module.named_parameters()}
    idle = [names.get(key, "?") for key in moved if key not in touched] if touched else []
    here = len(next(iter(batch.values()))) if size else 1
    optimizer = 0 if all(p.recipe.optimizer == "sgd" for p in stage.phases) else 2
    fixed = sum(weights.values()) + trainable + optimizer * trainable
    saved = sum(weights.values()) + optimizer * trainable if device.type == "cpu" else 0
    return Rehearsal(fixed + saved, held / here, -(-size // plan.accumulate), idle)


def _called(module: str, name: str) -> str:
    return name if module == "model" else f"{module}.{name}"


def _parameters(given: nn.Module | Any) -> list[nn.Parameter]:
    group = given.parameters() if isinstance(given, nn.Module) else given
    return [p for p in group if p.requires_grad]


def _size(value: Tensor) -> int:
    return value.numel() * value.element_size()
