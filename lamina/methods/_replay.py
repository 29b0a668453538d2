"""A feed that acts: environments are stepped, what happened is kept, and batches are drawn from what is kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.protocols import Batch
from lamina.core.seeds import mix

__all__ = ["Replay"]


class Replay:
    """Transitions (observation, action, reward, next observation, over), uniformly drawn (Lin 1992; Mnih et al. 2015).

    Args:
        environments: steps many copies at once: `observe()`, `step(actions)`, `state()`, `restore(state)`.
        act: observations (copies, ...) and the step's generator -> actions (copies,).
        size: transitions kept. first: transitions made before the first batch. every: updates between two steps of all
            copies; steps: of all copies then.
    Everything it holds, mid-episode environments included, is in its state.
    """

    length: int | None = None

    def __init__(
        self,
        environments: Any,
        act: Callable[[np.ndarray, np.random.Generator], np.ndarray],
        *,
        size: int,
        first: int,
        batch: int,
        every: int,
        seed: int,
    ):
        self._environments, self._act, self._seed = environments, act, seed
        self._size, self._first, self._batch, self._every = size, first, batch, every
        self._kept: dict[str, Tensor] = {}
        self._count = 0  # transitions ever made

    @property
    def frames(self) -> int:
        """Environment steps so far."""
        return self._count

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]:
        """Act where it is time to, then draw a batch."""
        rng = np.random.default_rng(mix(self._seed, "replay", step))
        while self._count < self._first:
            self._advance(rng)
        if step % self._every == 0:
            self._advance(rng)
        rows = torch.from_numpy(rng.integers(min(self._count, self._size), size=self._batch))
        frames = torch.tensor([float(self._count)])
        return [
            {**{k: v.index_select(0, chunk) for k, v in self._kept.items()}, "frames": frames}
            for chunk in rows.chunk(parts)
        ]

    def _advance(self, rng: np.random.Generator) -> None:
        observed = self._environments.observe()
        actions = self._act(observed, rng)
        after, reward, terminated, _, final = self._environments.step(actions)
        self._keep(
            numbers=torch.from_numpy(np.array(observed)),
            action=torch.from_numpy(np.asarray(actions)),
            reward=torch.from_numpy(np.asarray(reward, dtype=np.float32)),
            after=torch.from_numpy(np.array(final if final is not None else after)),
            over=torch.from_numpy(np.asarray(terminated, dtype=np.float32)),
        )

    def _keep(self, **made: Tensor) -> None:
        count = len(made["action"])
        if not self._kept:
            self._kept = {k: torch.zeros(self._size, *v.shape[1:], dtype=v.dtype) for k, v in made.items()}
        at = (self._count + torch.arange(count)) % self._size
        for name, value in made.items():
            self._kept[name].index_copy_(0, at, value)
        self._count += count

    def state_dict(self) -> dict[str, Any]:
        """What is kept (the filled part of it), and the environments."""
        filled = min(self._count, self._size)
        kept = {k: v[:filled] for k, v in self._kept.items()}
        return {"kept": kept, "count": self._count, "environments": self._environments.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; environments are brought back by playing their episodes again."""
        self._count, self._kept = state["count"], {}
        for name, value in state["kept"].items():
            self._kept[name] = torch.zeros(self._size, *value.shape[1:], dtype=value.dtype)
            self._kept[name][: len(value)] = value
        self._environments.restore(state["environments"])
