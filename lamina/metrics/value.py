"""One measured figure: what it is, how sure, over how many samples, in which unit."""

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Value"]


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval.

    low, high: nan where the data cannot say (a single document, say). count: the samples it was measured over.
    unit: '' for shares and pure numbers.
    """

    value: float
    low: float
    high: float
    count: int
    unit: str = ""

    def __float__(self) -> float:
        return float(self.value)  # numpy's float64 is a strict subclass, which `float()` deprecates

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{self.value:.4g}{unit}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g}){unit}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for run.json: what is not a finite number becomes None."""
        figures = {"value": self.value, "low": self.low, "high": self.high}
        plain: dict[str, Any] = {k: float(v) if math.isfinite(v) else None for k, v in figures.items()}
        plain["count"] = int(self.count)
        if self.unit:
            plain["unit"] = self.unit
        return plain
