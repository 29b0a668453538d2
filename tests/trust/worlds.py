"""Environments that misbehave, under names of gymnasium."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

__all__ = ["register"]


class World(gymnasium.Env[Any, Any]):
    """A number that grows; `blind_at`: the step from which nothing is seen; `end`: the step that ends the episode."""

    action_space: Any = Discrete(2)
    observation_space: Any = Box(-1e9, 1e9, (2,), np.float32)

    def __init__(self, blind_at: int = 10**9, end: int = 10**9, unpaid_at: int = 10**9):
        self.blind_at, self.end, self.unpaid_at = blind_at, end, unpaid_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self._seen(), {}

    def step(self, action: int) -> Any:
        self.at += 1
        reward = float("inf") if self.at >= self.unpaid_at else 1.0
        return self._seen(), reward, self.at >= self.end, False, {}

    def _seen(self) -> Any:
        return np.array([self.at, np.nan if self.at >= self.blind_at else 0.0], np.float32)


class Boxed(World):
    """What is observed comes in a dictionary."""

    observation_space: Any = Dict({"place": Box(0, 1, (2,))})


class Steered(World):
    """What is done is a number."""

    action_space: Any = Box(-1, 1, (1,))


def register() -> None:
    """Once for each process."""
    for name, kind, settings in (
        ("Blind", World, {"blind_at": 0}),
        ("BlindLater", World, {"blind_at": 5, "end": 20}),
        ("Unpaid", World, {"unpaid_at": 5, "end": 20}),
        ("Endless", World, {}),
        ("Boxed", Boxed, {}),
        ("Steered", Steered, {}),
    ):
        if f"{name}-v0" not in gymnasium.registry:
            gymnasium.register(f"{name}-v0", entry_point=kind, kwargs=settings)
