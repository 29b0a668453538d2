"""The command line: parses and prints. Everything it does is a public function of `lamina`."""

import errno
import math
import os
import shutil
import sys
import textwrap
from typing import Annotated, Any

import typer

from lamina.core import display

_ALL = "--help" in sys.argv and "all" in sys.argv[sys.argv.index("--help") :]
app = typer.Typer(
    name="lamina",
    help="One deep-learning system: every kind of network, every way of learning, the same few verbs.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# A path that the system refuses is the user's to mend, wherever it was met.
_OF_THE_MACHINE = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR,
                   errno.EISDIR, errno.ENOENT, errno.ENXIO, errno.EIO}  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: room.argument=value.")]
Source = Annotated[
    str | None, typer.Argument(metavar="SOURCE", help="A file, a folder, a built-in such as digits, gym:ID, hf:NAME.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder; see lamina runs.")]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column(s) to learn, parted by commas.")]
Task = Annotated[str | None, typer.Option(metavar="NAME", help="What is asked; inferred from the columns.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="The network; see lamina models.")]
OwnModel = Annotated[str | None, typer.Option(metavar="MODULE:CLASS", help="The run's network, where it is your own.")]
OwnTask = Annotated[str | None, typer.Option(metavar="MODULE:CLASS", help="The run's task, where it is your own.")]
Method = Annotated[str | None, typer.Option(metavar="NAME", help="The way of learning; see lamina methods.")]


def _rare(*names: str, metavar: str, help: str) -> Any:
    """An option that only `--help all` lists."""
    return typer.Option(*names, metavar=metavar, help=help, hidden=not _ALL)


def _out(value: Any, as_json: bool, words: Any) -> None:
    if as_json:
        typer.echo(display.as_json(_plain(value)))
    else:
        words(value)


def _plain(value: Any) -> Any:
    """Plain data: arrays as lists, and null for numbers that JSON lacks."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | type(None)) else str(value)


@app.command()
def fit(
    source: Source = None,
    target: Target = None,
    task: Task = None,
    model: Model = None,
    method: Method = None,
    budget: Annotated[str | None, typer.Option(metavar="HOW_LONG", help="10m, 20epochs or 5000steps.")] = None,
    valid: Annotated[str | None, typer.Option(metavar="SOURCE", help="Your own validation data.")] = None,
    test: Annotated[str | None, typer.Option(metavar="SOURCE", help="Your own test data.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FILE|RUN", help="Weights to start from; or hf:NAME.")] = None,
    set: Sets = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="The run's folder.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run.")] = None,
    seed: Annotated[int, _rare("--seed", metavar="N", help="What all randomness is drawn from.")] = 0,
    device: Annotated[str, _rare("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    epochs: Annotated[int | None, _rare("--epochs", metavar="N", help="The same as --budget Nepochs.")] = None,
    steps: Annotated[int | None, _rare("--steps", metavar="N", help="The same as --budget Nsteps.")] = None,
    as_json: Annotated[bool, _rare("--json", metavar="", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a network on your data."""
    said = [f"--{k} {v}" for k, v in (("budget", budget), ("epochs", epochs), ("steps", steps)) if v is not None]
    if len(said) > 1:
        raise typer.BadParameter(f"Say how long once: {' and '.join(said)} came.")
    from lamina.cli import tables, terminal

    long = budget if epochs is None else f"{epochs}epochs"
    long = long if steps is None else f"{steps}steps"
    asked = dict(
        target=target, task=task, model=model, method=method, budget=long, valid=valid, test=test,
        weights=weights, set=set, out=out, resume=resume, seed=seed, device=device,
    )  # fmt: skip
    run = terminal.fitted(source, asked)
    _out(run.about, as_json, lambda _: tables.finished(run))


@app.command()
def evaluate(
    run: RunName,
    source: Source = None,
    model: OwnModel = None,
    task: OwnTask = None,
    as_json: Json = False,
) -> None:
    """A run's metrics, on its own test split or on other data."""
    import lamina
    from lamina.cli import tables, terminal

    with terminal.remarks():
        value = lamina.evaluate(run, source, model=model, task=task)
    _out(value, as_json, tables.metrics)


@app.command()
def predict(
    run: RunName,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="A file, a folder, or - for standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="One text to answer or to go on with.")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where to write: .csv, .jsonl, or .png.")] = None,
    set: Sets = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of what is drawn at random.")] = 0,
    model: OwnModel = None,
    task: OwnTask = None,
    as_json: Json = False,
) -> None:
    """A run's answers for new data."""
    import lamina
    from lamina.cli import tables, terminal

    given = terminal.typed(set or [])
    with terminal.remarks(), terminal.standard_input(source) as read:
        value = lamina.predict(run, read, text=text, out=out, seed=seed, set=given, model=model, task=task)
    _out(value, as_json, lambda columns: tables.columns(columns, out))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A network, a task, a method, a data set, or a run.")],
    set: Sets = None,
    model: OwnModel = None,
    task: OwnTask = None,
    as_json: Json = False,
) -> None:
    """Layers, shapes, parameters and FLOPs of a network or a run."""
    import lamina
    from lamina.cli import tables, terminal

    shown = lamina.show(name, set=terminal.typed(set or []), model=model, task=task)
    _out(shown, as_json, tables.layers)


@app.command()
def report(
    run: RunName,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="The data, where they lie elsewhere now.")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where to write; RUN/report.html.")] = None,
    model: OwnModel = None,
    task: OwnTask = None,
    as_json: Json = False,
) -> None:
    """A run as one page: data, curves, figures, mistakes, model card."""
    import lamina
    from lamina.cli import terminal

    with terminal.remarks():
        path = lamina.report(run, source, out=out, model=model, task=task)
    _out({"report": str(path)}, as_json, lambda found: typer.echo(display.shown(found["report"])))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Folders of runs.")], as_json: Json = False
) -> None:
    """What differs between runs."""
    import lamina
    from lamina.cli import tables

    _out(lamina.compare(*runs), as_json, tables.differences)


@app.command()
def tune(
    source: Source = None,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=RANGE", help="lr=1e-4..1e-1, width=64|128|256, depth=1..4, or fixed."),
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="Trainings to try, earlier ones counted.")] = 20,
    target: Target = None,
    task: Task = None,
    model: Model = None,
    method: Method = None,
    budget: Annotated[
        str | None, typer.Option(metavar="HOW_LONG", help="Of each trial: 1m, 5epochs, 500steps.")
    ] = None,
    valid: Annotated[str | None, typer.Option(metavar="SOURCE", help="Your own validation data.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the search and of every trial.")] = 0,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The study; one that exists is gone on with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search over settings."""
    if source is None:
        raise typer.BadParameter("tune needs a source: lamina tune digits --set lr=1e-4..1e-1")
    import lamina
    from lamina.cli import tables, terminal

    asked: dict[str, Any] = dict(
        target=target, task=task, model=model, method=method, budget=budget, valid=valid, seed=seed
    )
    found = lamina.tune(source, set=set or [], trials=trials, out=out, watch=terminal.tried, **asked)
    _out(found, as_json, tables.trials)


def _listing(name: str, about: str) -> None:
    def command(as_json: Json = False) -> None:
        from lamina.verbs import listing

        _out({name: getattr(listing, name)()}, as_json, lambda found: _rows(found[name]))

    command.__doc__ = about
    app.command(name)(command)


def _rows(rows: list[dict[str, Any]]) -> None:
    """A name and what it is, a line each; variants under it. On a terminal, wrapped to its width."""
    wide = max((len(row["name"]) for row in rows), default=0) + 2
    across = shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else 10_000
    for row in rows:
        origin = f" ({row['from']})" if row["from"] != "lamina" else ""
        lines = [f"{row['name']:<{wide}}{row['about']}{origin}"]
        if "task" in row:
            missing = "" if row["installed"] else f"; not installed: {row['install']}"
            lines.append(" " * wide + f"{row['task']}, {row['size']}{missing}")
        if row.get("variants"):
            lines.append(" " * wide + "also " + ", ".join(row["variants"]))
        for line in lines:
            typer.echo(textwrap.fill(display.shown(line), max(wide + 20, across), subsequent_indent=" " * wide))


for _name, _about in (
    ("models", "The networks there are."),
    ("tasks", "What can be asked of data."),
    ("methods", "The ways of learning."),
    ("datasets", "The data sets that need no file."),
):
    _listing(_name, _about)


@app.command()
def runs(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the runs are.")] = "runs", as_json: Json = False
) -> None:
    """The runs of a folder."""
    from lamina.verbs import listing

    def words(found: dict[str, Any]) -> None:
        rows = found["runs"]
        if not rows:
            typer.echo(f"No runs in {display.shown(folder)}. Make one: lamina fit digits")
        cells = []
        for row in rows:
            figure = f"{row['metric']} {row['value']:.4g}" if row.get("value") is not None else ""
            parts = row["run"], row["status"], row.get("task", ""), row.get("model", ""), figure
            cells.append([display.shown(part, 200) for part in parts])
        wide = [max(len(line[i]) for line in cells) for i in range(5)] if cells else []
        for line in cells:
            typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, wide, strict=True)).rstrip())

    _out({"runs": listing.runs(folder)}, as_json, words)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from lamina import __version__

        typer.echo(f"lamina {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """The `lamina` command: 0 done, 2 the input was wrong, 1 a fault of ours, 130 interrupted."""
    if _ALL:
        sys.argv.remove("all")
    try:
        status = app(standalone_mode=False)
        if isinstance(status, int) and status:  # typer gives back what it took from an Exit or an interrupt
            sys.exit(status)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("lamina: interrupted.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_failed(error))


def _failed(error: Exception) -> int:
    """Print one message, and give the exit status."""
    from lamina.core.errors import LaminaError

    if isinstance(error, LaminaError):
        from lamina.cli import terminal

        return terminal.failed(error)
    if hasattr(error, "format_message"):  # a wrong option, by click's own error
        context = getattr(error, "ctx", None)
        verb = f"lamina {context.info_name}" if context is not None and context.parent is not None else "lamina"
        typer.echo(f"lamina: {display.shown(error.format_message())}\nTry: {verb} --help", err=True)
        return 2
    if isinstance(error, OSError) and error.filename is not None and error.errno in _OF_THE_MACHINE:
        what = f"{display.shown(error.filename, 200)}: {error.strerror}"
        typer.echo(f"lamina: {what}. Name another path, or mend what refuses this one.", err=True)
        return 2
    import traceback

    traceback.print_exc()
    typer.echo(
        "lamina: this is a fault of lamina's, not of your input. Please report it with the lines above.", err=True
    )
    return 1


if __name__ == "__main__":
    main()
