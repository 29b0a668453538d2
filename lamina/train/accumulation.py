"""A large batch as several small ones: what each counts for, so that gradients add up to the large batch's."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.protocols import Phase

__all__ = ["counted", "inexact", "shares_of", "summed"]

IGNORED = -100  # a target that counts nowhere: padding


def summed(parts: list[Tensor]) -> Tensor:
    """Their sum, in no less than single precision."""
    if len(parts) == 1:
        return parts[0]
    return torch.stack([v if v.dtype == torch.float64 else v.float() for v in parts]).sum()


def shares_of(phase: Phase, batches: list[Any]) -> list[Any]:
    """Each micro-batch's share of the whole, so that gradients add up to the large batch's; [None] for a single one."""
    if len(batches) == 1:
        return [None]
    counts = [phase.count(b) if phase.count else counted(b) for b in batches]
    # whole numbers divide in single precision, which a loss in double would feel
    counts = [c.double() if isinstance(c, Tensor) and c.device.type != "mps" else c for c in counts]
    total = sum(itertools.islice(counts, 1, None), counts[0])
    if isinstance(total, Tensor):  # where nothing counts, 0 / tiny is 0, as it is in the losses
        total = total.clamp_min(torch.finfo(torch.float32).tiny)
    return [count / total for count in counts]


def counted(batch: Mapping[str, Tensor]) -> int | Tensor:
    """What a mean over a batch is divided by: its rows, or the weights of its samples; of padded texts, the tokens.

    Rows are those of a target where there is one: an input may be laid out otherwise (all words of a batch on end).
    """
    target = next((v for k, v in batch.items() if k.startswith("target.")), next(iter(batch.values())))
    weight = batch.get("sample_weight")
    if target.ndim > 1 and not target.is_floating_point():
        counts = (target != IGNORED).flatten(1).sum(1)
        return counts.sum() if weight is None else (counts * weight).sum()
    return len(target) if weight is None else weight.sum()


def inexact(modules: Mapping[str, nn.Module], parts: int) -> str | None:
    """A word of warning where micro-batches are not the large batch: a sample's output depends on its neighbours."""
    for key, module in modules.items():
        for name, m in module.named_modules():
            if parts > 1 and isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training:
                where = f"{key}.{name}" if name else key
                return f"{parts} micro-batches are not quite the large batch: {where} normalises over each alone"
    return None
