"""A checkpoint: one folder that is whole or not there, and says itself whether it was changed.

    <step>-<hash>/weights.safetensors   every module, as MODULE.parameter; what shares memory is stored once
                  state.safetensors     optimizers, feeds, the method's memory: the tensors of it
                  meta.json             schema, step, which weights are tied, and the plain values
                  MANIFEST              size and SHA-256 of each file here and of fields/; its own is in the name
`latest` and `best` beside the folders are files that hold a folder's name, replaced last.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lamina.core import trees
from lamina.core.errors import RunError
from lamina.core.files import digest, folder_in_place, sweep, write_bytes, write_text
from lamina.core.untrusted import contents, document, plain, tensors

__all__ = ["SCHEMA", "Snapshot", "clean", "latest", "load", "packed", "point", "pointed", "save", "snapshot", "write",
           "write_weights"]  # fmt: skip

SCHEMA = 1
_FILES = ("weights.safetensors", "state.safetensors", "meta.json")
_NAME = re.compile(r"[0-9]{8,}-[0-9a-f]{8}")


@dataclass
class Snapshot:
    """Copies of all that a checkpoint holds: training may go on while it is written."""

    weights: dict[str, Tensor]
    tied: dict[str, str]  # name -> the name under which its values stand
    plain: Any
    tensors: dict[str, Tensor]


def snapshot(weights: Mapping[str, Tensor], state: Any) -> Snapshot:
    """Copy weights and state to the CPU."""
    plain, tensors = trees.split(state)
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, tensor in weights.items():
        same = (tensor.data_ptr(), tensor.device, tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and same in first:
            tied[name] = first[same]
        else:
            first[same] = name
            kept[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return Snapshot(kept, tied, plain, tensors)


def write(store: Path, step: int, held: Snapshot, beside: Path | None = None) -> Path:
    """Write a snapshot into `store` and point `latest` at it. beside: the folder of fitted fields, sealed with it."""
    meta = {"schema": SCHEMA, "step": step, "tied": held.tied, "state": held.plain}
    files = {
        "weights.safetensors": safetensors.torch.save(held.weights),
        "state.safetensors": safetensors.torch.save(held.tensors),
        "meta.json": json.dumps(meta, allow_nan=False).encode(),
    }
    manifest = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in files.items()}
    if beside is not None and beside.is_dir():
        for file in sorted(beside.iterdir()):
            if not file.name.startswith("."):
                manifest[f"../../{beside.name}/{file.name}"] = [file.stat().st_size, digest(file)]
    seal = json.dumps(manifest, indent=1).encode()
    path = store / f"{step:08d}-{hashlib.sha256(seal).hexdigest()[:8]}"
    with folder_in_place(path) as folder:
        for name, data in {**files, "MANIFEST": seal}.items():
            (folder / name).write_bytes(data)
    point(store, "latest", path)
    return path


def save(store: Path, step: int, weights: Mapping[str, Tensor], state: Any, beside: Path | None = None) -> Path:
    """`snapshot` and `write` in one."""
    return write(store, step, snapshot(weights, state), beside)


def verify(path: Path) -> None:
    """Refuse a checkpoint of which a byte is missing or changed, before any parser sees it."""
    seal = path / "MANIFEST"
    if not path.is_dir():
        raise RunError(f"{path.parent / 'latest'} names {path.name}, and no such checkpoint is there. {_remedy(path)}")
    data = contents(seal, 1 << 20) if os.path.lexists(seal) else b""
    if not path.name.endswith(hashlib.sha256(data).hexdigest()[:8]):
        raise RunError(f"{seal} is missing or changed, so the checkpoint cannot be trusted. {_remedy(path)}")
    listed = document(seal, {str: [(int, str)]}, data=data)
    for name, one in [*listed.items(), *((file, []) for file in _FILES if file not in listed)]:
        if [type(part) for part in one] != [int, str]:
            raise RunError(f"{seal} does not state the size and SHA-256 of {name!r}. {_remedy(path)}")
        (size, sha), file = one, path / name
        own = name.removeprefix("../../fields/")
        if own != os.path.basename(own) or own in ("", ".", ".."):
            raise RunError(f"{seal} names {name!r}, which lies outside the run: nothing there is read. {_remedy(path)}")
        if not plain(file) or file.is_symlink():
            raise RunError(f"{os.path.normpath(file)} is missing from the checkpoint. {_remedy(path)}")
        if size > _memory():
            raise RunError(f"{os.path.normpath(file)} has {size:,} bytes, more than this machine has memory for.")
        if file.stat().st_size != size or digest(file) != sha:
            raise RunError(
                f"{os.path.normpath(file)} is not what was saved: its size or SHA-256 differ. {_remedy(path)}"
            )


def _remedy(path: Path) -> str:
    others = [p.name for p in _folders(path.parent) if p != path]
    if others:
        return f"Write the name of another checkpoint ({others[-1]}) into {path.parent / 'latest'} to go on from there."
    return "There is no other checkpoint: fit anew."


def _folders(store: Path) -> list[Path]:
    return sorted(p for p in store.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def load(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The weights and the state of a checkpoint, checked first."""
    verify(path)
    meta = document(path / "meta.json", {"schema": int, "step": int, "tied": {str: str}, "state": object})
    if meta["schema"] > SCHEMA:
        raise RunError(f"The checkpoint {path} has schema {meta['schema']}; this version reads up to {SCHEMA}. Update.")
    for file in ("weights.safetensors", "state.safetensors"):
        tensors(path / file)  # the header, before anything is built of it
    # bytes, not a memory map: a file that is replaced under a map kills the process
    weights = safetensors.torch.load((path / "weights.safetensors").read_bytes())
    kept = safetensors.torch.load((path / "state.safetensors").read_bytes())
    try:
        weights |= {name: weights[other] for name, other in meta["tied"].items()}
        return weights, trees.join(meta["state"], kept)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunError(
            f"{path / 'meta.json'} names what the checkpoint does not hold ({error}). {_remedy(path)}"
        ) from None


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 40


def point(store: Path, name: str, path: Path) -> None:
    """Let the pointer file `name` hold the checkpoint's name."""
    write_text(store / name, path.name + "\n")


def pointed(store: Path, name: str) -> Path | None:
    """The checkpoint that a pointer file names, None where there is none. Raises: RunError if it holds no name."""
    if not os.path.lexists(store / name):
        return None
    text = contents(store / name, 1 << 12).decode("ascii", "replace")
    if not text.endswith("\n") or not _NAME.fullmatch(text[:-1]):
        others = ", ".join(p.name for p in _folders(store)) or "none"
        raise RunError(
            f"{store / name} should hold the name of a checkpoint beside it and a line's end, but holds {text[:80]!r}. "
            f"Write one of them into it: {others}."
        )
    return store / text[:-1]


def latest(store: Path) -> Path | None:
    """The newest checkpoint to go on from; the only one, where a kill came before it was pointed at."""
    found = pointed(store, "latest")
    if found is None and (there := _folders(store)):
        if len(there) > 1:
            raise RunError(f"{store / 'latest'} is missing. Write a checkpoint's name into it, e.g. {there[-1].name}.")
        return there[0]
    return found


def clean(store: Path, keep: Iterable[Path] = ()) -> None:
    """Remove what a killed process left half-written, and checkpoints that nothing points at."""
    sweep(store)
    kept = {latest(store), pointed(store, "best"), *keep}
    for folder in _folders(store):
        if folder not in kept:
            shutil.rmtree(folder)


def packed(weights: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """The bytes of a model.safetensors, the same for the same weights: tied ones are stored under each name."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in weights.items():
        tensor = tensor.detach().cpu().contiguous()
        apart[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    # one entry: the library writes several in an order that changes from process to process
    return safetensors.torch.save(apart, metadata={"lamina": json.dumps(dict(about), sort_keys=True)})


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """`model.safetensors`: what predicting needs, with its own SHA-256 kept in run.json."""
    write_bytes(path, packed(weights, about))
