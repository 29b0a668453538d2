"""What of a training is on the disk: its diaries, its checkpoints, its best weights; written beside it by a thread."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lamina.core import trees
from lamina.core.errors import RunError
from lamina.core.files import digest, sweep, told, write_bytes
from lamina.train import checkpoint, offence
from lamina.train.log import Log
from lamina.train.running import Running
from lamina.train.writer import Writer

__all__ = ["Keeper"]

LARGEST = 1 << 26  # bytes of a withheld batch that is kept


class Keeper:
    """A run's folder, or nothing at all.

    Args:
        about: written into model.safetensors.
        every: updates between checkpoints that no border of the training asks for; 0 for about a minute's worth.
    """

    def __init__(self, folder: Path | None, about: Mapping[str, str], every: int):
        self.folder, self.about, self.every = folder, dict(about), every
        self.log = Log(None)
        self._writer = Writer()
        self._first = self._last = 0  # updates made before this process, and at the last checkpoint
        self._began = time.monotonic()
        self._held: checkpoint.Snapshot | None = None  # the last checkpoint, where no folder holds it
        self.holds = False  # whether there is a checkpoint to go back to

    def open(self, step: int, state: Mapping[str, Any] | None) -> None:
        """Make or tidy the folder, and cut the diaries back to the checkpoint that is gone on from."""
        self._first = self._last = step
        self._began, self.holds = time.monotonic(), state is not None
        if self.folder:
            with told(self.folder):
                (self.folder / "checkpoints").mkdir(exist_ok=True)
                sweep(self.folder)
                checkpoint.clean(self.folder / "checkpoints")
                own = state["trainer"] if state else {}
                marks = {**own["marks"], **state["clock"]} if state else None
                self.log = Log(self.folder, marks, own.get("diary"))

    def due(self, step: int) -> bool:
        """Whether a checkpoint falls on this step: a minute's worth after the last, as the first seconds tell."""
        spent = time.monotonic() - self._began
        if not self.every and spent > 5:
            self.every = max(1, round(60 * (step - self._first) / spent))
        return bool(self.every) and step - self._last >= self.every

    def save(
        self, step: int, weights: Mapping[str, Tensor], state: dict[str, Any], better: Mapping[str, Tensor]
    ) -> None:
        """Snapshot all there is, and let a thread write it. better: the best weights, where they are new.

        state["trainer"]["best"] is given the SHA-256 of model.safetensors, which is written after the checkpoint: one
        that is not what the checkpoint says is either older, and can be made good, or damaged.
        """
        self.wait()
        self.holds = True
        if self.folder is None:
            self._held = (
                checkpoint.snapshot(weights, state) if state["trainer"]["plan"]["nonfinite"] == "back" else None
            )
            return
        folder, store, best = self.folder, self.folder / "checkpoints", state["trainer"]["best"]
        marks = self.log.marks()
        state["clock"] |= {"save_every": self.every, **{name: marks.pop(name) for name in ("timing", "events")}}
        state["trainer"] |= {"marks": marks, "diary": self.log.seal()}
        held = checkpoint.snapshot(weights, state)
        self._last = step

        def job() -> None:
            with told(folder):
                data = checkpoint.packed(better, self.about) if better else b""
                if better:
                    best["sha256"] = held.plain["trainer"]["best"]["sha256"] = hashlib.sha256(data).hexdigest()
                self.log.sync()
                path = checkpoint.write(store, step, held, beside=folder / "fields")
                if better:
                    write_bytes(folder / "model.safetensors", data)
                    checkpoint.point(store, "best", path)
                checkpoint.clean(store)

        self._writer.start(job)

    def last(self) -> tuple[dict[str, Tensor], Any] | None:
        """Weights and state of the last checkpoint, None where there is none."""
        if self.folder is None:
            held = self._held
            if held is None:
                return None
            weights = held.weights | {name: held.weights[other] for name, other in held.tied.items()}
            return weights, trees.join(held.plain, held.tensors)
        found = checkpoint.latest(self.folder / "checkpoints") if self.holds else None
        return checkpoint.load(found) if found else None

    def back(self, step: int, weights: Mapping[str, Tensor], state: dict[str, Any]) -> None:
        """Be where the last checkpoint was, which from now on says so itself: a kill right after changes nothing."""
        held = checkpoint.snapshot(weights, state)
        if self.folder is None:
            self._held = held
            return
        self.log.close()
        store = self.folder / "checkpoints"
        with told(self.folder):
            was = checkpoint.latest(store)
            path = checkpoint.write(store, step, held, beside=self.folder / "fields")
            if checkpoint.pointed(store, "best") == was:
                checkpoint.point(store, "best", path)
        self.open(step, state)

    def keep(self, update: int, found: offence.Offence) -> str | None:
        """Keep the batch of an update that was withheld, of the first few small enough; its file below the folder."""
        if self.folder is None or not found.batches:
            return None
        place = self.folder / "withheld"
        name = f"{update:08d}-{found.name}.safetensors"
        there = {p.name for p in place.glob("*.safetensors")} if place.is_dir() else set()
        if name not in there and len(there) >= offence.NAMED:
            return None
        if sum(v.numel() * v.element_size() for batch in found.batches for v in batch.values()) > LARGEST:
            return None
        with told(self.folder):
            place.mkdir(exist_ok=True)
            write_bytes(place / name, offence.packed(found, update))
        return f"{place.name}/{name}"

    def report(self, running: Running) -> list[str]:
        """Keep and note what was withheld since the last call; gives what to warn of."""
        said = []
        for found in running.withheld.offences:
            kept = self.keep(running.begin + found.step, found)
            where = {"path": list(running.path), "step": found.step, "phase": found.phase}
            self.log.write("events", {"event": "not finite", **where, "why": found.why, "batch": kept})
            if running.plan.nonfinite == "skip":
                said.append(f"not finite at step {found.step}, left out: {found.why}")
        running.withheld.offences = []
        return said

    def check(self, best: Mapping[str, Any] | None, running: Running, step: int) -> None:
        """The best weights are those of the checkpoint; a kill just before they were written is made good."""
        path = self.folder / "model.safetensors" if self.folder and best else None
        if path is None or best is None or (path.is_file() and digest(path) == best["sha256"]):
            return
        if best["step"] != step or not running.stage.judged:
            raise RunError(f"{path} is missing or not what was saved. Restore it from a copy, or fit anew.")
        with running.averaged():
            checkpoint.write_weights(path, running.stage.modules[running.stage.judged].state_dict(), self.about)
        store = path.parent / "checkpoints"
        if found := checkpoint.latest(store):
            checkpoint.point(store, "best", found)

    def wait(self) -> None:
        """Until all is on the disk. Raises: TrainingError where it could not be written."""
        self._writer.wait()

    def close(self) -> None:
        """Wait, and close the diaries."""
        try:
            self.wait()
        finally:
            self.log.close()
