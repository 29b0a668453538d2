"""A tree of plain values and tensors, as JSON and tensors apart: what a checkpoint stores, without a pickle.

Dictionaries keep their keys' types (an optimizer counts its parameters from 0), tuples stay tuples, numpy's arrays and
numbers come back as such, a float that JSON has no word for stays what it is. Anything else is refused by its place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["join", "split"]


def split(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """The tree as JSON-able data in which tensors are named, and the tensors by name, copied to the CPU.

    Raises: TypeError, with the place of what is neither plain nor a tensor.
    """
    tensors: dict[str, Tensor] = {}
    return _split(tree, "", tensors), tensors


def _split(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = place or "value"
        while name in tensors:  # {"a/b": …} and {"a": {"b": …}} say the same place
            name += "+"
        # a copy: training goes on while it is written, and what shares memory is stored on its own
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": name}
    if isinstance(value, np.ndarray | np.number | np.bool_) and np.asarray(value).dtype.kind in "biufc":
        kind = "$array" if isinstance(value, np.ndarray) else "$number"
        return {kind: _split(torch.from_numpy(np.array(value, order="C")), place, tensors)}
    if isinstance(value, Mapping):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: _split(v, f"{place}/{k}" if place else k, tensors) for k, v in value.items()}
        return {"$items": [[_split(k, place, tensors), _split(v, f"{place}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [_split(v, f"{place}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_split(v, f"{place}/{i}", tensors) for i, v in enumerate(value)]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"$float": repr(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{place or 'the value'} is a {type(value).__name__}; a checkpoint holds plain values and tensors.")


def join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `split` took apart."""
    if isinstance(tree, list):
        return [join(v, tensors) for v in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        ((key, value),) = tree.items()
        if key == "$tensor":
            return tensors[value]
        if key == "$array":
            return join(value, tensors).numpy()
        if key == "$number":
            return join(value, tensors).numpy()[()]
        if key == "$items":
            return {join(k, tensors): join(v, tensors) for k, v in value}
        if key == "$tuple":
            return tuple(join(v, tensors) for v in value)
        if key == "$float":
            return float(value)
    return {k: join(v, tensors) for k, v in tree.items()}
