"""Weights from a file into a network, with every name that does not fit said."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from lamina.core.errors import RunError
from lamina.models import _stored

__all__ = ["load"]

WRAPPED = ("module.", "_orig_mod.", "model.")  # what DataParallel, compile and Lightning put before every name
_SHOWN = 3


def load(model: nn.Module, path: str | Path, name: str = "the network") -> None:
    """Load a file whose tensors are the network's own, by name and shape, or of a layout that its file states.

    path: see `_stored`. A prefix that a wrapper put before all names is taken off; tied weights need stand there once.
    Raises: RunError naming what is missing, unknown, of another shape or not finite.
    """
    own = model.state_dict()
    file = _stored.find(path)
    held = _unwrapped(_stored.read(file, 8 * sum(t.nbytes for t in own.values()) + (64 << 20)), own)
    held = _translated(model, held)
    for twin, given in _tied(own):
        if twin not in held and given in held:
            held[twin] = held[given]
    wrong = _misfits(own, held)
    if wrong:
        raise RunError(
            f"{path} does not fit {name}: {'; '.join(wrong)}. Take the network and sizes that it was saved from."
        )
    for key, tensor in held.items():
        if tensor.is_complex() and not own[key].is_complex():
            raise RunError(f"{path} holds complex numbers in {key!r}, where {name} has {own[key].dtype}.")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise RunError(f"{path} holds numbers that are not finite in {key!r}. Take weights that are sound.")
    model.load_state_dict(held)


def _translated(model: nn.Module, held: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the network's own names, where its file knows the published layout that these are in."""
    layouts = getattr(sys.modules.get(type(model).__module__), "LAYOUTS", {})
    known = next((layout for layout in layouts.values() if layout.meets(held)), None)
    return held if known is None else known.read(model, held)


def _unwrapped(held: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same without a wrapper's prefix, where all names have it and the network's own do not."""
    for prefix in WRAPPED * 2:
        if held and all(k.startswith(prefix) for k in held) and not any(k.startswith(prefix) for k in own):
            held = {k.removeprefix(prefix): v for k, v in held.items()}
    return held


def _tied(own: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Both ways round, the names of one and the same tensor."""
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    pairs = []
    for name, tensor in own.items():
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and key in first:
            pairs += [(name, first[key]), (first[key], name)]
        first.setdefault(key, name)
    return pairs


def _misfits(own: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> list[str]:
    """What is missing, unknown or of another shape, in words."""
    missing, unknown = sorted(own.keys() - held.keys()), sorted(held.keys() - own.keys())
    other = sorted(k for k in own.keys() & held.keys() if own[k].shape != held[k].shape)
    said = []
    if missing:
        said.append(f"{len(missing)} missing ({_listed([repr(k) for k in missing])})")
    if unknown:
        near = {k: difflib.get_close_matches(k, missing, 1, 0.5) for k in unknown[:_SHOWN]}
        words = [f"{k!r}" + (f", nearest {found[0]!r}" if found else "") for k, found in near.items()]
        said.append(f"{len(unknown)} unknown ({_listed(words, len(unknown))})")
    if other:
        shapes = [f"{k!r} {tuple(held[k].shape)} for {tuple(own[k].shape)}" for k in other[:_SHOWN]]
        said.append(f"{len(other)} of another shape ({_listed(shapes, len(other))})")
    return said


def _listed(words: Sequence[str], count: int | None = None) -> str:
    count = len(words) if count is None else count
    return ", ".join(words[:_SHOWN]) + (f" and {count - _SHOWN} more" if count > _SHOWN else "")
