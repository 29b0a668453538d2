"""What a method is handed as `train`: one training, perhaps inside another, with its memory and its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.protocols import Stage, Tick
from lamina.train.restoring import load_module

__all__ = ["Level"]

Saved = tuple[Mapping[str, Tensor], Any]


class Level:
    """One training. Made anew by a resumed method, it holds again what was saved of the level of that path.

    Args:
        run: runs a stage of a level. saved: gives weights and state of the checkpoint being taken up, or None.
        outer, name: the training around this one, and how it calls this one. modules: live across its stages.
    """

    def __init__(
        self,
        run: Callable[[Level, Stage], Iterator[Tick]],
        saved: Callable[[], Saved | None],
        outer: Level | None,
        name: str,
        modules: Mapping[str, nn.Module],
    ):
        self._run, self._saved, self._outer, self.name, self.modules = run, saved, outer, name, dict(modules)
        self.state: dict[str, Any] = {}
        held = saved()
        if held is None:
            return
        mine = [one.name for one in self.chain()]
        levels = held[1]["levels"]
        if [one["name"] for one in levels[: len(mine)]] == mine:
            self.state = dict(levels[len(mine) - 1]["state"])
            for key, module in self.modules.items():
                load_module(f"level{len(mine) - 1}.{key}", module, held[0])

    @property
    def path(self) -> tuple[str, ...]:
        """Names of this training and those around it; the outermost has none."""
        return (*self._outer.path, self.name) if self._outer else ()

    @property
    def outermost(self) -> bool:
        """Whether no training is around this one."""
        return self._outer is None

    def chain(self) -> list[Level]:
        """The trainings around this one and itself, outermost first."""
        return [*(self._outer.chain() if self._outer else []), self]

    def weights(self) -> dict[str, Tensor]:
        """The modules of the whole chain, as levelDEPTH.MODULE.parameter."""
        return {
            f"level{depth}.{name}.{k}": v
            for depth, level in enumerate(self.chain())
            for name, module in level.modules.items()
            for k, v in module.state_dict().items()
        }

    def states(self) -> list[dict[str, Any]]:
        """The memory of the whole chain."""
        return [{"name": one.name, "state": one.state} for one in self.chain()]

    def __call__(self, stage: Stage) -> Iterator[Tick]:
        return self._run(self, stage)

    def within(self, name: str, modules: Mapping[str, nn.Module] | None = None) -> Level:
        """A training nested in this one, with a state of its own."""
        if "/" in name or not name:
            raise SettingError(f"A nested training has a name without a slash; {name!r} came.")
        return Level(self._run, self._saved, self, name, modules or {})
