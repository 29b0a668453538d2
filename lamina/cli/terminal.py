"""What a person sees in the terminal: progress and notes on standard error, results on standard output."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamina.core.errors import LaminaError, SettingError
from lamina.verbs.fit import Fitting
from lamina.verbs.run import Run

__all__ = [
    "columns",
    "differences",
    "failed",
    "finished",
    "fitted",
    "layers",
    "metrics",
    "standard_input",
    "trials",
    "typed",
]

err = Console(stderr=True, highlight=False)
out = Console(highlight=False)
_EVERY_S = 5.0  # a line, where standard error is no terminal


# ------------------------------------------------------------------------------------------------------------ fit


def fitted(source: str | None, asked: dict[str, Any]) -> Run:
    """Fit with notes, a progress line, and signals that save before they end."""
    fitting = Fitting(source, **asked)
    if fitting.done:
        err.print(
            f"{fitting.folder} is finished. For more training: lamina fit --resume {fitting.folder} --budget MORE"
        )
        return fitting.run
    parts = fitting.parts
    for note in parts.notes:
        err.print(Text(f"  {note}", style="dim"))
    count = sum(p.numel() for p in parts.model.parameters())
    err.print(Text(f"  {parts.names['model']}: {count:,} parameters; run {fitting.folder}", style="dim"))
    progress = _Progress(fitting)
    _listen(fitting)
    for tick in fitting.ticks():
        progress.show(tick)
    progress.close()
    return fitting.run


def _listen(fitting: Fitting) -> None:
    """The first signal asks for a save and an end, a second one ends at once."""

    def heard(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        trainer = getattr(fitting, "trainer", None)
        if trainer is None:
            raise KeyboardInterrupt
        trainer.stop(signal.Signals(number).name)

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), heard)


class _Progress:
    """One line that is rewritten on a terminal; elsewhere, a line every few seconds."""

    def __init__(self, fitting: Fitting):
        self._fitting, self._last, self._began = fitting, 0.0, time.monotonic()
        self._loss, self._metric = "", ""
        self._live = err.is_terminal

    def show(self, tick: Any) -> None:
        if tick.means:
            parts = [f"{k} {v:.4g}" for k, v in tick.means.items() if "/" not in k and k != "lr"]
            self._loss = "  ".join(parts)
        if tick.metrics:
            name = self._fitting.trainer.judge.metric
            best = self._fitting.trainer.best or {}
            self._metric = f"{name} {tick.metrics[name]:.4g} (best {best.get('value', float('nan')):.4g})"
        now = time.monotonic()
        if now - self._last < (0.2 if self._live else _EVERY_S) and tick.step < tick.steps:
            return
        self._last = now
        share = tick.step / max(1, tick.steps)
        spent = now - self._began
        left = spent / share - spent if share else 0
        line = (
            f"  {'/'.join(tick.path)}  {tick.step:,}/{tick.steps:,}  {100 * share:3.0f} %  {tick.step / max(spent, 1e-9):,.0f} steps/s"
            f"  {_clock(left)} left  {self._loss}  {self._metric}"
        )
        if self._live:
            err.file.write("\r\x1b[2K" + line[: err.width - 1])
            err.file.flush()
        else:
            err.print(line, soft_wrap=True)

    def close(self) -> None:
        if self._live:
            err.file.write("\n")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def finished(run: Run) -> None:
    """The metrics beside the baseline, the folder, and what to do next."""
    about = run.about
    baselines = about.get("baseline") or {}
    table = Table(
        title=f"{about['task']['name']} on the {about['split']} split",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for heading, side in [
        ("", "left"),
        (about["model"]["name"], "right"),
        ("95 % interval", "right"),
        *((n, "right") for n in baselines),
    ]:
        table.add_column(heading, justify=side, overflow="fold")
    for name, value in (about.get("metrics") or {}).items():
        row = [name + (" *" if name == about["metric"] else ""), _figure(value), _interval(value)]
        table.add_row(*row, *(_figure(one.get(name)) for one in baselines.values()))
    out.print(table)
    for line in _verdict(about):
        out.print(line)
    folder, source = run.folder, about["source"]
    out.print(f"\nrun      {folder}   ({about['steps']:,} steps, {about['seconds']:.0f} s)", soft_wrap=True)
    out.print(
        f"next     lamina evaluate {folder}\n         lamina predict {folder} {source}\n         lamina show {folder}",
        soft_wrap=True,
    )


def _verdict(about: dict[str, Any]) -> list[str]:
    from lamina.metrics.names import improves

    metric = about["metric"]
    own = (about.get("metrics") or {}).get(metric, {}).get("value")
    others = {
        n: v[metric]["value"]
        for n, v in (about.get("baseline") or {}).items()
        if v.get(metric, {}).get("value") is not None
    }
    better = [n for n, v in others.items() if own is not None and not improves(metric, own, v)]
    if better:
        return [
            f"The network is not better than the simple baseline {better[0]!r} ({metric} {others[better[0]]:.4g}): take that, or more data or budget."
        ]
    return []


def _figure(value: dict[str, Any] | None) -> str:
    if not value or value["value"] is None:
        return "–"
    return f"{value['value']:,.4g}{' ' + value['unit'] if value.get('unit') else ''}"


def _interval(value: dict[str, Any]) -> str:
    return "" if None in (value["low"], value["high"]) else f"{value['low']:,.4g} to {value['high']:,.4g}"


# ------------------------------------------------------------------------------------------------------ the others


def metrics(values: dict[str, dict[str, Any]]) -> None:
    """A table of figures with intervals."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, side in (("metric", "left"), ("value", "right"), ("95 % interval", "right"), ("samples", "right")):
        table.add_column(heading, justify=side)
    for name, value in values.items():
        table.add_row(name, _figure(value), _interval(value), f"{value['count']:,}")
    out.print(table)


def columns(values: dict[str, list[Any]], written: str | None) -> None:
    """Answers as a table, or where they were written."""
    if written:
        out.print(f"{len(next(iter(values.values()), [])):,} answers in {written}")
        return
    if list(values) == ["text"]:
        for text in values["text"]:
            out.print(Text(str(text)), soft_wrap=True)
        return
    rows = list(zip(*values.values(), strict=True))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in values:
        table.add_column(Text(name))
    for row in rows[:1000]:
        table.add_row(*(Text(str(v)) for v in row))
    out.print(table)
    if len(rows) > 1000:
        err.print(f"… and {len(rows) - 1000:,} more; all of them: --out FILE.csv")


def layers(shown: dict[str, Any]) -> None:
    """A network's layers; or a page of documentation."""
    out.print(Text(f"{shown['name']}: {shown['about']}"))
    rows = shown.get("layers")
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(str(name), justify="left" if name in ("name", "type") else "right")
    for row in rows:
        table.add_row(*(Text(f"{v:,}" if isinstance(v, int) else "" if v is None else str(v)) for v in row.values()))
    out.print(table)
    field = f", receptive field {shown['receptive_field']}" if shown.get("receptive_field") else ""
    out.print(f"{shown['parameters']:,} parameters, {shown['flops']:,} FLOPs for one sample{field}")


def differences(found: dict[str, Any]) -> None:
    """A column a run: what differs, then the metrics."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", *found["runs"]):
        table.add_column(Text(name))
    for what, values in found["differ"].items():
        table.add_row(what, *(Text(str(v)) for v in values))
    for name, values in found["metrics"].items():
        marks = [" ≠" if apart else "" for apart in found["apart"][name]]
        table.add_row(
            name, *(f"{_figure(v)}  {_interval(v) if v else ''}{m}" for v, m in zip(values, marks, strict=True))
        )
    out.print(table)
    out.print("≠: the 95 % interval does not meet the first run's")


def trials(found: dict[str, Any]) -> None:
    """The trials of a study, best first."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("trial", found["metric"], *found["keys"]):
        table.add_column(Text(str(name)))
    for row in found["trials"][:20]:
        table.add_row(str(row["trial"]), _number(row["value"]), *(_number(row["set"].get(k)) for k in found["keys"]))
    out.print(table)
    out.print(f"study    {found['folder']}\nbest     {found['command']}", soft_wrap=True)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------------- input and errors


def typed(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as a mapping, each value read as a literal where it is one."""
    from lamina.core.settings import Argument, parse

    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"--set takes KEY=VALUE, but {pair!r} came.")
        out[key.strip()] = parse(text, Argument(key))
    return out


def standard_input(source: str | None) -> Any:
    """'-' stands for a table on standard input."""
    if source != "-":
        return source
    import tempfile

    with tempfile.NamedTemporaryFile("wb", suffix=".csv", prefix="standard-input-", delete=False) as file:
        file.write(sys.stdin.buffer.read())
    return Path(file.name)


def failed(error: LaminaError) -> int:
    """One message, and the exit status that goes with it."""
    reason = getattr(error, "reason", None)
    err.print(Text(f"lamina: {error}"), soft_wrap=True)
    if reason:
        folder = getattr(error, "folder", "RUN")
        err.print(Text(f"Go on with: lamina fit --resume {folder}"), soft_wrap=True)
        return 143 if reason == "SIGTERM" else 130
    return error.status
