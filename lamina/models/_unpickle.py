"""The child that reads somebody's .pt file under limits and writes its tensors as safetensors; `_convert` starts it.

    python _unpickle.py FILE OUT MOST_BYTES CPU_SECONDS

It prints one JSON object: {"tensors": count} or {"error": what came}. Nothing of lamina is imported here, and
`weights_only` lets a pickle build tensors and plain containers alone; the limits are for what even those can ask for.
"""

import contextlib
import json
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

ROOM = 1 << 30  # bytes of address space beside the tensors: torch's own buffers, the interpreter's
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")


class Refused(Exception):
    """The file is not what it should be; the message says how."""


def limit(name: str, value: int) -> None:
    """Set a limit of this process, where the system has it and allows it."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def limit_memory(more: int) -> None:
    """Let this process grow by `more` bytes of address space; where /proc does not say its size, not limited."""
    with contextlib.suppress(OSError):
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limit("RLIMIT_AS", pages * os.sysconf("SC_PAGE_SIZE") + more)


def check_archive(path: str, most: int) -> None:
    """Refuse, from the list of its contents alone, an archive that unpacks to more than `most` bytes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > most:
            raise Refused(f"it claims {claimed / 1e9:,.1f} GB of contents in {os.path.getsize(path):,} bytes")


def named(found: Any) -> dict[str, Any]:
    """The tensors of a checkpoint by name: its own, or those of the one entry that holds a network's."""
    import torch

    if not isinstance(found, Mapping):
        raise Refused(f"it holds a {type(found).__name__}, where tensors by name were expected")
    own = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if own:
        return own
    inner = {
        k: tensors
        for k, v in found.items()
        if isinstance(k, str) and isinstance(v, Mapping)
        and (tensors := {n: t for n, t in v.items() if isinstance(n, str) and isinstance(t, torch.Tensor)})
    }  # fmt: skip
    usual = [k for k in WRAPPERS if k in inner]
    if usual or len(inner) == 1:
        return inner[usual[0] if usual else next(iter(inner))]
    kept = ", ".join(repr(str(k))[:60] for k in list(inner or found)[:8]) or "nothing"
    which = "several sets of tensors" if inner else "no tensors by name"
    raise Refused(f"it holds {which} ({kept})")


def plain(tensors: Mapping[str, Any], most: int) -> Iterator[tuple[str, Any]]:
    """Each tensor whole, in its own memory. A view may claim more than is stored, so sizes are added up first."""
    import torch

    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise Refused(f"{name!r} is {tensor.layout} on {tensor.device}; only plain tensors are taken")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if claimed > most:
        raise Refused(f"it claims {claimed / 1e9:,.1f} GB of tensors")
    for name, tensor in tensors.items():
        yield name, tensor.detach().clone(memory_format=torch.contiguous_format)


def convert(source: str, target: str, most: int) -> int:
    """Read `source`, write `target`; the number of tensors. Raises: Refused."""
    import pickle

    import safetensors.torch
    import torch

    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            raise Refused(f"it asks for {asked[1]}, which is code and not weights; nothing of it was run") from error
        why = str(error).partition("WeightsUnpickler error:")[2] or str(error)
        raise Refused(f"it is damaged, or holds what is not weights ({_first_line(why)})") from error
    held = dict(plain(named(found), most))
    safetensors.torch.save_file(held, target)
    return len(held)


def _first_line(error: BaseException | str) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def main() -> None:
    """Convert as the command line says, and print how it ended."""
    source, target, most, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_CPU", seconds)
    limit("RLIMIT_FSIZE", most + (16 << 20))
    try:
        check_archive(source, most)
        import safetensors.torch  # noqa: F401 (with torch: what is there before memory is limited)

        limit_memory(4 * most + ROOM)
        said: dict[str, Any] = {"tensors": convert(source, target, most)}
    except Refused as error:
        said = {"error": str(error)}
    except MemoryError:
        said = {"error": "it asks for more memory than a file of its size may"}
    except Exception as error:
        full = re.search("allocate|memory|size overflow|bytes", str(error))
        what = "it asks for more memory than a file of its size may" if full else "it is damaged or no such file"
        said = {"error": f"{what} ({_first_line(error)})"}
    print(json.dumps(said))  # noqa: T201 (what the parent reads)


if __name__ == "__main__":
    main()
