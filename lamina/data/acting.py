"""An environment as a data set: its fields are what is observed and what is done, its samples are made by acting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import SettingError
from lamina.core.protocols import Batch, Feed
from lamina.core.seeds import mix
from lamina.data.environment import Environment, Environments
from lamina.fields.action import Action
from lamina.fields.image import Image
from lamina.fields.vector import Vector

__all__ = ["ActingData"]

_EPISODES = {"valid": 0, "test": 1, "all": 1}  # start states of each split come from a seed of its own


class ActingData:
    """Inputs: `observation`; target: `action`. There are no rows: a method acts, and evaluation plays episodes."""

    def __init__(self, environment: Environment):
        seen, done = environment.observation, environment.action
        self.environment, self.name = environment, environment.source
        self.inputs, self.targets, self.weight = ["observation"], ["action"], None
        self.skipped: list[tuple[str, str]] = []
        self.splits: dict[str, Any] = {}
        image = Image("observation", size=seen.shape[1], channels=seen.shape[0]) if seen.kind == "image" else None
        actions = done.size if done.kind == "category" else 0
        self.fields: dict[str, Any] = {
            "observation": image or Vector("observation", width=seen.size, raw=True),
            "action": Action("action", actions=actions, low=done.low, high=done.high),
        }

    @property
    def fingerprint(self) -> str:
        """Of the environment's name, settings and version."""
        return self.environment.fingerprint

    def kinds(self) -> list[str]:
        """numbers, or image."""
        return [self.fields["observation"].kinds[0]]

    def sizes(self) -> dict[str, Any]:
        """Of what is observed."""
        return {k: v for k, v in self.environment.sizes().items() if k != "actions"}

    def count(self, split: str) -> int:
        """1 where episodes can be played: there are no rows to count."""
        return int(split in _EPISODES)

    def prepare(self, kinds: Sequence[str], reader: str = "The network") -> None:
        """Refuse a network that cannot read what is observed."""
        if kinds and self.kinds()[0] not in kinds:
            raise SettingError(f"{reader} reads {', '.join(kinds)}; {self.name} shows {self.kinds()[0]}.")

    def environments(self, count: int, seed: int) -> Environments:
        """`count` copies to act in."""
        return self.environment.make(count, mix(seed, "environments"))

    def play(self, act: Callable[[np.ndarray], np.ndarray], episodes: int, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of whole episodes under a policy; the same start states each time, other ones a split."""
        count = min(episodes, 64)
        many = self.environment.make(count, mix("episodes", _EPISODES[split]))
        total, length = np.zeros(count), np.zeros(count, dtype=np.int64)
        wanted = np.full(count, episodes // count) + (np.arange(count) < episodes % count)
        found: list[tuple[float, int]] = []
        while (wanted > 0).any():
            _, reward, terminated, truncated, _ = many.step(act(many.observe()))
            total, length = total + reward, length + 1
            for i in np.flatnonzero(terminated | truncated):
                if wanted[i] > 0:
                    found.append((float(total[i]), int(length[i])))
                    wanted[i] -= 1
                total[i], length[i] = 0.0, 0
        many.close()
        returns, lengths = zip(*found, strict=True)
        return np.array(returns), np.array(lengths)

    def feed(self, sampler: Mapping[str, Any], *, split: str, batch: int, seed: int, augment: Any = None) -> Feed:
        """None: there are no rows."""
        raise SettingError(f"{self.name} is an environment and has no rows to learn from; take --method dqn.")

    def batches(self, sampler: Mapping[str, Any], *, split: str, batch: int) -> Iterator[Batch]:
        """None: there are no rows."""
        raise SettingError(f"{self.name} is an environment and has no rows; give a table with a column 'observation'.")
