"""The losses since the last log line: summed where they are, read when a line is written."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Meter"]


class Meter:
    """Sums of losses by name, and how many steps are in each: a phase may rest on some."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, shown: Mapping[str, Tensor]) -> None:
        """Take in what a phase minimised and its parts; waits for nothing."""
        for name, value in shown.items():
            kept = self.sums.get(name)
            self.sums[name] = value.float().clone() if kept is None else kept.add_(value)
            self.counts[name] = self.counts.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        """The mean so far of one of them; waits for the device."""
        return float(self.sums[name]) / self.counts[name] if name in self.sums else None

    def means(self) -> dict[str, float]:
        """All means, and begin anew; waits for the device."""
        values = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        out = {name: value / self.counts[name] for name, value in zip(self.sums, values, strict=True)}
        self.sums, self.counts = {}, {}
        return out

    def state_dict(self) -> dict[str, Any]:
        """The sums and their counts."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Become what was saved."""
        self.sums = {k: v.to(device) for k, v in state["sums"].items()}
        self.counts = dict(state["counts"])


def unread(names: Iterable[str], device: torch.device) -> dict[str, Tensor]:
    """What a step that was passed over shows: no number for any of its phases."""
    return {name: torch.full((), torch.nan, device=device) for name in names}
