"""The command line: parses and prints. Everything it does is a public function of `lamina`."""

import json
import os
import sys
from typing import Annotated, Any

import typer

_ALL = "--help" in sys.argv and "all" in sys.argv[sys.argv.index("--help") :]
app = typer.Typer(
    name="lamina",
    help="One deep-learning system: every kind of network, every way of learning, the same few verbs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: room.argument=value.")]


def _rare(*names: str, help: str) -> Any:
    """An option that only `--help all` lists."""
    return typer.Option(*names, help=help, hidden=not _ALL)


def _out(value: Any, as_json: bool, words: Any) -> None:
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, default=str))
    else:
        words(value)


@app.command()
def fit(
    source: Annotated[str | None, typer.Argument(help="A file, a folder, a built-in such as digits, gym:ID.")] = None,
    target: Annotated[str | None, typer.Option(help="Column(s) to learn, parted by commas.")] = None,
    task: Annotated[str | None, typer.Option(help="What is asked; inferred from the columns.")] = None,
    model: Annotated[str | None, typer.Option(help="The network; see lamina models.")] = None,
    method: Annotated[str | None, typer.Option(help="The way of learning; see lamina methods.")] = None,
    budget: Annotated[str | None, typer.Option(help="10m, 20epochs or 5000steps.")] = None,
    valid: Annotated[str | None, typer.Option(help="Your own validation data.")] = None,
    test: Annotated[str | None, typer.Option(help="Your own test data.")] = None,
    weights: Annotated[str | None, typer.Option(help="Weights to start from: a file or a run.")] = None,
    set: Sets = None,
    out: Annotated[str | None, typer.Option(help="The run's folder.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run.")] = None,
    seed: Annotated[int, _rare("--seed", help="What all randomness is drawn from.")] = 0,
    device: Annotated[str, _rare("--device", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    epochs: Annotated[int | None, _rare("--epochs", help="The same as --budget Nepochs.")] = None,
    steps: Annotated[int | None, _rare("--steps", help="The same as --budget Nsteps.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network on your data."""
    from lamina.cli import terminal

    given = (
        [f"{epochs}epochs"] * (epochs is not None)
        + [f"{steps}steps"] * (steps is not None)
        + [budget] * (budget is not None)
    )
    if len(given) > 1:
        raise typer.BadParameter(f"one of --budget, --epochs and --steps; {', '.join(given)} came")
    asked = dict(target=target, task=task, model=model, method=method, budget=given[0] if given else None, valid=valid, test=test,
                 weights=weights, set=set, out=out, resume=resume, seed=seed, device=device)  # fmt: skip
    run = terminal.fitted(source, asked)
    _out(run.about, as_json, lambda _: terminal.finished(run))


@app.command()
def evaluate(run: str, source: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """A run's metrics, on its own test split or on other data."""
    import lamina
    from lamina.cli import terminal

    _out(lamina.evaluate(run, source), as_json, terminal.metrics)


@app.command()
def predict(
    run: str,
    source: Annotated[str | None, typer.Argument(help="A file, a folder, or - for lines on standard input.")] = None,
    text: Annotated[str | None, typer.Option(help="One text to answer or to go on with.")] = None,
    out: Annotated[str | None, typer.Option(help="Where to write: .csv, .jsonl, or .png for pictures.")] = None,
    set: Sets = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """A run's answers for new data."""
    import lamina
    from lamina.cli import terminal
    from lamina.core.settings import arguments  # noqa: F401  (the shell's values are typed by the task)

    given = terminal.typed(set or [])
    value = lamina.predict(run, terminal.standard_input(source), text=text, out=out, seed=seed, set=given)
    _out(value, as_json, lambda columns: terminal.columns(columns, out))


@app.command()
def show(name: str, set: Sets = None, as_json: Json = False) -> None:
    """Layers, shapes, parameters and FLOPs of a network or a run."""
    import lamina
    from lamina.cli import terminal

    _out(lamina.show(name, set=terminal.typed(set or [])), as_json, terminal.layers)


@app.command()
def compare(runs: list[str], as_json: Json = False) -> None:
    """What differs between runs."""
    import lamina
    from lamina.cli import terminal

    _out(lamina.compare(*runs), as_json, terminal.differences)


@app.command()
def tune(
    source: str,
    set: Annotated[
        list[str], typer.Option("--set", metavar="KEY=RANGE", help="lr=1e-4..1e-1, width=64|128|256, or fixed.")
    ],
    trials: Annotated[int, typer.Option(help="Trainings to try.")] = 20,
    target: Annotated[str | None, typer.Option(help="Column(s) to learn.")] = None,
    task: str | None = None,
    model: str | None = None,
    method: str | None = None,
    budget: Annotated[str | None, typer.Option(help="Of each trial: 1m, 5epochs, 500steps.")] = None,
    seed: int = 0,
    out: Annotated[str | None, typer.Option(help="The study's folder; an existing one is gone on with.")] = None,
    as_json: Json = False,
) -> None:
    """Search over settings."""
    import lamina
    from lamina.cli import terminal

    asked = dict(target=target, task=task, model=model, method=method, budget=budget, seed=seed)
    _out(lamina.tune(source, set=set, trials=trials, out=out, **asked), as_json, terminal.trials)


def _listing(name: str, about: str) -> None:
    def command(as_json: Json = False) -> None:
        from lamina.verbs import listing

        _out(getattr(listing, name)(), as_json, _rows)

    command.__doc__ = about
    app.command(name)(command)


def _rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        more = f"  [{', '.join(row['variants'])}]" if row.get("variants") else ""
        typer.echo(f"{row['name']:<18} {row['about']}{more}")


for _name, _about in (
    ("models", "The networks there are."),
    ("tasks", "What can be asked of data."),
    ("methods", "The ways of learning."),
    ("datasets", "The data sets that need no file."),
):
    _listing(_name, _about)


@app.command()
def runs(folder: str = "runs", as_json: Json = False) -> None:
    """The runs of a folder."""
    from lamina.verbs import listing

    def words(rows: list[dict[str, Any]]) -> None:
        if not rows:
            typer.echo(f"No runs in {folder}. Make one: lamina fit digits")
        for row in rows:
            figure = f"{row['metric']} {row['value']:.4g}" if row.get("value") is not None else ""
            parts = [row["run"], row["status"], row.get("task", ""), row.get("model", ""), figure]
            typer.echo("  ".join(f"{p:<14}" for p in parts).rstrip())

    _out(listing.runs(folder), as_json, words)


def main() -> None:
    """The `lamina` command: 0 done, 2 the input was wrong, 1 a fault of ours, 130 interrupted."""
    if _ALL:
        sys.argv.remove("all")
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
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
        typer.echo(f"lamina: {error.format_message()}\nTry: lamina --help", err=True)
        return 2
    import traceback

    traceback.print_exc()
    typer.echo(
        "lamina: this is a fault of lamina's, not of your input. Please report it with the lines above.", err=True
    )
    return 1


if __name__ == "__main__":
    main()
