"""Results on standard output: tables for people, CSV into a pipe."""

import csv
import shlex
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamina.core import display
from lamina.verbs.run import Run

__all__ = ["columns", "differences", "finished", "layers", "metrics", "number", "trials"]

# a file has no edge to wrap at; nothing is markup: names may hold brackets
out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)
_ROWS = 40  # answers that a terminal shows
# Figures that say little that the others do not; `evaluate` shows them all.
_BORING = {
    "top5", "f1_weighted", "mcc", "brier", "average_precision", "calibration_error", "balanced_accuracy",
    "median_error", "mape", "spearman",
}  # fmt: skip


def _text(value: Any, style: str = "") -> Text:
    """Text that cannot steer the terminal; our own line breaks stay."""
    return Text("\n".join(display.shown(line) for line in str(value).split("\n")), style=style)


def finished(run: Run) -> None:
    """The metrics beside the baseline, the folder, and what to do next."""
    about = run.about
    baselines = about.get("baseline") or {}
    values = _first(about.get("metrics") or {}, about.get("metric"))
    shown = {name: value for name, value in values.items() if name == about["metric"] or _tells(name)}
    hidden = [name for name in values if name not in shown]
    table = _table()
    of = ", ".join(about["data"]["targets"])
    title = f"{about['task']['name']}{' of ' + of if of else ''}, {about['split']} split"
    headings = ["", about["model"]["name"], "95 % interval", *baselines]
    for i, heading in enumerate(headings):
        table.add_column(_text(heading), justify="right" if i else "left", no_wrap=True)
    for name, value in shown.items():
        mark = " *" if name == about["metric"] and len(shown) > 1 else ""
        row = [name + mark, _figure(value), _interval(value), *(_figure(one.get(name)) for one in baselines.values())]
        table.add_row(*(_text(cell) for cell in row))
    out.print(_text(title, style="bold"))
    out.print(table)
    for line in _verdict(about):
        out.print(line, soft_wrap=not out.is_terminal)
    folder = run.folder
    again = " ".join(["lamina predict", _quoted(folder), _quoted(about["source"])])
    out.print(_text(f"\nrun   {folder}   ({about['steps']:,} steps, {about['seconds']:.0f} s)"), soft_wrap=True)
    if (folder / "report.html").is_file():
        out.print(_text(f"page  {folder / 'report.html'}"), soft_wrap=True)
    why = f"   (and {', '.join(hidden[:3])}{', …' if len(hidden) > 3 else ''})" if hidden else ""
    out.print(_text(f"next  lamina evaluate {_quoted(folder)}{why}"), soft_wrap=True)
    for line in ([] if about["source"].startswith("<") else [again]) + [f"lamina show {_quoted(folder)}"]:
        out.print(_text(f"      {line}"), soft_wrap=True)


def _quoted(word: Any) -> str:
    return shlex.quote(str(word))


def _first(values: dict[str, Any], metric: str | None) -> dict[str, Any]:
    """The metric that picks the best weights ahead of the others."""
    return {k: values[k] for k in sorted(values, key=lambda k: k != metric)}


def _tells(name: str) -> bool:
    return name.rpartition("/")[2] not in _BORING


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _verdict(about: dict[str, Any]) -> list[str]:
    metric = about["metric"]
    own = ((about.get("metrics") or {}).get(metric) or {}).get("value")
    sign = -1 if about.get("better") == "min" else 1
    others = {n: (v.get(metric) or {}).get("value") for n, v in (about.get("baseline") or {}).items()}
    known = {name: value for name, value in others.items() if value is not None}
    best = max(known, key=lambda name: sign * known[name], default=None)
    if best is None or own is None or sign * own > sign * known[best]:
        return []
    return [
        f"The network is not better than the simple baseline {best!r} ({metric} {number(known[best])}). "
        "Take that, or give more data or budget."
    ]


def _figure(value: dict[str, Any] | None) -> str:
    if not value or value["value"] is None:
        return "–"
    return f"{number(value['value'])}{' ' + value['unit'] if value.get('unit') else ''}"


def _interval(value: dict[str, Any]) -> str:
    return "" if None in (value["low"], value["high"]) else f"{number(value['low'])} to {number(value['high'])}"


def number(value: Any) -> str:
    """Four decimals below ten, so that shares stand under each other; fewer above; as it is where it is no number."""
    if isinstance(value, bool) or not isinstance(value, float | int):
        return "–" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if 0 < size < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4f}" if size < 10 else f"{value:,.2f}" if size < 1000 else f"{value:,.0f}"


def metrics(values: dict[str, dict[str, Any]]) -> None:
    """A table of figures with intervals."""
    table = _table()
    for i, heading in enumerate(("metric", "value", "95 % interval", "samples")):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for name, value in values.items():
        table.add_row(_text(name), _figure(value), _interval(value), f"{value['count']:,}")
    out.print(table)


def columns(values: dict[str, list[Any]], written: str | None) -> None:
    """Answers as a table on a terminal, as CSV into a pipe, or where they were written."""
    if written:
        out.print(_text(f"{len(next(iter(values.values()), [])):,} answers in {written}"), soft_wrap=True)
        return
    if list(values) == ["text"]:
        for text in values["text"]:
            out.print(_text(str(text)), soft_wrap=True)
        return
    rows = list(zip(*values.values(), strict=True))
    if not out.is_terminal:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([display.harmless(cell) for cell in row] for row in [list(values), *rows])
        return
    table = _table()
    for name, held in values.items():
        numbers = all(isinstance(v, int | float) for v in held)
        table.add_column(_text(name), justify="right" if numbers else "left")
    for row in rows[:_ROWS]:
        table.add_row(*(_text(number(v)) for v in row))
    out.print(table)
    if len(rows) > _ROWS:
        err.print(f"… and {len(rows) - _ROWS:,} more; all of them: --out FILE.csv")


def layers(shown: dict[str, Any]) -> None:
    """A network's layers; or a page of documentation."""
    out.print(_text(f"{shown['name']}: {shown['about']}"), soft_wrap=not out.is_terminal)
    for name, usual in (shown.get("settings") or {}).items():
        out.print(_text(f"  {name} = {usual}"), soft_wrap=True)
    rows = shown.get("layers")
    if not rows:
        return
    names = [name for name in rows[0] if not _dull(name, rows)]
    table = _table()
    for name in names:
        table.add_column(name, justify="left" if name in ("name", "kind") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(_cell(name, row[name])) for name in names))
    out.print(table)
    field = shown.get("receptive_field")
    seen = f", receptive field {_cell('receptive', field)}" if field else ""
    out.print(f"{shown['parameters']:,} parameters, {shown['flops']:,} FLOPs for one sample{seen}", soft_wrap=True)


def _dull(name: str, rows: list[dict[str, Any]]) -> bool:
    """A column that says nothing: empty, one call each, or all parameters trainable."""
    if name == "trainable":
        return all(row[name] == row["parameters"] for row in rows)
    return (name == "calls" and all(row[name] == 1 for row in rows)) or all(row[name] is None for row in rows)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        shape = value[1:] if name == "output" else value  # without the batch of one
        return "×".join(map(str, shape)) or "1"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def differences(found: dict[str, Any]) -> None:
    """A column a run: what differs, then the metrics."""
    table = _table()
    for name in ("", *found["runs"]):
        table.add_column(_text(name))
    for what, values in found["differ"].items():
        table.add_row(_text(what), *(_text("–" if v is None else str(v)) for v in values))
    table.add_row()
    for name, values in found["metrics"].items():
        marks = [" ≠" if apart else "" for apart in found["apart"][name]]
        cells = [f"{_figure(v)}  {_interval(v) if v else ''}{m}" for v, m in zip(values, marks, strict=True)]
        table.add_row(_text(name), *(_text(cell) for cell in cells))
    out.print(table)
    if any(any(marks) for marks in found["apart"].values()):
        out.print("≠: the 95 % interval does not meet the first run's")


def trials(found: dict[str, Any]) -> None:
    """The trials of a study, best first."""
    table = _table()
    for i, name in enumerate(("trial", found["metric"], *found["keys"])):
        table.add_column(_text(str(name)), justify="right" if i < 2 else "left")
    for row in found["trials"][:20]:
        cells = [str(row["trial"]), number(row["value"]), *(number(row["set"].get(k)) for k in found["keys"])]
        table.add_row(*(_text(cell) for cell in cells))
    out.print(table)
    for row in found["trials"]:
        if row.get("error"):
            err.print(_text(f"trial {row['trial']} failed: {row['error']}"), soft_wrap=True)
    out.print(_text(f"study {found['folder']}\nbest  {found['command']}"), soft_wrap=True)
