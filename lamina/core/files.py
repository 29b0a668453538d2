"""Files that are whole or not there: written beside, flushed to the disk, renamed into place; and a folder's lock."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamina.core.display import as_json, shown
from lamina.core.errors import LaminaError, RunError, SettingError, TrainingError
from lamina.core.untrusted import contents, document

__all__ = [
    "Lock",
    "digest",
    "folder_in_place",
    "read_sealed",
    "sweep",
    "sync",
    "told",
    "write_bytes",
    "write_json",
    "write_sealed",
    "write_text",
]


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk; a system without folder handles does without."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader, and a crash, sees the old file or the new one and nothing between."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _whole(beside, data)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _whole(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` for a JSON document; NaN and infinities are refused, as JSON has none."""
    write_text(path, as_json(value, indent=1) + "\n")


@contextlib.contextmanager
def folder_in_place(path: Path) -> Iterator[Path]:
    """A folder under a temporary name to fill; it takes its own name when everything in it is on the disk."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.iterdir():
            sync(file)
        sync(beside)
        if path.exists():
            os.replace(path, old)
        os.replace(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    sync(path.parent)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for entry in folder.glob(".*.tmp"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -------------------------------------------------------------------------------------- a document that guards itself

_SEAL = re.compile(rb',\n "seal": "([0-9a-f]{64})"\n}\n\Z')


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """`write_json` for an object, with the SHA-256 of all that stands before it as its last entry, `seal`."""
    text = as_json(value, indent=1).removesuffix("\n}").encode()
    seal = hashlib.sha256(text).hexdigest()
    write_bytes(path, text + f',\n "seal": "{seal}"\n}}\n'.encode())


def read_sealed(path: Path, shape: Any = dict, most: int = 8 << 20) -> dict[str, Any]:
    """What `write_sealed` wrote, of a shape as in `untrusted.fits`. Raises: RunError if a byte is not as written."""
    data = contents(path, most)
    found = _SEAL.search(data)
    if not found or hashlib.sha256(data[: found.start()]).hexdigest().encode() != found[1]:
        raise RunError(
            f"{path} is damaged: its bytes do not give the SHA-256 that its last line, the seal, states. "
            "Restore it from a copy, or fit anew."
        )
    value = document(path, shape, data=data)
    value.pop("seal")
    return value


# ------------------------------------------------------------------------------------------------ when writing fails


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def told(folder: Path, remedy: str = "") -> Iterator[None]:
    """Within it, a disk that is full, or refuses otherwise, is one clear message. remedy: of what is no training."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno == errno.ENAMETOOLONG:
            raise SettingError(f"{shown(where, 200)}: the system takes no path of {len(str(where)):,} characters. Name "
                               "a shorter one.") from None  # fmt: skip
        what = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        if remedy:
            kind = LaminaError if error.errno in _FULL else SettingError
            raise kind(f"Writing {where} failed: {what}. {remedy}") from error
        if not folder.is_dir():
            raise SettingError(f"The folder {folder} cannot be made: {what}. Name another --out.") from error
        raise TrainingError(
            f"Writing {where} failed: {what}. What was saved before is whole. Mend that, then go on with: "
            f"lamina fit --resume {folder}"
        ) from error


_held: set[Path] = set()


class Lock:
    """An empty file that one process at a time holds; a dead process, kill -9 included, holds nothing.

    Raises: RunError if somebody else holds it.
    """

    def __init__(self, path: Path):
        self._path, self._mine = path.resolve(), False
        with told(path.parent):
            if path.is_symlink():
                raise RunError(f"{path} is a link; nothing outside a run is written. Remove it.")
            self._file = open(path, "ab")  # noqa: SIM115 (held until `release`)
        try:
            if self._path in _held:  # the system's lock is the process's: it would be granted twice
                raise BlockingIOError
            _take(self._file)
        except OSError as error:
            self._file.close()
            who = "another lamina works in it. Wait for it, stop it, or name another --out."
            if self._path in _held:
                who = "this very process works in it. If that is a loop over its ticks that was left, close() them."
            raise RunError(f"{path.parent} is in use: {who}") from error
        _held.add(self._path)
        self._mine = True

    def release(self) -> None:
        """Let others have it; twice is once."""
        if self._mine:
            self._mine = False
            self._file.close()  # which gives the system's lock back
            _held.discard(self._path)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.release()


if sys.platform == "win32":

    def _take(file: Any) -> None:
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _take(file: Any) -> None:
        import fcntl

        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise
            # a file system without locks: better unguarded than unusable
