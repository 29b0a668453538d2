"""Forty-odd sets of dirty data: how each is made, and what `lamina fit` has to do with it.

A case either *trains*, with a count of what was left out or read as missing, or is *refused* before the first step by
one line that names the place and a remedy.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["CASES", "Case"]

QUICK = ("--steps", "3", "--set", "plan.threads=1", "--set", "plan.precision=float32")
TABLE = ("x.csv", "--target", "y", "--model", "mlp_tiny", *QUICK)
PICTURES = ("pets", "--model", "mlp_tiny", *QUICK)
ACT = ("--set", "task.episodes=2", "--set", "first=16", *QUICK)
GRAPH = ("g", "--target", "y", "--model", "gcn_tiny", *QUICK)
TEXT = ("--model", "gpt_tiny", "--set", "method.batch=2", *QUICK)


@dataclass(frozen=True)
class Case:
    """build(folder) lays the data; words: what follows `lamina fit`; says: what must be said.

    refused: whether it ends with status 2. skipped: rows or files that run.json and
    skipped.csv must count. without: a package that is not there.
    """

    build: Callable[[Path], object]
    words: tuple[str, ...]
    says: tuple[str, ...]
    refused: bool = False
    skipped: int = 0
    without: str = ""


# ------------------------------------------------------------------------------------------------------------ makers


def sound(rows: int = 100) -> list[dict[str, str]]:
    """Two numbers, a word, and a label that one of the numbers tells."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=rows).round(3), rng.normal(size=rows).round(3)
    return [{"a": f"{a[i]}", "b": f"{b[i]}", "c": "uvw"[i % 3], "y": "no" if a[i] < 0 else "yes"} for i in range(rows)]


def table(change: Callable[[list[dict[str, str]]], object] = lambda rows: None, rows: int = 100, name: str = "x.csv"):
    """A builder: the sound table after `change`."""

    def build(folder: Path) -> None:
        made = sound(rows)
        made = change(made) or made  # type: ignore[assignment]
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(k for row in made for k in row)), lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)

    return build


def each(column: str, value: Callable[[int, str], str], where: Callable[[int], bool] = lambda i: True):
    """A change: another value of a column in some rows (of the data, counted from 0)."""

    def change(rows: list[dict[str, str]]) -> None:
        for i, row in enumerate(rows):
            if where(i):
                row[column] = value(i, row.get(column, ""))

    return change


def raw(change: Callable[[bytes], bytes], rows: int = 100):
    """A builder: the sound table's bytes after `change`."""

    def build(folder: Path) -> None:
        table(rows=rows)(folder)
        path = folder / "x.csv"
        path.write_bytes(change(path.read_bytes()))

    return build


def pictures(folder: Path, each: int = 20, mode: str = "RGB", suffix: str = "png") -> Path:
    """Cats are dark, dogs are light."""
    rng = np.random.default_rng(0)
    for name, tone in (("cats", 40), ("dogs", 180)):
        (folder / "pets" / name).mkdir(parents=True)
        for i in range(each):
            pixels = (tone + rng.integers(0, 40, (8, 8, 3))).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / "pets" / name / f"{i:02}.{suffix}")
    return folder / "pets"


def graph(
    folder: Path, nodes: int = 40, edges: list[tuple[str, str]] | None = None, x: Callable[[int], object] = str
) -> Path:
    """A ring of nodes whose label is in their number."""
    (folder / "g").mkdir()
    lines = [f"n{i},{x(i)},{i * 7 % 13},{'uv'[i % 2]}" for i in range(nodes)]
    (folder / "g" / "nodes.csv").write_text("\n".join(["id,p,q,y", *lines]) + "\n")
    edges = edges if edges is not None else [(f"n{i}", f"n{(i + 2) % nodes}") for i in range(nodes)]
    (folder / "g" / "edges.csv").write_text("\n".join(["from,to", *(f"{a},{b}" for a, b in edges)]) + "\n")
    return folder / "g"


def damage(*paths: Path, with_: bytes = b"no picture at all") -> None:
    for path in paths:
        path.write_bytes(with_)


def five_formats(rows: list[dict[str, str]]) -> None:
    for i, row in enumerate(rows):
        d, m = i % 28 + 1, i % 12 + 1
        kinds = (
            f"2024-{m:02}-{d:02}",
            f"{d:02}.{m:02}.2024",
            f"{m:02}/{d:02}/2024",
            f"{d} Mar 2024",
            f"2024{m:02}{d:02}",
        )
        row["d"] = kinds[i % 5]


def own_splits(rows: list[dict[str, str]]) -> None:
    """The last 30 rows test, ten of them also train."""
    for i, row in enumerate(rows):
        row["split"] = "train" if i < 70 else "test"
    for i in range(10):
        rows[70 + i].update({k: rows[i][k] for k in "abcy"})


def new_label(rows: list[dict[str, str]]) -> None:
    own_splits(rows)
    rows[95]["y"] = "maybe"


def mixed_encodings(data: bytes) -> bytes:
    lines = data.replace(b",u,", "\u00fc,".join([",", ""]).encode()).split(b"\n")
    lines[40] = lines[40].rsplit(b",", 2)[0] + b",caf\xe9,no"
    return b"\n".join(lines)


def all_missing(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row.update(a="NA", b="", c="NaN")


def ids_only(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"id": str(i), "name": f"k{i:x}", "y": row["y"]} for i, row in enumerate(rows)]


def wide(folder: Path) -> None:
    names = ",".join(f"c{i}" for i in range(100_000))
    cells = ",".join("1" for _ in range(100_000))
    (folder / "x.csv").write_text(f"{names},y\n" + "".join(f"{cells},{'uv'[i % 2]}\n" for i in range(4)))


def some_broken(folder: Path) -> None:
    pets = pictures(folder)
    damage(pets / "cats" / "03.png")
    damage(pets / "dogs" / "17.png", with_=(pets / "dogs" / "17.png").read_bytes()[:60])


def zero_bytes(folder: Path) -> None:
    damage(*(pictures(folder) / "cats").iterdir(), with_=b"")


def one_pixel(folder: Path) -> None:
    for file in (pictures(folder) / "cats").iterdir():
        Image.new("RGB", (1, 1)).save(file)


def sixteen_bits(folder: Path) -> None:
    for i, file in enumerate(sorted(pictures(folder).glob("*/*"))):
        Image.fromarray(np.full((8, 8), 800 * i, np.uint16)).save(file)


def animated(folder: Path) -> None:
    for file in pictures(folder, suffix="gif").glob("*/*"):
        first = Image.open(file).convert("RGB")
        first.save(file, save_all=True, append_images=[Image.new("RGB", (8, 8), (i, 0, 0)) for i in (1, 2)])


def wrong_suffix(folder: Path) -> None:
    for file in pictures(folder, suffix="jpg").glob("dogs/*"):
        file.rename(file.with_suffix(".png"))


def lone_picture(folder: Path) -> None:
    for file in sorted((pictures(folder) / "dogs").iterdir())[1:]:
        file.unlink()


def empty_class(folder: Path) -> None:
    (pictures(folder) / "birds").mkdir()


def hidden(folder: Path) -> None:
    pets = pictures(folder)
    for path in (
        pets / "cats" / ".DS_Store",
        pets / ".hidden.png",
        pets / "cats" / "Thumbs.db",
        pets / "cats" / "._1.png",
    ):
        path.write_bytes(b"\0\0\0\1Bud1")


def texts(count: int, empty: int = 0, with_: bytes = b"") -> Callable[[Path], None]:
    """A builder: a folder of texts of which some are empty, or hold these bytes."""

    def build(folder: Path) -> None:
        (folder / "notes").mkdir()
        for i in range(count):
            words = " ".join(f"word{(i * j) % 17}" for j in range(60))
            (folder / "notes" / f"{i:02}.txt").write_bytes(with_ if i < empty else words.encode())

    return build


def one_text(data: bytes, name: str = "x.txt") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def worlds(folder: Path) -> None:
    """Register the environments that misbehave."""
    from tests.trust import worlds

    worlds.register()


# --------------------------------------------------------------------------------------------------------- the table

CASES = {
    # tables
    "five broken numbers of a hundred": Case(
        table(each("a", lambda i, v: "n.d.", lambda i: i % 20 == 7)),
        TABLE,
        ("Column 'a': 5 of 100 values are no numbers and count as missing: \"n.d.\" (rows 9, 29, 49 and 2 more)",),
    ),
    "missing labels": Case(
        table(each("y", lambda i, v: "NaN", lambda i: i % 20 == 3)),
        TABLE,
        ("left out 5 rows without a target (first: row 5 of x.csv",),
        skipped=5,
    ),
    "missing numbers": Case(
        table(each("a", lambda i, v: "NaN" if i % 2 else "", lambda i: i % 9 == 3)),
        TABLE,
        ("Column 'a': 11 of 100 values are missing",),
    ),
    "infinite numbers": Case(
        table(each("a", lambda i, v: "-inf" if i % 2 else "Infinity", lambda i: i % 25 == 3)),
        TABLE,
        ("Column 'a': 4 of 100 values are infinite and count as missing (rows 5, 30, 55 and 1 more)",),
    ),
    "numbers beyond any scale": Case(
        table(each("a", lambda i, v: "1e308" if i % 2 else "-1e308", lambda i: i % 5 == 0)),
        TABLE,
        (),
    ),
    "an empty file": Case(one_text(b""), ("x.txt",), ("x.txt is empty (0 bytes)",), refused=True),
    "an empty table": Case(one_text(b"", "x.csv"), TABLE, ("x.csv is empty (0 bytes)",), refused=True),
    "a header alone": Case(
        one_text(b"a,b,c,y\n", "x.csv"), TABLE, ("x.csv has a header (4 columns", "no rows under it"), refused=True
    ),
    "a column name twice": Case(
        raw(lambda data: data.replace(b"a,b,c", b"a,b,a", 1)),
        TABLE,
        ("'a' stands over columns 1 and 3", "Rename one"),
        refused=True,
    ),
    "the target's column missing": Case(
        raw(lambda data: data.replace(b"c,y", b"c,z", 1)),
        TABLE,
        ("x.csv has no column 'y'", "Its columns: a, b, c, z"),
        refused=True,
    ),
    "an input column missing": Case(
        table(), (*TABLE, "--set", "data.inputs=a,d"), ("data.inputs: x.csv has no column 'd'",), refused=True
    ),
    "one class": Case(
        table(each("y", lambda i, v: "yes")),
        TABLE,
        ("Target 'y': all 100 rows are of one class, 'yes'. Give rows of at least two classes",),
        refused=True,
    ),
    "one row": Case(table(rows=1), TABLE, ("x.csv has 1 row", "at least 4"), refused=True),
    "two rows": Case(table(rows=2), TABLE, ("x.csv has 2 rows", "at least 4"), refused=True),
    "two encodings": Case(
        raw(mixed_encodings), TABLE, ("x.csv is not utf-8: byte 0xe9 in row 41", "data.encoding"), refused=True
    ),
    "a few ragged rows": Case(
        raw(lambda data: data + b"1,2\n1,2,u,yes,5,6\n"),
        TABLE,
        ("left out 2 rows: row 102", "2 cells where the header has 4"),
        skipped=2,
    ),
    "many ragged rows": Case(
        raw(lambda data: data + b"1,2\n" * 20),
        TABLE,
        ("x.csv has 20 broken rows of 120", "the first is row 102: 2 cells where the header has 4", "Mend or drop"),
        refused=True,
    ),
    "a row of 100,000 cells": Case(wide, TABLE, ("100,001 columns in its first row", "data.max_columns"), refused=True),
    "a constant column": Case(table(each("c", lambda i, v: "u")), TABLE, ("left out 'c': it is constant",)),
    "identifiers alone": Case(
        table(ids_only), TABLE, ("x.csv leaves no column to learn from", "it is an identifier"), refused=True
    ),
    "nothing but gaps": Case(
        table(all_missing), TABLE, ("leaves no column to learn from", "it has no values"), refused=True
    ),
    "numbers, words and dates in one column": Case(
        table(each("a", lambda i, v: (v, "high", "2024-01-31")[i % 3])),
        TABLE,
        ("Column 'a': 34 of 100 values are numbers, the others words like 'high'", "each is read as a name"),
    ),
    "dates in five formats": Case(
        table(five_formats),
        TABLE,
        ("left out 'd': its dates are written in 5 ways, like '2024-01-01' and", "write them alike"),
    ),
    "decimal commas": Case(
        table(each("a", lambda i, v: v.replace(".", ","))),
        TABLE,
        ("number(decimal=,): a", "Column 'a': \"0,126\" is read as 0.126", "data.types"),
    ),
    "thousands separators": Case(
        table(each("a", lambda i, v: f"{1000 + abs(float(v)) * 1e6:,.0f}")),
        TABLE,
        ("number(thousands=,): a", "Column 'a': \"127,000\" is read as 127000", "data.types"),
    ),
    "a quote that is never closed": Case(
        raw(lambda data: data.replace(b"\n0.", b'\n"0.', 1)),
        TABLE,
        ("x.csv opens a quote", "never closed"),
        refused=True,
    ),
    "line ends of an old Macintosh": Case(raw(lambda data: data.replace(b"\n", b"\r")), TABLE, ("number: a, b",)),
    "a delimiter at the end of each line": Case(raw(lambda data: data.replace(b"\n", b",\n")), TABLE, ("column5",)),
    "a label of one row": Case(
        table(each("y", lambda i, v: "perhaps", lambda i: i == 50)),
        TABLE,
        ("Target 'y': 1 of 3 classes has one sample: 'perhaps' (row 52 of x.csv)",),
    ),
    "a label that only the test rows have": Case(
        table(new_label),
        TABLE,
        ("Target 'y': 1 class stands in no training row, but in 'test': 'maybe' (row 97 of x.csv)", "Move some"),
        refused=True,
    ),
    "a negative weight": Case(
        table(each("w", lambda i, v: "-1" if i == 9 else "1")),
        (*TABLE, "--set", "data.weight=w"),
        ("Column 'w' holds the weights", "row 11 of x.csv has '-1'"),
        refused=True,
    ),
    "a weight missing": Case(
        table(each("w", lambda i, v: "NaN" if i == 9 else "1")),
        (*TABLE, "--set", "data.weight=w"),
        ("Column 'w' holds the weights", "row 11 of x.csv"),
        refused=True,
    ),
    "weights of nothing": Case(
        table(each("w", lambda i, v: "0")),
        (*TABLE, "--set", "data.weight=w"),
        ("Column 'w' of x.csv gives all", "the weight zero", "leave the weights out"),
        refused=True,
    ),
    "groups missing": Case(
        table(each("g", lambda i, v: "" if i % 10 == 0 else f"g{i // 4}")),
        (*TABLE, "--set", "data.group=g"),
        ("Group column 'g': 10 of 100 rows name no group (rows 2, 12, 22 and 7 more)",),
    ),
    "a wrong word for a split": Case(
        table(each("split", lambda i, v: "tset" if i == 42 else "train" if i < 70 else "test")),
        TABLE,
        ("'tset' (row 44 of x.csv)", "'train', 'valid' and 'test'"),
        refused=True,
    ),
    "test rows that train too": Case(table(own_splits), TABLE, ("of its 30 rows stand in 'train' too",)),
    # pictures
    "two broken pictures of forty": Case(
        some_broken, PICTURES, ("left out 2 rows: row 4", "03.png: it is none of JPEG"), skipped=2
    ),
    "pictures of zero bytes": Case(zero_bytes, PICTURES, ("the file is empty (0 bytes)", "cats"), refused=True),
    "pictures of one pixel": Case(one_pixel, PICTURES, ("1x1 pixels", "cats"), refused=True),
    "pictures of 16 bits": Case(sixteen_bits, PICTURES, ("image",)),
    "pictures in print colours": Case(lambda f: pictures(f, mode="CMYK", suffix="jpg"), PICTURES, ("image",)),
    "pictures with a palette": Case(lambda f: pictures(f, mode="P"), PICTURES, ("image",)),
    "pictures that move": Case(animated, PICTURES, ("image",)),
    "pictures under another ending": Case(wrong_suffix, PICTURES, ("image",)),
    "a class of one picture": Case(lone_picture, PICTURES, ("'dogs'", "1 picture"), refused=True),
    "an empty class folder": Case(empty_class, PICTURES, ("'birds' holds no picture, which makes no class",)),
    "hidden files and thumbnails": Case(
        hidden, PICTURES, ("2 classes", "1 file is no picture and is passed over: 'Thumbs.db'")
    ),
    # texts
    "three characters": Case(
        one_text(b"abc"), ("x.txt", *TEXT), ("too short to learn from: 3 characters",), refused=True
    ),
    "empty documents": Case(
        texts(30, empty=2), ("notes", *TEXT), ("left out 2", "00.txt is empty (0 bytes)"), skipped=2
    ),
    "white space alone": Case(one_text(b" \n\t \r\n" * 50), ("x.txt", *TEXT), ("only white space",), refused=True),
    "a text that is not UTF-8": Case(
        one_text(b"one line\n" * 40 + b"caf\xe9\n"),
        ("x.txt", *TEXT),
        ("byte 0xe9", "row 41", "data.encoding"),
        refused=True,
    ),
    "one line of 200,000 characters": Case(
        one_text(" ".join(map(str, range(40_000))).encode()), ("x.txt", *TEXT), ("one text of 228,889",)
    ),
    # graphs
    "an edge to nowhere": Case(
        lambda f: graph(f, edges=[("n1", "n2"), ("n3", "n99")]),
        GRAPH,
        ("row 3 of g/edges.csv, column 'to': the edge names node 'n99'", "Add the node"),
        refused=True,
    ),
    "a node twice": Case(
        lambda f: damage(graph(f) / "nodes.csv", with_=b"id,p,q,y\nn1,1,2,u\nn2,1,2,v\nn1,2,2,u\n"),
        GRAPH,
        ("row 4 of g/nodes.csv: node 'n1' was already given in row 2",),
        refused=True,
    ),
    "loops alone": Case(
        lambda f: graph(f, edges=[(f"n{i}", f"n{i}") for i in range(40)]), GRAPH, ("40 edges are loops",)
    ),
    "lone nodes": Case(lambda f: graph(f, edges=[("n1", "n2")]), GRAPH, ("38 nodes have no edge",)),
    "missing numbers of nodes": Case(
        lambda f: graph(f, x=lambda i: "NaN" if i % 8 == 0 else i * 3 % 11),
        GRAPH,
        ("Column 'p': 5 of 40 values are missing",),
    ),
    # environments
    "an environment without gymnasium": Case(
        lambda f: None,
        ("gym:CartPole-v1", *QUICK),
        ("needs gymnasium", "pip install 'lamina[rl]'"),
        refused=True,
        without="gymnasium",
    ),
    "an environment that shows nothing": Case(
        worlds,
        ("gym:Blind-v0", *ACT),
        ("gym:Blind-v0 shows nan as number 2 of 2 after 0 steps of episode 0",),
        refused=True,
    ),
    "an environment that goes blind": Case(
        worlds,
        ("gym:BlindLater-v0", *ACT),
        ("gym:BlindLater-v0 shows nan as number 2 of 2 after 5 steps",),
        refused=True,
    ),
    "an environment that pays infinity": Case(
        worlds, ("gym:Unpaid-v0", *ACT), ("gym:Unpaid-v0 gives a reward of inf after 5 steps",), refused=True
    ),
    "an environment without end": Case(
        worlds,
        ("gym:Endless-v0", *ACT, "--set", "data.longest=30"),
        ("mlp",),
    ),
    "an observation of several parts": Case(
        worlds, ("gym:Boxed-v0", *ACT), ("The observation of gym:Boxed-v0 is a Dict", "Wrap it first"), refused=True
    ),
    "an action that is a number": Case(
        worlds, ("gym:Steered-v0", *ACT), ("control chooses among separate actions", "wrap this one"), refused=True
    ),
}
