"""Actions: what is done in an environment, one of several or a vector within bounds."""

from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.core.untrusted import fits
from lamina.fields._state import require

__all__ = ["Action"]


class Action:
    """What an environment takes at each step. It is never guessed from a column: the environment says it.

    Args:
        actions: how many there are to choose from, named 0, 1, …; 0 for vectors.
        low, high: bounds of each number of a vector, empty for choices.
    """

    kinds: tuple[str, ...] = ("numbers",)

    def __init__(self, name: str, *, actions: int = 0, low: tuple[float, ...] = (), high: tuple[float, ...] = ()):
        self.name, self.actions, self.low, self.high = name, actions, list(low), list(high)

    @classmethod
    def guess(cls, column: Column) -> float:
        return 0.0

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Action":
        wrong = fits(state, {"actions": int, "low": [float], "high": [float]})
        require(not wrong and len(state["low"]) == len(state["high"]), wrong or "low and high are not as many")
        return cls(name, actions=state["actions"], low=state["low"], high=state["high"])

    def state(self) -> dict[str, Any]:
        return {"actions": self.actions, "low": self.low, "high": self.high}

    def fit(self, column: Column) -> None:
        """Nothing to learn: the environment has said it. Raises: DataError where there was none."""
        if not self.actions and not self.low:
            raise DataError(
                f"Column {self.name!r} is to hold actions, but no environment says which there are. Read it as a "
                "category or a number, or give actions=N."
            )

    def encode(self, column: Column, **how: Any) -> dict[str, np.ndarray]:
        return {"numbers": self.encode_target(column).reshape(len(column.values), -1).astype(np.float32)}

    def encode_target(self, column: Column) -> np.ndarray:
        """(n,) int64 of choices, or (n, width) float32 of vectors."""
        try:
            if not self.actions:
                return np.asarray(column.values, dtype=np.float32).reshape(len(column.values), len(self.low))
            values = np.asarray([int(v) for v in column.values], dtype=np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"Column {self.name!r} is to hold actions, but: {error}. Mend it.") from error
        wrong = np.flatnonzero((values < 0) | (values >= self.actions))
        if len(wrong):
            raise DataError(
                f"Column {self.name!r} holds actions 0 to {self.actions - 1}, but {column.where(int(wrong[0]))} has "
                f"{column.values[wrong[0]]!r}. Mend it."
            )
        return values

    def missing(self, column: Column) -> np.ndarray:
        return np.array([value is None for value in column.values])

    def decode(self, values: Any) -> list[Any]:
        return np.asarray(values).tolist()

    def sizes(self) -> dict[str, Any]:
        return {"columns": 1 if self.actions else len(self.low)}
