"""Which layer a batch did not fit: an error inside a network, told as the layer's name, what it got and expected."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import LaminaError, ShapeError

__all__ = ["named"]


@contextlib.contextmanager
def named(modules: Mapping[str, nn.Module], doing: str) -> Iterator[None]:
    """Within it, an error of torch's is a ShapeError that names the layer that was running.

    modules: by name; `model` is the network, whose layers go by their own names. doing: how the message begins, what
    was tried on what. Errors of lamina's pass as they are.
    """
    running: list[tuple[str, nn.Module, list[Tensor]]] = []
    done: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    handles = []
    for root, module in modules.items():
        for path, layer in module.named_modules():
            name = path if root == "model" and path else ".".join(filter(None, (root, path)))
            handles += _watch(name, layer, running, done)
    try:
        yield
    except LaminaError:
        raise
    except Exception as error:
        raise ShapeError(f"{doing} {_told(running, done, error)}") from error
    finally:
        for handle in handles:
            handle.remove()


def _watch(name: str, layer: nn.Module, running: list[Any], done: list[Any]) -> list[Any]:
    def before(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        running.append((name, layer, [v for v in (*given, *named.values()) if isinstance(v, Tensor)]))

    def after(_: nn.Module, given: Any, output: Any) -> None:
        while running and running.pop()[1] is not layer:
            pass  # a layer whose error the network caught
        if isinstance(output, Tensor) and not any(layer.children()):
            done[:] = [(name, layer, tuple(output.shape))]

    return [layer.register_forward_pre_hook(before, with_kwargs=True), layer.register_forward_hook(after)]


def _told(running: list[Any], done: list[Any], error: Exception) -> str:
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0] if lines else ''}"
    if not running:
        return f"failed outside of its layers with {why}"
    name, layer, given = running[-1]
    got = ", ".join(map(_shown, given)) or "nothing"
    expected, remedy = _expected(layer, given)
    before = "".join(f" The layer before it, {n!r} ({type(m).__name__}), gives {shape}." for n, m, shape in done)
    wanted = f", where {expected} was expected" if expected else ""
    return f"failed in layer {name!r} ({type(layer).__name__}): it got {got}{wanted}.{before} {remedy}({why})"


def _shown(value: Tensor) -> str:
    kind = str(value.dtype).removeprefix("torch.")
    return f"{tuple(value.shape)} {kind}"


def _expected(layer: nn.Module, given: list[Tensor]) -> tuple[str, str]:
    """What a layer takes, and the setting that would make it take what came."""
    x = given[0] if given else None
    weight = next(iter(layer.parameters(recurse=False)), None)
    if x is None:
        return "", ""
    if isinstance(layer, nn.Embedding):
        low, high = (int(x.min()), int(x.max())) if x.numel() and not x.is_floating_point() else (0, 0)
        remedy = (
            f"It came with {low} to {high}: set num_embeddings={high + 1}. " if high >= layer.num_embeddings else ""
        )
        return f"whole numbers from 0 to {layer.num_embeddings - 1}", remedy
    if weight is not None and x.is_floating_point() and x.dtype != weight.dtype:
        kind = str(weight.dtype).removeprefix("torch.")
        return f"{kind}, as its weights are,", "Call .float() on the network, or convert inside its forward. "
    if isinstance(layer, nn.modules.conv._ConvNd):
        axes = "".join(", …" for _ in layer.kernel_size)
        channel = -len(layer.kernel_size) - 1
        came = x.shape[channel] if x.ndim > len(layer.kernel_size) else None
        remedy = f"Set in_channels={came}. " if came not in (None, layer.in_channels) else ""
        return f"(batch, {layer.in_channels}{axes}) {_kind(weight)}", remedy
    for sort, size, setting, axis in (
        (nn.Linear, "in_features", "in_features", -1),
        (nn.RNNBase, "input_size", "input_size", -1),
        (nn.modules.batchnorm._NormBase, "num_features", "num_features", 1),
        (nn.GroupNorm, "num_channels", "num_channels", 1),
    ):
        if isinstance(layer, sort):
            wanted = getattr(layer, size)
            shape = f"(…, {wanted})" if axis == -1 else f"(batch, {wanted}, …)"
            came = x.shape[axis] if x.ndim > max(axis, 0) else None
            remedy = f"Set {setting}={came}. " if came not in (None, wanted) else ""
            return f"{shape} {_kind(weight)}", remedy
    if isinstance(layer, nn.LayerNorm):
        return f"(…, {', '.join(map(str, layer.normalized_shape))})", ""
    return "", ""


def _kind(weight: Tensor | None) -> str:
    return str((weight if weight is not None else torch.empty(0)).dtype).removeprefix("torch.")
