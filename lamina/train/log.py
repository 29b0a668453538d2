"""A run's three diaries: what the seed determines, what the clock says, and what happened."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Log"]

_FILES = ("metrics", "timing", "events")


class Log:
    """Appends JSON lines to metrics.jsonl, timing.jsonl and events.jsonl; without a folder it keeps nothing.

    A checkpoint holds `marks()`; resuming cuts metrics and timing back to them, so that no line stands twice.
    """

    def __init__(self, folder: Path | None, marks: Mapping[str, int] | None = None):
        self._files: dict[str, Any] = {}
        for name in _FILES:
            if folder is None:
                break
            path = folder / f"{name}.jsonl"
            if marks and name != "events" and path.exists():
                os.truncate(path, min(marks.get(name, 0), path.stat().st_size))
            self._files[name] = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, name: str, line: Mapping[str, Any]) -> None:
        """Append a line to the diary of that name."""
        if file := self._files.get(name):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

    def marks(self) -> dict[str, int]:
        """Bytes written so far, by diary, on the disk."""
        for file in self._files.values():
            os.fsync(file.fileno())
        return {name: file.tell() for name, file in self._files.items()}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
