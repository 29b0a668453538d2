"""Checks the shapes of annotations on every call while tests run: `Float[Tensor, "batch time width"]` cannot lie.

jaxtyping binds the axis names of a call; this decorator, which it is given by pyproject.toml, compares tensors alone.
Other annotations are mypy's matter.
"""

import contextlib
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def unchecked(*packages: str) -> Iterator[None]:
    """What is imported of these packages within comes without the hook, as users have it, also where it was imported.

    `torch.compile` needs that: it traces what a network does, and cannot trace the comparing.
    """
    finders = [f for f in sys.meta_path if type(f).__module__.startswith("jaxtyping")]
    for finder in finders:
        sys.meta_path.remove(finder)
    checked = _imported(packages)
    try:
        yield
    finally:
        _imported(packages)
        for name, module in checked.items():
            sys.modules[name] = module
            parent, _, own = name.rpartition(".")
            setattr(sys.modules[parent], own, module)
        sys.meta_path[:0] = finders


def _imported(packages: tuple[str, ...]) -> dict[str, types.ModuleType]:
    """The modules of these packages, taken out of what is imported."""
    inside = [name for name in sys.modules if any(f"{name}.".startswith(f"{package}.") for package in packages)]
    return {name: sys.modules.pop(name) for name in inside}


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
