"""Hostile sources: what a stranger may hand to `fit`, `predict` and `evaluate` as data, and how each is made.

Every maker gets an empty folder to lay its file in, and OUTSIDE, a folder that nobody may read or write. What runs code
would touch the file CANARY.
"""

import gzip
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["ARCHIVES", "CORPORA", "FOLDERS", "PICTURES", "TABLES", "Hostile", "Pickled", "sealed_off", "table"]

GOOD = "a,b,y\n" + "".join(f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in range(40))


@dataclass(frozen=True)
class Hostile:
    """build(folder, outside) lays a source called `name`; says: what the one line holds beside the name of the file.

    words: more of the command line. names: what the line names, where that is not the source's own name.
    """

    name: str
    build: Callable[[Path, Path], object]
    says: str
    words: tuple[str, ...] = ()
    names: str = ""


class Pickled:
    """Runs a command of the shell when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


@contextmanager
def sealed_off(outside: Path) -> Iterator[None]:
    """Within it, no file below `outside` is opened, and none there changes; nothing touches the canary in it."""
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(outside.rglob("*")) if p.is_file()}
    _opened.clear()
    yield
    seen = [path for path in _opened if os.path.realpath(path).startswith(f"{os.path.realpath(outside)}/")]
    assert not seen, f"opened {seen}"
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(outside.rglob("*")) if p.is_file()}
    assert before == after, "changed what lies outside"


_opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: every file that Python opens, by its path."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(arguments[0]))


# --------------------------------------------------------------------------------------------------------- builders


def table(folder: Path, name: str = "x.csv", text: str = GOOD) -> Path:
    """A sound table, or any text."""
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return folder / name


def _holds(name: str, data: bytes | str | Callable[[Path], bytes]) -> Callable[[Path, Path], object]:
    def build(folder: Path, outside: Path) -> None:
        made = data(outside / "canary") if callable(data) else data
        (folder / name).write_bytes(made.encode() if isinstance(made, str) else made)

    return build


def _saved(write: Callable[[Any, Any], object]) -> Callable[[Path], bytes]:
    def made(canary: Path) -> bytes:
        buffer = io.BytesIO()
        write(buffer, Pickled(canary))
        return buffer.getvalue()

    return made


def _array(value: Any) -> np.ndarray:
    made = np.empty(2, object)
    made[:] = value
    return made


def _torch(buffer: Any, value: Any) -> None:
    import torch

    torch.save({"weight": value}, buffer)


def _zip(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("../../outside/canary")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"hi"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    return buffer.getvalue()


def _sparse(name: str, size: int, start: bytes = b"") -> Callable[[Path, Path], object]:
    def build(folder: Path, outside: Path) -> None:
        with open(folder / name, "wb") as file:
            file.write(start)
            file.truncate(size)

    return build


def _linked(name: str, target: str) -> Callable[[Path, Path], object]:
    return lambda folder, outside: (folder / name).symlink_to(target.format(outside=outside))


def _socket(folder: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)  # the address of a socket has a hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("x.csv")
    finally:
        os.chdir(here)


def _parquet(folder: Path, outside: Path) -> None:
    import polars

    polars.DataFrame({"a": [1] * 4000, "y": ["u"] * 4000}).write_parquet(folder / "x.parquet")


ARCHIVES = {
    "a pickle": Hostile("x.pkl", _holds("x.pkl", _saved(lambda f, v: pickle.dump(v, f))), "nothing that can be read"),
    "torch.save": Hostile("x.pt", _holds("x.pt", _saved(_torch)), "nothing that can be read"),
    "object arrays in .npz": Hostile(
        "x.npz", _holds("x.npz", _saved(lambda f, v: np.savez(f, a=_array(v)))), "nothing that can be read"
    ),
    "an object array in .npy": Hostile(
        "x.npy", _holds("x.npy", _saved(lambda f, v: np.save(f, _array(v), allow_pickle=True))), "nothing that can be"
    ),
    "joblib": Hostile("x.joblib", _holds("x.joblib", _saved(lambda f, v: pickle.dump([v], f))), "nothing that can be"),
    "a zip that climbs": Hostile("x.zip", _holds("x.zip", _zip({"../../outside/canary": b"hi"})), "nothing that can"),
    "a tar that climbs and links": Hostile("x.tar", _holds("x.tar", _tar()), "nothing that can be read"),
    "a gzip bomb": Hostile("x.csv.gz", _holds("x.csv.gz", gzip.compress(bytes(64 << 20))), "nothing that can be read"),
    "a zip bomb": Hostile("b.zip", _holds("b.zip", _zip({"x.csv": bytes(64 << 20)})), "nothing that can be read"),
    "YAML that builds objects": Hostile(
        "x.yaml",
        _holds("x.yaml", lambda canary: b"!!python/object/apply:os.system ['touch %s']\n" % bytes(canary)),
        "nothing that can be read",
    ),
    "a module": Hostile("x.py", _holds("x.py", lambda c: b"open(%r, 'w')\n" % str(c).encode()), "nothing that can be"),
    "a pickle called .csv": Hostile("x.csv", _holds("x.csv", _saved(lambda f, v: pickle.dump(v, f))), "a pickle"),
    "gzip called .csv": Hostile("x.csv", _holds("x.csv", gzip.compress(bytes(1 << 20))), "compressed by gzip"),
    "a zip called .jsonl": Hostile("x.jsonl", _holds("x.jsonl", _zip({"a": bytes(999)})), "a ZIP archive"),
    "garbage called .parquet": Hostile("x.parquet", _holds("x.parquet", b"PAR1" + bytes(99) + b"PAR1"), "as Parquet"),
    "a Parquet file that holds more than asked for": Hostile(
        "x.parquet", _parquet, "claims 4,000 rows of 2 columns", ("--set", "data.max_values=5000")
    ),
    "a pipe": Hostile("x.csv", lambda f, o: os.mkfifo(f / "x.csv"), "nothing that can be read"),
    "a pipe called .jsonl": Hostile("x.jsonl", lambda f, o: os.mkfifo(f / "x.jsonl"), "nothing that can be read"),
    "a socket": Hostile("x.csv", _socket, "nothing that can be read"),
    "a device": Hostile("x.csv", _linked("x.csv", "/dev/zero"), "nothing that can be read"),
    "a link to itself": Hostile("x.csv", _linked("x.csv", "x.csv"), "x.csv"),
}

# ------------------------------------------------------------------------------------------------------------ tables

_DEEP = "[" * 10_000 + "]" * 10_000
_ROWS = '{"a": 1, "y": "u"}\n{"a": 2, "y": "v"}\n' * 9

TABLES = {
    "a gigabyte of nothing": Hostile("x.csv", _sparse("x.csv", 1 << 30), "NUL byte at byte 0"),
    "a gigabyte after a header": Hostile("x.csv", _sparse("x.csv", 1 << 30, b"a,y\n1,u\n"), "NUL byte at byte 8"),
    "5 GB": Hostile("x.csv", _sparse("x.csv", 5 << 30, b"a,y\n"), "at most 4,294,967,296 are read"),
    "5 GB of JSON lines": Hostile("x.jsonl", _sparse("x.jsonl", 5 << 30), "--set data.max_bytes=5368709120"),
    "a million columns": Hostile(
        "x.csv",
        _holds("x.csv", ",".join(f"c{i}" for i in range(10**6)) + "\n1\n"),
        "1,000,000 columns in its first row",
    ),
    "a million quoted columns": Hostile(
        "x.csv", _holds("x.csv", ",".join(['"c,"'] * 10**6) + "\n1\n"), "1,000,000 columns in its first row"
    ),
    "a line without an end": Hostile("x.csv", _holds("x.csv", b"a,y\n" + b"1" * (34 << 20)), "a line (row 2) of more"),
    "a cell without an end": Hostile(
        "x.csv", _holds("x.csv", b'a,y\n1,u\n"' + b"1\n" * (3 << 20)), "a cell holds at most 4,194,304 characters"
    ),
    "NUL in a cell": Hostile("x.csv", _holds("x.csv", GOOD + "1\0,2,a\n"), "NUL byte"),
    "half a UTF-16 file": Hostile("x.csv", _holds("x.csv", b"\xff\xfea\0,\0y"), "is not utf-16"),
    "two marks and nothing": Hostile("x.csv", _holds("x.csv", b"\xef\xbb\xbf\xef\xbb\xbf"), "x.csv"),
    "a mark and nothing": Hostile("x.csv", _holds("x.csv", b"\xef\xbb\xbf"), "only white space"),
    "brackets 10,000 deep in lines": Hostile("x.jsonl", _holds("x.jsonl", _ROWS + _DEEP * 4 + "\n"), "x.jsonl"),
    "a cell 10,000 deep": Hostile("x.jsonl", _holds("x.jsonl", f'{{"a": {_DEEP}, "y": 1}}\n' * 8), "more than 64 deep"),
    "a cell 900 deep": Hostile(
        "x.jsonl", _holds("x.jsonl", ('{"y": "u", "a": ' + "[" * 900 + "]" * 900 + "}\n") * 8), "more than 64 deep"
    ),
    "JSON 10,000 deep": Hostile("x.json", _holds("x.json", f"[{_DEEP}]"), "more than 64 deep"),
    "a number of 5,000 digits": Hostile(
        "x.jsonl", _holds("x.jsonl", ('{"y": "u", "a": ' + "1" * 5000 + "}\n") * 8), "thousands of digits"
    ),
    "keys given twice": Hostile("x.jsonl", _holds("x.jsonl", '{"y": "u", "a": 1, "a": 2}\n' * 8), "'a' stands twice"),
    "a number of 400 digits": Hostile(
        "x.jsonl",
        _holds("x.jsonl", "".join(f'{{"y": {10**400 + i}, "a": {i}}}\n' for i in range(9))),
        "a number has 401 digits",
    ),
}

# ---------------------------------------------------------------------------------------------------------- pictures


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = [_chunk(b"IHDR", head), *(_chunk(*c) for c in chunks), _chunk(b"IDAT", zlib.compress(bytes(64)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body) + _chunk(b"IEND", b"")


def _written(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def _jpeg() -> bytes:
    data = bytearray(_written("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def _webp() -> bytes:
    size = (16_383).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _tiff() -> bytes:
    tags = [
        (256, 65_500),
        (257, 65_500),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 65_500),
        (279, 1 << 31),
    ]
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(4)


def _gif() -> bytes:
    data = bytearray(_written("GIF"))
    data[6:10] = struct.pack("<HH", 65_500, 65_500)
    return bytes(data)


def _bmp() -> bytes:
    data = bytearray(_written("BMP"))
    data[18:26] = struct.pack("<ii", 65_500, 65_500)
    return bytes(data)


_ZEROS = zlib.compress(bytes(8 << 20))
_SECRET = "{outside}/secret.png"


def pictures(folder: Path, each: int = 4, name: str = "pets") -> Path:
    """Two classes of small sound pictures."""
    for kind in ("cats", "dogs"):
        (folder / name / kind).mkdir(parents=True)
        for i in range(each):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / kind / f"{i}.png")
    return folder / name


def _bad(file: str, lay: bytes | Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
    """A folder of classes with one hostile picture of nine; a tenth would have been left out."""

    def build(folder: Path, outside: Path) -> None:
        into = pictures(folder) / "cats"
        if callable(lay):
            lay(into, outside)
        else:
            (into / file).write_bytes(lay)
            (into / f"z{file}").write_bytes(lay)

    return build


def _picture(file: str, lay: bytes | Callable[[Path, Path], object], says: str) -> Hostile:
    return Hostile("pets", _bad(file, lay), says, names=f"pets/cats/{file}")


def _two(lay: Callable[[str], Callable[[Path, Path], object]]) -> Callable[[Path, Path], object]:
    def build(folder: Path, outside: Path) -> None:
        lay("x.png")(folder, outside)
        lay("zx.png")(folder, outside)

    return build


PICTURES = {
    "a PNG of 65,500²": _picture("x.png", _png(65_500, 65_500), "it has more than 64,000,000 pixels (data.pixels)"),
    "a JPEG of 65,500²": _picture("x.jpg", _jpeg(), "more than 64,000,000 pixels"),
    "a WebP of 16,383²": _picture("x.webp", _webp(), "16384x16384 pixels, and at most 64,000,000 are read"),
    "a TIFF of 65,500²": _picture("x.tiff", _tiff(), "more than 64,000,000 pixels"),
    "a GIF of 65,500²": _picture("x.gif", _gif(), "more than 64,000,000 pixels"),
    "a BMP of 65,500²": _picture("x.bmp", _bmp(), "more than 64,000,000 pixels"),
    "a PPM of 65,500²": _picture("x.ppm", b"P6 65500 65500 255\n", "more than 64,000,000 pixels"),
    "a PNG whose text unpacks to 8 MB": _picture("x.png", _png(8, 8, (b"zTXt", b"a\0\0" + _ZEROS)), "damaged"),
    "a PNG whose profile unpacks to 8 MB": _picture("x.png", _png(8, 8, (b"iCCP", b"a\0\0" + _ZEROS)), "x.png"),
    "a PNG of a gigabyte": _picture(
        "x.png", _two(lambda n: _sparse(n, 1 << 30, _png(8, 8))), "1,073,741,824 bytes, far more than 8x8 pixels need"
    ),
    "a gigabyte of nothing called .jpg": _picture(
        "x.png", _two(lambda n: _sparse(n, 1 << 30)), "1,073,741,824 bytes and no header of a picture"
    ),
}


def _paths(*values: str) -> Callable[[Path, Path], object]:
    """A table whose column of pictures names these."""

    def build(folder: Path, outside: Path) -> None:
        pictures(folder)
        (folder / "evil.png").unlink(missing_ok=True)
        os.mkfifo(folder / "evil.png")
        (folder / "link.png").symlink_to(outside / "secret.png")
        sound = [f"pets/{kind}/{i}.png" for kind in ("cats", "dogs") for i in range(4)]
        rows = [*sound, *(value.format(outside=outside) for value in values)]
        lines = [json.dumps({"image": path, "y": "uv"[i % 2]}) for i, path in enumerate(rows)]
        (folder / "x.jsonl").write_text("\n".join(lines) + "\n")

    return build


FOLDERS = {
    "pictures that are pipes": Hostile(
        "x.jsonl", _paths("evil.png", "evil.png", "evil.png"), "evil.png: it is no plain file", ("--target", "y")
    ),
    "paths that climb": Hostile("x.jsonl", _paths("../outside/secret.png", "../outside/secret.png"), "lies outside of"),
    "absolute paths": Hostile("x.jsonl", _paths(_SECRET, _SECRET), "lies outside of the folder"),
    "links out": Hostile("x.jsonl", _paths("link.png", "link.png"), "lies outside of the folder"),
    "paths of 5,000 characters": Hostile("x.jsonl", _paths("a" * 5000 + ".png", "b" * 5000 + ".png"), "name too long"),
    "paths with NUL": Hostile("x.jsonl", _paths("a\0.png", "b\0.png"), "x.jsonl"),
    "labels that link out": Hostile(
        "pets",
        lambda f, o: (pictures(f), (f / "pets" / "labels.csv").symlink_to(o / "secret.csv")),
        "a link that leads out of",
        names="labels.csv",
    ),
    "nodes that link out": Hostile(
        "g",
        lambda f, o: ((f / "g").mkdir(), table(f / "g", "edges.csv"), (f / "g/nodes.csv").symlink_to(o / "secret.csv")),
        "a link that leads out of",
        names="nodes.csv",
    ),
    "edges that are a pipe": Hostile(
        "g", lambda f, o: ((f / "g").mkdir(), table(f / "g", "nodes.csv"), os.mkfifo(f / "g/edges.csv")), "g "
    ),
}


def deep(folder: Path, levels: int = 1_100) -> None:
    """Folders in folders, made one by one: the path would be too long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def _corpus(lay: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
    def build(folder: Path, outside: Path) -> None:
        (folder / "t").mkdir()
        lay(folder / "t", outside)

    return build


CORPORA = {
    "texts that link out": Hostile("t", _corpus(_linked("a.txt", "{outside}/secret.txt")), "t "),
    "texts that are pipes": Hostile("t", _corpus(lambda f, o: os.mkfifo(f / "a.txt")), "t "),
    "a text of a gigabyte of nothing": Hostile("t.txt", _sparse("t.txt", 1 << 30), "NUL byte at byte 0"),
    "a text of 5 GB": Hostile("t.txt", _sparse("t.txt", 5 << 30), "--set data.max_bytes=5368709120"),
    "folders 1,100 deep": Hostile("t", _corpus(lambda f, o: deep(f)), "more than 64 deep"),
}
