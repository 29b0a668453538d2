"""The one loop: a generator of ticks over whatever stages a method hands it. It knows no model, task or method."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina.core.errors import RunError, SettingError, TrainingError
from lamina.core.protocols import Judge, Method, Problem, Stage, Tick
from lamina.core.seeds import mix
from lamina.train import compiled, trials
from lamina.train.accumulation import inexact
from lamina.train.budget import Budget
from lamina.train.judging import Judging
from lamina.train.keeper import Keeper
from lamina.train.lengths import Lengths
from lamina.train.level import Level
from lamina.train.offence import NotFinite
from lamina.train.plan import Plan, keep_freed_memory
from lamina.train.running import Running

__all__ = ["BACK", "Stopped", "Trainer"]

BACK = 5  # times that a run goes back before it stops after all


class Stopped(TrainingError):
    """Training was asked to stop (a signal); what resuming needs is on the disk."""

    def __init__(self, reason: str, folder: Path | None):
        super().__init__(f"Stopped by {reason}; what is learnt so far is saved.")
        self.reason, self.folder = reason, folder


class Trainer:
    """Runs a method's stages: device, precision, accumulation, clipping, checkpoints, evaluation, the diaries.

    Args:
        folder: where `checkpoints/`, the diaries and model.safetensors go, from `run` on; None keeps nothing.
        judge: evaluates a module on the validation split; None evaluates nothing.
        saved: weights and state of a checkpoint, to go on from.
        about: written into the weights' file. nonfinite: the plan's, also over that of a checkpoint.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        plan: Plan | None = None,
        budget: Budget | None = None,
        judge: Judge | None = None,
        folder: Path | None = None,
        saved: tuple[Mapping[str, Any], Any] | None = None,
        about: Mapping[str, str] | None = None,
        nonfinite: str | None = None,
    ):
        self.seed, self.judge, self.folder, self.about = seed, judge, folder, dict(about or {})
        self.budget = budget or Budget(epochs=10)
        self.step = 0  # over all stages
        self.spent = 0.0  # seconds of training before this process
        self.saved = saved
        self.kept: nn.Module | None = None  # what the last judged stage came to, its moving average for instance
        self.passed: list[list[int]] = []  # [from, to]: updates after `from` that training went back behind
        self.warnings: deque[str] = deque(maxlen=100)  # to be shown; whoever shows them empties it
        if saved:
            plan, self.spent = Plan(**saved[1]["trainer"]["plan"]), saved[1]["clock"]["spent"]
        plan = plan or Plan()
        plan.nonfinite = nonfinite or plan.nonfinite
        self.plan = plan.settled()
        self._judging = Judging(judge, seed, self.plan, apart=folder is None)
        self._lengths = Lengths(self.budget, self.plan, self._judging, lambda: self.seconds)
        self._keeper = Keeper(folder, self.about, saved[1]["clock"]["save_every"] if saved else self.plan.save_every)
        if saved:
            self._become(saved[1]["trainer"])
        self._began = time.monotonic()
        self._stop: str | None = None
        self._ahead = 0  # 1 while an update is under way
        self._interruptible: int | None = None  # the thread that a stop may leave where it is

    # --------------------------------------------------------------------------------------------------- the outside

    def run(self, method: Method, problem: Problem) -> Iterator[Tick]:
        """Let the method learn; yields a tick a step."""
        keep_freed_memory()
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        self._began = time.monotonic()
        self._keeper.open(self.step, self.saved[1] if self.saved else None)
        try:
            while True:
                torch.manual_seed(mix(self.seed, "method"))
                outermost = Level(self._stage, lambda: self.saved, None, "", {"model": problem.model})
                try:
                    yield from method.learn(problem, outermost)
                    break
                except NotFinite as found:
                    self.warnings += self._keeper.report(found.running)
                    self._back(found)
            if self.saved:
                raise RunError(self._elsewhere("its end"))
            self._interruptible = threading.get_ident()  # all is saved: whoever still measures may be stopped at once
        finally:
            self._keeper.close()

    def stop(self, reason: str) -> None:
        """Ask for an end after the step under way (safe in a signal handler): it saves, then raises Stopped.

        An evaluation under way is left at once, and made up for by the run that goes on.
        """
        self._stop = reason
        if self._interruptible == threading.get_ident():
            raise Stopped(reason, self.folder)

    def _log(self, diary: str, line: dict[str, Any]) -> None:
        self._keeper.log.write(diary, line)

    @property
    def best(self) -> dict[str, Any] | None:
        """What was best so far: metric, value, step, stage, sha256; without a folder, the weights."""
        return self._judging.best

    @property
    def seconds(self) -> float:
        """Wall time of training so far, earlier processes of the same run included."""
        return self.spent + time.monotonic() - self._began

    def _become(self, own: Mapping[str, Any]) -> None:
        self.step, self._judging.best, self.passed = own["step"], own["best"], list(own.get("passed", []))

    def _back(self, found: NotFinite) -> None:
        """Go back to the last checkpoint, and on behind the updates since; where the plan says so and it may help."""
        self._keeper.wait()
        held = self._keeper.last() if self.plan.nonfinite == "back" else None
        if held is None:
            raise found
        if len(self.passed) >= BACK:
            raise TrainingError(f"Training went back {BACK} times, which is as often as it may. {found}") from found
        weights, state = held
        passed = [state["trainer"]["step"], self.step + self._ahead]
        where = {"from": passed[1], "to": passed[0], "phase": found.offence.phase, "why": found.offence.why}
        self._log("events", {"event": "went back", **where})
        self.warnings.append(
            f"not finite at update {passed[1]}: {found.offence.why} Back to update {passed[0]}, and on behind those "
            f"since ({len(self.passed) + 1} of {BACK} times)"
        )
        state["trainer"]["passed"], state["clock"]["spent"] = [*self.passed, passed], self.seconds
        self.saved = (weights, state)
        self._become(state["trainer"])
        self._judging.fresh = {}
        self._keeper.back(self.step, weights, state)

    # --------------------------------------------------------------------------------------------------------- a stage

    def _stage(self, level: Level, stage: Stage) -> Iterator[Tick]:
        running, owed = self._begin(level, stage)
        while owed is not None or running.step < running.steps:
            tick, owed, better = owed or self._advance(running), None, False
            last = running.step >= running.steps
            if last or running.step % running.evaluate_every == 0:
                running.sure()
                try:
                    tick.metrics, better = self._evaluate(running)
                except Stopped:
                    self._save(level, running, owed=tick)
                    self._halt()
                if self._impatient(running):
                    running.steps, last = running.step, True
            yield tick  # what a method does with it, its state included, is in the checkpoint
            border = level.outermost and (last or tick.metrics is not None)
            if border or better or self._stop or self._keeper.due(self.step):
                self._save(level, running)
            if self._stop:
                self._halt()
        running.finish()
        self.kept = stage.modules.get(stage.judged or "", self.kept)
        torch.manual_seed(mix(self.seed, *running.path, running.begin, "end"))  # the same, whether resumed or not

    def _begin(self, level: Level, stage: Stage) -> tuple[Running, Tick | None]:
        """The stage as it starts or was saved, and in that case the tick whose evaluation was interrupted."""
        path = (*level.path, stage.name)
        if stage.judged is not None and self.judge and stage.judged not in stage.modules:
            raise SettingError(
                f"The stage {'/'.join(path)} is judged by its module {stage.judged!r}, but has "
                f"{', '.join(stage.modules)}. Name one of them as `judged`, or None."
            )
        trials.lay_out(self.plan, stage)
        torch.manual_seed(mix(self.seed, *path, self.step, "start"))
        running = Running(stage, path, self.seed, self.step, self.plan)
        if not self.step and (note := inexact(stage.modules, self.plan.accumulate)):
            self.warnings.append(note)
        if not self.saved:
            running.guard.start()
            self._settle(level, running)
            return running, None
        weights, state = self.saved
        if tuple(state["stage"]["path"]) != path:
            raise RunError(self._elsewhere("/".join(path)))
        running.load_state_dict(state["stage"], weights)
        running.guard.start()
        running.deadline = state["clock"]["deadline"]
        self.saved = None
        self._keeper.check(self.best, running, self.step)
        if stage.steps is None and str(self.budget) != state["trainer"]["budget"]:
            self._lengths.extend(running)
            self._log("events", {"event": "budget", "budget": str(self.budget), "steps": running.steps})
        return running, Tick(**state["owed"]) if state["owed"] else None

    def _elsewhere(self, place: str) -> str:
        assert self.saved
        return (
            f"The run stopped in {'/'.join(self.saved[1]['stage']['path'])}, but its method now comes to {place} "
            "first: what happens between stages may depend only on train.state and on saved modules."
        )

    def _settle(self, level: Level, running: Running) -> None:
        """Fix the plan and the number of steps."""
        found, measured = self._lengths.settle(running)
        for event in found:
            self._log("events", {"event": "plan", **event})
        path = list(running.path)
        self._log("events", {"event": "stage", "path": path, "steps": running.steps, "from": self.step})
        if measured or (self.plan.nonfinite == "back" and not self._keeper.holds):
            self._save(level, running)  # what the clock decided stays so, whenever the run is killed

    def _advance(self, running: Running) -> Tick:
        """One step, and at a logging step its lines."""
        self._ahead = 1  # the update under way, beside those made
        over = any(low <= self.step < high for low, high in self.passed)
        losses = running.pass_over() if over else running.advance()
        self.step, self._ahead = self.step + 1, 0
        if running.compiled and running.begin + 1 == self.step:
            self._log("events", {"event": "compiled", "apart": running.compiled})
            self.warnings.append(compiled.told(running.compiled))
        if running.step < running.steps and self._lengths.late(running):
            running.steps = running.step
            self._log("events", {"event": "out of time", "step": running.step, "path": list(running.path)})
        self.warnings += self._keeper.report(running)
        tick = Tick(running.path, running.step, running.steps, losses)
        if running.step == running.steps or running.step % running.log_every == 0:
            tick.means = self._write(running)
        return tick

    # ------------------------------------------------------------------------------------------- evaluation and files

    def _write(self, running: Running) -> dict[str, float]:
        means, left_out = running.means(), running.withheld.left_out()
        where = {"stage": "/".join(running.path), "step": running.step, "updates": self.step}
        withheld = {"withheld": len(left_out)} if left_out else {}
        self._log("metrics", {**where, **means, **withheld})
        self._log("timing", {**where, "seconds": round(self.seconds, 3)})
        if left_out:
            self._log("events", {"event": "withheld", "path": list(running.path), "updates": left_out})
        return means

    def _evaluate(self, running: Running) -> tuple[dict[str, float] | None, bool]:
        if not self._judging.judges(running.stage):
            return None, False
        with running.averaged():
            try:
                self._interruptible = threading.get_ident()
                if self._stop:
                    raise Stopped(self._stop, self.folder)
                metrics, better = self._judging.evaluate(running, self.step)
            finally:
                self._interruptible = None
        self._log("metrics", {"stage": "/".join(running.path), "step": running.step, "valid": metrics})
        return metrics, better

    def _impatient(self, running: Running) -> bool:
        if not self.plan.patience or running.stale < self.plan.patience or running.step >= running.steps:
            return False
        self._log("events", {"event": "early stop", "step": running.step, "stale": running.stale})
        return True

    def _save(self, level: Level, running: Running, owed: Tick | None = None) -> None:
        """A checkpoint of all there is, if that is finite: what is not is told of at the next step or evaluation."""
        self._keeper.wait()  # what it still writes may add to `best`
        if running.spoilt():
            return
        own = {"step": self.step, "best": self.best, "plan": vars(self.plan), "budget": str(self.budget)}
        state = {
            "clock": {"spent": self.seconds, "deadline": running.deadline},
            "trainer": own | {"passed": self.passed},
            "levels": level.states(),
            "stage": running.state_dict(),
            "owed": vars(owed) if owed else None,
        }
        self._keeper.save(self.step, {**running.weights(), **level.weights()}, state, self._judging.fresh)
        self._judging.fresh = {}

    def _halt(self) -> None:
        self._keeper.wait()
        self._log("events", {"event": "stopped", "by": self._stop, "step": self.step})
        raise Stopped(self._stop or "a request", self.folder)
