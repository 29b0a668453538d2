"""A run: the folder in which a training happened, and the verbs that work on it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.core.errors import RunError, did_you_mean
from lamina.core.files import digest, read_sealed
from lamina.core.protocols import Field

__all__ = ["SCHEMA", "Run", "open"]

SCHEMA = 1


class Run:
    """A run folder, read when asked. Its methods are the verbs, one line each.

    own: the network, task and metrics that are one's own, which no folder holds; a run fresh from `fit` has them.
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
    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text("utf-8").splitlines()]

    def fields(self) -> dict[str, Field]:
        """The fitted fields, by column."""
        from lamina.core import names

        path = self.folder / "fields" / "fields.json"
        try:
            held = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is missing or damaged ({error}); without it this run cannot read data.") from error
        known = self.about.get("fields_sha256")
        if known and digest(path) != known:
            raise RunError(
                f"{path} is not what the run saved: its SHA-256 differs. Restore it from a copy, or fit anew."
            )
        out = {}
        for column, one in held.items():
            made, _ = names.load("fields", one["field"], trusted=False)
            out[column] = made.restore(column, one["state"])
        return out

    def evaluate(self, source: Any = None, **settings: Any) -> dict[str, Any]:
        """See `lamina.evaluate`."""
        from lamina.verbs.evaluate import evaluate

        return evaluate(self, source, **settings)

    def predict(self, source: Any = None, **settings: Any) -> Any:
        """See `lamina.predict`."""
        from lamina.verbs.predict import predict

        return predict(self, source, **settings)

    def model(self, **own: Any) -> Any:
        """The trained network, a plain `nn.Module` in evaluation mode. own: see `lamina.verbs.assemble.revive`."""
        from lamina.verbs.assemble import revive

        return revive(self, **own).model


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        near = did_you_mean(folder.name, [p.name for p in folder.parent.iterdir()]) if folder.parent.is_dir() else ""
        raise RunError(f"{folder} is no run folder: it has no run.json.{near} `lamina runs` lists the runs here.")
    about = read_sealed(path)
    schema = about.get("schema", 0)
    if schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}; this version of lamina reads up to {SCHEMA}. Update lamina.")
    return about


def open(folder: str | Path | Run) -> Run:
    """The run in a folder. Raises: RunError."""
    return folder if isinstance(folder, Run) else Run(folder)
