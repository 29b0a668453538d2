"""The one loop: a generator of ticks over whatever stages a method hands it. It knows no model, task or method."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina.core.errors import SettingError, TrainingError
from lamina.core.protocols import Judge, Method, Problem, Stage, Tick
from lamina.core.seeds import mix
from lamina.train import checkpoint
from lamina.train.budget import Budget
from lamina.train.log import Log
from lamina.train.plan import Plan, has_bfloat16, keep_freed_memory
from lamina.train.running import Running, load_module

__all__ = ["Stopped", "Trainer"]


class Stopped(TrainingError):
    """Training was asked to stop (a signal); what resuming needs is on the disk."""

    def __init__(self, reason: str, folder: Path | None):
        super().__init__(f"Stopped by {reason}; what is learnt so far is saved.")
        self.reason, self.folder = reason, folder


class Trainer:
    """Runs a method's stages: device, precision, accumulation, clipping, checkpoints, evaluation, the diaries.

    Args:
        folder: where `checkpoints/`, the diaries and model.safetensors go; None keeps nothing.
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
        self.plan = (plan or Plan()).settled()
        self.budget = budget or Budget(epochs=10)
        self.step = 0  # over all stages
        self.best: dict[str, Any] | None = None  # metric, value, step, weights' checkpoint
        self.spent = 0.0  # seconds of training before this process
        self._began = time.monotonic()
        self._stop: str | None = None
        self._chain: list[Level] = []
        self.saved = saved
        if saved:
            own = saved[1]["trainer"]
            self.step, self.best, self.spent = own["step"], own["best"], saved[1]["clock"]["spent"]
            self.plan = Plan(**own["plan"])
        self.log = Log(folder, {**saved[1]["trainer"]["marks"], **saved[1]["clock"]} if saved else None)
        self.store = folder / "checkpoints" if folder else None
        if self.store:
            self.store.mkdir(exist_ok=True)
            checkpoint.clean(self.store)

    # --------------------------------------------------------------------------------------------------- the outside

    def run(self, method: Method, problem: Problem) -> Iterator[Tick]:
        """Let the method learn; yields a tick a step."""
        keep_freed_memory()
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        self._began = time.monotonic()
        with contextlib.closing(self.log):
            yield from method.learn(problem, Level(self, None, "", {"model": problem.model}))

    def stop(self, reason: str) -> None:
        """Ask for an end after the step under way (safe in a signal handler): it saves, then raises Stopped."""
        self._stop = reason

    @property
    def seconds(self) -> float:
        """Wall time of training so far, earlier processes of the same run included."""
        return self.spent + time.monotonic() - self._began

    # --------------------------------------------------------------------------------------------------------- a stage

    def _stage(self, level: Level, stage: Stage) -> Iterator[Tick]:
        path = (*level.path, stage.name)
        torch.manual_seed(mix(self.seed, *path, "start"))
        running = Running(stage, path, self.seed, self._for_stage(stage))
        resumed = level.takes_up("stage")
        if resumed is not None:
            running.load_state_dict(resumed, self.saved[0])
            self.saved = None
        else:
            self._fix(running)
        while running.step < running.steps:
            losses = running.advance()
            self.step += 1
            tick = Tick(path, running.step, running.steps, losses)
            last = running.step == running.steps
            if last or running.step % running.log_every == 0:
                tick.means = self._write(running)
            late = self.budget.seconds is not None and self.seconds > self.budget.seconds and stage.steps is None
            if late and not last:
                running.steps, last = running.step, True
                self.log.write("events", {"event": "out of time", "step": running.step, "path": list(path)})
            if last or running.step % running.evaluate_every == 0:
                tick.metrics, better = self._evaluate(running)
                last = last or self._impatient(running)
                if last:
                    running.steps = running.step
                self._save(level, running, better)
            if self._stop:
                self._save(level, running, False)
                self.log.write("events", {"event": "stopped", "by": self._stop, "step": self.step})
                raise Stopped(self._stop, self.folder)
            yield tick

    def _for_stage(self, stage: Stage) -> Plan:
        """The plan with what 'auto' means for this stage's data; the first stage settles it for the run."""
        plan = self.plan
        if plan.layout == "auto":
            pictures = any(
                isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for s in stage.modules.values() for m in s.modules()
            )
            plan.layout = "channels_last" if pictures else "contiguous"
        return plan

    def _fix(self, running: Running) -> None:
        """Settle number format and number of steps, by trial steps on state that is put back afterwards."""
        stage, plan = running.stage, self.plan
        steps = stage.steps or self.budget.counted(stage.feed.length)
        if stage.steps is None and steps is not None:
            steps = max(1, round(steps * stage.share))
        evaluations = plan.evaluations if stage.judged and self.judge else 1
        running.lasts(steps or 1_000_000, evaluations)
        if not plan.threads:
            plan.threads = self._fitting_threads(running)
            torch.set_num_threads(plan.threads)
        if plan.precision == "auto":
            plan.precision = "float32"
            if has_bfloat16(plan.device) and (steps is None or steps > 200) and self._trial(running, 3) > 2e-3:
                times = {}
                for name in ("float32", "bfloat16"):
                    plan.precision = name
                    times[name] = self._trial(running, 5)
                plan.precision = "bfloat16" if times["bfloat16"] < 0.9 * times["float32"] else "float32"
                self.log.write("events", {"event": "plan", "precision": plan.precision, "step_s": times})
        if steps is None:
            steps = self._affordable(running, evaluations)
        running.lasts(steps, evaluations)
        self.log.write("events", {"event": "stage", "path": list(running.path), "steps": steps, "from": self.step})

    def _fitting_threads(self, running: Running) -> int:
        """One where steps are tiny and more threads do not pay: each parallel region then waits for one to wake up."""
        most = torch.get_num_threads()
        if most == 1 or self.plan.device != "cpu":
            return most
        times = {most: self._trial(running, 3)}
        if times[most] < 1e-2:
            torch.set_num_threads(1)
            times[1] = self._trial(running, 3)
        return min(times, key=lambda n: times[n] * (1.0 if n == 1 else 1.1))

    def _trial(self, running: Running, steps: int) -> float:
        """Median seconds of a step, over a few that leave no trace."""
        state, weights = running.snapshot()
        times = []
        for _ in range(steps + 1):
            start = time.perf_counter()
            running.advance()
            if running.plan.device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        running.load_state_dict(state, weights)
        return sorted(times[1:])[steps // 2]

    def _affordable(self, running: Running, evaluations: int) -> int:
        """Steps that fit into the time left, evaluations counted in, with a tenth held back for slower stretches."""
        left = self.budget.seconds * running.stage.share
        left = min(left, self.budget.seconds - self.seconds)
        for trial in (2, 8, 40):
            step = self._trial(running, trial)
            if step * trial > 1.0:
                break
        start = time.perf_counter()
        if running.stage.judged and self.judge:
            with running.averaged():
                self._judged(running)
        evaluation = time.perf_counter() - start
        return max(1, int((0.9 * left - evaluations * evaluation) / step))

    # ------------------------------------------------------------------------------------------- evaluation and files

    def _write(self, running: Running) -> dict[str, float]:
        means = running.means()
        where = {"stage": "/".join(running.path), "step": running.step, "updates": self.step}
        self.log.write("metrics", {**where, **means})
        self.log.write("timing", {**where, "seconds": round(self.seconds, 3)})
        bad = [name for name, value in means.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise TrainingError(
                f"The loss {bad[0]!r} became {means[bad[0]]} by step {running.step} of {'/'.join(running.path)}. "
                "Lower method.lr, clip gradients (--set method.clip=1), or see whether rounding is the cause: "
                "--set plan.precision=float32."
            )
        return means

    def _judged(self, running: Running) -> dict[str, float]:
        module = running.stage.modules[running.stage.judged]
        was = module.training
        module.eval()
        torch.manual_seed(mix(self.seed, *running.path, "judge"))
        with torch.no_grad(), self.plan.autocast():
            metrics = self.judge(module)
        module.train(was)
        return metrics

    def _evaluate(self, running: Running) -> tuple[dict[str, float] | None, bool]:
        if not self.judge or running.stage.judged is None:
            return None, False
        stage = "/".join(running.path)
        with running.averaged():
            metrics = self._judged(running)
            value = metrics[self.judge.metric]
            better = value == value and (self.best is None or self.judge.better(value, self.best["value"]))
            if better:
                self.best = {"metric": self.judge.metric, "value": value, "step": self.step, "stage": stage}
                self._keep(running)
        self.log.write("metrics", {"stage": stage, "step": running.step, "valid": metrics})
        running.observe(better, value)
        return metrics, better

    def _keep(self, running: Running) -> None:
        """The judged module's weights, as model.safetensors or, without a folder, in memory."""
        weights = running.stage.modules[running.stage.judged].state_dict()
        if self.folder:
            checkpoint.write_weights(self.folder / "model.safetensors", weights, self.about)
        else:
            self.best["weights"] = {k: v.detach().clone() for k, v in weights.items()}

    def _impatient(self, running: Running) -> bool:
        if not self.plan.patience or running.stale < self.plan.patience:
            return False
        self.log.write("events", {"event": "early stop", "step": running.step, "stale": running.stale})
        return True

    def _save(self, level: Level, running: Running, better: bool) -> None:
        if self.store is None:
            return
        weights = running.weights()
        chain = level.chain()
        for depth, one in enumerate(chain):
            own = {f"{m}.{k}": v for m, module in one.modules.items() for k, v in module.state_dict().items()}
            weights |= {f"level{depth}.{k}": v for k, v in own.items()}
        marks = self.log.marks()
        state = {
            "clock": {"spent": self.seconds, "timing": marks.pop("timing", 0), "events": marks.pop("events", 0)},
            "trainer": {"step": self.step, "best": self.best, "plan": vars(self.plan), "marks": marks},
            "levels": [{"name": one.name, "state": one.state} for one in chain],
            "stage": running.state_dict(),
        }
        path = checkpoint.save(self.store, self.step, weights, state, beside=self.folder / "fields")
        if better:
            checkpoint.point(self.store, "best", path)
        checkpoint.clean(self.store)


class Level:
    """What a method is handed as `train`: one training, perhaps inside another, with its memory and its modules."""

    def __init__(self, trainer: Trainer, outer: Level | None, name: str, modules: Mapping[str, nn.Module]):
        self._trainer, self._outer, self.name, self.modules = trainer, outer, name, dict(modules)
        self.state: dict[str, Any] = {}
        saved = self.takes_up("levels")
        if saved is not None:
            self.state = dict(saved["state"])
            for key, module in self.modules.items():
                load_module(f"level{len(self.path)}.{key}", module, trainer.saved[0])

    @property
    def path(self) -> tuple[str, ...]:
        """Names of this training and those around it; the outermost has none."""
        return (*self._outer.path, self.name) if self._outer else ()

    def chain(self) -> list[Level]:
        """The trainings around this one and itself, outermost first."""
        return [*(self._outer.chain() if self._outer else []), self]

    def takes_up(self, what: str) -> Any:
        """What a checkpoint holds for this very place, where a stopped run is being taken up; None otherwise."""
        if self._trainer.saved is None:
            return None
        state = self._trainer.saved[1]
        if what == "stage":
            return state["stage"] if len(state["levels"]) == len(self.chain()) else None
        depth = len(self.path)
        held = depth < len(state["levels"]) and state["levels"][depth]["name"] == self.name
        return state["levels"][depth] if held else None

    def __call__(self, stage: Stage) -> Iterator[Tick]:
        return self._trainer._stage(self, stage)

    def within(self, name: str, modules: Mapping[str, nn.Module] | None = None) -> Level:
        """A training nested in this one, with a state of its own."""
        if "/" in name:
            raise SettingError(f"A nested training's name has no slash; {name!r} came.")
        return Level(self._trainer, self, name, modules or {})
