"""A run's three diaries: what the seed determines, what the clock says, and what happened."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.core.errors import RunError
from lamina.core.files import told

__all__ = ["Log"]

_FILES = ("metrics", "timing", "events")


class Log:
    """Appends JSON lines to metrics.jsonl, timing.jsonl and events.jsonl; without a folder it keeps nothing.

    A checkpoint holds `marks()`; resuming cuts metrics and timing back to them (to nothing without a checkpoint), so
    that no line stands twice. Events are what happened, and are never cut. The checkpoint's `seal()`, the SHA-256 of
    metrics.jsonl up to its mark, tells whether what is gone on from is what was written.
    """

    def __init__(self, folder: Path | None, marks: Mapping[str, int] | None = None, seal: str | None = None):
        self._folder = folder or Path()
        self._files: dict[str, Any] = {}
        self._sum = hashlib.sha256()
        for name in _FILES:
            if folder is None:
                break
            path = folder / f"{name}.jsonl"
            length, mark = path.stat().st_size if path.exists() else 0, (marks or {}).get(name, 0)
            if name == "metrics" and length < mark:
                raise RunError(
                    f"{path} is missing or cut: it has {length} bytes, and had {mark} at the checkpoint. "
                    "Restore it from a copy, or fit anew."
                )
            if name == "metrics" and mark:
                with open(path, "rb") as file:
                    self._sum.update(file.read(mark))
                if seal and self.seal() != seal:
                    raise RunError(
                        f"{path} is not what was written: the SHA-256 of its first {mark} bytes is not the "
                        "checkpoint's. Restore it from a copy, or fit anew."
                    )
            if name != "events" and length:
                os.truncate(path, min(mark, length))
            self._files[name] = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, name: str, line: Mapping[str, Any]) -> None:
        """Append a line to the diary of that name; a number that is not finite is null, as JSON has none."""
        if file := self._files.get(name):
            with told(self._folder):
                text = json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n"
                file.write(text)
                file.flush()
            if name == "metrics":
                self._sum.update(text.encode())

    def marks(self) -> dict[str, int]:
        """Bytes written so far, by diary."""
        return {name: file.tell() for name, file in self._files.items()}

    def seal(self) -> str:
        """SHA-256 of metrics.jsonl so far."""
        return self._sum.hexdigest()

    def sync(self) -> None:
        """Flush them to the disk: before a checkpoint with their marks takes its name."""
        for file in self._files.values():
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # a full disk was told where the line was written
                file.close()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
