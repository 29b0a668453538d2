"""The weights that a run answers with: its best, or, where it has none yet, those of its last checkpoint."""

import warnings
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lamina.core.errors import DataWarning, RunError
from lamina.core.files import digest
from lamina.core.untrusted import tensors
from lamina.train import checkpoint
from lamina.verbs.run import Run

__all__ = ["held", "read", "sure"]


def held(run: Run) -> tuple[Path, dict[str, Tensor] | None]:
    """The run's model.safetensors, checked; or the last checkpoint, of a run without, and the weights in it.

    Warns: DataWarning in the latter case. Raises: RunError where neither is there, or not as the run saved it.
    """
    path = run.folder / "model.safetensors"
    if path.is_file():
        sure(run, path)
        tensors(path)
        return path, None
    last, saved = _last(run)
    again = f"Go on with: lamina fit --resume {run.folder}"
    if last is None:
        raise RunError(f"{run.folder} holds no weights yet: its training is {run.status}. {again}")
    weights, state = saved
    best = state["trainer"]["best"]
    if run.about.get("weights_sha256") or (best and best.get("step") != state["trainer"]["step"]):
        raise RunError(f"{path} is missing, and its last checkpoint holds later weights. Restore it from a copy.")
    module = state["stage"].get("judged")
    prefix = f"{module}." if any(k.startswith(f"{module}.") for k in weights) else "level0.model."
    warnings.warn(
        f"{run.folder} holds no best weights yet (its training is {run.status}): these are of its last checkpoint, "
        f"{last.name}, after {state['trainer']['step']:,} updates. {again}",
        DataWarning,
        stacklevel=4,
    )
    return last / "weights.safetensors", {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def sure(run: Run, path: Path) -> None:
    """Refuse weights that are not there, or not as the run saved them. Raises: RunError."""
    again = f"Go on with: lamina fit --resume {run.folder}"
    if not path.is_file():
        raise RunError(f"{run.folder} holds no model.safetensors yet: its training is {run.status}. {again}")
    known = {run.about["weights_sha256"]} if run.about.get("weights_sha256") else _best(run)
    if digest(path) not in known:
        cure = "Restore it from a copy, or fit anew."
        if run.status != "done" and known:
            cure = f"{again}, which makes good what a kill cut off; else restore it from a copy, or fit anew."
        raise RunError(f"{path} is not what the run saved: its SHA-256 differs. {cure}")


def _best(run: Run) -> set[str]:
    """SHA-256 of the best weights, as a run that is not done knows them: from run.json and from its last checkpoint."""
    _, saved = _last(run)
    told = [run.about.get("best"), saved[1]["trainer"]["best"] if saved else None]
    return {best["sha256"] for best in told if best and "sha256" in best}


def _last(run: Run) -> tuple[Path | None, Any]:
    """The last checkpoint, and what it holds."""
    store = run.folder / "checkpoints"
    last = checkpoint.latest(store) if store.is_dir() else None
    return last, checkpoint.load(last) if last else None


def read(path: Path) -> dict[str, Tensor]:
    """What a weights file holds, from bytes: a file that is replaced under a memory map kills the process."""
    return safetensors.torch.load(path.read_bytes())
