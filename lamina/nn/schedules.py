"""Schedules by name: by which factor the peak rate is multiplied at each step. Pure functions of the step.

With T steps and t counted from 0, u = t / T, the share gone by when the step begins:

    constant      1
    linear        1 - (1 - floor) u
    cosine        floor + (1 - floor) (1 + cos(pi u)) / 2                Loshchilov & Hutter 2017, arXiv:1608.03983
    step          gamma^k, k = how often `every` fits into u             He et al. 2016 divide by ten so
    exponential   end^u
    one_cycle     cosine from `start` up to 1 at `rise`, then down to `floor`     Smith & Topin 2019, arXiv:1708.07120
    wsd           1 till the last `decay` share, then 1 - sqrt of the share of it gone, or linearly
                  (warm-up, stable, decay)                    Hu et al. 2024; Hägele et al. 2024, arXiv:2405.18392
    plateau       times `factor` whenever the metric has not improved for `patience` looks (a `Plateau`: `observe`)

`warmup`, a share of all steps, goes before any of them: (t + 1) / W over the W steps, and the schedule over the rest.
Past its last step a schedule stays where it ended. Shares are of the budget, so a larger budget stretches all.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lamina.core.errors import SettingError
from lamina.nn.choice import choose, options_of

__all__ = ["SCHEDULES", "Plateau", "create"]

Shape = Callable[[float, int], float]  # (share gone by, steps) -> factor


def _constant() -> Shape:
    return lambda u, steps: 1.0


def _linear(*, floor: float = 0.0) -> Shape:
    return lambda u, steps: 1 - (1 - floor) * u


def _cosine(*, floor: float = 0.0) -> Shape:
    return lambda u, steps: floor + (1 - floor) * (1 + math.cos(math.pi * u)) / 2


def _step(*, every: float = 1 / 3, gamma: float = 0.1) -> Shape:
    # The nudge: a third of 30 steps is step 10, though 10 / 30 is a hair below 1 / 3 in floats.
    return lambda u, steps: gamma ** math.floor(min(u, 1 - 1e-9) / every + 1e-9)


def _exponential(*, end: float = 0.01) -> Shape:
    return lambda u, steps: end**u


def _one_cycle(*, rise: float = 0.3, start: float = 1 / 25, floor: float = 4e-6) -> Shape:
    def factor(u: float, steps: int) -> float:
        # Over steps - 1 intervals, so that the last step is at the floor: as published, and as torch has it.
        last = max(1, steps - 1)
        t, top = min(u * steps, last), rise * steps - 1
        low, share = (start, t / top) if t <= top else (floor, 1 - (t - top) / max(last - top, 1e-9))
        return low + (1 - low) * (1 - math.cos(math.pi * share)) / 2

    return factor


def _wsd(*, decay: float = 0.2, floor: float = 0.0, shape: str = "sqrt") -> Shape:
    if shape not in ("sqrt", "linear"):
        raise SettingError(f"schedule 'wsd' decays as 'sqrt' or 'linear', but shape came as {shape!r}.")
    power = 0.5 if shape == "sqrt" else 1.0
    return lambda u, steps: 1 - (1 - floor) * (max(0.0, u - (1 - decay)) / decay) ** power if decay else 1.0


class Plateau:
    """The one schedule with a memory: plain numbers, in `state_dict()`.

    Args:
        factor: what the rate is multiplied by. patience: how many looks without improvement are borne.
        threshold: an improvement is one by more than this share of the best. mode: 'min' or 'max'.
        floor: smallest factor.
    """

    def __init__(
        self,
        *,
        factor: float = 0.5,
        patience: int = 3,
        threshold: float = 1e-4,
        mode: str = "min",
        floor: float = 0.0,
        steps: int = 1,
        warmup: float = 0.0,
    ):
        if mode not in ("min", "max"):
            raise SettingError(f"schedule 'plateau' watches a metric to be 'min' or 'max', but mode came as {mode!r}.")
        self.factor, self.patience, self.threshold, self.floor = factor, patience, threshold, floor
        self.sign = 1.0 if mode == "max" else -1.0
        self.warm = _warm_steps(steps, warmup)
        self.scale, self.best, self.waited = 1.0, -math.inf, 0

    def __call__(self, step: int) -> float:
        return self.scale * min(1.0, (step + 1) / self.warm if self.warm else 1.0)

    def observe(self, metric: float) -> None:
        """One look at the metric; nan counts as no improvement."""
        value = self.sign * metric
        if self.best == -math.inf or value > self.best + self.threshold * abs(self.best):
            self.best, self.waited = value if value == value else self.best, 0 if value == value else self.waited + 1
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.scale, self.waited = max(self.floor, self.scale * self.factor), 0

    def state_dict(self) -> dict[str, float | int]:
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scale, self.best, self.waited = float(state["scale"]), float(state["best"]), int(state["waited"])


SCHEDULES: dict[str, Callable[..., Any]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "step": _step,
    "exponential": _exponential,
    "one_cycle": _one_cycle,
    "wsd": _wsd,
    "plateau": Plateau,
}


def _warm_steps(steps: int, warmup: float) -> int:
    if not 0 <= warmup < 1:
        raise SettingError(f"warmup is a share of all steps, at least 0 and below 1, but came as {warmup!r}.")
    if steps < 1:
        raise SettingError(f"A schedule spans at least one step, but steps came as {steps!r}.")
    return round(warmup * steps)


def create(name: str, *, steps: int, warmup: float = 0.0, **options: Any) -> Callable[[int], float]:
    """The factor by step, from 0. `plateau` gives a `Plateau`, whose `observe` wants each evaluation's metric.

    Raises: UnknownName, SettingError.
    """
    build = choose("schedule", name, SCHEDULES)
    options = options_of("schedule", name, build, options)
    if build is Plateau:
        return Plateau(**{"steps": steps, "warmup": warmup, **options})
    warm = _warm_steps(steps, warmup)
    shape, rest = build(**options), max(1, steps - warm)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return shape(min(1.0, (step - warm) / rest), rest)

    return factor
