"""Control: act in an environment so that the rewards add up."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.calls import call
from lamina.core.errors import SettingError
from lamina.core.protocols import Batch
from lamina.metrics.control import control
from lamina.metrics.value import Value

__all__ = ["Control"]


class Control:
    """Which action now? The network gives a value (or score) for each action; the largest is taken.

    Args:
        target, field: the action and its type.
        episodes: played for the final figures; a fifth of them for each evaluation on the way.
    """

    metric = "mean_return"
    budget = "40000steps"

    def __init__(self, target: str, field: Any, *, episodes: int = 100):
        if not getattr(field, "actions", 0):
            raise SettingError(
                f"control chooses among separate actions so far; {target!r} takes vectors of {len(field.low)} numbers. "
                "Take an environment with separate actions, such as gym:CartPole-v1, or wrap this one so."
            )
        self.target, self.field, self.episodes = target, field, episodes

    @classmethod
    def fits(cls, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> float:
        """1 where what is asked for is an action."""
        return 1.0 if len(targets) == 1 and all(hasattr(f, "actions") for f in targets.values()) else 0.0

    def sizes(self) -> dict[str, Any]:
        """A value an action."""
        return {"outputs": self.field.actions, "classes": self.field.actions}

    def model(self, kinds: list[str]) -> str:
        """The default network."""
        return "mlp"

    def method(self) -> str:
        """How it is learnt unless said otherwise."""
        return "dqn"

    def sampler(self, model: nn.Module) -> dict[str, Any]:
        """None: the method acts for its data."""
        return {}

    def loss(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """None of its own: what is minimised belongs to the method."""
        raise SettingError("control is learnt by acting; take a method such as --method dqn.")

    def predict(self, model: nn.Module, batch: Batch, rng: Any = None, **options: Any) -> dict[str, Tensor]:
        """The values of all actions (batch, actions)."""
        return {"values": call(model, batch).float()}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        """The action and its value."""
        best = raw["values"].max(-1)
        return {self.target: best.indices.tolist(), "value": best.values.tolist()}

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Returns of whole episodes, played greedily from start states that training never saw."""
        first = next(iter(model.parameters()))

        def greedy(observed: np.ndarray) -> np.ndarray:
            seen = torch.from_numpy(observed).to(first.device)
            return call(model, {data.kinds()[0]: seen}).float().argmax(-1).cpu().numpy()

        count = self.episodes if intervals else max(1, self.episodes // 5)
        return control(*data.play(greedy, count, split))

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """What drawing actions at random gets."""
        rng = np.random.default_rng(0)
        returns = data.play(lambda seen: rng.integers(self.field.actions, size=len(seen)), self.episodes, split)
        return {"random": control(*returns)}
