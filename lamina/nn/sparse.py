"""A sparse matrix times a dense one, where the places of the entries stay the same over many steps.

y = S x with S given by rows (CSR). The gradient for x is Sᵀ g, a product by the rows of Sᵀ, so the places are sorted
by column once and kept; the gradient for an entry is the dot product <g[row], x[column]> at its place alone. Nothing
of size (entries, width) is ever made, which is what plain gather-and-add does.
"""

import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Pattern", "product", "remember"]

T = TypeVar("T")


class Pattern:
    """The places of a sparse matrix, sorted by row.

    Args:
        starts: (rows + 1,) where each row begins in `columns`, and the number of entries at the end.
        columns: (entries,) the column of each entry, row after row.
        width: columns of the matrix.
    """

    def __init__(self, starts: Int[Tensor, " rows1"], columns: Int[Tensor, " entries"], width: int):
        self.starts, self.columns, self.shape = starts, columns, (len(starts) - 1, width)
        self._rows: Tensor | None = None
        self._transposed: tuple[Pattern, Tensor] | None = None

    # no functools.cached_property: its lock before Python 3.12 is nothing torch.compile can trace
    @property
    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        if self._rows is None:
            count = torch.arange(self.shape[0], device=self.starts.device)
            self._rows = torch.repeat_interleave(count, self.starts.diff())
        return self._rows

    @property
    def transposed(self) -> tuple["Pattern", Int[Tensor, " entries"]]:
        """The places of the transpose, and where each of its entries stands here."""
        if self._transposed is None:
            self._transposed = self._transpose()
        return self._transposed

    def _transpose(self) -> tuple["Pattern", Tensor]:
        order = torch.argsort(self.columns, stable=True)
        starts = torch.zeros(self.shape[1] + 1, dtype=self.starts.dtype, device=self.starts.device)
        starts[1:] = torch.bincount(self.columns, minlength=self.shape[1]).cumsum(0)
        return Pattern(starts, self.rows[order], self.shape[0]), order


def product(pattern: Pattern, values: Float[Tensor, " entries"], x: Float[Tensor, "columns width"]) -> Tensor:
    """(rows, width): the matrix with these values at these places, times x."""
    if not _native(x):
        out = x.new_zeros(pattern.shape[0], x.shape[1])
        return out.index_add(0, pattern.rows, values[:, None] * x[pattern.columns])
    return _Product.apply(pattern, values, x)


def remember(kept: dict[Any, Any], keys: tuple[Tensor, ...], more: Any, make: Callable[[], T]) -> T:
    """`make()`, made once for these very tensors (by identity, while they live and are not written to)."""
    name = (*map(id, keys), more)
    versions = tuple(-1 if k.is_inference() else k._version for k in keys)
    refs, old, value = kept.get(name, ((), None, None))
    if refs and old == versions and all(r() is k for r, k in zip(refs, keys, strict=True)):
        return value
    value = make()
    refs = tuple(weakref.ref(k, lambda _: kept.pop(name, None)) for k in keys)
    kept[name] = (refs, versions, value)
    return value


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pattern: Pattern, values: Tensor, x: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(values, x if values.requires_grad else None)
        return _csr(pattern, values) @ x

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        values, x = ctx.saved_tensors
        g, gv, gx = g.contiguous(), None, None
        if ctx.needs_input_grad[1]:
            gv = _dots(ctx.pattern, g, x)
        if ctx.needs_input_grad[2]:
            other, order = ctx.pattern.transposed
            gx = _csr(other, values[order]) @ g
        return None, gv, gx


def _dots(pattern: Pattern, g: Tensor, x: Tensor, piece: int = 32_768) -> Tensor:
    """<g[row], x[column]> at each place, in pieces that stay in the processor's cache."""
    out = g.new_empty(len(pattern.columns))
    for start in range(0, len(out), piece):
        at = slice(start, start + piece)
        torch.sum(g[pattern.rows[at]] * x[pattern.columns[at]], dim=1, out=out[at])
    return out


def _csr(pattern: Pattern, values: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse")  # "... in beta state"
        return torch.sparse_csr_tensor(pattern.starts, pattern.columns, values, pattern.shape, check_invariants=False)


def _native(x: Tensor) -> bool:
    """Whether torch has a fast CSR product here: MKL or CUDA, eager, not 16-bit."""
    if torch.compiler.is_compiling() or x.dtype not in (torch.float32, torch.float64):
        return False
    return x.is_cuda or (x.device.type == "cpu" and torch.backends.mkl.is_available())
