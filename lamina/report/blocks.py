"""What a page is put together from: words, tables, curves and examples, as plain data that a template draws.

Nothing here is HTML: what stands in a block is escaped where it is drawn, names of the user's above all.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Cell", "Example", "Figure", "Gallery", "Lines", "Row", "Section", "Series", "Table", "arranged", "compact",
    "number", "picture", "spaced",
]  # fmt: skip

MOST = 1000  # points of a series; more are thinned to the extremes of each stretch
LOSSLESS = 6_000  # bytes of a picture up to which it stays a PNG
ROWS = 12  # of the table of numbers below a figure


@dataclass
class Cell:
    """A cell of a table. bar: a share of the column's largest, 0 to 1, drawn behind; shade: how dark, 0 to 1.

    mood: good, bad or '' (said in words too: colour never speaks alone).
    """

    text: str
    bar: float | None = None
    shade: float | None = None
    mood: str = ""
    note: str = ""


@dataclass
class Table:
    """Rows under headings. left: how many leading columns are words; the first names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    left: int = 1
    folded: bool = False
    matrix: bool = False
    kind: str = "table"


@dataclass
class Series:
    """One line of a figure. style: line, dashed, points or bars."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str = "line"


@dataclass
class Figure:
    """Curves over one axis. x, y: what the axes show, with units. alt: what is to be seen, in a sentence."""

    key: str
    title: str
    x: str
    y: str
    series: list[Series]
    alt: str
    note: str = ""
    whole: bool = False  # x counts
    log: bool = False  # whether a logarithmic scale is offered
    folded: bool = False
    share: bool = False  # both axes run from 0 to 1
    kind: str = "figure"

    def drawn(self) -> dict[str, Any]:
        """What the page's script draws: one x for all series, in order, with gaps."""
        thin = [thinned(s.x, s.y) for s in self.series]
        if all(list(x) == list(thin[0][0]) for x, _ in thin):
            data: list[list[Any]] = [list(thin[0][0]), *(list(y) for _, y in thin)]
        else:
            points = sorted((x, i, y) for i, (xs, ys) in enumerate(thin) for x, y in zip(xs, ys, strict=True))
            data = [[] for _ in range(len(thin) + 1)]
            for x, i, y in points:
                if data[0] and data[0][-1] == x and data[i + 1][-1] is None:
                    data[i + 1][-1] = y
                    continue
                data[0].append(x)
                for k in range(len(thin)):
                    data[k + 1].append(y if k == i else None)
        return {
            "x": self.x, "y": self.y, "whole": self.whole, "log": self.log and _positive(data[1:]), "share": self.share,
            "series": [{"name": s.name, "style": s.style} for s in self.series],
            "data": [[_short(v) for v in row] for row in data],
        }  # fmt: skip

    def numbers(self) -> tuple[list[str], list[list[str]]]:
        """A few of the points, for those who read rather than see: a heading, and rows."""
        drawn = self.drawn()["data"]
        kept = spaced(len(drawn[0]), ROWS)
        head = [self.x, *(s.name for s in self.series)]
        return head, [["" if column[i] is None else compact(column[i]) for column in drawn] for i in kept]


@dataclass
class Row:
    """Figures side by side; folded ones open together."""

    figures: list[Figure]
    title: str = ""
    folded: bool = False
    kind: str = "row"


@dataclass
class Example:
    """One sample, drawn as what it is: a picture (PNG), lines of text, a row of a table, or a graph around a node.

    title: what is asked of it and answered; mood as of a cell.
    """

    title: str
    png: str = ""
    alt: str = ""
    text: str = ""
    row: Sequence[tuple[str, str]] = ()
    graph: dict[str, Any] | None = None
    mood: str = ""
    note: str = ""


@dataclass
class Gallery:
    """Examples side by side. wide: each needs a line of its own. film: they follow each other in time.
    dense: many small ones."""

    title: str
    examples: list[Example]
    note: str = ""
    wide: bool = False
    film: bool = False
    dense: bool = False
    kind: str = "gallery"


@dataclass
class Lines:
    """Sentences, as a list or as they come. code: a command to copy."""

    lines: Sequence[str]
    title: str = ""
    code: bool = False
    listed: bool = False
    kind: str = "lines"


@dataclass
class Section:
    """A part of the page, the same ones in the same order whatever was learnt."""

    key: str
    title: str
    blocks: list[Any] = field(default_factory=list)
    lead: str = ""


def arranged(blocks: Sequence[Any]) -> list[Any]:
    """The same blocks with figures that follow each other in rows, and those that are folded in one at their end."""
    out: list[Any] = []
    for block in blocks:
        if not isinstance(block, Figure):
            out.append(block)
        elif out and isinstance(out[-1], Row) and out[-1].folded == block.folded:
            out[-1].figures.append(block)
        else:
            out.append(Row([block], folded=block.folded))
    for block in out:
        if isinstance(block, Row) and block.folded:
            block.title = f"{len(block.figures)} more curve{'s' * (len(block.figures) > 1)}"
    return out


# ---------------------------------------------------------------------------------------------------------- small parts


def number(value: Any) -> str:
    """Four decimals below ten, so that shares stand under each other; fewer above; – for what is not there."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, float | int):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size < 1e-12:  # what rounding leaves of nothing
        return "0.0000"
    if size < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4f}" if size < 10 else f"{value:,.2f}" if size < 1000 else f"{value:,.0f}"


def compact(value: Any) -> str:
    """A number in four digits or fewer, for axes and cells where many stand."""
    if not isinstance(value, float | int) or isinstance(value, bool):
        return number(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))  # 1997 is a year
    if 10_000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    if 1000 <= abs(value) < 10_000:
        return f"{value:.0f}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1000 else f"{value:.3g}"


def picture(png: bytes) -> str:
    """A PNG as what an img can hold without a network; a large one as JPEG, so that photographs stay small."""
    kind = "png"
    if len(png) > LOSSLESS:
        from PIL import Image

        made = io.BytesIO()
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.convert("RGB").save(made, "JPEG", quality=85)
        png, kind = made.getvalue(), "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(png).decode("ascii")


def spaced(count: int, most: int) -> list[int]:
    """At most `most` of 0…count-1, evenly, first and last included."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def thinned(x: Sequence[float], y: Sequence[float | None]) -> tuple[list[float], list[float | None]]:
    """At most `MOST` points: of each stretch the lowest and the highest, so that no peak is lost."""
    if len(x) <= MOST:
        return list(x), list(y)
    size = math.ceil(2 * len(x) / MOST)
    kept: set[int] = {0, len(x) - 1}
    for start in range(0, len(x), size):
        known = [i for i in range(start, min(start + size, len(x))) if y[i] is not None]
        if known:
            kept |= {min(known, key=lambda i: y[i] or 0.0), max(known, key=lambda i: y[i] or 0.0)}
    order = sorted(kept)
    return [x[i] for i in order], [y[i] for i in order]


def _short(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")


def _positive(columns: Sequence[Sequence[float | None]]) -> bool:
    known = [v for column in columns for v in column if v is not None]
    return bool(known) and min(known) > 0
