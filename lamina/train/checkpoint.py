"""A checkpoint: one folder that is whole or not there, and says itself whether it was changed.

    <step>-<hash>/weights.safetensors   every module, as MODULE.parameter
                  state.safetensors     optimizers, feeds, the method's memory: the tensors of it
                  meta.json             schema, step, and the plain values
                  MANIFEST              size and SHA-256 of each file here and of fields/; the hash in the name is the manifest's own
`latest` and `best` beside the folders are files that hold a folder's name, replaced last.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lamina.core import trees
from lamina.core.errors import RunError
from lamina.core.files import digest, folder_in_place, write_bytes, write_text

__all__ = ["SCHEMA", "clean", "latest", "load", "pointed", "point", "save", "write_weights"]

SCHEMA = 1


def save(store: Path, step: int, weights: Mapping[str, Tensor], state: Any, beside: Path | None = None) -> Path:
    """Write a checkpoint into `store` and point `latest` at it. beside: the folder of fitted fields, sealed with it."""
    plain, tensors = trees.split(state)
    files = {
        "weights.safetensors": safetensors.torch.save(_apart(weights)),
        "state.safetensors": safetensors.torch.save(tensors),
        "meta.json": json.dumps({"schema": SCHEMA, "step": step, "state": plain}, allow_nan=False).encode(),
    }
    manifest = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in files.items()}
    if beside is not None and beside.is_dir():
        for file in sorted(beside.iterdir()):
            manifest[f"../../{beside.name}/{file.name}"] = [file.stat().st_size, digest(file)]
    seal = json.dumps(manifest, indent=1).encode()
    path = store / f"{step:08d}-{hashlib.sha256(seal).hexdigest()[:8]}"
    with folder_in_place(path) as folder:
        for name, data in {**files, "MANIFEST": seal}.items():
            (folder / name).write_bytes(data)
    point(store, "latest", path)
    return path


def _apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights are stored once under each name: safetensors refuses tensors that share memory."""
    seen: set[int] = set()
    out = {}
    for name, tensor in weights.items():
        tensor = tensor.detach().cpu().contiguous()
        out[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return out


def verify(path: Path) -> None:
    """Refuse a checkpoint of which a byte is missing or changed, before any parser sees it."""
    try:
        seal = (path / "MANIFEST").read_bytes()
        manifest = json.loads(seal)
        sound = path.name.endswith(hashlib.sha256(seal).hexdigest()[:8])
    except (OSError, ValueError):
        sound, manifest = False, {}
    if not sound:
        raise RunError(f"The checkpoint {path} is damaged: its MANIFEST is missing or changed. {_remedy(path)}")
    for name, (size, sha) in manifest.items():
        file = path / name
        if not file.is_file():
            raise RunError(f"The checkpoint {path} lacks {name}. {_remedy(path)}")
        if file.stat().st_size != size or digest(file) != sha:
            raise RunError(f"{file} is not what was saved: its size or SHA-256 differ. {_remedy(path)}")


def _remedy(path: Path) -> str:
    others = sorted(p.name for p in path.parent.glob("*-*") if p.is_dir() and p != path and not p.name.startswith("."))
    if others:
        return f"Write the name of another checkpoint ({others[-1]}) into {path.parent / 'latest'} to go on from there."
    return "There is no other checkpoint: fit anew."


def load(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The weights and the state of a checkpoint, checked first."""
    verify(path)
    meta = json.loads((path / "meta.json").read_bytes())
    if meta["schema"] > SCHEMA:
        raise RunError(f"The checkpoint {path} has schema {meta['schema']}; this version reads up to {SCHEMA}. Update.")
    # bytes, not a memory map: a file that is replaced under a map kills the process
    weights = safetensors.torch.load((path / "weights.safetensors").read_bytes())
    tensors = safetensors.torch.load((path / "state.safetensors").read_bytes())
    return weights, trees.join(meta["state"], tensors)


def point(store: Path, name: str, path: Path) -> None:
    """Let the pointer file `name` hold the checkpoint's name."""
    write_text(store / name, path.name + "\n")


def pointed(store: Path, name: str) -> Path | None:
    """The checkpoint that a pointer file names, None where there is none."""
    try:
        target = (store / name).read_text().strip()
    except FileNotFoundError:
        return None
    if not target or Path(target).name != target:
        raise RunError(f"{store / name} should hold the name of a checkpoint beside it, but holds {target!r}.")
    return store / target


def latest(store: Path) -> Path | None:
    """The newest checkpoint to go on from."""
    return pointed(store, "latest")


def clean(store: Path, keep: Iterable[Path] = ()) -> None:
    """Remove what a killed process left half-written, and checkpoints that nothing points at."""
    kept = {pointed(store, "latest"), pointed(store, "best"), *keep}
    for entry in store.iterdir():
        stale = entry.name.startswith(".") and entry.name.endswith(".tmp")
        if stale or (entry.is_dir() and entry not in kept):
            shutil.rmtree(entry) if entry.is_dir() else os.unlink(entry)


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """`model.safetensors`: what predicting needs, with its own SHA-256 kept in run.json."""
    write_bytes(path, safetensors.torch.save(_apart(weights), metadata=dict(about)))
