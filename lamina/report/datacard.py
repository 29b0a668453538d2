"""The data card: fields and what they hold, what is missing, how the answers are spread, a few samples."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.report import tags
from lamina.report.blocks import Cell, Figure, Gallery, Lines, Series, Table, compact, number, spaced
from lamina.report.samples import Drawer, cell

__all__ = ["card", "numbers_of", "remembered"]

ROWS = 20_000  # of a column that are looked at
FIELDS = 60
CLASSES = 30
SHOWN = {"picture": 24, "graph": 3, "text": 4, "row": 8}


def card(about: Mapping[str, Any], data: Any) -> list[Any]:
    """The blocks of data that are here."""
    found: list[Any] = [_size(about)]
    drawer = Drawer(data)
    if drawer.able:
        found += [_fields(data), *_answers(data)]
        if drawer.graph:
            found.append(_edges(data))
        found += _examples(data, drawer)
    else:
        found.append(_bare(data.fields, about))
    return found


def remembered(about: Mapping[str, Any], fields: Mapping[str, Any]) -> list[Any]:
    """The blocks of data that are gone: what the run's fields still know."""
    return [_size(about), _bare(fields, about)]


def _size(about: Mapping[str, Any]) -> Table:
    held = about["data"]
    rows: list[list[Any]] = [["source", about["source"]], ["fingerprint (SHA-256)", held["fingerprint"]]]
    total = sum(held["splits"].values())
    for name, count in held["splits"].items():
        share = f" ({100 * count / total:.0f} %)" if total else ""
        rows.append([f"{name} split", f"{count:,} rows{share}"])
    if held.get("skipped"):
        rows.append(["left out", f"{held['skipped']:,} rows, listed in skipped.csv"])
    if held.get("weight"):
        rows.append(["weights of rows", f"column {held['weight']}"])
    return Table("Size and origin", ["what", "value"], rows, left=2)


def _fields(data: Any) -> Table:
    names = [*data.inputs, *data.targets, *([data.weight] if data.weight in data.table.columns else [])]
    kept = np.asarray(spaced(data.table.rows, ROWS))
    rows = []
    for name in names[:FIELDS]:
        role = "target" if name in data.targets else "weight" if name == data.weight else "input"
        column, field = data.table[name].take(kept), data.fields.get(name)
        gaps = int(np.sum(field.missing(column))) if field is not None else 0
        share = gaps / max(1, len(kept))
        gap = Cell("none" if not gaps else f"{100 * share:.2g} %", bar=share or None)
        kind = type(field).__name__.lower() if field is not None else "number"
        rows.append([name, role, kind, gap, *_spread(field, column)])
    notes = []
    if len(names) > FIELDS:
        notes.append(f"{len(names) - FIELDS} more fields are not listed.")
    if data.table.rows > ROWS:
        notes.append(f"Missing, distinct and typical values from {ROWS:,} of {data.table.rows:,} rows, evenly spaced.")
    head = ["field", "role", "type", "missing", "distinct", "typical"]
    return Table("Fields", head, rows, " ".join(notes), left=6)


def _spread(field: Any, column: Any) -> list[str]:
    """How many different values, and which."""
    first = next((v for v in column.values if v is not None), None)
    if isinstance(first, np.ndarray) and not hasattr(field, "channels"):
        return ["", f"arrays of {' × '.join(map(str, first.shape))}"]
    if hasattr(field, "channels"):
        return ["", f"{field.channels} × {field.size} × {field.size} pixels as the network sees it"]
    if hasattr(field, "deviation") and hasattr(field, "low"):
        values = numbers_of(field, column)
        if len(values):
            low, middle, high = np.quantile(values, [0, 0.5, 1])
            return [f"{len(np.unique(values)):,}", f"{compact(float(low))} – {compact(float(middle))} – "
                    f"{compact(float(high))} (lowest, median, highest)"]  # fmt: skip
    if field is None:  # weights of rows
        return [
            "",
            f"{compact(float(min(map(float, column.values))))} – {compact(float(max(map(float, column.values))))}",
        ]
    words = Counter(str(v) for v in column.values if v is not None and str(v) != "")
    if field is not None and getattr(field, "kinds", ("",))[0] in ("text", "words"):
        lengths = [len(str(v)) for v in column.values if v is not None]
        middle = int(np.median(lengths)) if lengths else 0
        return [f"{len(words):,}", f"{middle:,} characters (median), {max(lengths, default=0):,} at most"]
    common = ", ".join(f"{word[:60]} ({100 * n / len(column.values):.0f} %)" for word, n in words.most_common(3))
    return [f"{len(words):,}", common]


def numbers_of(field: Any, column: Any) -> np.ndarray:
    """The numbers of a column that are there, in its own unit."""
    known = np.flatnonzero(~np.asarray(field.missing(column)))
    if not len(known):
        return np.zeros(0)
    try:
        return np.asarray(field.decode(field.encode_target(column.take(known))), dtype=np.float64)
    except (TypeError, ValueError, DataError):  # a date, say, has no number of its own
        return np.zeros(0)


def _answers(data: Any) -> list[Any]:
    found: list[Any] = []
    for name in data.targets:
        if name not in data.table.columns:
            continue
        field = data.fields[name]
        if hasattr(field, "labels"):
            coded = np.asarray(data.target(name))
            if coded.ndim == 2:
                splits = {s: rows.numpy() for s, rows in data.splits.items() if len(rows)}
                found.append(tags.counted(name, [str(label) for label in field.labels], coded > 0.5, splits))
            else:
                found.append(_classes(data, name, field))
        elif hasattr(field, "deviation"):
            found.append(_histogram(data, name, field))
    return found


def _classes(data: Any, name: str, field: Any) -> Table:
    """Rows of each class in each split, the most frequent first."""
    codes = np.asarray(data.target(name)).reshape(-1).astype(int)
    labels = [str(label) for label in field.labels]
    splits = {s: rows.numpy() for s, rows in data.splits.items() if len(rows)}
    counts = {s: np.bincount(codes[rows], minlength=len(labels)) for s, rows in splits.items()}
    total = np.sum(list(counts.values()), axis=0)
    order = np.argsort(-total, kind="stable")
    rows = []
    for c in order[:CLASSES]:
        share = total[c] / max(1, total.sum())
        bar = Cell(f"{100 * share:.1f} %", bar=float(total[c] / max(1, total.max())))
        rows.append([labels[c], bar, *(f"{n[c]:,}" for n in counts.values())])
    note = f"{len(labels) - CLASSES} rarer classes are not listed." if len(labels) > CLASSES else ""
    return Table(f"Classes of {name}", ["class", "share", *counts], rows, note)


def _histogram(data: Any, name: str, field: Any) -> Figure:
    values = np.asarray(field.decode(np.asarray(data.target(name))), dtype=np.float64)
    series = []
    edges = np.histogram_bin_edges(values, bins=min(40, max(5, round(len(values) ** 0.5))))
    middle = (edges[1:] + edges[:-1]) / 2
    for split in ("train",) if "train" in data.splits else tuple(data.splits)[:1]:
        held = np.histogram(values[data.splits[split].numpy()], bins=edges)[0]
        series.append(Series(f"{split} rows", middle.tolist(), held.astype(float).tolist(), "bars"))
    low, middle_value, high = np.quantile(values, [0, 0.5, 1])
    alt = (
        f"{name} runs from {compact(float(low))} to {compact(float(high))}; half of the rows lie below "
        f"{compact(float(middle_value))}."
    )
    return Figure(f"spread-{name}", f"Spread of {name}", name, "rows", series, alt, note=alt)


def _edges(data: Any) -> Table:
    edges = np.asarray(data.table.edges)
    nodes = data.table.rows
    degree = np.bincount(edges.reshape(-1), minlength=nodes) if edges.size else np.zeros(nodes, int)
    rows = [
        ["nodes", f"{nodes:,}"],
        ["edges", f"{edges.shape[1]:,}"],
        [
            "neighbours of a node",
            f"{compact(float(np.median(degree)))} (median), {int(degree.max(initial=0)):,} at most",
        ],
        ["nodes without an edge", f"{int((degree == 0).sum()):,}"],
    ]
    return Table("Graph", ["what", "value"], rows, left=2)


def _examples(data: Any, drawer: Drawer) -> list[Any]:
    split = "train" if "train" in data.splits else next(iter(data.splits), None)
    if split is None or not len(data.splits[split]):
        return []
    rows = data.splits[split].tolist()
    kind = "picture" if drawer.pictures else "graph" if drawer.graph else "text" if drawer.texts else "row"
    if kind == "row":
        return [_table_rows(data, [rows[i] for i in spaced(len(rows), SHOWN[kind])], split)]
    picked = _varied(data, rows, SHOWN[kind])
    if kind == "graph":  # a node without neighbours shows nothing of a graph
        degree = np.bincount(np.asarray(data.table.edges).reshape(-1), minlength=data.table.rows)
        picked = sorted(_varied(data, rows, 200), key=lambda r: abs(int(degree[r]) - 6))[: SHOWN[kind]]
    examples = []
    for row in picked:
        titles = [f"{t}: {cell(data.table[t].values[row])}" for t in data.targets if t in data.table.columns]
        drawn = drawer.draw(row, ", ".join(titles))
        if drawn is not None:
            examples.append(drawn)
    return [Gallery(f"Examples of the {split} split", examples, wide=drawer.wide)] if examples else []


def _varied(data: Any, rows: list[int], most: int) -> list[int]:
    """Rows of all classes in turn, where there are classes; else evenly spaced ones."""
    name = data.targets[0] if data.targets else None
    if name is None or name not in data.table.columns or not hasattr(data.fields[name], "labels"):
        return [rows[i] for i in spaced(len(rows), most)]
    by_class: dict[str, list[int]] = {}
    for row in rows[: 50 * most + 1000]:
        by_class.setdefault(str(data.table[name].values[row]), []).append(row)
    turns = [by_class[key] for key in sorted(by_class)]
    return [held[i] for i in range(most) for held in turns if i < len(held)][:most]


def _table_rows(data: Any, rows: list[int], split: str) -> Table:
    names = [*data.targets, *data.inputs][: 10 + len(data.targets)]
    names = [n for n in names if n in data.table.columns]
    cells = [
        [data.table[names[0]].where(r).split(" of ")[0], *(cell(data.table[n].values[r]) for n in names)] for r in rows
    ]
    more = len(data.inputs) + len(data.targets) - len(names)
    note = f"{more} more columns are not shown." if more > 0 else ""
    return Table(f"Examples of the {split} split", ["where", *names], cells, note)


def _bare(fields: Mapping[str, Any], about: Mapping[str, Any]) -> Any:
    """What the fields themselves know."""
    targets = about["data"]["targets"]
    rows = []
    for name, field in list(fields.items())[:FIELDS]:
        knows = ""
        if hasattr(field, "labels"):
            knows = f"{len(field.labels)} labels: " + ", ".join(str(v)[:60] for v in field.labels[:8])
        elif hasattr(field, "low") and isinstance(getattr(field, "low", None), float):
            knows = f"{number(field.low)} to {number(field.high)} in training"
        elif getattr(field, "actions", 0):
            knows = f"{field.actions} actions"
        elif hasattr(field, "width"):
            knows = f"{field.width} numbers"
        elif hasattr(field, "channels"):
            knows = f"{field.channels} × {field.size} × {field.size} pixels"
        rows.append([name, "target" if name in targets else "input", type(field).__name__.lower(), knows])
    if not rows:
        return Lines(["The run names no fields."])
    return Table("Fields", ["field", "role", "type", "knows"], rows, left=4)
