"""The random numbers of a step: a function of the run's seed, the stage, the step, the phase and the micro-batch."""

from collections.abc import Sequence

import torch

from lamina.core.seeds import mix

__all__ = ["Draws"]

_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # the golden ratio's bits: neighbouring steps get unrelated seeds


class Draws:
    """Seeds the generators that dropout, noise and the like draw from.

    begin: the updates made before this stage, so that a stage run twice (a federated client in each round) draws anew.
    """

    def __init__(self, seed: int, path: Sequence[str], begin: int, generators: Sequence[torch.Generator]):
        self._parts: tuple[int | str, ...] = (seed, *path)
        self._generators = list(generators)
        self.begin(begin)

    def begin(self, begin: int) -> None:
        """As if the stage had begun after so many updates."""
        self._seed = mix(*self._parts, begin)

    def seed(self, step: int, phase: int, part: int) -> None:
        """Seed all generators for a micro-batch of a phase of a step; phase 0 is the feed."""
        # splitmix64's finish: the CPU's generator looks at the lower 32 bits alone, so they must depend on all
        x = (self._seed + _ODD * (step << 20 | phase << 14 | part)) & _MASK
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
        for generator in self._generators:
            generator.manual_seed((x ^ x >> 31) >> 1)
