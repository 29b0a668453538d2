"""How long a run may learn: 10m, 20epochs or 5000steps."""

import re
from dataclasses import dataclass

from lamina.core.errors import SettingError

__all__ = ["Budget"]

_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Budget:
    """One of the three is given: seconds of wall time, passes over the training rows, or updates."""

    seconds: float | None = None
    epochs: float | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """'90s', '10m', '2h', '20epochs', '5000steps' -> Budget."""
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", str(text).lower())
        if match and float(match[1]) > 0:
            number, unit = float(match[1]), match[2]
            if unit in _UNITS:
                return cls(seconds=number * _UNITS[unit])
            if unit.rstrip("s") in ("epoch", "step"):
                return cls(epochs=number) if unit.startswith("e") else cls(steps=max(1, int(number)))
        raise SettingError(f"A budget is a time, passes or updates, like 10m, 20epochs or 5000steps; {text!r} is none.")

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:g}s"
        return f"{self.epochs:g}epochs" if self.epochs is not None else f"{self.steps}steps"

    def counted(self, epoch: int | None) -> int | None:
        """Updates that it allows where an epoch has so many; None where only time will tell."""
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            if epoch is None:
                raise SettingError(
                    f"A budget of {self.epochs:g} epochs needs rows to pass over, and this feed has no end. "
                    "Give updates or a time instead: --budget 5000steps, --budget 10m."
                )
            return max(1, round(self.epochs * epoch))
        return None
