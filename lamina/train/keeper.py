"""What of a training is on the disk: its diaries, its checkpoints, its best weights; written beside it by a thread."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lamina.core.errors import RunError
from lamina.core.files import digest, sweep, told, write_bytes
from lamina.train import checkpoint
from lamina.train.log import Log
from lamina.train.writer import Writer

__all__ = ["Keeper"]


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

    def open(self, step: int, state: Mapping[str, Any] | None) -> None:
        """Make or tidy the folder, and cut the diaries back to the checkpoint that is gone on from."""
        self._first = self._last = step
        self._began = time.monotonic()
        if self.folder:
            with told(self.folder):
                (self.folder / "checkpoints").mkdir(exist_ok=True)
                sweep(self.folder)
                checkpoint.clean(self.folder / "checkpoints")
                self.log = Log(self.folder, {**state["trainer"]["marks"], **state["clock"]} if state else None)

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
        if self.folder is None:
            return
        folder, store, best = self.folder, self.folder / "checkpoints", state["trainer"]["best"]
        marks = self.log.marks()
        state["clock"] |= {"save_every": self.every, **{name: marks.pop(name) for name in ("timing", "events")}}
        state["trainer"]["marks"] = marks
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

    def has(self, best: Mapping[str, Any]) -> bool:
        """Whether model.safetensors is there as the checkpoint says."""
        path = self.folder / "model.safetensors" if self.folder else None
        return path is None or (path.is_file() and digest(path) == best["sha256"])

    def mend(self, weights: Mapping[str, Tensor] | None) -> None:
        """Write the best weights that a kill came before; None where they are not those of the checkpoint."""
        assert self.folder
        path, store = self.folder / "model.safetensors", self.folder / "checkpoints"
        if weights is None:
            raise RunError(f"{path} is missing or not what was saved. Restore it from a copy, or fit anew.")
        checkpoint.write_weights(path, weights, self.about)
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
