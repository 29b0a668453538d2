"""What a person sees in the terminal: progress and notes on standard error, results on standard output."""

import contextlib
import signal
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from lamina.cli.tables import number
from lamina.core.display import shown
from lamina.core.errors import DataError, DataWarning, Interrupted, LaminaError, SettingError
from lamina.verbs.fit import Fitting
from lamina.verbs.run import Run

__all__ = ["failed", "fitted", "remarks", "say", "standard_input", "tried", "typed"]

err = Console(stderr=True, highlight=False, markup=False, emoji=False)
_EVERY_S = 5.0  # a line, where standard error is no terminal
_PIECE, _INPUT = 1 << 20, 1 << 30  # bytes of standard input: at once, and at most
_HELD = "\u2007"  # a space that lines are not cut at


# ------------------------------------------------------------------------------------------------------------ fit


def fitted(source: str | None, asked: dict[str, Any]) -> Run:
    """Fit with notes, a progress line, and signals that save before they end."""
    with _listening(asked.get("resume")) as listening:
        fitting = Fitting(source, **asked)
        listening.append(fitting)
        if fitting.done:
            say(f"{fitting.folder} is finished. For more training: lamina fit --resume {fitting.folder} --budget MORE")
            return fitting.run
        parts = fitting.parts
        for note in parts.notes:
            say(note)
        for finding in getattr(parts.data, "findings", []):
            say(f"warning: {finding}", style="yellow")
        count = sum(p.numel() for p in parts.model.parameters())
        say(f"{parts.names['model']}: {count:,} parameters; run {fitting.folder}")
        progress = _Progress(fitting)
        for tick in fitting.ticks():
            progress.show(tick)
    progress.close()
    return fitting.run


def say(note: str, style: str = "dim") -> None:
    """A note on standard error; on a terminal wrapped between words, never inside an option and its value."""
    note = shown(note)
    if not err.is_terminal:
        err.print(Text(f"  {note}"), soft_wrap=True)
        return
    held = note.replace("--set ", f"--set{_HELD}")
    width = max(30, err.width - 1)
    lines = textwrap.wrap(
        held, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )
    err.print(Text("\n".join(lines).replace(_HELD, " "), style=style), soft_wrap=True)


@contextlib.contextmanager
def _listening(resumed: str | None) -> Iterator[list[Fitting]]:
    """The first signal asks the fit that is put into the list for a save and an end, a second one ends at once."""
    listening: list[Fitting] = []

    def heard(number: int, frame: Any) -> None:
        for each in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, each), signal.SIG_DFL)
        name = signal.Signals(number).name
        trainer = getattr(listening[0], "trainer", None) if listening else None
        if trainer is None:  # before the first step: nothing was written that was not there
            again = f"\nGo on with: lamina fit --resume {resumed}" if resumed else ""
            err.print(Text(f"lamina: Stopped by {name} before the first step.{again}"), soft_wrap=True)
            raise SystemExit(128 + number)
        trainer.stop(name)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield listening
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """One line that is rewritten on a terminal; elsewhere, a line every few seconds."""

    def __init__(self, fitting: Fitting):
        self._fitting, self._last, self._began = fitting, 0.0, time.monotonic()
        self._loss, self._metric = "", ""
        self._live = err.is_terminal and not err.is_dumb_terminal  # TERM=dumb cannot rewrite a line

    def show(self, tick: Any) -> None:
        while self._fitting.trainer.warnings:
            if self._live:
                err.file.write("\r\x1b[2K")
            say(f"warning: {self._fitting.trainer.warnings.popleft()}", style="yellow")
        if tick.means:
            parts = [f"{k} {v:.4g}" for k, v in tick.means.items() if "/" not in k and k != "lr"]
            self._loss = "  ".join(parts)
        if tick.metrics:
            name = self._fitting.parts.task.metric
            best = self._fitting.trainer.best or {}
            self._metric = f"{name} {tick.metrics[name]:.4g} (best {best.get('value', float('nan')):.4g})"
        now = time.monotonic()
        if now - self._last < (0.2 if self._live else _EVERY_S) and tick.step < tick.steps:
            return
        self._last = now
        share = tick.step / max(1, tick.steps)
        spent = now - self._began
        left = spent / share - spent if share else 0
        parts = [
            f"  {'/'.join(tick.path)}  {tick.step:,}/{tick.steps:,}  {100 * share:3.0f} %",
            f"{tick.step / max(spent, 1e-9):,.0f} steps/s  {_clock(left)} left",
            self._loss,
            self._metric,
        ]
        line = shown("  ".join(part for part in parts if part))
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


def tried(rows: list[dict[str, Any]]) -> None:
    """One line for each trial that has just ended."""
    latest = max(rows, key=lambda row: row["trial"])
    ended = f"failed: {latest['error']}" if latest.get("error") else number(latest["value"])
    best = f"  (best {number(rows[0]['value'])} of trial {rows[0]['trial']})" if rows[0]["value"] is not None else ""
    how = "  ".join(f"{k}={v}" for k, v in latest["set"].items())
    err.print(Text(shown(f"  trial {latest['trial']}  {ended}  {how}{best}")), soft_wrap=True)


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


@contextlib.contextmanager
def remarks() -> Iterator[None]:
    """What a verb warns of in the data, as notes."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", DataWarning)
        try:
            yield
        finally:
            for warning in heard:
                if issubclass(warning.category, DataWarning):
                    say(f"warning: {warning.message}", style="yellow")


@contextlib.contextmanager
def standard_input(source: str | None) -> Iterator[str | None]:
    """'-' stands for a table on standard input: CSV, or JSON lines where it begins with a brace."""
    if source != "-":
        yield source
        return
    piece = sys.stdin.buffer.read(_PIECE)
    if not piece.strip():
        raise DataError("Standard input is empty, where a table (CSV, or JSON lines) was expected.")
    with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
        path = Path(folder, "standard-input" + (".jsonl" if piece.lstrip()[:1] == b"{" else ".csv"))
        with path.open("wb") as file:
            while piece:
                file.write(piece)
                if b"\0" in piece or file.tell() > _INPUT:  # no table, or no end: the reader says it
                    break
                piece = sys.stdin.buffer.read(_PIECE)
            if file.tell() > _INPUT:
                raise DataError(f"Standard input goes on after {_INPUT:,} bytes. Write it to a file, and name that.")
        yield str(path)


def failed(error: LaminaError) -> int:
    """One message, and the exit status that goes with it."""
    reason = getattr(error, "reason", None)
    err.print(Text(shown(f"lamina: {error}")), soft_wrap=True)
    if isinstance(error, Interrupted) and error.folder is not None:
        err.print(Text(shown(f"Go on with: lamina fit --resume {error.folder}")), soft_wrap=True)
    if reason:
        again = getattr(error, "again", f"lamina fit --resume {getattr(error, 'folder', 'RUN')}")
        err.print(Text(shown(f"Go on with: {again}")), soft_wrap=True)
        return 143 if reason == "SIGTERM" else 130
    return error.status
