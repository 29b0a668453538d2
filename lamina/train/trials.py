"""What 'auto' means for a run, found out before its first step by a few steps that leave no trace."""

import time
from typing import Any

import torch
from torch import nn

from lamina.core.protocols import Stage
from lamina.train import rates
from lamina.train.plan import Plan, has_bfloat16
from lamina.train.running import Running

__all__ = ["affordable", "lay_out", "number_format", "settle", "threads", "trial"]


def lay_out(plan: Plan, stage: Stage) -> None:
    """Settle the memory layout: pictures' channels last where a module convolves them."""
    if plan.layout == "auto":
        pictures = any(
            isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for s in stage.modules.values() for m in s.modules()
        )
        plan.layout = "channels_last" if pictures else "contiguous"


def trial(running: Running, steps: int) -> float:
    """Least seconds of a step (neighbours only ever add), over a few that leave no trace: weights, statistics, feed and
    random numbers are put back."""
    state, weights = running.snapshot()
    random = [(g, g.get_state()) for g in running.plan.generators()]
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        running.advance()
        running.plan.wait()
        times.append(time.perf_counter() - start)
    running.load_state_dict(state, weights)
    for generator, before in random:
        generator.set_state(before)
    return min(times[1:])


def threads(running: Running) -> int:
    """One where steps are tiny and more threads do not pay: each parallel region then waits for one to wake up."""
    most = torch.get_num_threads()
    if most == 1 or running.plan.device != "cpu":
        return most
    times = {most: trial(running, 3)}
    if times[most] < 1e-2:
        torch.set_num_threads(1)
        times[1] = trial(running, 3)
    return min(times, key=lambda n: times[n] * (1.0 if n == 1 else 1.1))


def number_format(running: Running, steps: int | None) -> tuple[str, dict[str, Any]]:
    """bfloat16 where the hardware has it, steps are many and it is a tenth faster; and a step's seconds in each."""
    plan = running.plan
    if not has_bfloat16(plan.device) or (steps is not None and steps <= 200):
        return "float32", {}
    plan.precision = "float32"
    if trial(running, 3) <= 4e-3:
        return "float32", {}
    times = {}
    for name in ("float32", "bfloat16"):
        plan.precision = name
        times[name] = trial(running, 5)
    return "bfloat16" if times["bfloat16"] < 0.9 * times["float32"] else "float32", times


def settle(running: Running, steps: int | None) -> tuple[list[dict[str, Any]], bool]:
    """Fix all that the plan leaves open. Gives what is worth noting, and whether anything had to be measured."""
    plan, found = running.plan, list[dict[str, Any]]()
    measured = not plan.threads or plan.precision == "auto" or 0.0 in running.rates
    if not plan.threads:
        plan.threads = threads(running)
        torch.set_num_threads(plan.threads)
    if plan.precision == "auto":
        plan.precision, times = number_format(running, steps)
        if times:
            found.append({"precision": plan.precision, "step_s": times})
    if 0.0 in running.rates:
        running.rates = rates.find(running)
        found.append({"lr": running.rates})
    return found, measured


def affordable(running: Running, seconds: float) -> int:
    """Steps that fit into so many seconds, with a tenth held back for slower stretches."""
    start = time.perf_counter()
    for steps in (2, 8, 40):
        step = trial(running, steps)
        if step * steps > min(1.0, 0.01 * seconds):
            break
    return max(1, int((0.9 * (seconds - (time.perf_counter() - start))) / step))
