"""Putting back what a checkpoint holds into modules and optimizers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import RunError

__all__ = ["load_module", "load_optimizer"]


def load_module(name: str, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the entries NAME.* of a checkpoint's weights into a module; missing or surplus ones are named."""
    own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise RunError(f"The weights of {name!r} do not fit {type(module).__name__}: {error}") from error


def load_optimizer(phase: str, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an optimizer's memory, each tensor laid out as its parameter is: fused updates go through both in order of
    the memory, and would pair the wrong numbers where a file brought back another layout."""
    try:
        optimizer.load_state_dict(dict(saved))
    except (ValueError, KeyError) as error:
        raise RunError(f"What was saved of the optimizer of phase {phase!r} does not fit it: {error}") from error
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
