"""Checks the shapes of annotations on every call while tests run: `Float[Tensor, "batch time width"]` cannot lie.

jaxtyping binds the axis names of a call; this decorator, which it is given by pyproject.toml, compares tensors alone.
Other annotations are mypy's matter.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
import torch


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, refusing tensors of other shapes or kinds than its signature says."""
    signature = inspect.signature(function)
    stated = {n: s for n, p in signature.parameters.items() if (s := _shapes(p.annotation))}
    returned = _shapes(signature.return_annotation)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name, shapes in stated.items():
            _compare(name, given.get(name), shapes)
        value = function(*args, **kwargs)
        _compare("what it returns", value, returned)
        return value

    return checked if stated or returned else function


def _shapes(annotation: Any) -> tuple[Any, ...]:
    """The jaxtyping annotations of `X`, `X | None`; none of anything else."""
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return (annotation,)
    members = [a for a in typing.get_args(annotation) if isinstance(a, type)]
    arrays = tuple(a for a in members if issubclass(a, jaxtyping.AbstractArray))
    rest = [a for a in typing.get_args(annotation) if a not in arrays]
    return arrays if arrays and all(a is type(None) for a in rest) else ()


def _compare(name: str, value: Any, shapes: tuple[Any, ...]) -> None:
    if shapes and isinstance(value, torch.Tensor) and not any(isinstance(value, shape) for shape in shapes):
        raise TypeError(f"{name} is {value.dtype} {tuple(value.shape)}, not {' or '.join(s.__name__ for s in shapes)}")
