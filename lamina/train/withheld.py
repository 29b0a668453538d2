"""The updates of a stage that were withheld, because they were not finite: listed, and the culprit looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.core.protocols import Phase
from lamina.train.offence import NAMED, NotFinite, Offence, culprit, late_refusal, refusal, steep

if TYPE_CHECKING:
    from lamina.train.running import Running

__all__ = ["Withheld"]


class Withheld:
    """Of one stage under way. offences: those that are not reported yet, the first few of them."""

    def __init__(self, running: Running):
        self._running = running
        self._updates: list[list[Any]] = []  # [step, phase] since the last log line
        self._later: list[tuple[int, str, Tensor]] = []  # the same, where only the device knows yet
        self._named = 0  # offences whose culprit was looked for
        self.offences: list[Offence] = []

    def now(self, index: int, phase: Phase, batches: list[Any], shown: Mapping[str, Tensor]) -> None:
        """An update was left out. Raises: NotFinite, unless the plan says to skip it and skipping mends it."""
        running = self._running
        step, plan, spoilt = running.step + 1, running.plan, running.spoilt()
        self._updates.append([step, phase.name])
        skip = plan.nonfinite == "skip" and not spoilt
        if skip and self._named >= NAMED:
            return
        self._named += 1
        value = float(shown[phase.name])
        wrong = value - value != 0
        why = self._why(index, step, batches, spoilt) if wrong else steep(phase, running.stage.modules)
        offence = Offence(step, phase.name, why, batches)
        self.offences.append(offence)
        if not skip:
            before = running.meter.mean(phase.name)
            settings = "" if before is None else f"before: {before:.4g}; "
            settings += f"lr {running.optimizers[index].param_groups[0]['lr']:.3g}, {plan.precision}"
            where = f"step {step} of {'/'.join(running.path)}"
            raise NotFinite(refusal(offence, value, where, settings, spoilt), offence, running)

    def later(self, step: int, phase: str, found: Tensor) -> None:
        """The device will tell by `found`, 1 where the update of a step (from 0) was left out."""
        self._later.append((step, phase, found))

    def passed(self, step: int, phases: Sequence[str]) -> None:
        """The updates of a step that training went back behind."""
        self._updates += [[step, name] for name in phases]

    def left_out(self) -> list[list[Any]]:
        """[step, phase] of the updates withheld since the last call; waits for the device.

        Raises: NotFinite where a device that was not waited for tells only now, and the plan says not to skip.
        """
        self._told()
        out, self._updates = self._updates, []
        return out

    def _told(self) -> None:
        if not self._later:
            return
        flags = torch.stack([found for _, _, found in self._later]).tolist()
        late = [(s + 1, name) for (s, name, _), found in zip(self._later, flags, strict=True) if found]
        self._later = []
        self._updates += map(list, late)
        running = self._running
        skip = running.plan.nonfinite == "skip"
        if not late or (skip and self._named >= NAMED):
            return
        self._named += 1
        step, name = late[0]
        batches, why = [], ""
        if not running.stage.feed.state_dict():  # a function of the step: the batch can be had again
            index = next(i for i, phase in enumerate(running.stage.phases) if phase.name == name)
            batches = [running.move(batch) for batch in running.stage.feed.next(step - 1, running.plan.accumulate)]
            running.guard.remember()
            why = self._why(index, step, batches, running.spoilt())
        offence = Offence(step, name, why, batches)
        self.offences.append(offence)
        if not skip:
            raise NotFinite(late_refusal(late, "/".join(running.path), why), offence, running)

    def _why(self, index: int, step: int, batches: Sequence[Any], spoilt: Sequence[str]) -> str:
        """What was first not finite in a step's batches, gone through again."""
        running, why = self._running, ""
        for part, batch in enumerate(batches):
            replay = partial(running.loss, index, part, batch, step=step - 1)
            why = culprit(running.stage.modules, batch, spoilt, replay)
            running.guard.restore()
            if not why.startswith("Every"):
                break
        return why

    def state_dict(self) -> list[list[Any]]:
        """What the next log line will tell; waits for the device."""
        self._told()
        return self._updates

    def load_state_dict(self, state: Sequence[Sequence[Any]]) -> None:
        """Become what was saved."""
        self._updates = [list(one) for one in state]
        self._later, self._named, self.offences = [], 0, []
