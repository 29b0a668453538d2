"""What memory a device has, and has left."""

import sys
from pathlib import Path
from typing import Any

import torch

__all__ = ["left", "peak", "whole"]

_GROUP = Path("/sys/fs/cgroup")


def left(device: str) -> int | None:
    """Bytes that can still be had, None where the system does not tell."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    known = _lines(Path("/proc/meminfo")).get("MemAvailable")
    limit, used = _number(_GROUP / "memory.max"), _number(_GROUP / "memory.current")
    if limit is not None and used is not None:
        kept = _lines(_GROUP / "memory.stat").get("inactive_file", 0)  # a cache of files, which yields
        inside = max(0, limit - used + kept)
        return inside if known is None else min(known, inside)
    return known


def whole(device: str) -> int | None:
    """Bytes that there are, whoever holds them; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    known = _lines(Path("/proc/meminfo")).get("MemTotal")
    limit = _number(_GROUP / "memory.max")
    return min((v for v in (known, limit) if v is not None), default=None)


def peak(device: str) -> dict[str, Any] | None:
    """The most that was held so far, in bytes, and by whom: the device, or this process; None where nobody tells."""
    if torch.device(device).type == "cuda":
        return {"peak": int(torch.cuda.max_memory_allocated(torch.device(device))), "of": "device"}
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of": "process"}


def _lines(path: Path) -> dict[str, int]:
    """'MemTotal:  8 kB' and 'inactive_file 8' as bytes by name."""
    try:
        rows = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {
        row[0]: int(row[1]) * (1024 if row[-1] == "kB" else 1) for row in rows if len(row) > 1 and row[1].isdecimal()
    }


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None
