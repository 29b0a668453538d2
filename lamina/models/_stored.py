"""Tensors by name from the files that weights come in; nothing is unpickled in this process.

.safetensors                    or a folder, or NAME.safetensors.index.json, whose parts lie beside it
.npz                            arrays by name, without pickles
.pt .pth .bin .ckpt             converted by a limited child process first: see `_convert`
hf:OWNER/NAME[@REVISION][/FILE] fetched, checked and kept: see `lamina.core.hub`
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from lamina.core import hub
from lamina.core.errors import RunError, did_you_mean
from lamina.models import _convert

__all__ = ["FORMATS", "find", "read"]

FORMATS = ".safetensors, .safetensors.index.json, .npz, .pt, .pth, .bin or .ckpt"
INDEX = ".safetensors.index.json"
_INDEX_BYTES = 64 << 20
# Of a repository, the first that is there; pickles last.
PREFERRED = ("model.safetensors", f"model{INDEX}", f"*{INDEX}", "*.safetensors", "*.npz", "pytorch_model.bin",
             *(f"*{suffix}" for suffix in _convert.SUFFIXES))  # fmt: skip


def find(path: str | Path) -> Path:
    """The file on this machine: as given, fetched, or the one of a folder. Raises: RunError if there is none."""
    if hub.is_address(path):
        return _fetched(hub.parse(str(path), "models"))
    path = Path(path)
    if path.is_dir():
        inside = [path / "model.safetensors", path / f"model{INDEX}", *sorted(path.glob("*.safetensors"))]
        found = next((file for file in inside if file.is_file()), None)
        if found is None:
            raise RunError(f"{path} is a folder without weights. Name a run, or a file: {FORMATS}.")
        return found
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise RunError(f"There is no weights file {path}.{near}")
    return path


def _fetched(address: hub.Address) -> Path:
    """The file that an address names, or that its repository holds weights in, and the parts that an index names."""
    listed = hub.listing(address)
    if address.file:
        chosen = address.file
    else:
        at_top = [name for name in listed.files if "/" not in name]
        chosen = next((n for pattern in PREFERRED for n in sorted(at_top) if Path(n).match(pattern)), "")
        if not chosen:
            raise RunError(
                f"{listed.address} holds no weights at its top (it has {', '.join(sorted(listed.files)[:8])}). "
                f"Name the file: {listed.address}/FILE, one of {FORMATS}."
            )
    (path,) = hub.fetch(listed, [chosen])
    if chosen.endswith(INDEX):
        above = chosen.rpartition("/")[0]
        hub.fetch(listed, sorted({f"{above}/{part}".strip("/") for part in _index(path).values()}))
    return path


def read(path: Path, most: int) -> dict[str, Tensor]:
    """Every tensor of a file, by name. most: bytes that it may have, or unpack to. Raises: RunError."""
    name = path.name.lower()
    parts = {path.parent / file for file in _index(path).values()} if name.endswith(INDEX) else {path}
    size = sum(part.stat().st_size for part in parts if part.is_file())
    if size > most:
        raise RunError(
            f"{path} has {size / 1e9:,.1f} GB, far more than the network holds ({most / 1e9:,.1f} GB would be taken). "
            "Take weights of this network alone."
        )
    if name.endswith(INDEX):
        return _parts(path)
    if name.endswith(".safetensors"):
        return _safetensors(path.read_bytes(), path)
    if name.endswith(".npz"):
        return _arrays(path, most)
    if name.endswith(_convert.SUFFIXES):
        return _safetensors(_convert.convert(path), path)
    raise RunError(f"{path} is of no kind that weights are read from. Give {FORMATS}.")


def _safetensors(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a number format that torch does not have
        raise RunError(
            f"{path} is no safetensors file ({error}). Fetch it anew; a file that torch.save wrote is read if it is "
            "named .pt."
        ) from error


# -------------------------------------------------------------------------------------------------------- in parts


def _index(path: Path) -> dict[str, str]:
    """Tensor -> file beside the index. Raises: RunError for an index that is none, or leads elsewhere."""
    try:
        if path.stat().st_size > _INDEX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes, more than {_INDEX_BYTES:,}")
        placed = json.loads(path.read_bytes())["weight_map"]
        if not isinstance(placed, dict) or not all(isinstance(file, str) for file in placed.values()):
            raise ValueError("its weight_map does not name files")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is no index of safetensors files ({type(error).__name__}: {error}).") from error
    for file in set(placed.values()):
        if Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise RunError(
                f"{path} places tensors in {file!r}; only .safetensors files beside it are read. Nothing was loaded."
            )
    return placed


def _parts(path: Path) -> dict[str, Tensor]:
    placed, home = _index(path), path.parent.resolve()
    held: dict[str, Tensor] = {}
    for file in sorted(set(placed.values())):
        part = path.parent / file
        if not part.is_file():
            raise RunError(f"{path} names {file}, which is not beside it. Put every part there.")
        if not part.resolve().is_relative_to(home):
            raise RunError(f"{part} is a link that leads out of {path.parent}. Put the file itself there.")
        inside = _safetensors(part.read_bytes(), part)
        asked = [name for name, where in placed.items() if where == file]
        lacking = [name for name in asked if name not in inside]
        if lacking:
            raise RunError(
                f"{part} lacks {lacking[0]!r}, which {path.name} places there{_more(lacking)}. Fetch both anew."
            )
        held |= {name: inside[name] for name in asked}
    return held


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


# ---------------------------------------------------------------------------------------------------------- arrays


def _arrays(path: Path, most: int) -> dict[str, Tensor]:
    """The arrays of an .npz. What each claims stands before it, so a bomb is refused before it is unpacked."""
    held = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [entry.filename for entry in archive.infolist()]
            claimed = 0
            for member in members:
                with archive.open(member) as file:
                    shape, dtype = _header(file)
                if dtype.kind not in "fiubc":
                    kind = "pickled objects" if dtype.hasobject else f"values of type {dtype}"
                    raise RunError(f"{path} holds {kind} in {member!r}; only arrays of numbers are taken for weights.")
                if min(shape, default=0) < 0:
                    raise ValueError(f"{member!r} is of shape {shape}")
                claimed += int(np.prod(shape, dtype=object)) * dtype.itemsize
            if claimed > most:
                raise RunError(
                    f"{path} claims {claimed / 1e9:,.1f} GB of arrays, far more than the network holds "
                    f"({most / 1e9:,.1f} GB would be taken). Nothing of it was unpacked."
                )
            for member in members:
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
                held[member.removesuffix(".npy")] = torch.from_numpy(native.reshape(array.shape))
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, TypeError) as error:
        raise RunError(f"{path} is no whole .npz file ({error}). Write it with numpy.savez.") from error
    return held


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of format {version}")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    return shape, dtype
