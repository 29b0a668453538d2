"""How a batch meets a network: `forward` names the kinds it reads, and is handed those."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lamina.core.errors import ShapeError

__all__ = ["KINDS", "call", "on_device", "reads"]

# The ways a field can stand in a batch as an input. NAME_lengths, NAME_offsets and NAME_weights travel with NAME.
KINDS = {
    "numbers": "(batch, columns) float",
    "categories": "(batch, columns) int64, 0 is unknown or missing",
    "image": "(batch, channels, height, width) float, standardised by the field",
    "text": "(batch, time) int64 tokens, padded with 0, text_lengths (batch,) beside it",
    "words": "(tokens,) int64 of all texts on end, words_offsets (batch,) and words_weights (tokens,) beside it",
    "edges": "(2, edges) int64, from and to",
}
_BESIDE = ("_lengths", "_offsets", "_weights", "_mask")


def reads(model: nn.Module) -> tuple[str, ...]:
    """The kinds that a network's forward names, in its order; empty for somebody's own `forward(x)`."""
    return tuple(name for name in inspect.signature(model.forward).parameters if name in KINDS)


def call(model: nn.Module, batch: Mapping[str, Tensor], **more: Any) -> Any:
    """`model(...)` with what its forward names of the batch; a plain `forward(x)` gets the one input there is."""
    names = inspect.signature(model.forward).parameters
    given = {k: v for k, v in batch.items() if k in names and (k in KINDS or k.endswith(_BESIDE))}
    if given:
        return model(**given, **more)
    inputs = [k for k in batch if k in KINDS]
    if len(inputs) != 1:
        raise ShapeError(
            f"{type(model).__name__}.forward({', '.join(names)}) names none of the inputs {inputs}. "
            f"Name the kinds it reads as parameters, e.g. forward(self, {', '.join(inputs) or 'numbers'})."
        )
    return model(batch[inputs[0]], **more)


def on_device(batch: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The batch where the model's parameters are."""
    first = next(iter(model.parameters()), None)
    return dict(batch) if first is None else {k: v.to(first.device) for k, v in batch.items()}
