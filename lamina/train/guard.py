"""Nothing that is not finite enters the weights: a look at every gradient, and the search for where it came from.

The look is one pass over the gradients and the loss in one call; on the CPU reading its answer costs nothing. On a GPU
a fused AdamW is handed the answer and withholds the update itself, so that nobody waits; the other optimizers wait.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.protocols import Phase

__all__ = ["Guard", "culprit", "late_refusal", "masks", "refusal"]


class Guard:
    """Looks at gradients, and keeps the running statistics of a step to go back to."""

    def __init__(self, modules: Mapping[str, nn.Module], device: torch.device):
        self._device = device
        self._one, self._flag = torch.ones((), device=device), torch.zeros((), device=device)
        self._statistics = [b for module in modules.values() for m in module.modules() if m.training for b in _own(m)]
        self._kept = [b.clone() for b in self._statistics]

    def remember(self) -> None:
        """Keep the statistics (of batch norms and the like) as they are before a forward pass."""
        if self._kept:
            torch._foreach_copy_(self._kept, self._statistics)

    def restore(self) -> None:
        """Put them back."""
        if self._kept:
            torch._foreach_copy_(self._statistics, self._kept)

    def restore_where(self, found: Tensor) -> None:
        """The same on the device, where `found` is 1."""
        for buffer, kept in zip(self._statistics, self._kept, strict=True):
            torch.where(found.bool(), kept, buffer, out=buffer)

    def finite(self, gradients: list[Tensor], loss: Tensor) -> bool:
        """Whether all gradients and the loss are finite; waits for the device."""
        if self._look(gradients, loss, self._flag).item() == 0:
            return True
        self._flag.zero_()
        return False

    def flag(self, gradients: list[Tensor], loss: Tensor) -> Tensor:
        """1.0 where a gradient or the loss is not finite, else 0.0: a scalar on the device, not waited for."""
        return self._look(gradients, loss, torch.zeros((), device=self._device))

    def _look(self, gradients: list[Tensor], loss: Tensor, flag: Tensor) -> Tensor:
        looked = [*gradients, loss if loss.dtype == gradients[0].dtype else loss.to(gradients[0].dtype)]
        if self._device.type in ("cpu", "cuda"):
            torch._amp_foreach_non_finite_check_and_unscale_(looked, flag, self._one)
            return flag
        return (~torch.stack([g.detach().float().abs().amax() for g in looked]).sum().isfinite()).float()


def _own(module: nn.Module) -> list[Tensor]:
    """The buffers of a module that are saved with it."""
    left_out = module._non_persistent_buffers_set
    return [b for name, b in module._buffers.items() if b is not None and name not in left_out]


def masks(optimizer: torch.optim.Optimizer, phase: Phase) -> bool:
    """Whether the optimizer withholds an update by itself, on a device that is better not waited for."""
    fused = type(optimizer) is torch.optim.AdamW and all(g["fused"] for g in optimizer.param_groups)
    return fused and not phase.recipe.l1 and optimizer.param_groups[0]["params"][0].is_cuda


def culprit(modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor], replay: Callable[[], Any]) -> str:
    """What was first not finite when the batch is gone through again: an input, a module's weights, its output."""
    for name, value in batch.items():
        if bad := _bad(value):
            return f"The batch's {name!r} holds {bad:,} values that are not finite."
    for key, module in modules.items():
        for name, parameter in module.named_parameters():
            if _bad(parameter.detach()):
                return f"{key}.{name} holds values that are not finite already."
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


def refusal(
    phase: Phase, modules: Mapping[str, nn.Module], value: float, where: str, settings: str, reason: str
) -> str:
    """Why training stops at a loss (its value) or a gradient that is not finite."""
    what = f"The loss {phase.name!r} became {value} at {where}"
    if value - value == 0:
        given = phase.parameters.parameters() if isinstance(phase.parameters, nn.Module) else phase.parameters
        moved = {id(p) for p in given}
        named = [(f"{m}.{k}", p) for m, module in modules.items() for k, p in module.named_parameters()]
        bad = [name for name, p in named if id(p) in moved and p.grad is not None and _bad(p.grad)]
        what = f"The gradient of the loss {phase.name!r} is not finite at {where}, in {', '.join(bad[:3])}"
    return (
        f"{what} ({settings}). {reason}{' ' if reason else ''}That update was withheld: the weights are sound. "
        "Lower method.lr, clip gradients (--set method.clip=1), or see whether rounding is the cause: "
        "--set plan.precision=float32. To leave such updates out: --set plan.nonfinite=skip."
    )


def late_refusal(left_out: Sequence[Sequence[Any]], where: str) -> str:
    """The same, where the device was not waited for and tells only at a log line."""
    step, name = left_out[0]
    return (
        f"The loss {name!r} or its gradient was not finite at step {step} of {where}; {len(left_out)} such updates "
        "were withheld since: the weights are sound. Lower method.lr, clip gradients (--set method.clip=1), or leave "
        "such updates out: --set plan.nonfinite=skip."
    )


def _bad(value: Tensor) -> int:
    return int((~value.isfinite()).sum()) if value.is_floating_point() else 0
