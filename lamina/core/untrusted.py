"""Files that a stranger may have made: what is bounded and checked before a parser builds anything of it.

Run folders, checkpoints and weights pass through here, and so do JSON rows of data. The bounds:

    DOCUMENT    64 MiB   a JSON file of a run                    DEPTH    64   brackets within brackets of any JSON
    HEADER       8 MiB   the list of tensors of a weights file   PATH    255   names of a folder and 4,095 bytes a path
"""

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lamina.core.errors import RunError

__all__ = ["DEPTH", "DOCUMENT", "HEADER", "contents", "document", "fits", "parsed", "plain", "tensors", "unlinked"]

DOCUMENT = 64 << 20
DEPTH = 64
HEADER = 8 << 20
_AXES = 16
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
         "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64}  # fmt: skip
_OTHERS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
           stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip
_LONG = re.compile(r"\d{301}")
_LONE = re.compile(r"\\u[dD][89a-fA-F]")
_TENSOR: dict[str, Any] = {"dtype": str, "shape": [int], "data_offsets": [int]}
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    None: "null",
}


# ------------------------------------------------------------------------------------------------------------- files


def contents(path: Path, most: int = DOCUMENT) -> bytes:
    """The bytes of a plain file. Raises: RunError for a link, a pipe, a device, or more than `most` bytes."""
    try:
        info = os.lstat(path)
        _plain(path, info)
        if info.st_size > most:
            raise RunError(
                f"{path} has {info.st_size:,} bytes, and at most {most:,} are read: it is not what a run holds."
            )
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from None


def unlinked(folder: Path) -> None:
    """Refuse a run folder that holds anything but plain files and folders, so that nothing outside is read or written.

    A file with a second name elsewhere (a hard link) is refused too: what is appended to it would change the other.
    """
    for entry in _below(folder):
        with contextlib.suppress(FileNotFoundError):  # another process may be writing in it
            _plain(Path(entry.path), entry.stat(follow_symlinks=False))


def _below(folder: Path | str, levels: int = 3) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif levels > 1:
                yield from _below(entry.path, levels - 1)


def _plain(path: Path, info: os.stat_result) -> None:
    what = _OTHERS.get(stat.S_IFMT(info.st_mode))
    if what is None and info.st_nlink > 1:
        what = "a hard link: the same file stands under another name too"
    if what:
        raise RunError(f"{path} is {what}. A run holds plain files alone, and nothing outside it is read or written: "
                       "put a copy of the file there.")  # fmt: skip


def plain(path: Path | str) -> bool:
    """Whether a path is a file, by way of links too: no pipe or device, which could be read for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # too long a name, a NUL in it
        return False


# -------------------------------------------------------------------------------------------------------------- JSON


def parsed(text: str, *, strict: bool = False) -> Any:
    """A JSON value. Half of a character pair becomes U+FFFD; strict keeps it, and refuses NaN and infinities.

    Raises: ValueError, with the reason: no JSON, too deep, a key given twice, a number of thousands of digits.
    """
    try:
        value = (_STRICT if strict else _PLAIN).decode(text)
    except RecursionError:
        raise ValueError(f"brackets stand more than {DEPTH} deep") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError("a number has thousands of digits" if "integer string" in str(error) else str(error)) from None
    if _LONG.search(text):
        _SHORT.decode(text)
    if text.count("[") + text.count("{") > DEPTH and _deep(value):
        raise ValueError(f"brackets stand more than {DEPTH} deep")
    return _mended(value) if not strict and _LONE.search(text) else value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in made if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return made


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _short(digits: str) -> int:
    if len(digits) > 300:  # more than a float can be
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


_SHORT = json.JSONDecoder(parse_int=_short)
_PLAIN = json.JSONDecoder(object_pairs_hook=_once)
_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse)


def _deep(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if depth > DEPTH:
            return True
    return False


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_mended(k): _mended(v) for k, v in value.items()}
    return [_mended(v) for v in value] if isinstance(value, list) else value


def document(path: Path, shape: Any = None, most: int = DOCUMENT, data: bytes | None = None) -> Any:
    """The JSON of a run's file, of the given shape (see `fits`). data: its bytes, where they were read already.

    Raises: RunError.
    """
    data = contents(path, most) if data is None else data
    try:
        value = parsed(data.decode("utf-8"), strict=True)
        wrong = fits(value, shape) if shape is not None else None
    except ValueError as error:
        wrong = f"it is no JSON of a run ({error})"
    if wrong:
        raise RunError(f"{path} is missing or damaged: {wrong}. Restore it from a copy, or fit anew.")
    return value


def fits(value: Any, shape: Any, place: str = "") -> str | None:
    """None where a value has a shape, else what is wrong with it, and where.

    shape: a type; None; a tuple of shapes, any of them; [shape], a list of such; {"key": shape}, an object with at
    least these keys (`"key?"` may be lacking); {str: shape}, an object of whatever keys. Whole numbers have 64 bits.
    """
    where = place or "it"
    if isinstance(shape, tuple):
        found = [fits(value, one, place) for one in shape]
        return None if None in found else next((f for f in found if f and " where " not in f), found[0])
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _unlike(where, value, list)
        return next((w for i, v in enumerate(value) if (w := fits(v, shape[0], f"{place}[{i}]"))), None)
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return _unlike(where, value, dict)
        if str in shape:
            return next(
                (w for k, v in value.items() if (w := fits(v, shape[str], f"{place}.{k[:40]}".lstrip(".")))), None
            )
        for key, one in shape.items():
            name = key.removesuffix("?")
            if name in value:
                if wrong := fits(value[name], one, f"{place}.{name}".lstrip(".")):
                    return wrong
            elif name == key:
                return f"{where} has no {name!r}"
        return None
    if shape is None:
        return None if value is None else _unlike(where, value, None)
    right = isinstance(value, (int, float) if shape is float else shape)
    right = right and (shape is bool or not isinstance(value, bool))
    if right and shape is int:
        right = abs(value) < 1 << 63
    if right and shape is float:
        right = abs(value) <= 1.8e308 and math.isfinite(value)
    return None if right else _unlike(where, value, shape)


def _unlike(where: str, value: Any, shape: Any) -> str:
    came = repr(value)[:60] if isinstance(value, str | float | bool | None) else f"a {type(value).__name__}"
    return f"{where} is {came} where {_KINDS.get(shape, shape)} was expected"


# ----------------------------------------------------------------------------------------------------------- tensors


def tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (dtype, shape) of a safetensors file, from its header alone, which has to describe every byte once.

    Raises: RunError.
    """
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise RunError(f"{path} is no file that holds weights.")
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if info.st_size < 8 or length > min(HEADER, info.st_size - 8):
                raise _no_weights(path, f"its header claims {length:,} bytes; the file has {info.st_size:,}, and a "
                                        f"header at most {HEADER:,}")  # fmt: skip
            text = file.read(length)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        held = parsed(text.decode("utf-8"), strict=True)
    except ValueError as error:
        raise _no_weights(path, f"its header is no JSON: {error}") from None
    if not isinstance(held, dict):
        raise _no_weights(path, "its header lists no tensors")
    held.pop("__metadata__", None)
    found, spans = {}, []
    for name, one in held.items():
        wrong = fits(one, _TENSOR, name[:80])
        if wrong or len(one["data_offsets"]) != 2 or len(one["shape"]) > _AXES or one["dtype"] not in _BITS:
            raise _no_weights(path, wrong or f"{name[:80]!r} is of a kind that is not read")
        size = math.prod(one["shape"]) * _BITS[one["dtype"]] // 8
        begin, end = one["data_offsets"]
        if min(one["shape"], default=0) < 0 or begin < 0 or end - begin != size:
            raise _no_weights(path, f"{name[:80]!r} of shape {one['shape']} claims bytes {begin} to {end}")
        found[name] = (one["dtype"], tuple(one["shape"]))
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise _no_weights(path, "its tensors overlap, or leave bytes between them")
        at = end
    if at != info.st_size - 8 - length:
        raise _no_weights(
            path, f"its tensors take {at:,} bytes and the file has {info.st_size - 8 - length:,} for them"
        )
    return found


def _no_weights(path: Path, why: str) -> RunError:
    return RunError(f"{path} is no safetensors file that can be trusted: {why}. Restore it from a copy.")
