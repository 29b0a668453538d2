"""A run: the folder in which a training happened, and the verbs that work on it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.core.display import shown
from lamina.core.errors import MissingExtra, RunError, UserError, did_you_mean
from lamina.core.files import read_sealed
from lamina.core.protocols import Field
from lamina.core.untrusted import contents, document, fits, parsed, unlinked

__all__ = ["SCHEMA", "History", "Run", "learnt_from", "open"]

SCHEMA = 1
_NUMBER: Any = (float, None)
_FIGURES: dict[Any, Any] = {
    str: {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER, "count": int, "unit?": (str, None)}
}
_NAMED = {"name": str}
SHAPE: dict[str, Any] = {
    "schema": int, "status": str, "made": str, "source": str, "seed": int, "budget": str, "better": (str, None),
    "asked": {
        **dict.fromkeys(("task", "model", "method", "valid", "test", "budget", "device?"), (str, None)),
        "target": (str, [str], None), "set": ([str], None), "seed": int, "loss?": (str, None), "metrics?": (str, None),
    },
    "task": _NAMED, "model": {**_NAMED, "parameters": int}, "method": _NAMED, "settings": {str: dict},
    "data": {
        "name": str, "fingerprint": str, "inputs": [str], "targets": [str], "weight": (str, None), "sizes": dict,
        "splits": {str: int}, "skipped?": int,
    },
    "plan": dict, "steps": int, "seconds": float, "split?": str, "metric?": (str, None), "metrics?": _FIGURES,
    "baseline?": {str: _FIGURES}, "weights_sha256?": str, "fields_sha256?": str,
    "best?": ({"metric?": str, "value?": _NUMBER}, None), "inferred": [str], "versions": {str: str}, "reason?": str,
    "findings?": [{"level": str, "what": str, "where": str, "remedy": str}],
    "memory?": ({"peak": int, "of": str}, None), "hardware?": {"system?": str, "machine?": str, "cores?": (int, None)},
}  # fmt: skip


class Run:
    """A run folder, read when asked. Its methods are the verbs, one line each.

    own: the network, task, metrics and fields (by column) that are one's own, which no folder holds; a run fresh from
    `fit` has them.
    """

    def __init__(self, folder: str | Path, own: Mapping[str, Any] | None = None):
        self.folder, self.own = Path(folder), dict(own or {})
        self.about = _read(self.folder)

    def __repr__(self) -> str:
        about = self.about
        return f"<Run {self.folder}: {about['task']['name']}, {about['model']['name']}, {about['status']}>"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    @property
    def status(self) -> str:
        """running, stopped, failed or done."""
        return self.about["status"]

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics on the test split (or the validation split, where there is no test)."""
        return {name: value["value"] for name, value in (self.about.get("metrics") or {}).items()}

    @property
    def source(self) -> str:
        """What was learnt from, to be read again. Raises: RunError where that would run code that the run names."""
        return learnt_from(self.folder, self.about["source"])

    @property
    def history(self) -> "History":
        """The lines of metrics.jsonl; `history.frame()` gives them as a frame."""
        path = self.folder / "metrics.jsonl"
        try:
            return History(parsed(line) for line in contents(path).decode("utf-8").splitlines())
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}. Restore it from a copy.") from None

    def fields(self) -> dict[str, Field]:
        """The fitted fields, by column."""
        from lamina.core import names

        path = self.folder / "fields" / "fields.json"
        data = contents(path)
        known, store = self.about.get("fields_sha256"), self.folder / "checkpoints"
        if not known and store.is_dir():  # not done: its checkpoint seals them
            from lamina.train import checkpoint

            if last := checkpoint.latest(store):
                checkpoint.verify(last)
        if known and hashlib.sha256(data).hexdigest() != known:
            raise RunError(
                f"{path} is not what the run saved: its SHA-256 differs. Restore it from a copy, or fit anew."
            )
        out: dict[str, Field] = {}
        again = self.own.get("fields") or {}
        for column, one in document(path, {str: {"field": str, "state": dict}}, data=data).items():
            made = again.get(column, one["field"])
            if isinstance(made, str):
                try:
                    made, _ = names.load("fields", made, trusted=column in again)
                except RunError as error:
                    raise RunError(
                        f"{self.folder} reads {column!r} by the field {one['field']!r}, which is not part of lamina, "
                        "and opening a run never runs code that the run names. If you trust that code, give it again: "
                        f"types={{{column!r}: {one['field']!r}}}, in the shell --set data.types=…"
                    ) from error
            try:
                out[column] = made.restore(column, one["state"])
            except UserError:
                raise
            except Exception as error:
                raise RunError(
                    f"{path} is damaged: the {one['field']} {shown(column, 80)!r} cannot be restored "
                    f"({type(error).__name__}: {shown(error, 200)}). Restore it from a copy, or fit anew."
                ) from error
        return out

    def given(self, fields: Mapping[str, Any] | None) -> "Run":
        """The same run, with fields of one's own by column, each a class or its address."""
        return Run(self.folder, {**self.own, "fields": fields}) if fields else self

    def evaluate(self, source: Any = None, **settings: Any) -> dict[str, Any]:
        """See `lamina.evaluate`."""
        from lamina.verbs.evaluate import evaluate

        return evaluate(self, source, **settings)

    def predict(self, source: Any = None, **settings: Any) -> Any:
        """See `lamina.predict`."""
        from lamina.verbs.predict import predict

        return predict(self, source, **settings)

    def report(self, source: Any = None, **settings: Any) -> Path:
        """See `lamina.report`."""
        from lamina.verbs.report import report

        return report(self, source, **settings)

    def plot(self, kind: str = "loss", source: Any = None, **settings: Any) -> Any:
        """A figure of matplotlib of what the report shows: loss, metric, lr, confusion, … See `lamina.report`."""
        from lamina.verbs.report import plot

        return plot(self, kind, source, **settings)

    def _repr_html_(self) -> str:
        """The run in a notebook: what it is, its figures beside the baseline, where its report is."""
        from lamina.report.brief import brief

        return brief(self.folder, self.about)

    def model(self, **own: Any) -> Any:
        """The trained network, a plain `nn.Module` in evaluation mode. own: see `lamina.verbs.revive.revive`."""
        from lamina.verbs.revive import revive

        return revive(self, **own).model


class History(list[dict[str, Any]]):
    """The lines of a diary, in order: a list, and on request a frame."""

    def rows(self) -> list[dict[str, Any]]:
        """The lines without nesting: {'valid': {'accuracy': 1}} is {'valid/accuracy': 1}."""
        return [_flat(line) for line in self]

    def frame(self) -> Any:
        """A frame of pandas, or else of polars: a row a line, a column a name. Raises: MissingExtra without either."""
        rows = self.rows()
        names = dict.fromkeys(name for row in rows for name in row)
        try:
            import pandas
        except ImportError:
            try:
                import polars
            except ImportError:
                raise MissingExtra("pandas or polars", "tabular", "history.frame()") from None
            return polars.DataFrame({name: [row.get(name) for row in rows] for name in names}, strict=False)
        return pandas.DataFrame(rows, columns=list(names))

    def _repr_html_(self) -> str | None:
        try:
            return self.frame()._repr_html_()
        except MissingExtra:
            return None


def _flat(line: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in line.items():
        out |= _flat(value, f"{above}{name}/") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return out


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        near = did_you_mean(folder.name, [p.name for p in folder.parent.iterdir()]) if folder.parent.is_dir() else ""
        raise RunError(f"{folder} is no run folder: it has no run.json.{near} `lamina runs` lists the runs here.")
    unlinked(folder)
    about = read_sealed(path, {"schema": int})
    if about["schema"] > SCHEMA:
        raise RunError(f"{path} has schema {about['schema']}; this version of lamina reads up to {SCHEMA}. Update.")
    if wrong := fits(about, SHAPE):
        raise RunError(f"{path} is not what a run holds: {wrong}. Restore it from a copy, or fit anew.")
    return about


def learnt_from(folder: Path, source: str) -> str:
    """A source as a run names it. Raises: RunError for an object in memory, and for code to import."""
    if source.startswith("<"):
        raise RunError(f"{folder} learnt from an object in memory ({source}); give it again: fit(data, resume=…).")
    if source.startswith("gym:") and ":" in source.removeprefix("gym:"):
        raise RunError(
            f"{folder} names {source}, which imports a module, and opening a run never runs code that the run names. "
            f"If you trust that code, give it again: lamina fit {source} --resume {folder}"
        )
    return source


def open(folder: str | Path | Run) -> Run:
    """The run in a folder. Raises: RunError."""
    return folder if isinstance(folder, Run) else Run(folder)
