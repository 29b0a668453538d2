"""The signature is the configuration: keyword arguments with defaults and types are what `--set` sets.

    def __init__(self, *, hidden=(256, 256), drop: float = 0.0): ...        lamina fit … --set hidden=[128,64]

What an argument takes follows from its annotation, or else from the type of its default. Text is read as a literal,
never evaluated.
"""

import ast
import collections.abc
import contextlib
import inspect
import json
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from lamina.core.errors import SettingError, did_you_mean

__all__ = ["Argument", "Room", "arguments", "check", "parse", "split"]

Room = Callable[..., Any] | Sequence[Callable[..., Any]]
_TRUE, _FALSE, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    Path: "a path",
}
_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


class _Wrong(Exception):
    """The value is not of the type; the caller says so with all it knows."""


@dataclass(frozen=True)
class Argument:
    """One keyword of a callable. annotation: `inspect.Parameter.empty` where there is none."""

    name: str
    default: Any = inspect.Parameter.empty
    annotation: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def type(self) -> Any:
        """What it takes: the annotation, else the type of the default, else anything."""
        if self.annotation is not inspect.Parameter.empty:
            optional = self.default is None and self.annotation is not None and not isinstance(self.annotation, str)
            return self.annotation | None if optional else self.annotation
        return Any if self.required or self.default is None else _type_of(self.default)

    @property
    def words(self) -> str:
        """The same for people: 'a whole number', 'a list of numbers or none'."""
        return _words(self.type)


def arguments(*callables: Callable[..., Any]) -> dict[str, Argument]:
    """The keywords that a callable takes (or several together), in order; not `*args` and `**options`."""
    out: dict[str, Argument] = {}
    for callable_ in callables:
        hints = _hints(callable_)
        for name, parameter in inspect.signature(callable_).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                annotation = hints.get(name, parameter.annotation)
                out.setdefault(name, Argument(name, parameter.default, annotation))
    return out


def parse(text: str, argument: Argument) -> Any:
    """The value that `--set NAME=text` gives an argument. Raises: SettingError with what came and what it takes."""
    try:
        return _read(text.strip(), argument.type)
    except _Wrong:
        raise SettingError(_refusal(argument, text)) from None


def check(callable_: Room, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values as the callable takes them: known names, right types, lists as tuples where it has tuples.

    Raises: SettingError for a name it does not have (with the nearest one), or a value of another type.
    """
    known = arguments(*_several(callable_))
    out = {}
    for name, value in given.items():
        if name in known:
            out[name] = _checked(value, known[name])
        elif any(_open(one) for one in _several(callable_)):
            out[name] = value
        else:
            who = getattr(_several(callable_)[0], "__name__", "it")
            takes = ", ".join(known) or "nothing"
            raise SettingError(f"{who} has no setting {name!r}.{did_you_mean(name, known)} It takes: {takes}.")
    return out


def split(pairs: Sequence[str], rooms: Mapping[str, Room]) -> dict[str, dict[str, Any]]:
    """`--set` pairs to settings by room: 'model.hidden=[128,64]', or 'hidden=[128,64]' where one room alone has it.

    Raises: SettingError for a pair without '=', an unknown room or key, a key of several rooms, a key given twice, or
    a value of the wrong type.
    """
    known = {room: arguments(*_several(callable_)) for room, callable_ in rooms.items()}
    every = [f"{room}.{key}" for room, keys in known.items() for key in keys]
    out: dict[str, dict[str, Any]] = {room: {} for room in rooms}
    came: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SettingError(
                f"--set takes KEY=VALUE, but {pair!r} came. For example: --set {(every or ['model.width'])[0]}=…"
            )
        room, name = _address(key, known, every, rooms)
        address = f"{room}.{name}"
        if address in came:
            raise SettingError(f"--set gives {address} twice: {came[address]!r} and {pair!r}. Keep one of them.")
        came[address] = pair
        argument = known[room].get(name, Argument(name))
        out[room][name] = parse(text, Argument(address, argument.default, argument.annotation))
    return out


def _address(
    key: str, known: Mapping[str, Mapping[str, Argument]], every: list[str], rooms: Mapping[str, Room]
) -> tuple[str, str]:
    room, dot, name = key.partition(".")
    if dot:
        if room not in known:
            raise SettingError(
                f"--set {key}: there is no room {room!r}.{did_you_mean(room, known)} Rooms here: {', '.join(known)}."
            )
        if name not in known[room] and not any(_open(one) for one in _several(rooms[room])):
            takes = ", ".join(known[room]) or "nothing"
            raise SettingError(
                f"--set {key}: {room} has no setting {name!r}.{did_you_mean(name, known[room])} It takes: {takes}."
            )
        return room, name
    homes = [room for room, keys in known.items() if key in keys]
    if len(homes) == 1:
        return homes[0], key
    if homes:
        ways = " or ".join(f"{room}.{key}" for room in homes)
        raise SettingError(f"--set {key}: {len(homes)} rooms have it. Say which: {ways}.")
    bare = {address.partition(".")[2]: address for address in every}
    near = did_you_mean(key, bare)
    if near:
        near = f" Did you mean {bare[near.split(chr(39))[1]]!r}?"
    takes = "; ".join(f"{room}: {', '.join(keys)}" for room, keys in known.items() if keys)
    raise SettingError(f"--set {key}: nothing here has a setting {key!r}.{near} There are {takes or 'none'}.")


# ---------------------------------------------------------------------------------------------------- from text


def _read(text: str, kind: Any) -> Any:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object, inspect.Parameter.empty) or isinstance(kind, str | typing.TypeVar):
        return _guess(text)
    if origin in (Union, types.UnionType):
        for one in sorted(inside, key=_rank):
            with contextlib.suppress(_Wrong):
                return _read(text, one)
        raise _Wrong
    if origin is Literal:
        for one in inside:
            if text.lower() == str(one).lower():
                return one
        raise _Wrong
    if origin is typing.Annotated:
        return _read(text, inside[0])
    if kind in (None, type(None)):
        if text.lower() in _NONE:
            return None
        raise _Wrong
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise _Wrong
    if kind is int:
        try:
            number = int(text) if text.lstrip("+-").replace("_", "").isdigit() else float(text)
        except ValueError:
            raise _Wrong from None
        if not math.isfinite(number) or int(number) != number:
            raise _Wrong
        return int(number)  # 1e6 is a whole number too
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise _Wrong from None
    if kind is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    if (origin or kind) in _LISTS or (origin or kind) in _DICTS:
        return _fit(_listed(text, kind), kind)
    if isinstance(kind, type) and issubclass(kind, Path):
        return kind(text)
    if (
        origin is collections.abc.Callable
        or kind in (collections.abc.Callable, typing.Callable)
        or isinstance(kind, type)
    ):
        raise _Wrong  # a function or an object cannot be spelled in text
    return _guess(text)


def _guess(text: str) -> Any:
    """A literal where it is one, else the text itself."""
    plain = {"true": True, "false": False, **dict.fromkeys(_NONE)}
    return plain[text.lower()] if text.lower() in plain else _literal(text, text)


def _literal(text: str, otherwise: Any) -> Any:
    for reader in (json.loads, ast.literal_eval):
        try:
            return reader(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return otherwise


def _listed(text: str, kind: Any) -> Any:
    """'[128,64]', '(128, 64)', '128,64', '128', 'a,b', '[a,b]'; '{"a": 1}' for a mapping."""
    value = _literal(text, None)
    if (typing.get_origin(kind) or kind) in _DICTS:
        return value
    if value is None and text.lower() not in _NONE:
        bare = text.strip("[]()")
        value = [_guess(part.strip()) for part in bare.split(",") if part.strip()]
    return value if isinstance(value, list | tuple | set) else [value]


def _rank(kind: Any) -> int:
    order = (type(None), bool, int, float)
    return order.index(kind) if kind in order else 9 if kind is str else 8 if kind in (Any, object) else 5


# -------------------------------------------------------------------------------------------------- from Python


def _checked(value: Any, argument: Argument) -> Any:
    unsaid = argument.annotation is inspect.Parameter.empty
    if unsaid and not isinstance(value, (*_PLAIN, numbers.Number)):
        return value  # a class or function in place of a name: the callable's own matter
    try:
        return _fit(value, argument.type)
    except _Wrong:
        raise SettingError(_refusal(argument, value)) from None


def _fit(value: Any, kind: Any) -> Any:
    """The value as a `kind`, without ever changing what it says. Raises: _Wrong."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object, inspect.Parameter.empty) or isinstance(kind, str | typing.TypeVar):
        return value
    if origin in (Union, types.UnionType):
        for one in sorted(inside, key=_rank):
            with contextlib.suppress(_Wrong):
                return _fit(value, one)
        raise _Wrong
    if origin is Literal:
        return _known(value in inside, value)
    if origin is typing.Annotated:
        return _fit(value, inside[0])
    if kind in (None, type(None)):
        return _known(value is None, value)
    if kind is bool:
        return bool(_known(isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"), value))
    if kind is int:
        return int(_known(isinstance(value, numbers.Integral) and not isinstance(value, bool), value))
    if kind is float:
        return float(_known(isinstance(value, numbers.Real) and not isinstance(value, bool), value))
    if (origin or kind) in _LISTS:
        return _fit_list(value, origin or kind, inside)
    if (origin or kind) in _DICTS:
        _known(isinstance(value, Mapping), value)
        key, item = inside if len(inside) == 2 else (Any, Any)
        return {_fit(k, key): _fit(v, item) for k, v in value.items()}
    if isinstance(kind, type) and issubclass(kind, Path):
        return kind(_known(isinstance(value, str | Path), value))
    if isinstance(origin or kind, type):
        with contextlib.suppress(TypeError):
            return _known(isinstance(value, origin or kind), value)
    return value


def _fit_list(value: Any, outer: Any, inside: tuple[Any, ...]) -> Any:
    _known(isinstance(value, collections.abc.Iterable) and not isinstance(value, str | bytes | Mapping), value)
    items = list(value)
    if outer is tuple and inside and inside[-1] is not Ellipsis:
        _known(len(items) == len(inside), value)
        items = [_fit(item, kind) for item, kind in zip(items, inside, strict=True)]
    elif inside:
        items = [_fit(item, inside[0]) for item in items]
    return outer(items) if outer in (tuple, set, frozenset) else items


def _known(right: bool, value: Any) -> Any:
    if not right:
        raise _Wrong
    return value


# -------------------------------------------------------------------------------------------------------- words


def _refusal(argument: Argument, value: Any) -> str:
    usual = "" if argument.required else f" (usually {argument.default!r})"
    came = f"{value!r} ({type(value).__name__})" if not isinstance(value, str) else repr(value)
    return f"{argument.name} takes {argument.words}{usual}, but {came} came."


def _words(kind: Any) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind in _WORDS:
        return _WORDS[kind]
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inside))
    if origin is Literal:
        return "one of " + ", ".join(str(one) for one in inside)
    if (origin or kind) in _LISTS:
        each = _words(inside[0]).removeprefix("a ") + "s" if inside and inside[0] in (int, float) else ""
        if origin is tuple and inside and inside[-1] is not Ellipsis:
            return f"a list of {len(inside)} values ({', '.join(_words(one) for one in inside)})"
        return "a list" + (f" of {each}" if each else " of text" if inside and inside[0] is str else "")
    if (origin or kind) in _DICTS:
        return 'a mapping like {"key": value}'
    return "any value" if kind in (Any, object) else f"a {getattr(kind, '__name__', kind)}"


def _type_of(default: Any) -> Any:
    """int of 3, tuple[int, ...] of (64, 64), str of 'relu'; Any of what cannot be spelled."""
    if isinstance(default, bool | int | float | str):
        return type(default)
    if isinstance(default, list | tuple):
        inside = {_type_of(item) for item in default}
        if inside == {int, float}:
            inside = {float}
        (each,) = inside if len(inside) == 1 else (Any,)
        return tuple[each, ...] if isinstance(default, tuple) else list[each]  # type: ignore[valid-type]
    if isinstance(default, Path):
        return Path
    return dict if isinstance(default, Mapping) else Any


def _hints(callable_: Callable[..., Any]) -> dict[str, Any]:
    function = callable_.__init__ if inspect.isclass(callable_) else callable_  # type: ignore[misc]
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation that names what is not imported: the default's type has to do
        return dict.fromkeys(getattr(function, "__annotations__", {}), inspect.Parameter.empty)


def _several(room: Room) -> tuple[Callable[..., Any], ...]:
    return (room,) if callable(room) else tuple(room)


def _open(callable_: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(callable_).parameters.values())
