"""Nothing that is not finite enters the weights: a look at every gradient before each update.

The look is a sufficient test first: a sum, or the norm that clipping needs anyway, is finite only where all it was made
of is. On the CPU reading its answer costs nothing. On a GPU a fused AdamW is handed the answer and withholds the update
itself, so that nobody waits; the other optimizers wait.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lamina.core.protocols import Phase

__all__ = ["Guard", "masks"]

LARGE = 1 << 14  # numbers from which on a sum, which only reads them, is cheaper than the exact look


class Guard:
    """Looks at gradients, and keeps the running statistics of a step to go back to."""

    def __init__(self, modules: Mapping[str, nn.Module], device: torch.device):
        self._device, self._direct = device, device.type in ("cpu", "cuda")
        self._one, self._flag = torch.ones((), device=device), torch.zeros((), device=device)
        self._statistics = [b for module in modules.values() for m in module.modules() if m.training for b in _own(m)]
        self._kept = [b.clone() for b in self._statistics]
        self._modules = modules
        self._never: set[str] | None = None

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

    def finite(self, gradients: list[Tensor], loss: Tensor, norm: Tensor | None = None, *, large: bool = False) -> bool:
        """Whether all gradients and the loss are finite; waits for the device.

        norm: of all gradients, where it is known anyway. large: whether there are large ones among them.
        """
        brief = gradients
        if norm is not None:
            brief = [norm]
        elif large:
            brief = [g.sum() if g.numel() >= LARGE else g for g in gradients]
        if self._look(brief, loss, self._flag).item() == 0:
            return True
        self._flag.zero_()
        return brief is not gradients and self.finite(gradients, loss)  # a sum may overflow, and no number of it is

    def flag(self, gradients: list[Tensor], loss: Tensor) -> Tensor:
        """1.0 where a gradient or the loss is not finite, else 0.0: a scalar on the device, not waited for."""
        return self._look(gradients, loss, torch.zeros((), device=self._device))

    def _look(self, gradients: list[Tensor], loss: Tensor, flag: Tensor) -> Tensor:
        looked = [*gradients, loss if loss.dtype == gradients[0].dtype else loss.to(gradients[0].dtype)]
        if self._direct:
            torch._amp_foreach_non_finite_check_and_unscale_(looked, flag, self._one)
            return flag
        return (~torch.stack([g.detach().float().abs().amax() for g in looked]).sum().isfinite()).float()

    # ------------------------------------------------------------------------------------------ what is already spoilt

    def start(self) -> None:
        """Note what is not finite from the beginning on (a mask of infinities): that is how it is meant."""
        if self._never is None:
            self._never = {name for name, value in self._named(()) if not _finite(value)}

    def spoilt(self, optimizers: Iterable[torch.optim.Optimizer]) -> list[str]:
        """Weights, statistics and optimizers' memories that are no longer finite, by name; waits for the device."""
        named = [(name, value) for name, value in self._named(optimizers) if value.is_floating_point()]
        named = [(name, value) for name, value in named if name not in (self._never or ())]
        if not named:
            return []
        sums = torch.stack([v.detach().sum().to(self._device, torch.float32) for _, v in named])
        if bool(sums.isfinite().all()):
            return []
        return [name for name, value in named if not _finite(value)]

    def _named(self, optimizers: Iterable[torch.optim.Optimizer]) -> list[tuple[str, Tensor]]:
        found = [(f"{m}.{k}", v) for m, module in self._modules.items() for k, v in module.state_dict().items()]
        names = {id(p): f"{m}.{k}" for m, module in self._modules.items() for k, p in module.named_parameters()}
        for optimizer in optimizers:
            for parameter, state in optimizer.state.items():
                name = names.get(id(parameter), "a parameter")
                found += [(f"{key} of {name}", v) for key, v in state.items() if isinstance(v, Tensor)]
        return found


def _own(module: nn.Module) -> list[Tensor]:
    """The buffers of a module that are saved with it."""
    left_out = module._non_persistent_buffers_set
    return [b for name, b in module._buffers.items() if b is not None and name not in left_out]


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.detach().isfinite().all())


def masks(optimizer: torch.optim.Optimizer, phase: Phase) -> bool:
    """Whether the optimizer withholds an update by itself, on a device that is better not waited for."""
    fused = type(optimizer) is torch.optim.AdamW and all(g["fused"] for g in optimizer.param_groups)
    return fused and not phase.recipe.l1 and optimizer.param_groups[0]["params"][0].is_cuda
