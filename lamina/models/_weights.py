"""Weights from a file into a network, with every name that does not fit said."""

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from lamina.core.errors import RunError, did_you_mean

__all__ = ["load"]


def load(model: nn.Module, path: str | Path, name: str = "the network") -> None:
    """Load a safetensors file whose entries are the network's own. Raises: RunError naming what does not fit."""
    path = Path(path)
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise RunError(f"There is no weights file {path}.{near}")
    try:
        held = safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise RunError(
            f"{path} is no safetensors file ({error}). Convert a .pt file first, where you trust it, with torch and "
            "safetensors."
        ) from error
    own = model.state_dict()
    missing, surplus = sorted(own.keys() - held.keys()), sorted(held.keys() - own.keys())
    other = [
        f"{k} {tuple(held[k].shape)} for {tuple(own[k].shape)}"
        for k in own.keys() & held.keys()
        if held[k].shape != own[k].shape
    ]
    if missing or surplus or other:
        parts = [f"{len(rows)} {what} (first: {rows[0]})" for what, rows in
                 (("missing", missing), ("surplus", surplus), ("of another shape", sorted(other))) if rows]  # fmt: skip
        raise RunError(
            f"{path} does not fit {name}: {'; '.join(parts)}. Take the network and sizes that it was saved from."
        )
    model.load_state_dict(held)
