"""Copies of a network that follow it: a moving average, a target network."""

import torch
from torch import nn

__all__ = ["follow"]


@torch.no_grad()
def follow(source: nn.Module, target: nn.Module, decay: float) -> None:
    """target ← decay · target + (1 - decay) · source, batch norm's statistics too; whole numbers are copied."""
    into, of = [p.detach() for p in target.parameters()], [p.detach() for p in source.parameters()]
    if decay:
        torch._foreach_lerp_(into, of, 1 - decay)
    else:
        torch._foreach_copy_(into, of)
    for kept, new in zip(target.buffers(), source.buffers(), strict=True):
        kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)
