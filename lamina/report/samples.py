"""Samples drawn as what they are: a picture, a text, a row of a table, a node among its neighbours."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamina.fields._pixels import png
from lamina.report.blocks import Example, compact, picture

__all__ = ["Drawer", "cell", "sheet"]

COLUMNS = 12  # of a row that are shown
LETTERS = 400  # of a text
NEIGHBOURS = 12  # of a node
SIDE = 96  # of a picture, in pixels


class Drawer:
    """Draws rows of a data set; `able` is False where it has none to draw (an environment, a loader)."""

    def __init__(self, data: Any):
        self.data = data
        self.table = getattr(data, "table", None)
        self.able = self.table is not None
        fields = getattr(data, "fields", {})
        self.pictures = [n for n in getattr(data, "inputs", []) if hasattr(fields[n], "thumbnail")]
        self.texts = [n for n in getattr(data, "inputs", []) if _reads(fields[n], "text")]
        self.graph = self.able and getattr(self.table, "edges", None) is not None
        self._ends: tuple[np.ndarray, np.ndarray] | None = None  # the ends of edges, ordered by where they begin

    @property
    def wide(self) -> bool:
        """Whether an example needs a line of its own."""
        return not self.pictures and not self.graph

    def draw(self, row: int, title: str, *, mood: str = "", note: str = "") -> Example | None:
        """The example of one row, or None where its picture cannot be read."""
        assert self.table is not None
        where = self.table[self.data.inputs[0]].where(row).split(" of ")[0]
        where = Path(where).name if os.sep in where else where
        example = Example(title, mood=mood, note=note or where)
        if self.pictures:
            column = self.table[self.pictures[0]]
            try:
                image = self.data.fields[self.pictures[0]].thumbnail(column.values[row], SIDE, column)
            except Exception:  # a picture that left the disk since: the others are shown
                return None
            example.png, example.alt = picture(image), f"picture of {where}: {title}"
        elif self.graph:
            example.graph = self._neighbourhood(row)
            example.alt = f"node {self._node(row)} and {len(example.graph['near'])} of its neighbours"
        if self.texts:
            example.text = _cut(self.table[self.texts[0]].values[row])
        shown = [n for n in self.data.inputs if n not in self.pictures and n not in self.texts]
        example.row = [(name, cell(self.table[name].values[row])) for name in shown[:COLUMNS]]
        return example

    def _node(self, row: int) -> str:
        ids = getattr(self.table, "ids", ())
        return str(ids[row]) if len(ids) else str(row)

    def _neighbourhood(self, row: int) -> dict[str, Any]:
        """A node in the middle and its neighbours around it, with what each is asked for."""
        around = self._near(row)
        shown = around[:NEIGHBOURS]
        target = self.table[self.data.targets[0]].values if self._answered() else None  # type: ignore[index]
        spots = []
        for i, node in enumerate(shown):
            angle = 2 * math.pi * i / max(1, len(shown)) - math.pi / 2
            x, y = 100 + 68 * math.cos(angle), 76 + 52 * math.sin(angle)
            label = "" if target is None or target[node] is None else str(target[node])
            spots.append({"x": round(x, 1), "y": round(y, 1), "name": self._node(node), "label": label})
        own = "" if target is None or target[row] is None else str(target[row])
        same = sum(s["label"] == own for s in spots) if own else 0
        pairs = {(shown.index(a), shown.index(b)) for a in shown for b in self._near(a) if b in shown and a < b}
        return {
            "name": self._node(row), "label": own, "near": spots, "all": len(around), "same": same,
            "pairs": [(spots[a], spots[b]) for a, b in sorted(pairs)][:60],
        }  # fmt: skip

    def _near(self, row: int) -> list[int]:
        """The nodes that share an edge with one, each once."""
        if self._ends is None:
            edges = np.asarray(self.table.edges)  # type: ignore[union-attr]
            both = np.concatenate([edges, edges[::-1]], axis=1)
            both = both[:, np.argsort(both[0], kind="stable")]
            self._ends = both[0], both[1]
        begin, end = np.searchsorted(self._ends[0], [row, row + 1])
        return [n for n in dict.fromkeys(self._ends[1][begin:end].tolist()) if n != row]

    def _answered(self) -> bool:
        return bool(self.data.targets) and self.data.targets[0] in self.table.columns  # type: ignore[union-attr]


def sheet(pictures: Sequence[np.ndarray], title: str, note: str = "") -> list[Example]:
    """Arrays of bytes, (h, w) or (h, w, channels), as examples."""
    return [
        Example("", png=picture(png(np.asarray(p) if np.asarray(p).ndim == 3 else np.asarray(p)[:, :, None])),
                alt=f"{title} {i + 1}", note=note)
        for i, p in enumerate(pictures)
    ]  # fmt: skip


def _reads(field: Any, kind: str) -> bool:
    return kind in getattr(field, "kinds", ())[:1]


def _cut(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LETTERS else text[:LETTERS].rstrip() + " …"


def cell(value: Any) -> str:
    """A value as a cell of a table; – for what is missing."""
    if isinstance(value, np.ndarray):
        return f"array of {' × '.join(map(str, value.shape))}"
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value or value == "":
        return "–"
    return compact(value) if isinstance(value, int | float) else str(value)[:200]
