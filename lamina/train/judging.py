"""A network for as long as it is looked at."""

import contextlib
from collections.abc import Iterator

from torch import nn

__all__ = ["judging"]


@contextlib.contextmanager
def judging(module: nn.Module) -> Iterator[nn.Module]:
    """Within it the module is in evaluation mode; after it each part is as it was, a frozen norm too."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for one, training in modes:
            one.training = training
