"""The report's figures and matrices as figures of matplotlib, for notebooks and papers."""

from typing import Any

from lamina.core.display import shown
from lamina.core.errors import MissingExtra
from lamina.report.blocks import Cell, Figure, Table

__all__ = ["draw", "matrix"]

# Okabe and Ito's, which people who see few colours tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def _canvas(wide: float, high: float) -> Any:
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise MissingExtra("matplotlib", "plot", "run.plot") from None
    return Canvas(figsize=(wide, high), layout="constrained")


def draw(figure: Figure) -> Any:
    """One figure of the report: axes with its series, names and units."""
    canvas = _canvas(6.4, 4.0)
    axes = canvas.add_subplot()
    for i, one in enumerate(figure.series):
        colour, name = COLOURS[i % len(COLOURS)], shown(one.name, 80)
        y = [float("nan") if v is None else v for v in one.y]
        if one.style == "bars":
            width = (one.x[1] - one.x[0]) * 0.92 if len(one.x) > 1 else 0.9
            axes.bar(one.x, y, width=width, color=colour, label=name)
        elif one.style == "points":
            axes.plot(one.x, y, "o", markersize=3, alpha=0.6, color=colour, label=name)
        else:
            how = {"dashed": "--", "marked": "o-"}.get(one.style, "-")
            axes.plot(one.x, y, how, color=colour, label=name)
    axes.set(title=_plain(figure.title), xlabel=_plain(figure.x), ylabel=_plain(figure.y))
    axes.grid(alpha=0.25)
    if len(figure.series) > 1:
        for text in axes.legend().get_texts():
            text.set_parse_math(False)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)
    return canvas


def matrix(table: Table) -> Any:
    """A confusion matrix: shares of a row as shades, counts in the cells."""
    names = [_plain(name) for name in table.head[1:]]
    shares = [[(c.shade or 0.0) if isinstance(c, Cell) else 0.0 for c in row[1:]] for row in table.rows]
    side = 2.5 + 0.45 * len(names)
    canvas = _canvas(side, side)
    axes = canvas.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(table.rows):
        for j, cell in enumerate(row[1:]):
            axes.text(j, i, cell.text, ha="center", va="center", color="white" if shares[i][j] > 0.55 else "black")
    axes.set(title=_plain(table.title), xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title):
        text.set_parse_math(False)
    return canvas


def _plain(text: str) -> str:
    return shown(text, 80)
