"""The one loop: a generator of ticks over whatever stages a method hands it. It knows no model, task or method."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import RunError, TrainingError
from lamina.core.files import digest, sweep, told, write_bytes
from lamina.core.protocols import Judge, Method, Problem, Stage, Tick
from lamina.core.seeds import mix
from lamina.train import checkpoint, trials
from lamina.train.budget import Budget
from lamina.train.level import Level
from lamina.train.log import Log
from lamina.train.plan import Plan, keep_freed_memory
from lamina.train.running import Running
from lamina.train.writer import Writer

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
        self.log = Log(None)
        self.store = folder / "checkpoints" if folder else None
        self._began, self._first = time.monotonic(), self.step
        self._saved_at = self.step
        self._save_every = saved[1]["clock"]["save_every"] if saved else self.plan.save_every
        self._better: dict[str, Tensor] = {}  # the weights just found best
        self._looks = 0.0  # seconds of an evaluation
        self._writer = Writer()
        self._stop: str | None = None
        self._interruptible: int | None = None  # the thread that a stop may leave where it is

    # --------------------------------------------------------------------------------------------------- the outside

    def run(self, method: Method, problem: Problem) -> Iterator[Tick]:
        """Let the method learn; yields a tick a step."""
        keep_freed_memory()
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        self._began = time.monotonic()
        if self.folder and self.store:
            self.store.mkdir(exist_ok=True)
            sweep(self.folder)
            checkpoint.clean(self.store)
            marks = {**self.saved[1]["trainer"]["marks"], **self.saved[1]["clock"]} if self.saved else None
            self.log = Log(self.folder, marks)
        torch.manual_seed(mix(self.seed, "method"))
        outermost = Level(self._stage, lambda: self.saved, None, "", {"model": problem.model})
        try:
            yield from method.learn(problem, outermost)
            if self.saved:
                raise RunError(self._elsewhere("its end"))
            self._interruptible = threading.get_ident()  # all is saved: whoever still measures may be stopped at once
        finally:
            try:
                self._writer.wait()
            finally:
                self.log.close()

    def stop(self, reason: str) -> None:
        """Ask for an end after the step under way (safe in a signal handler): it saves, then raises Stopped.

        An evaluation under way is left at once, and made up for by the run that goes on.
        """
        self._stop = reason
        if self._interruptible == threading.get_ident():
            raise Stopped(reason, self.folder)

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
            if better or self._stop or self._due(level, last or tick.metrics is not None):
                self._save(level, running)
            if self._stop:
                self._halt()
        running.finish()
        torch.manual_seed(mix(self.seed, *running.path, running.begin, "end"))  # the same, whether resumed or not

    def _begin(self, level: Level, stage: Stage) -> tuple[Running, Tick | None]:
        """The stage as it starts or was saved, and in that case the tick whose evaluation was interrupted."""
        path = (*level.path, stage.name)
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
                self.log.write("events", {"event": "plan", "precision": plan.precision, "step_s": times})
        if steps is None:
            steps = self._affordable(running, evaluations)
        running.lasts(steps, evaluations)
        path = list(running.path)
        self.log.write("events", {"event": "stage", "path": path, "steps": steps, "from": self.step})
        if measured:
            self._save(level, running)  # what the clock decided stays so, whenever the run is killed

    def _extend(self, running: Running) -> None:
        """A resumed run with another budget trains on to its end."""
        evaluations = self._evaluations(running.stage)
        steps = self._counted(running.stage) or running.step + self._affordable(running, evaluations)
        running.lasts(max(steps, running.step), evaluations)
        self.log.write("events", {"event": "budget", "budget": str(self.budget), "steps": running.steps})

    def _evaluations(self, stage: Stage) -> int:
        return self.plan.evaluations if stage.judged and self.judge else 1

    def _counted(self, stage: Stage) -> int | None:
        """Steps of a stage, None where the clock will tell."""
        if stage.steps is not None:
            return stage.steps
        steps = self.budget.counted(stage.feed.length)
        return None if steps is None else max(1, round(steps * stage.share))

    def _affordable(self, running: Running, evaluations: int) -> int:
        """Steps that fit into the time left, evaluations counted in, with a tenth held back for slower stretches."""
        assert self.budget.seconds is not None
        begun = self.seconds
        running.deadline = min(begun + self.budget.seconds * running.stage.share, self.budget.seconds)
        for steps in (2, 8, 40):
            step = trials.trial(running, steps)
            if step * steps > min(1.0, 0.01 * (running.deadline - begun)):
                break
        if running.stage.judged and self.judge:
            start = time.monotonic()
            with running.averaged():
                self._judged(running)
            self._looks = time.monotonic() - start
        left = running.deadline - self.seconds
        return max(1, int((0.9 * left - evaluations * self._looks) / step))

    def _advance(self, running: Running) -> Tick:
        """One step, and at a logging step its lines."""
        losses = running.advance()
        self.step += 1
        late = running.deadline is not None and self.seconds + self._looks > running.deadline
        if late and running.step < running.steps:
            running.steps = running.step
            self.log.write("events", {"event": "out of time", "step": running.step, "path": list(running.path)})
        tick = Tick(running.path, running.step, running.steps, losses)
        if running.step == running.steps or running.step % running.log_every == 0:
            tick.means = self._write(running)
        return tick

    # ------------------------------------------------------------------------------------------- evaluation and files

    def _write(self, running: Running) -> dict[str, float]:
        means, left_out = running.means(), running.left_out()
        where = {"stage": "/".join(running.path), "step": running.step, "updates": self.step}
        withheld = {"withheld": len(left_out)} if left_out else {}
        self.log.write("metrics", {**where, **means, **withheld})
        self.log.write("timing", {**where, "seconds": round(self.seconds, 3)})
        if left_out:
            self.log.write("events", {"event": "withheld", "path": list(running.path), "updates": left_out})
            if self.plan.nonfinite == "stop":  # a device that was not waited for tells only now
                step, name = left_out[0]
                raise TrainingError(
                    f"The loss {name!r} or its gradient was not finite at step {step} of {where['stage']}; "
                    f"{len(left_out)} such updates were withheld since: the weights are sound. Lower method.lr, clip "
                    "gradients (--set method.clip=1), or leave such updates out: --set plan.nonfinite=skip."
                )
        return means

    def _judged(self, running: Running) -> dict[str, float]:
        assert running.stage.judged is not None and self.judge is not None
        module = running.stage.modules[running.stage.judged]
        modes = [(one, one.training) for one in module.modules()]
        module.eval()
        torch.manual_seed(mix(self.seed, *running.path, "judge"))
        try:
            with torch.no_grad(), self.plan.autocast():
                return self.judge(module)
        finally:
            for one, training in modes:
                one.training = training

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
                self._writer.wait()  # it may still add to the best before
                self.best = {"metric": self.judge.metric, "value": value, "step": self.step, "stage": stage}
                self._better = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
                if self.folder is None:
                    self.best["weights"] = self._better
        self.log.write("metrics", {"stage": stage, "step": running.step, "valid": metrics})
        running.observe(better, value if self.judge.better(0.0, 1.0) else -value)
        self._looks = time.monotonic() - start
        return metrics, better

    def _impatient(self, running: Running) -> bool:
        if not self.plan.patience or running.stale < self.plan.patience or running.step >= running.steps:
            return False
        self.log.write("events", {"event": "early stop", "step": running.step, "stale": running.stale})
        return True

    def _due(self, level: Level, border: bool) -> bool:
        """Whether a checkpoint falls on this step: at the borders of the run itself, else a minute's worth of steps
        after the last one, as the first seconds tell."""
        if not self._save_every and time.monotonic() - self._began > 5:
            self._save_every = max(1, round(60 * (self.step - self._first) / (time.monotonic() - self._began)))
        every = self._save_every and self.step - self._saved_at >= self._save_every
        return bool(every) or (border and level.outermost)

    def _save(self, level: Level, running: Running, owed: Tick | None = None) -> None:
        """Snapshot all there is; a thread writes it beside the training."""
        if self.store is None or self.folder is None:
            return
        store, folder, step, best, better = self.store, self.folder, self.step, self.best, self._better
        self._writer.wait()
        marks: dict[str, Any] = dict(self.log.marks())
        clock: dict[str, Any] = {
            "spent": self.seconds,
            "timing": marks.pop("timing", 0),
            "events": marks.pop("events", 0),
        }
        clock |= {"deadline": running.deadline, "save_every": self._save_every}
        own = {"step": step, "best": best, "plan": vars(self.plan), "budget": str(self.budget), "marks": marks}
        state: dict[str, Any] = {
            "clock": clock,
            "trainer": own,
            "levels": level.states(),
            "stage": running.state_dict(),
        }
        held = checkpoint.snapshot(
            {**running.weights(), **level.weights()}, {**state, "owed": vars(owed) if owed else None}
        )
        self._saved_at, self._better = step, {}

        def job() -> None:
            with told(folder):
                if best and better:
                    data = checkpoint.packed(better, self.about)
                    best["sha256"] = held.plain["trainer"]["best"]["sha256"] = hashlib.sha256(data).hexdigest()
                self.log.sync()
                path = checkpoint.write(store, step, held, beside=folder / "fields")
                if better:
                    write_bytes(folder / "model.safetensors", data)
                    checkpoint.point(store, "best", path)
                checkpoint.clean(store)

        self._writer.start(job)

    def _check_best(self, running: Running) -> None:
        """The best weights are those of the checkpoint; a kill just before they were written is made good."""
        if not self.best or not self.folder:
            return
        path = self.folder / "model.safetensors"
        if path.is_file() and digest(path) == self.best["sha256"]:
            return
        if self.best["step"] != self.step or running.stage.judged is None:
            raise RunError(f"{path} is missing or not what was saved. Restore it from a copy, or fit anew.")
        with running.averaged():
            weights = running.stage.modules[running.stage.judged].state_dict()
            checkpoint.write_weights(path, weights, self.about)
        found = checkpoint.latest(self.store) if self.store else None
        if self.store and found:
            checkpoint.point(self.store, "best", found)

    def _halt(self) -> None:
        self._writer.wait()
        self.log.write("events", {"event": "stopped", "by": self._stop, "step": self.step})
        raise Stopped(self._stop or "a request", self.folder)
