"""What befalls a child, at the very place: death, a full disk, a pause. Installed in the child alone.

Every touch of the disk, step, batch of a validation and act in an environment is an *event* of a kind:

    open mkdir rename remove rmtree truncate    the system's calls on what lies below the folder watched
    fsync                                       of any file
    half line                                   a file, or a line of a diary, of which half is written
    step look act batch                         a backward pass, a forward pass that is only looked at, a step of an
                                                environment, a batch drawn

install({"watch": FOLDER, ...}):
    count: FILE             events by kind are written there at the end
    die: [KIND, N]          SIGKILL at the N-th event of that kind
    signal: [KIND, N, S]    signal S to itself, at the N-th event of that kind
    full: [KIND, N]         from the N-th event of a kind that writes on, the disk is full, for all that writes
    quota: BYTES            what the files below the folder may hold in all; the write that exceeds it is cut short
    pause: [KIND, SECONDS]  at every event of that kind
    missing: [NAME, ...]    packages that cannot be imported
    offline: true           any use of a socket is written to standard error and refused
"""

import builtins
import contextlib
import errno
import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

WRITING = ("open", "mkdir", "rename", "fsync", "half", "line", "truncate")
_AUDITED = {"os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove", "shutil.rmtree": "rmtree",
            "os.truncate": "truncate"}  # fmt: skip

_told: dict[str, Any] = {}
_counts: dict[str, int] = {}
_full = False
_inside = False


def install(told: dict[str, Any]) -> None:
    """From here on, the process meets what it is told to."""
    if not told:
        return
    _told.update(told)
    if told.get("watch"):
        _told["watch"] = os.path.realpath(told["watch"])
        sys.addaudithook(_audited)
        _replace()
    if "quota" in told:
        builtins.open = io.open = _quota_open  # type: ignore[assignment]
    for name in told.get("missing", ()):
        for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
            del sys.modules[loaded]
        sys.modules[name] = None  # type: ignore[assignment]
    if told.get("offline"):
        sys.addaudithook(_no_socket)


def report() -> None:
    """Write the counts, where they are asked for."""
    if "count" in _told:
        Path(_told["count"]).write_text(json.dumps(_counts))


def event(kind: str, half: Any = None) -> None:
    """One more of a kind. half: writes half of what is under way, for a death in the middle of it."""
    global _full
    _counts[kind] = number = _counts.get(kind, 0) + 1
    if _told.get("die") == [kind, number]:
        if half is not None:
            half()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    if "signal" in _told and _told["signal"][:2] == [kind, number]:
        os.kill(os.getpid(), _told["signal"][2])
    if "pause" in _told and _told["pause"][0] == kind:
        time.sleep(_told["pause"][1])
    if "full" in _told and (_full or _told["full"] == [kind, number]) and kind in WRITING:
        if not _full:
            print("the disk is full from here on", file=sys.stderr, flush=True)
        _full = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _below(path: Any) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(_told["watch"])


def _audited(name: str, given: tuple[Any, ...]) -> None:
    global _inside
    if _inside:
        return
    if name == "open":
        path, _, flags = given
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if writes and _below(path):
            event("open")
    elif (kind := _AUDITED.get(name)) and _below(given[0]):
        event(kind)


def _no_socket(name: str, given: tuple[Any, ...]) -> None:
    if name in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(f"NETWORK: {name} {given}", file=sys.stderr, flush=True)
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _before(kind: str, call: Any) -> Any:
    def instead(*given: Any, **named: Any) -> Any:
        event(kind)
        return call(*given, **named)

    return instead


def _replace() -> None:
    import torch

    from lamina.core import files
    from lamina.data import feeds, loader
    from lamina.data.environment import Environments
    from lamina.train.log import Log

    os.fsync = _before("fsync", os.fsync)
    torch.Tensor.backward = _before("step", torch.Tensor.backward)  # type: ignore[method-assign]
    Environments.step = _before("act", Environments.step)  # type: ignore[method-assign]
    for kind in (feeds.Rows, feeds.Windows, feeds.Graph, loader.LoaderFeed):
        kind.next = _before("batch", kind.next)  # type: ignore[method-assign]
    whole, write_bytes, write = files._whole, Path.write_bytes, Log.write

    def half_of(path: Any, data: bytes) -> Any:
        def write_half() -> None:
            global _inside
            _inside = True
            with open(path, "wb") as file:
                file.write(data[: len(data) // 2])

        return write_half

    def whole_instead(path: Path, data: bytes) -> None:
        event("half", half_of(path, data))
        whole(path, data)

    def bytes_instead(path: Path, data: bytes) -> int:
        event("half", half_of(path, data))
        return write_bytes(path, data)

    def line_instead(log: Log, name: str, line: Any) -> None:
        file = log._files[name]

        def write_half() -> None:
            text = json.dumps({k: str(v) for k, v in line.items()})
            file.write(text[: len(text) // 2])
            file.flush()

        with files.told(log._folder):
            event("line", write_half)
        write(log, name, line)

    files._whole = whole_instead  # type: ignore[assignment]
    Path.write_bytes = bytes_instead  # type: ignore[method-assign,assignment]
    Log.write = line_instead  # type: ignore[method-assign]

    def looked(module: Any, given: Any) -> None:
        if not torch.is_grad_enabled():
            event("look")

    torch.nn.modules.module.register_module_forward_pre_hook(looked)


# ---------------------------------------------------------------------------------------------------- a small disk


class _Bounded(io.FileIO):
    """A file whose write is cut short where the folder would come to hold more than it may, as a quota does it."""

    def write(self, data: Any) -> int:
        data = memoryview(data).cast("B")
        left = _told["quota"] - _held(_told["watch"])
        if left <= 0:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(data[:left]) or 0


def _held(folder: str) -> int:
    """Bytes of all files below a folder, of those that stay while it is looked at."""
    sizes = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes += os.stat(os.path.join(path, name)).st_size
    return sizes


_open = io.open


def _quota_open(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *more: Any, **named: Any) -> Any:
    if not (set(mode) & set("wax+")) or isinstance(file, int) or not _below(file):
        return _open(file, mode, buffering, encoding, *more, **named)
    raw = io.BufferedWriter(_Bounded(file, mode.replace("b", "").replace("t", "")))
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding=encoding or "utf-8")
