"""DQN: the value of each action learnt from what happened next, with replay and a target network that lags behind.

Papers: Mnih et al., "Human-level control through deep reinforcement learning" (2015), doi:10.1038/nature14236; van
Hasselt et al., "Deep Reinforcement Learning with Double Q-learning" (2016), arXiv:1509.06461: the online network
chooses the next action, the target network says what it is worth.

    y = r + gamma · (1 - over) · Q'(s', argmax_a Q(s', a)),   loss = Huber(Q(s, a), y)
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from lamina.core.calls import call
from lamina.core.protocols import Average, Batch, Phase, Problem, Recipe, Stage, Tick, Train
from lamina.methods._replay import Replay

__all__ = ["DQN"]


class DQN:
    """Value learning for separate actions.

    Args:
        lr, batch, clip: of Adam's updates. schedule: of the rate.
        gamma: what a reward one step later is worth.
        buffer: transitions kept. first: transitions made at random before the first update.
        environments: copies stepped together. every: updates between two steps of all copies.
        explore, explore_updates: the share of random actions falls from 1 to `explore` over so many updates.
        target_every: updates between two copies of the network into the target network.
        double: choose with the online network (van Hasselt et al.).
    """

    def __init__(
        self,
        *,
        lr: float = 5e-4,
        batch: int = 128,
        clip: float = 10.0,
        schedule: str = "linear",
        gamma: float = 0.99,
        buffer: int = 50_000,
        first: int = 1_000,
        environments: int = 8,
        every: int = 4,
        explore: float = 0.04,
        explore_updates: int = 4_000,
        target_every: int = 200,
        double: bool = True,
    ):
        self.lr, self.batch, self.clip, self.schedule, self.gamma = lr, batch, clip, schedule, gamma
        self.buffer, self.first, self.environments, self.every = buffer, first, environments, every
        self.explore, self.explore_updates = explore, explore_updates
        self.target_every, self.double = target_every, double

    def learn(self, problem: Problem, train: Train) -> Iterator[Tick]:
        """One stage: act, keep, draw, update."""
        model, target = problem.model, copy.deepcopy(problem.model)
        data: Any = problem.data
        kind = data.kinds()[0]
        actions = problem.task.sizes()["outputs"]

        def act(observed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            share = 1 - (1 - self.explore) * min(1.0, max(0, feed.frames - self.first) / self._exploring())
            chosen = rng.integers(actions, size=len(observed))
            greedy = rng.random(len(observed)) >= share
            if greedy.any():
                with torch.no_grad():
                    seen = torch.from_numpy(observed).to(problem.device)
                    chosen = np.where(greedy, call(model, {kind: seen}).argmax(-1).cpu().numpy(), chosen)
            return chosen

        feed = Replay(
            data.environments(self.environments, problem.seed), act, size=self.buffer, first=self.first,
            batch=self.batch, every=self.every, seed=problem.seed,
        )  # fmt: skip

        def loss(batch: Batch) -> dict[str, Tensor]:
            now = call(model, {kind: batch["numbers"]}).gather(1, batch["action"][:, None])[:, 0]
            with torch.no_grad():
                later = call(target, {kind: batch["after"]})
                chooser = call(model, {kind: batch["after"]}) if self.double else later
                worth = later.gather(1, chooser.argmax(-1, keepdim=True))[:, 0]
                wanted = batch["reward"] + self.gamma * (1 - batch["over"]) * worth
            # frames: environment steps so far, so that every curve can be read against them
            return {
                "temporal_difference": smooth_l1_loss(now, wanted),
                "value": now.detach().mean(),
                "frames": batch["frames"][0],
            }

        recipe = Recipe(optimizer="adam", lr=self.lr, clip=self.clip, schedule=self.schedule)
        yield from train(
            Stage(
                "dqn",
                {"model": model, "target": target},
                feed,
                [Phase("loss", loss, model, recipe)],
                [Average("model", "target", decay=0.0, every=self.target_every)],
            )
        )

    def _exploring(self) -> float:
        """Frames over which the share of random actions falls."""
        return max(1.0, self.explore_updates * self.environments / self.every)
