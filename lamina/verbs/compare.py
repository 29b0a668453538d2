"""compare: what differs between runs, in settings, data and metrics."""

from pathlib import Path
from typing import Any

from lamina.core.errors import SettingError
from lamina.verbs import run as runs

__all__ = ["compare"]


def compare(*folders: str | Path | runs.Run) -> dict[str, Any]:
    """{'runs': names, 'differ': {what: a value a run}, 'metrics': {name: a figure with its interval a run}}.

    A metric whose intervals do not overlap with the first run's is marked in 'apart'.
    """
    if len(folders) < 2:
        raise SettingError("compare needs at least two runs: lamina compare RUN RUN")
    opened = [runs.open(folder) for folder in folders]
    flat = [_flat(run.about) for run in opened]
    keys = list(dict.fromkeys(k for one in flat for k in one))
    differ = {k: [one.get(k) for one in flat] for k in keys if len({repr(one.get(k)) for one in flat}) > 1}
    names = list(dict.fromkeys(k for run in opened for k in run.about.get("metrics") or {}))
    metrics = {k: [(run.about.get("metrics") or {}).get(k) for run in opened] for k in names}
    apart = {k: [_apart(values[0], value) for value in values] for k, values in metrics.items()}
    return {"runs": [str(run.folder) for run in opened], "differ": differ, "metrics": metrics, "apart": apart}


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    """What was asked and what the data were, a line each."""
    out = {"source": about["source"], "seed": about["seed"], "budget": about["budget"], "steps": about.get("steps")}
    out |= {room: about[room]["name"] for room in ("task", "model", "method")}
    out |= {"parameters": about["model"].get("parameters"), "fingerprint": about["data"]["fingerprint"][:12]}
    out |= {f"{room}.{k}": v for room, values in about["settings"].items() for k, v in values.items()}
    return out | {f"plan.{k}": v for k, v in (about.get("plan") or {}).items()}


def _apart(first: dict[str, Any] | None, other: dict[str, Any] | None) -> bool | None:
    if not first or not other or None in (first["low"], first["high"], other["low"], other["high"]):
        return None
    return other["low"] > first["high"] or other["high"] < first["low"]
