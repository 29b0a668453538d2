"""How long a stage lasts: so many steps as were asked for, or as the time left holds, as trial steps tell."""

import time
from collections.abc import Callable
from typing import Any

from lamina.core.protocols import Stage
from lamina.train import trials
from lamina.train.budget import Budget
from lamina.train.judging import Judging
from lamina.train.plan import Plan
from lamina.train.running import Running

__all__ = ["Lengths"]


class Lengths:
    """seconds: of training so far, earlier processes of the same run included."""

    def __init__(self, budget: Budget, plan: Plan, judging: Judging, seconds: Callable[[], float]):
        self._budget, self._plan, self._judging, self._seconds = budget, plan, judging, seconds

    def settle(self, running: Running) -> tuple[list[dict[str, Any]], bool]:
        """Fix the plan and the number of steps, by trial steps on state that is put back afterwards.

        Gives what was found out about the plan, and whether anything had to be measured.
        """
        steps, evaluations = self._counted(running.stage), self._evaluations(running.stage)
        running.lasts(steps or 1_000_000, evaluations)
        found, measured = trials.settle(running, steps)
        if steps is None:
            steps, evaluations = self._affordable(running, evaluations)
            measured = True
        running.lasts(steps, evaluations)
        return found, measured

    def extend(self, running: Running) -> None:
        """A resumed run with another budget trains on to its end."""
        steps, evaluations = self._counted(running.stage), self._evaluations(running.stage)
        if steps is None:
            more, evaluations = self._affordable(running, evaluations)
            steps = running.step + more
        running.lasts(max(steps, running.step), evaluations)

    def late(self, running: Running) -> bool:
        """Whether another step would leave no time for the last evaluation."""
        return running.deadline is not None and self._seconds() + self._judging.seconds > running.deadline

    def _evaluations(self, stage: Stage) -> int:
        return self._plan.evaluations if self._judging.judges(stage) else 1

    def _counted(self, stage: Stage) -> int | None:
        """Steps of a stage, None where the clock will tell."""
        if stage.steps is not None:
            return stage.steps
        steps = self._budget.counted(stage.feed.length)
        return None if steps is None else max(1, round(steps * stage.share))

    def _affordable(self, running: Running, evaluations: int) -> tuple[int, int]:
        """Steps that fit into the time left, and evaluations: as many as asked for or as a tenth of it holds."""
        assert self._budget.seconds is not None
        begun, start = self._seconds(), time.monotonic()
        if self._judging.judges(running.stage):
            with running.averaged():
                self._judging.metrics(running)
            self._judging.seconds = time.monotonic() - start
        look = self._judging.seconds
        running.deadline = min(begun + self._budget.seconds * running.stage.share, self._budget.seconds)
        left = running.deadline - self._seconds()
        evaluations = max(2, min(evaluations, int(0.1 * left / max(look, 1e-9))))
        return trials.affordable(running, left - evaluations * look), evaluations
