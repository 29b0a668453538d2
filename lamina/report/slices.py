"""How good the answers are on parts of the rows: by each category, by the quarters of each number."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lamina.metrics.value import Value
from lamina.report.blocks import Cell, Table, compact, number
from lamina.report.datacard import numbers_of

__all__ = ["slices"]

COLUMNS = 40  # that are cut into slices
VALUES = 12  # of a category that are slices of their own
LEAST = 10  # rows of a slice
SHOWN = 15


def slices(
    data: Any, rows: np.ndarray, name: str, figure: Callable[[np.ndarray, bool], Value], better: str
) -> list[Table]:
    """The slices where the figure is worst, beside that of all rows; none where no column cuts them.

    figure: of some of the rows, by their places, with or without its interval. better: max or min.
    """
    whole = figure(np.arange(len(rows)), True)
    found = [(words, chosen, figure(chosen, False).value) for words, chosen in _cuts(data, rows)]
    found = [one for one in found if np.isfinite(one[2])]
    if len(found) < 2:
        return []
    sign = 1 if better == "max" else -1
    found.sort(key=lambda one: sign * one[2])
    shown = [("all rows", whole), *((words, figure(chosen, True)) for words, chosen, _ in found[:SHOWN])]
    reach = max(abs(v.value) for _, v in shown) or 1.0
    cells = []
    for words, value in shown:
        apart = sign * (whole.high if sign < 0 else whole.low) > sign * (value.low if sign < 0 else value.high)
        mood = "bad" if words != "all rows" and np.isfinite(value.low) and apart else ""
        interval = "" if np.isnan(value.low) else f"{number(value.low)} – {number(value.high)}"
        cells.append([
            words, Cell(number(float(value.value)), bar=float(abs(value.value) / reach), mood=mood, note=interval),
            f"{value.count:,}", "worse" if mood else "",
        ])  # fmt: skip
    apart_count = sum(c[3] == "worse" for c in cells)
    note = (
        f"The {len(cells) - 1} worst of {len(found)} slices. {apart_count or 'None'} of these "
        f"{'lies' if apart_count == 1 else 'lie'} apart from all rows by their 95 % intervals; among so many, some do "
        "by chance."
    )
    return [Table("Slices", ["rows with", name, "rows", "against all"], cells, note)]


def _cuts(data: Any, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for column in data.inputs[:COLUMNS]:
        field, values = data.fields[column], data.table[column].take(rows)
        if hasattr(field, "labels") and field.kinds[0] == "categories":
            yield from _categories(column, values.values)
        elif hasattr(field, "deviation") and hasattr(field, "low"):
            yield from _quarters(column, field, values)


def _categories(column: str, values: Any) -> Iterator[tuple[str, np.ndarray]]:
    words = np.array([str(v) if v is not None else "(missing)" for v in values], dtype=object)
    labels, counts = np.unique(words.astype(str), return_counts=True)
    for label in labels[np.argsort(-counts, kind="stable")][:VALUES]:
        chosen = np.flatnonzero(words == label)
        if LEAST <= len(chosen) < len(words):
            yield f"{column} = {label}", chosen


def _quarters(column: str, field: Any, values: Any) -> Iterator[tuple[str, np.ndarray]]:
    known = np.flatnonzero(~np.asarray(field.missing(values)))
    numbers = numbers_of(field, values)
    if len(numbers) < 4 * LEAST:
        return
    cuts = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])
    if len(np.unique(cuts)) < 5:
        return
    for i in range(4):
        inside = (numbers >= cuts[i]) & ((numbers < cuts[i + 1]) if i < 3 else (numbers <= cuts[4]))
        if LEAST <= inside.sum() < len(values.values):
            yield (
                f"{column} {compact(float(f'{cuts[i]:.4g}'))} to {compact(float(f'{cuts[i + 1]:.4g}'))}",
                known[inside],
            )
    if len(values.values) - len(known) >= LEAST:
        yield f"{column} is missing", np.setdiff1d(np.arange(len(values.values)), known)
