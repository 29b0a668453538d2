"""The one loop: a generator of ticks over whatever stages a method hands it. It knows no model, task or method."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import RunError, SettingError, TrainingError
from lamina.core.protocols import Judge, Method, Problem, Stage, Tick
from lamina.core.seeds import mix
from lamina.train import rates, trials
from lamina.train.budget import Budget
from lamina.train.guard import late_refusal
from lamina.train.judging import judging
from lamina.train.keeper import Keeper
from lamina.train.level import Level
from lamina.train.plan import Plan, keep_freed_memory
from lamina.train.running import Running

__all__ = ["Stopped", "Trainer"]


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
        about: written into the weights' file.
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
    ):
        self.seed, self.judge, self.folder, self.about = seed, judge, folder, dict(about or {})
        self.budget = budget or Budget(epochs=10)
        self.step = 0  # over all stages
        self.best: dict[str, Any] | None = None  # metric, value, step, stage, sha256; without a folder, the weights
        self.spent = 0.0  # seconds of training before this process
        self.saved = saved
        if saved:
            own = saved[1]["trainer"]
            plan, self.step, self.best = Plan(**own["plan"]), own["step"], own["best"]
            self.spent = saved[1]["clock"]["spent"]
        self.plan = (plan or Plan()).settled()
        self._keeper = Keeper(folder, self.about, saved[1]["clock"]["save_every"] if saved else self.plan.save_every)
        self._began = time.monotonic()
        self._better: dict[str, Tensor] = {}  # the weights just found best
        self._looks = 0.0  # seconds of an evaluation
        self._stop: str | None = None
        self._interruptible: int | None = None  # the thread that a stop may leave where it is

    # --------------------------------------------------------------------------------------------------- the outside

    def run(self, method: Method, problem: Problem) -> Iterator[Tick]:
        """Let the method learn; yields a tick a step."""
        keep_freed_memory()
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        self._began = time.monotonic()
        self._keeper.open(self.step, self.saved[1] if self.saved else None)
        torch.manual_seed(mix(self.seed, "method"))
        outermost = Level(self._stage, lambda: self.saved, None, "", {"model": problem.model})
        try:
            yield from method.learn(problem, outermost)
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
    def seconds(self) -> float:
        """Wall time of training so far, earlier processes of the same run included."""
        return self.spent + time.monotonic() - self._began

    # --------------------------------------------------------------------------------------------------------- a stage

    def _stage(self, level: Level, stage: Stage) -> Iterator[Tick]:
        running, owed = self._begin(level, stage)
        while owed is not None or running.step < running.steps:
            tick, owed, better = owed or self._advance(running), None, False
            last = running.step >= running.steps
            if last or running.step % running.evaluate_every == 0:
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
        if not self.saved:
            self._settle(level, running)
            return running, None
        weights, state = self.saved
        if tuple(state["stage"]["path"]) != path:
            raise RunError(self._elsewhere("/".join(path)))
        running.load_state_dict(state["stage"], weights)
        running.deadline = state["clock"]["deadline"]
        self.saved = None
        self._check_best(running)
        if stage.steps is None and str(self.budget) != state["trainer"]["budget"]:
            self._extend(running)
        return running, Tick(**state["owed"]) if state["owed"] else None

    def _elsewhere(self, place: str) -> str:
        assert self.saved
        return (
            f"The run stopped in {'/'.join(self.saved[1]['stage']['path'])}, but its method now comes to {place} "
            "first: what happens between stages may depend only on train.state and on saved modules."
        )

    def _settle(self, level: Level, running: Running) -> None:
        """Fix the plan and the number of steps, by trial steps on state that is put back afterwards."""
        plan, steps, evaluations = self.plan, self._counted(running.stage), self._evaluations(running.stage)
        running.lasts(steps or 1_000_000, evaluations)
        measured = steps is None
        if not plan.threads:
            plan.threads, measured = trials.threads(running), True
            torch.set_num_threads(plan.threads)
        if plan.precision == "auto":
            plan.precision, times = trials.number_format(running, steps)
            measured = True
            if times:
                self._log("events", {"event": "plan", "precision": plan.precision, "step_s": times})
        if 0.0 in running.rates:
            running.rates, measured = rates.find(running), True
            self._log("events", {"event": "plan", "lr": running.rates})
        if steps is None:
            steps, evaluations = self._affordable(running, evaluations)
        running.lasts(steps, evaluations)
        path = list(running.path)
        self._log("events", {"event": "stage", "path": path, "steps": steps, "from": self.step})
        if measured:
            self._save(level, running)  # what the clock decided stays so, whenever the run is killed

    def _extend(self, running: Running) -> None:
        """A resumed run with another budget trains on to its end."""
        steps, evaluations = self._counted(running.stage), self._evaluations(running.stage)
        if steps is None:
            more, evaluations = self._affordable(running, evaluations)
            steps = running.step + more
        running.lasts(max(steps, running.step), evaluations)
        self._log("events", {"event": "budget", "budget": str(self.budget), "steps": running.steps})

    def _evaluations(self, stage: Stage) -> int:
        return self.plan.evaluations if stage.judged and self.judge else 1

    def _counted(self, stage: Stage) -> int | None:
        """Steps of a stage, None where the clock will tell."""
        if stage.steps is not None:
            return stage.steps
        steps = self.budget.counted(stage.feed.length)
        return None if steps is None else max(1, round(steps * stage.share))

    def _affordable(self, running: Running, evaluations: int) -> tuple[int, int]:
        """Steps that fit into the time left, and evaluations: as many as asked for or as a tenth of it holds."""
        assert self.budget.seconds is not None
        begun, start = self.seconds, time.monotonic()
        if running.stage.judged and self.judge:
            with running.averaged():
                self._judged(running)
            self._looks = time.monotonic() - start
        running.deadline = min(begun + self.budget.seconds * running.stage.share, self.budget.seconds)
        left = running.deadline - self.seconds
        evaluations = max(2, min(evaluations, int(0.1 * left / max(self._looks, 1e-9))))
        return trials.affordable(running, left - evaluations * self._looks), evaluations

    def _advance(self, running: Running) -> Tick:
        """One step, and at a logging step its lines."""
        losses = running.advance()
        self.step += 1
        late = running.deadline is not None and self.seconds + self._looks > running.deadline
        if late and running.step < running.steps:
            running.steps = running.step
            self._log("events", {"event": "out of time", "step": running.step, "path": list(running.path)})
        tick = Tick(running.path, running.step, running.steps, losses)
        if running.step == running.steps or running.step % running.log_every == 0:
            tick.means = self._write(running)
        return tick

    # ------------------------------------------------------------------------------------------- evaluation and files

    def _write(self, running: Running) -> dict[str, float]:
        means, left_out = running.means(), running.left_out()
        where = {"stage": "/".join(running.path), "step": running.step, "updates": self.step}
        withheld = {"withheld": len(left_out)} if left_out else {}
        self._log("metrics", {**where, **means, **withheld})
        self._log("timing", {**where, "seconds": round(self.seconds, 3)})
        if left_out:
            self._log("events", {"event": "withheld", "path": list(running.path), "updates": left_out})
            if self.plan.nonfinite == "stop":  # a device that was not waited for tells only now
                raise TrainingError(late_refusal(left_out, "/".join(running.path)))
        return means

    def _judged(self, running: Running) -> dict[str, float]:
        assert running.stage.judged is not None and self.judge is not None
        torch.manual_seed(mix(self.seed, *running.path, "judge"))
        with torch.no_grad(), self.plan.autocast(), judging(running.stage.modules[running.stage.judged]) as module:
            return self.judge(module)

    def _evaluate(self, running: Running) -> tuple[dict[str, float] | None, bool]:
        if not self.judge or running.stage.judged is None:
            return None, False
        start, stage = time.monotonic(), "/".join(running.path)
        with running.averaged():
            try:
                self._interruptible = threading.get_ident()
                if self._stop:
                    raise Stopped(self._stop, self.folder)
                metrics = self._judged(running)
            finally:
                self._interruptible = None
            value, weights = metrics[self.judge.metric], running.stage.modules[running.stage.judged].state_dict()
            better = math.isfinite(value) and (self.best is None or self.judge.better(value, self.best["value"]))
            better = better and all(bool(w.isfinite().all()) for w in weights.values())
            if better:
                self.best = {"metric": self.judge.metric, "value": value, "step": self.step, "stage": stage}
                self._better = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
                if self.folder is None:
                    self.best["weights"] = self._better
        self._log("metrics", {"stage": stage, "step": running.step, "valid": metrics})
        running.observe(better, value if self.judge.better(0.0, 1.0) else -value)
        self._looks = time.monotonic() - start
        return metrics, better

    def _impatient(self, running: Running) -> bool:
        if not self.plan.patience or running.stale < self.plan.patience or running.step >= running.steps:
            return False
        self._log("events", {"event": "early stop", "step": running.step, "stale": running.stale})
        return True

    def _save(self, level: Level, running: Running, owed: Tick | None = None) -> None:
        """A checkpoint of all there is."""
        self._keeper.wait()  # what it still writes may add to `best`
        own = {"step": self.step, "best": self.best, "plan": vars(self.plan), "budget": str(self.budget)}
        state = {
            "clock": {"spent": self.seconds, "deadline": running.deadline},
            "trainer": own,
            "levels": level.states(),
            "stage": running.state_dict(),
            "owed": vars(owed) if owed else None,
        }
        self._keeper.save(self.step, {**running.weights(), **level.weights()}, state, self._better)
        self._better = {}

    def _check_best(self, running: Running) -> None:
        """The best weights are those of the checkpoint; a kill just before they were written is made good."""
        if not self.best or self._keeper.has(self.best):
            return
        with running.averaged():
            here = self.best["step"] == self.step and running.stage.judged
            self._keeper.mend(running.stage.modules[here].state_dict() if here else None)

    def _halt(self) -> None:
        self._keeper.wait()
        self._log("events", {"event": "stopped", "by": self._stop, "step": self.step})
        raise Stopped(self._stop or "a request", self.folder)
