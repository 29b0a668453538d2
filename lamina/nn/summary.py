"""What a network is made of: its layers in the order they run, with shapes, parameters, FLOPs and receptive fields.

FLOPs are 2 for each multiply-add of a matrix product, convolution or attention, over the batch that was given;
elementwise work, norms, pools and look-ups are not counted, as is usual in papers.
All runs on `meta` too, where a network of any size costs nothing.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from lamina.core.calls import call
from lamina.core.errors import ShapeError

__all__ = ["Row", "Summary", "receptive_field", "summarise"]


@dataclass
class Row:
    """A layer: a module without children, or one that owns parameters.

    output: shape of its (first) output, None where it never ran. receptive: how many places of the input, axis by
    axis, one place of the output sees; None where that is all of them or no such thing. calls: how often it ran.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None = None
    parameters: int = 0
    trainable: int = 0
    flops: int = 0
    receptive: tuple[int, ...] | None = None
    calls: int = 0


@dataclass
class Summary:
    """The rows, and sums over them; parameters that two layers share count once.

    receptive: how far the last layer that still has places sees. bytes: of parameters and buffers.
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    buffers: int = 0
    bytes: int = 0
    flops: int = 0
    output: Any = None
    receptive: tuple[int, ...] | None = None

    def table(self) -> list[dict[str, Any]]:
        """The rows as plain dicts, ready for JSON or a table."""
        return [{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(row).items()} for row in self.rows]


def summarise(model: nn.Module, inputs: Mapping[str, Tensor] | Sequence[Tensor] | Tensor) -> Summary:
    """One forward pass in evaluation mode, without gradients; the model is left as it was.

    inputs: a batch by kinds, or what forward takes, one tensor or several.
    """
    rows, counter = _rows(model), FlopCounterMode(display=False)
    started: list[Row] = []  # in the order they first run
    handles: list[Any] = []
    for name, module in model.named_modules():
        if name in rows:
            handles += _watch(module, rows[name], counter, started)
    modes = {m: m.training for m in model.modules()}
    model.eval()
    try:
        # Fused kernels hide their products from the counter: attention and recurrences are spelled out.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _unfused(model), _Fields(_tensors(inputs)), counter:
            output = _forward(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    idle = [row for row in rows.values() if row.calls == 0 and row.parameters]
    weights = list(model.parameters())
    buffers = list(model.buffers())
    return Summary(
        rows=started + idle,
        parameters=sum(p.numel() for p in weights),
        trainable=sum(p.numel() for p in weights if p.requires_grad),
        buffers=sum(b.numel() for b in buffers),
        bytes=sum(t.numel() * t.element_size() for t in weights + buffers),
        flops=counter.get_total_flops(),
        output=_shapes(output),
        receptive=next((row.receptive for row in reversed(started) if row.receptive), None),
    )


@contextmanager
def _unfused(model: nn.Module) -> Iterator[None]:
    """Without oneDNN's recurrence in one call; left alone where there is none."""
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")  # of TF32, on machines that have none
        if any(isinstance(m, nn.RNNBase) for m in model.modules()):
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield


def _rows(model: nn.Module) -> dict[str, Row]:
    rows, seen = {}, set()
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own or not any(module.children()):
            rows[name] = Row(
                name=name or type(model).__name__,
                kind=type(module).__name__,
                parameters=sum(p.numel() for p in own),
                trainable=sum(p.numel() for p in own if p.requires_grad),
            )
    return rows


def _watch(module: nn.Module, row: Row, counter: FlopCounterMode, started: list[Row]) -> list[Any]:
    def before(*_: Any) -> None:
        row.flops -= counter.get_total_flops()
        if row.calls == 0:
            started.append(row)

    def after(_: nn.Module, __: Any, output: Any) -> None:
        row.flops += counter.get_total_flops()
        first = next(iter(_tensors(output)), None)
        if row.calls == 0 and first is not None:
            row.output, row.receptive = tuple(first.shape), _field_of(first)
        row.calls += 1

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _forward(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return call(model, inputs)
    return model(inputs) if isinstance(inputs, Tensor) else model(*inputs)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [t for v in values for t in _tensors(v)]


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return list(value.shape)
    if isinstance(value, Mapping):
        return {k: _shapes(v) for k, v in value.items()}
    return [_shapes(v) for v in value] if isinstance(value, list | tuple) else None


# ------------------------------------------------------------------------------------------------ receptive fields


def _mark(x: Tensor, seen: list[tuple[int, int]] | None) -> None:
    x._field = seen  # type: ignore[attr-defined]


class _Fields(TorchFunctionMode):
    """Carries along, on each tensor, (places seen, step between neighbours) for every axis after the second.

    A window of k places, dilated by d, adds (k - 1) d steps; a stride multiplies the step. Where branches meet, the
    larger holds. What mixes places in another way (flatten, resizing, attention) ends it. The first window over
    something unknown, a transposed sequence say, begins anew.
    """

    def __init__(self, inputs: Sequence[Tensor]):
        super().__init__()
        for x in inputs:
            _mark(x, [(1, 1)] * (x.ndim - 2) if x.ndim > 2 else None)
        self.begun = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        known = [f for t in _tensors([*args, *kwargs.values()]) if (f := getattr(t, "_field", None))]
        windowed = name.startswith(("conv1d", "conv2d", "conv3d", "max_pool", "avg_pool"))
        if windowed and not known and not self.begun:
            known = [[(1, 1)] * (_tensors([*args, *kwargs.values()])[0].ndim - 2)]
        self.begun |= windowed or name in _MIXING - _TURNING
        for out in _tensors(output) if known and not name.startswith("__get") else []:
            merged = [max(axis) for axis in zip(*known, strict=False)]
            if windowed:
                _mark(out, _windowed(merged, name, args, kwargs))
            elif name in _MIXING or out.ndim != len(merged) + 2:
                _mark(out, None)
            else:
                _mark(out, merged)
        return output


_TURNING = {"flatten", "reshape", "view", "permute", "transpose", "unsqueeze", "squeeze"}
_MIXING = _TURNING | {"interpolate", "matmul", "__matmul__", "bmm", "einsum", "mean", "sum"}
_MIXING |= {"adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d"}
_MIXING |= {"scaled_dot_product_attention", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}


def _windowed(seen: list[Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    def argument(place: int, key: str, default: Any) -> Any:
        value = args[place] if len(args) > place else kwargs.get(key, default)
        value = default if value is None or value in ((), []) else value
        return value if isinstance(value, tuple | list) else (value,) * len(seen)

    if name.startswith("conv"):
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        kernel, stride, dilation = weight.shape[2:], argument(3, "stride", 1), argument(5, "dilation", 1)
    else:
        kernel = argument(1, "kernel_size", 1)
        stride, dilation = argument(2, "stride", tuple(kernel)), (1,) * len(seen)
        dilation = argument(4, "dilation", 1) if name.startswith("max") else dilation
    stride, dilation = (v * len(seen) if len(v) == 1 else v for v in (tuple(stride), tuple(dilation)))
    return [
        (places + (k - 1) * d * step, step * s)
        for (places, step), k, s, d in zip(seen, kernel, stride, dilation, strict=True)
    ]


def _field_of(x: Tensor) -> tuple[int, ...] | None:
    known = getattr(x, "_field", None)
    return tuple(places for places, _ in known) if known and known != [(1, 1)] * len(known) else None


def receptive_field(model: Callable[[Tensor], Tensor], inputs: Tensor, *, draws: int = 16) -> tuple[int, ...]:
    """Measured: how far the places of the input lie apart that move the middle place of the output, axis by axis.

    The support of the gradient, joined over `draws` noise pictures of the shape of `inputs` (1, channels, places...),
    because a ReLU or the largest of a window hides places in any one of them. An output without places, such as
    (batch, classes), is taken whole. A lower bound of the closed form in `summarise`.
    """
    x = torch.randn((draws, *inputs.shape[1:]), generator=torch.Generator().manual_seed(0))
    x = x.to(inputs.device, inputs.dtype).requires_grad_()
    modes = {m: m.training for m in model.modules()} if isinstance(model, nn.Module) else {}
    for module in modes:
        module.training = False
    try:
        output = model(x)
    finally:
        for module, training in modes.items():
            module.training = training
    middle = output
    for axis in range(2, output.ndim):
        middle = middle.select(2, output.shape[axis] // 2)
    (gradient,) = torch.autograd.grad(middle.sum(), x)
    if not math.isfinite(gradient.abs().sum().item()):
        raise ShapeError("The gradient that measures the receptive field is not finite: the network overflows.")
    moved = (gradient != 0).any(0).any(0)  # by place
    extents = []
    for axis in range(moved.ndim):
        hit = moved.movedim(axis, 0).reshape(moved.shape[axis], -1).any(1).nonzero()
        extents.append(int(hit.max() - hit.min()) + 1 if len(hit) else 0)
    return tuple(extents)
