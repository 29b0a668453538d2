"""Compiled losses, and how far from the eager ones they are: looked at on the first batch of each phase."""

from collections.abc import Callable
from typing import Any

import torch

from lamina.core.errors import TrainingError
from lamina.core.protocols import Phase
from lamina.train.accumulation import summed

__all__ = ["apart", "faster", "told"]

FAR = 1e-2  # of the loss: beyond it another function was compiled, or the number format does not carry it


def faster(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss, compiled; what it draws at random (dropout) stays what it draws as written."""
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    return torch.compile(loss)


def apart(running: Any, index: int, phase: Phase, batch: Any) -> float:
    """|compiled - eager| / |eager| of a phase's loss on a batch, with the same random draws and statistics.

    Raises: TrainingError beyond 1 %.
    """
    running.guard.remember()
    compiled = running.loss(index, 0, batch)[1].detach().double()
    running.guard.restore()
    running.seed(index, 0)
    with running.plan.autocast():
        losses = phase.loss(dict(batch))
    running.guard.restore()
    eager = summed([v for v in losses.values() if v.requires_grad]).detach().double()
    found = float((compiled - eager).abs() / eager.abs().clamp(min=torch.finfo(torch.float32).tiny))
    if not found <= FAR:
        raise TrainingError(
            f"Compiled, the phase {phase.name!r} gives a loss of {float(compiled):.6g} where it gives "
            f"{float(eager):.6g} as written. Train it as written: --set plan.compile=false"
        )
    return found


def told(found: dict[str, float]) -> str:
    """One line."""
    return "compiled losses are those as written within " + ", ".join(f"{v:.0e} ({k})" for k, v in found.items())
