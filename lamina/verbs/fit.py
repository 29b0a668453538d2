"""fit: from a source to a run, by way of whatever was asked and the rest inferred; and the same, resumed."""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from lamina.core import hub
from lamina.core.errors import Interrupted, RunError, SettingError, TrainingError, UserError
from lamina.core.files import Lock, digest, told, write_sealed
from lamina.core.protocols import Tick
from lamina.train import checkpoint, memory
from lamina.train.budget import Budget
from lamina.train.trainer import Stopped, Trainer
from lamina.verbs import preflight, record, report, resuming
from lamina.verbs.assemble import Assembly, Judgement, assemble
from lamina.verbs.run import Run

__all__ = ["Fitting", "fit", "fresh", "train"]


def fit(source: Any = None, *, watch: Callable[["Fitting", Tick], None] | None = None, **asked: Any) -> Run:
    """Train a network and give the run.

    Args:
        source: a path, a built-in's name, gym:ID, hf:NAME, a frame, arrays, records, a graph; see
            `lamina.data.reading.read`.
        target: column(s) to learn. task, model, method: a name, or an own object (a model may be any `nn.Module`).
        budget: 10m, 20epochs, 5000steps. valid, test: sources of one's own splits. weights: a file, a run or hf:NAME
            to start from.
        set: settings, a mapping or KEY=VALUE strings. seed, device, out (the run's folder).
        loss: an own loss f(outputs, target); metrics: own metrics [g(predicted, target) -> number].
        resume: a run to go on with; nothing else but a larger budget is then needed.
        watch: called with each tick.
    Raises: UserError, with one message that says what to do; TrainingError.
    """
    fitting = Fitting(source, **asked)
    for tick in fitting.ticks():
        if watch:
            watch(fitting, tick)
    return fitting.run


def train(source: Any = None, **asked: Any) -> Iterator[Tick]:
    """`fit`, a step at a time: `for tick in lamina.train(...)`. The run is complete when the loop is."""
    yield from Fitting(source, **asked).ticks()


class Fitting:
    """A fit under way: what was put together, the trainer, and the folder."""

    def __init__(
        self,
        source: Any = None,
        *,
        target: Any = None,
        task: Any = None,
        model: Any = None,
        method: Any = None,
        budget: str | None = None,
        valid: Any = None,
        test: Any = None,
        weights: str | None = None,
        set: Mapping[str, Any] | list[str] | None = None,
        seed: int = 0,
        device: str = "auto",
        out: str | Path | None = None,
        loss: Callable[..., Any] | None = None,
        metrics: list[Callable[..., Any]] | None = None,
        resume: str | Path | Run | None = None,
    ):
        self.saved: tuple[Any, Any] | None = None
        self.done = False
        pinned: list[str] = []
        self.lock: Lock | None = None
        self.nonfinite: str | None = None
        own = {"loss": loss, "metrics": metrics or None}
        if resume is not None:
            given = {"model": model, "task": task, "method": method, "valid": valid, "test": test}
            given = {k: v for k, v in given.items() if v is not None}
            run = resume if isinstance(resume, Run) else Run(resume)
            self.folder, self._before = run.folder, run.about
            source, self.asked = resuming.recorded(run, source, given, own, _pairs(set))
            self.nonfinite = resuming.nonfinite(run, _pairs(set))
            self.lock = Lock(self.folder / "lock")  # before anything is read that another process may be replacing
            self.saved = resuming.checked(self.folder)
            self.asked["budget"] = budget or self.asked["budget"]
        else:
            if source is None:
                raise SettingError("fit needs a source: a file, a folder, a built-in such as digits, or --resume RUN.")
            pairs = _pairs(set)
            self.folder, called = fresh(out, source), (source, valid, test, weights)
            source, valid, test = (hub.pinned(one, "datasets") for one in (source, valid, test))
            weights = hub.pinned(weights, "models")
            self.asked = dict(
                target=target, task=task, model=model, method=method, budget=budget, valid=valid, test=test,
                weights=weights, set=pairs, seed=seed, device=device,
            )  # fmt: skip
            pinned = [f"{a} is {b} now, which --resume keeps to" for a, b in
                      zip(called, (source, valid, test, weights), strict=True) if a is not b and a != b]  # fmt: skip
        self.source, self.own = source, {name: value for name, value in own.items() if value is not None}
        asked = dict(self.asked)
        budget, pairs = asked.pop("budget"), asked.pop("set")
        limit = Budget.parse(budget) if budget else None
        if resume is not None:
            asked["weights"] = None  # they are in the checkpoint
        self.parts: Assembly = assemble(source, pairs=pairs, own=self.own, **asked)
        self.parts.notes[:0] = pinned
        self.budget = limit or _default_budget(self.parts)
        if not budget:
            self.parts.notes.append(f"budget {self.budget} (--budget)")
        if unread := [row for row in getattr(self.parts.data, "skipped", []) if row[1] != "no target"]:
            where, why = unread[0]
            more = f", … and {len(unread) - 1} more" if len(unread) > 1 else ""
            self.parts.notes.append(f"left out {_counted(len(unread), 'row')}: {where} ({why}){more}; see skipped.csv")
        if resume is None:
            self.parts.data.findings = [*getattr(self.parts.data, "findings", []), *preflight.look(self.parts, seed)]
        split = next((s for s in ("valid", "test") if self.parts.data.count(s)), None)
        self.judge = Judgement(self.parts.task, self.parts.data, split) if split else None
        self._check_data(resume is not None)

    # ------------------------------------------------------------------------------------------------------- training

    def ticks(self) -> Iterator[Tick]:
        """Train; the folder is made at the first tick and complete after the last."""
        if self.done:
            return
        better = self.judge.larger if self.judge else None
        self.about = record.about(self.parts, self.asked, self.source, self.own, str(self.budget), better)
        parts, seed = self.parts, self.asked["seed"]
        self.trainer = Trainer(
            seed=seed, plan=parts.plan, budget=self.budget, folder=self.folder, saved=self.saved,
            judge=self.judge, nonfinite=self.nonfinite,
            about={"model": parts.names["model"], "task": parts.names["task"]},
        )  # fmt: skip
        with told(self.folder):  # from here on a signal finds a trainer to stop: no folder stays without its run.json
            self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = self.lock or Lock(self.folder / "lock")
        self._write("running")
        began = self.saved is not None
        try:
            if self.saved is None or not (self.folder / "fields").is_dir():
                record.write_fields(self.folder, parts.data)
            for tick in self._put_back(self.trainer.run(parts.method, parts.problem(seed))):
                began = True
                if tick.metrics is not None:
                    report.sample(self.folder, self.trainer.step, parts)
                yield tick
            self._finish()
        except Stopped as stopped:
            self._write("stopped", reason=stopped.reason)
            raise
        except GeneratorExit:
            self._write("stopped", reason="the loop over its ticks was left")
            raise
        except BaseException as error:
            gone = error
            if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):  # from torch's handler
                died = str(error).strip().splitlines()[0].rstrip(". ")
                gone = Interrupted(f"A process that loads data died: {died}. The machine may have run out of memory.")
            if isinstance(gone, Interrupted):
                gone.folder = self.folder
            if isinstance(error, UserError) and not began:
                shutil.rmtree(self.folder)  # what was asked cannot be done: no half-written run stays
                if self.folder.parent == Path("runs"):
                    with contextlib.suppress(OSError):  # it holds other runs
                        self.folder.parent.rmdir()
            else:
                with contextlib.suppress(TrainingError):  # a full disk has no room for its own obituary
                    self._write("failed", reason=f"{type(gone).__name__}: {gone}")
            if gone is not error:
                raise gone from error
            raise
        finally:
            self.lock.release()

    def _put_back(self, ticks: Iterator[Tick]) -> Iterator[Tick]:
        """The same ticks; before the first, a checkpoint whose parts do not fit each other is said to be so."""
        try:
            first = next(ticks)
        except StopIteration:
            return
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            if self.saved is None:
                raise
            raise RunError(
                f"The checkpoint that {self.folder} goes on from cannot be put back ({type(error).__name__}: {error}). "
                "Restore the run from a copy, or fit anew."
            ) from error
        yield first
        yield from ticks

    def _finish(self) -> None:
        """The best weights back in the network, metrics and baseline measured, run.json closed."""
        parts = self.parts
        if not (self.folder / "model.safetensors").is_file():
            last = (self.trainer.kept or parts.model).state_dict()  # nothing was judged
            checkpoint.write_weights(self.folder / "model.safetensors", last, self.trainer.about)
        import safetensors.torch

        held = safetensors.torch.load((self.folder / "model.safetensors").read_bytes())
        parts.model.load_state_dict(held)
        parts.model.eval()
        split = next((s for s in ("test", "valid", "train") if parts.data.count(s)), "train")
        torch.manual_seed(self.asked["seed"])
        with torch.no_grad(), self.trainer.plan.autocast():
            metrics = parts.task.evaluate(parts.model, parts.data, split)
        baseline = parts.task.baseline(parts.data, split)
        self._now(
            "done",
            split=split,
            metrics={k: v.as_dict() for k, v in metrics.items()},
            baseline={name: {k: v.as_dict() for k, v in one.items()} for name, one in baseline.items()},
            metric=parts.task.metric,
            memory=memory.peak(self.trainer.plan.device),
            weights_sha256=digest(self.folder / "model.safetensors"),
            fields_sha256=digest(self.folder / "fields" / "fields.json"),
        )
        report.written(self.folder, record.plain(self.about), parts, self.trainer.plan)
        self._seal()

    @property
    def run(self) -> Run:
        """The run, as its folder has it."""
        objects = {k: v for k in ("model", "task") if (v := self.asked[k]) is not None and not isinstance(v, str)}
        if "model" in objects:
            objects["model"] = self.parts.model
        objects["fields"] = record.own_fields(self.parts.data)
        return Run(self.folder, {**objects, **self.own})

    # --------------------------------------------------------------------------------------------------------- writing

    def _now(self, status: str, **more: Any) -> None:
        """Bring `about` up to date."""
        trainer = self.trainer
        kept = {k: v for k, v in (trainer.best or {}).items() if k != "weights"}
        self.about |= {"status": status, "plan": vars(trainer.plan), "steps": trainer.step, "best": kept or None}
        self.about |= {"seconds": round(trainer.seconds, 2), **more}

    def _write(self, status: str, **more: Any) -> None:
        self._now(status, **more)
        self._seal()

    def _seal(self) -> None:
        with told(self.folder):
            write_sealed(self.folder / "run.json", record.plain(self.about))

    def _check_data(self, resumed: bool) -> None:
        if not resumed:
            return
        was, now = self._before["data"]["fingerprint"], self.parts.data.fingerprint
        if self.saved:
            self.parts.notes += resuming.different(self._before, self.saved[1]["trainer"]["plan"])
        if was != now:
            raise RunError(
                f"{self.source} is not the data that {self.folder} learnt from: the fingerprint {now[:12]} differs "
                f"from {was[:12]}. Restore the data, or fit anew."
            )
        if self._before["status"] == "done":
            larger = str(self.budget) != self._before["budget"]
            if not larger:
                self.done = True
                if self.lock:
                    self.lock.release()


# ---------------------------------------------------------------------------------------------------------- small parts


def _pairs(given: Mapping[str, Any] | list[str] | None) -> list[str]:
    """Settings as KEY=VALUE text, whichever way they came."""
    if not given:
        return []
    if isinstance(given, Mapping):
        return [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in given.items()]
    return list(given)


def _counted(count: int, what: str) -> str:
    """'1 row', '3 rows'."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def fresh(out: str | Path | None, source: Any, prefix: str = "") -> Path:
    """The folder of a new run: as asked, or runs/NAME-N with the next free N."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(not _remains(p) for p in folder.iterdir())):
            raise RunError(
                f"--out {folder} exists already. Name another folder, or go on with: lamina fit --resume {folder}"
            )
        return folder
    stem = Path(str(source)).stem if isinstance(source, str | Path) else type(source).__name__
    stem = re.sub(r"^(?:gym|hf):", "", stem)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.").lower()[:40] or "run"
    stem = prefix + stem
    root = Path("runs")
    taken = [int(m[1]) for p in root.glob(f"{stem}-*") if (m := re.fullmatch(re.escape(stem) + r"-(\d+)", p.name))]
    return root / f"{stem}-{max(taken, default=0) + 1}"


def _remains(path: Path) -> bool:
    """What a process leaves that was killed before its run.json was there: nothing to go on with, or to keep."""
    if path.is_symlink() or not path.is_file():
        return False
    return path.name == "lock" or (path.name.startswith(".run.json.") and path.suffix == ".tmp")


def _default_budget(parts: Assembly) -> Budget:
    """What the task usually needs; else passes over the rows: many over few, fewer over many, within minutes."""
    asked = getattr(parts.task, "budget", None)
    if asked:
        return Budget.parse(asked)
    rows = max(1, parts.data.count("train"))
    return Budget(epochs=float(min(100, max(3, round(400 * 128 / rows)))) if rows < 20_000 else 10.0)
