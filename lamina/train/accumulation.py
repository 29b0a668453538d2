"""A large batch as several small ones: what each counts for, so that gradients add up to the large batch's."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamina.core.protocols import Phase

__all__ = ["shares_of", "summed"]


def summed(parts: list[Tensor]) -> Tensor:
    """Their sum, in no less than single precision."""
    if len(parts) == 1:
        return parts[0]
    return torch.stack([v if v.dtype == torch.float64 else v.float() for v in parts]).sum()


def shares_of(phase: Phase, batches: list[Any]) -> list[Any]:
    """Each micro-batch's share of the whole, so that gradients add up to the large batch's; [None] for a single one."""
    if len(batches) == 1:
        return [None]
    counts = [phase.count(b) if phase.count else _samples(b) for b in batches]
    total = sum(itertools.islice(counts, 1, None), counts[0])
    return [count / total for count in counts]


def _samples(batch: Mapping[str, Tensor]) -> int:
    """Rows of a target where there is one: an input may be laid out otherwise (all words of a batch on end)."""
    return len(next((v for k, v in batch.items() if k.startswith("target.")), next(iter(batch.values()))))
