"""A network as an outline: built without memory for its numbers, to see what it would hold before it is built."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

__all__ = ["TooLarge", "outline"]


class TooLarge(Exception):
    """More parts were built than asked for."""


def outline(make: Callable[[], nn.Module], parts: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the network that `make` builds, on the device `meta`.

    parts: parameters, buffers and modules that it may have together; one that goes on building is stopped there.
    Raises: TooLarge, and what `make` raises.
    """
    with torch.device("meta"), _counted(parts):
        return {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}


@contextmanager
def _counted(most: int) -> Iterator[None]:
    built = 0

    def count(*_: Any) -> None:
        nonlocal built
        built += 1
        if built > most:
            raise TooLarge(f"more than {most:,} parts")

    with ExitStack() as stack:
        for register in (
            hooks.register_module_parameter_registration_hook,
            hooks.register_module_buffer_registration_hook,
            hooks.register_module_module_registration_hook,
        ):
            stack.callback(register(count).remove)
        yield
