"""An update that was not finite: what it was, where it came from, and the message about it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from lamina.core.errors import TrainingError
from lamina.core.protocols import Phase

__all__ = ["NotFinite", "Offence", "culprit", "late_refusal", "packed", "refusal", "spoilt_refusal"]

NAMED = 8  # offences of a stage whose culprit is looked for, and of a run whose batch is kept
_REMEDY = (
    "Lower method.lr, clip gradients (--set method.clip=1), or see whether rounding is the cause: "
    "--set plan.precision=float32. To leave such updates out: --set plan.nonfinite=skip; to go back to the last "
    "checkpoint and on behind them: --set plan.nonfinite=back. Both may be said with --resume, too."
)


@dataclass
class Offence:
    """One update withheld. step: of the stage, from 1. why: what was first not finite. batches: by micro-batch."""

    step: int
    phase: str
    why: str
    batches: Sequence[Mapping[str, Tensor]]

    @property
    def name(self) -> str:
        """The phase, as part of a file's name."""
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.phase)[:40]


class NotFinite(TrainingError):
    """A loss, a gradient or a weight is not finite, and the plan says not to go on as if nothing were."""

    def __init__(self, message: str, offence: Offence, running: Any):
        super().__init__(message)
        self.offence, self.running = offence, running


def culprit(
    modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor], spoilt: Sequence[str], replay: Callable[[], Any]
) -> str:
    """What was first not finite when the batch is gone through again: an input, a module's weights, its output."""
    for name, value in batch.items():
        if bad := _bad(value):
            return f"The batch's {name!r} holds {bad:,} values that are not finite."
    if spoilt:
        return f"{spoilt[0]} holds values that are not finite already."
    found: list[str] = []

    def watching(name: str) -> Callable[..., None]:
        def look(module: nn.Module, given: Any, out: Any) -> None:
            outs = out if isinstance(out, tuple | list) else [out]
            if not found and any(isinstance(o, Tensor) and _bad(o.detach()) for o in outs):
                found.append(f"{name} ({type(module).__name__})")

        return look

    hooks = [
        m.register_forward_hook(watching(f"{key}.{name}" if name else key))
        for key, module in modules.items()
        for name, m in module.named_modules()
    ]
    try:
        with torch.no_grad():
            replay()
    except Exception:  # the message about the loss matters more than why it cannot be gone through again
        return ""
    finally:
        for hook in hooks:
            hook.remove()
    return f"It came first out of {found[0]}." if found else "Every module's output is finite: the loss itself is not."


def steep(phase: Phase, modules: Mapping[str, nn.Module]) -> str:
    """Which gradients are not finite, where the loss is."""
    given = phase.parameters.parameters() if isinstance(phase.parameters, nn.Module) else phase.parameters
    moved = {id(p) for p in given}
    named = [(f"{m}.{k}", p) for m, module in modules.items() for k, p in module.named_parameters()]
    bad = [name for name, p in named if id(p) in moved and p.grad is not None and _bad(p.grad)]
    return f"The gradient is not finite in {', '.join(bad[:3])}."


def refusal(offence: Offence, value: float, where: str, settings: str, spoilt: Sequence[str]) -> str:
    """Why training cannot go on at a loss (its value) or a gradient that is not finite."""
    name = repr(offence.phase)
    what = f"The loss {name} became {value}" if value - value else f"The gradient of the loss {name} is not finite"
    sound = "" if spoilt else " That update was withheld: the weights are sound."
    cure = "Leaving updates out cannot mend that. " if spoilt else ""
    return f"{what} at {where} ({settings}). {offence.why}{sound} {cure}{_REMEDY}"


def late_refusal(left_out: Sequence[Sequence[Any]], where: str, why: str) -> str:
    """The same, where the device was not waited for and tells only at a log line."""
    step, name = left_out[0]
    return (
        f"The loss {name!r} or its gradient was not finite at step {step} of {where}; {len(left_out)} such updates "
        f"were withheld since: the weights are sound. {why}{' ' if why else ''}{_REMEDY}"
    )


def spoilt_refusal(spoilt: Sequence[str], where: str) -> str:
    """The same, where weights or an optimizer's memory are not finite though each gradient was."""
    more = f" and {len(spoilt) - 3} more" if len(spoilt) > 3 else ""
    return (
        f"At {where} these are not finite any more: {', '.join(spoilt[:3])}{more}. That is never saved: the last "
        f"checkpoint is sound. {_REMEDY}"
    )


def packed(offence: Offence, update: int) -> bytes:
    """The batch as the bytes of a safetensors file, with what is known of the offence as its metadata."""
    several = len(offence.batches) > 1
    tensors = {
        f"{part}.{name}" if several else name: value.detach().cpu().contiguous().clone()
        for part, batch in enumerate(offence.batches)
        for name, value in batch.items()
    }
    about = {"update": update, "step": offence.step, "phase": offence.phase, "why": offence.why}
    return safetensors.torch.save(tensors, metadata={"lamina": json.dumps(about)})


def _bad(value: Tensor) -> int:
    return int((~value.isfinite()).sum()) if value.is_floating_point() else 0
