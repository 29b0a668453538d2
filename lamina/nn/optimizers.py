"""Optimizers by name, with parameter groups done right (`lamina.nn.groups`). g is the gradient, lr the rate.

    gd             w = w - lr g, with a feed that gives the whole set at each step          Cauchy 1847
    sgd            the same on one sample, or on a mini-batch                               Robbins & Monro 1951
    momentum       m = mu m + g;  w = w - lr m                                              Polyak 1964
    nesterov       m = mu m + g;  w = w - lr (g + mu m)                                     Nesterov 1983
    adagrad        s = s + g^2;  w = w - lr g / (sqrt(s) + eps)                             Duchi et al. 2011
    rmsprop        s = a s + (1 - a) g^2;  w = w - lr g / (sqrt(s) + eps)                   Hinton 2012
    adam, adamw    m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;
                   w = w - lr m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps)                 Kingma & Ba 2015
    muon           momentum, orthogonalised, for hidden matrices; AdamW elsewhere           `lamina.nn.muon`
    schedule_free  AdamW whose averaged path replaces the schedule                          `lamina.nn.schedule_free`

Weight decay is decoupled with every one of them, w = w (1 - lr decay) before the step (Loshchilov & Hutter 2019), so
that `adam` and `adamw` are one. The classical way, a penalty whose gradient is adapted with the loss's, is `add_l2`.
Every group has the key `lr_scale` (from the attribute of that name on a parameter): `set_lr` honours it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamina.core.errors import SettingError
from lamina.core.protocols import Recipe
from lamina.nn.choice import choose, options_of
from lamina.nn.groups import Role, roles
from lamina.nn.muon import Muon
from lamina.nn.schedule_free import ScheduleFree

__all__ = ["OPTIMIZERS", "add_l2", "create", "set_lr", "shrink"]

Groups = list[dict[str, Any]]


def _sgd(groups: Groups, lr: float, fused: bool) -> torch.optim.Optimizer:
    return _decaying(torch.optim.SGD, groups, lr=lr, fused=fused)


def _momentum(
    groups: Groups, lr: float, fused: bool, *, momentum: float = 0.9, dampening: float = 0.0
) -> torch.optim.Optimizer:
    return _decaying(torch.optim.SGD, groups, lr=lr, momentum=momentum, dampening=dampening, fused=fused)


def _nesterov(groups: Groups, lr: float, fused: bool, *, momentum: float = 0.9) -> torch.optim.Optimizer:
    return _decaying(torch.optim.SGD, groups, lr=lr, momentum=momentum, nesterov=True, fused=fused)


def _adagrad(
    groups: Groups, lr: float, fused: bool, *, lr_decay: float = 0.0, start: float = 0.0, eps: float = 1e-10
) -> torch.optim.Optimizer:
    options = dict(lr_decay=lr_decay, initial_accumulator_value=start, eps=eps, fused=fused)
    return _decaying(torch.optim.Adagrad, groups, lr=lr, **options)


def _rmsprop(
    groups: Groups,
    lr: float,
    fused: bool,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
) -> torch.optim.Optimizer:
    options = dict(alpha=alpha, eps=eps, momentum=momentum, centered=centered)
    return _decaying(torch.optim.RMSprop, groups, lr=lr, **options)  # torch has no fused one


def _adamw(
    groups: Groups,
    lr: float,
    fused: bool,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr, betas=_pair(betas), eps=eps, amsgrad=amsgrad, fused=fused)


def _muon(
    groups: Groups,
    lr: float,
    fused: bool,
    *,
    momentum: float = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    return Muon(groups, lr, momentum=momentum, nesterov=nesterov, steps=steps, betas=_pair(betas), eps=eps, fused=fused)


def _schedule_free(
    groups: Groups, lr: float, fused: bool, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> torch.optim.Optimizer:
    return ScheduleFree(groups, lr, betas=_pair(betas), eps=eps)


def _pair(betas: Sequence[float]) -> tuple[float, float]:
    """Two numbers, also where they came as a list from JSON or a command line."""
    if len(betas) != 2:
        raise SettingError(f"betas are two numbers, e.g. [0.9, 0.999], but came as {betas!r}.")
    return float(betas[0]), float(betas[1])


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "gd": _sgd,
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adamw,
    "adamw": _adamw,
    "muon": _muon,
    "schedule_free": _schedule_free,
}


def create(
    recipe: Recipe, parameters: nn.Module | Iterable[nn.Parameter], *, fused: bool | None = None
) -> torch.optim.Optimizer:
    """The recipe's optimizer over these parameters; a module tells tables, norms and heads apart, a list cannot.

    fused: torch's one-kernel updates; None takes them where all parameters are floats on CPU or CUDA.
    All it remembers is in `state_dict()`: saved, loaded and gone on with, it gives the same bits.
    Raises: UnknownName, SettingError.
    """
    build = choose("optimizer", recipe.optimizer, OPTIMIZERS)
    options = options_of("optimizer", recipe.optimizer, build, recipe.options, given=3)
    for name in ("lr", "weight_decay"):
        value = getattr(recipe, name)
        if not (math.isfinite(value) and value >= 0):
            raise SettingError(f"{name} is a number of at least 0, but came as {value!r}.")
    found = roles(parameters)
    if fused is None:
        fused = all(r.parameter.is_floating_point() and r.parameter.device.type in ("cpu", "cuda") for r in found)
    groups = _groups(found, recipe, hidden=build is _muon)
    try:
        return build(groups, recipe.lr, fused, **options)
    except ValueError as error:  # torch's own words for a beta of 1.5
        raise SettingError(f"optimizer {recipe.optimizer!r} was refused by torch: {error}.") from error


def _groups(found: Sequence[Role], recipe: Recipe, hidden: bool) -> Groups:
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for role in found:
        muon = hidden and role.hidden and role.parameter.ndim >= 2
        key = (role.decayed, role.lr_scale, muon, muon and role.stack)
        if key not in groups:
            groups[key] = dict(
                params=[],
                lr=recipe.lr * role.lr_scale,
                lr_scale=role.lr_scale,
                weight_decay=recipe.weight_decay if role.decayed else 0.0,
                decayed=role.decayed,
            )
            if hidden:
                groups[key].update(muon=muon, stack=muon and role.stack)
        groups[key]["params"].append(role.parameter)
    return list(groups.values())


def _decaying(kind: type[torch.optim.Optimizer], groups: Groups, **options: Any) -> torch.optim.Optimizer:
    """torch's optimizer with the decoupled decay that it lacks, under the group's key `decoupled`."""
    for group in groups:
        group["decoupled"], group["weight_decay"] = group["weight_decay"], 0.0
    optimizer = kind(groups, **options)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


@torch.no_grad()
def _decay(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        moved = [p for p in group["params"] if p.grad is not None]
        if group["decoupled"] and moved:
            torch._foreach_mul_(moved, 1 - group["lr"] * group["decoupled"])


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the rate of the coming step: lr in all groups, times each group's own `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


@torch.no_grad()
def add_l2(optimizer: torch.optim.Optimizer, amount: float) -> None:
    """g = g + amount w for all that decays: the gradient of amount · sum w^2 / 2. Between backward and step."""
    for group in optimizer.param_groups:
        pairs = [(p.grad, p) for p in group["params"] if p.grad is not None] if group.get("decayed", True) else []
        if pairs and amount:
            torch._foreach_add_([g for g, _ in pairs], [p for _, p in pairs], alpha=amount)


@torch.no_grad()
def shrink(target: torch.optim.Optimizer | Iterable[Tensor], amount: float) -> None:
    """w = sign(w) max(|w| - t, 0), after the step: what small weights an L1 penalty leaves become exactly zero.

    The proximal step of the penalty amount · sum |w| (Daubechies et al. 2004; Parikh & Boyd 2014, section 6.5.2).
    Given an optimizer, t = lr amount in each group that decays; given tensors, t = amount.
    """
    if isinstance(target, torch.optim.Optimizer):
        for group in target.param_groups:
            if group.get("decayed", True):
                known = [target.state[p]["z"] for p in group["params"] if "z" in target.state.get(p, ())]
                shrink([*group["params"], *known], amount * group["lr"])  # z: schedule-free's other half
    elif amount:
        for w in target:
            w.copy_(F.softshrink(w, amount))
