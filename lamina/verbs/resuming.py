"""Going on with a run: what it recorded, what has to be given again, and what is not as it was."""

import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lamina.core import names
from lamina.core.errors import RunError, SettingError
from lamina.core.settings import Argument, parse
from lamina.core.untrusted import fits
from lamina.fields import guess
from lamina.train import checkpoint
from lamina.verbs.record import versions
from lamina.verbs.run import Run, learnt_from

__all__ = ["checked", "different", "nonfinite", "recorded"]

_STATE = {"trainer": {"plan": dict, "step": int, "best": (dict, None), "marks": {str: int}, "budget": str},
          "clock": {"spent": float, "save_every": int}, "stage": dict}  # fmt: skip


def recorded(
    run: Run, source: Any, given: Mapping[str, Any], own: Mapping[str, Any], again: list[str]
) -> tuple[Any, dict[str, Any]]:
    """The source and what was asked, with objects and own code given again put in their places.

    again: settings given again, which may then name code. Raises: RunError where something has to be given again.
    """
    held = dict(run.about["asked"])
    source = run.source if source is None else source
    for pair in held["set"] or ():
        if pair not in again:
            _no_code(pair, run.folder)
    for name, value in own.items():
        was = held.pop(name, None)
        if was and value is None:
            raise RunError(f"{run.folder} was made with one's own {name} ({was}); give it again: fit({name}=…, …).")
    for name in ("valid", "test"):
        if str(held[name]).startswith("<") and name not in given:
            raise RunError(f"{run.folder} used an object in memory as {name} data; give it again: fit({name}=…).")
        if held[name] is not None and name not in given:
            learnt_from(run.folder, held[name])
    for name in ("task", "model", "method"):
        asked = held[name]
        if name in given or asked is None:
            continue
        if str(asked).startswith("<"):
            raise RunError(f"{run.folder} was made with one's own {name}, {asked}; give it again: fit({name}=…).")
        names.load(f"{name}s", asked, trusted=False)  # a folder does not choose code to run
    return source, held | dict(given)


def nonfinite(run: Run, again: list[str]) -> str | None:
    """The one setting that a run may be gone on with anew. Raises: SettingError for another."""
    before = run.about["asked"]["set"] or []
    found = None
    for pair in again:
        key, _, value = pair.partition("=")
        if key.strip() in ("nonfinite", "plan.nonfinite"):
            found = value.strip()
        elif pair not in before:
            raise SettingError(
                f"--set {pair}: a run that is gone on with keeps its settings; only plan.nonfinite and --budget can "
                f"change. Leave it out, or fit anew."
            )
    return found


def checked(folder: Path) -> tuple[dict[str, torch.Tensor], Any] | None:
    """The weights and the state of the last checkpoint, None where there is none."""
    store = folder / "checkpoints"
    last = checkpoint.latest(store) if store.is_dir() else None
    saved = checkpoint.load(last) if last else None
    if last and saved and (wrong := fits(saved[1], _STATE)):
        raise RunError(f"{last / 'meta.json'} is not what a training saves: {wrong}. Restore it from a copy.")
    return saved


def different(about: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """What bits depend on and is not as it was, a sentence each: then they may differ. plan: the checkpoint's."""
    now, was = versions(), about["versions"]
    found = [f"{name} is {now[name]} here and was {was.get(name)}" for name in now if was.get(name) != now[name]]
    if about["hardware"]["machine"] != platform.machine():
        found.append(f"the machine is {platform.machine()} and was {about['hardware']['machine']}")
    threads = plan.get("threads")
    if threads and threads > (most := max(torch.get_num_threads(), 1)):
        found.append(f"the run used {threads} threads and goes on with as many, of {most} here")
    return [f"{one}: its numbers may come out differently in their last digits" for one in found]


def _no_code(pair: str, folder: Path) -> None:
    """Refuse a recorded setting that names a field of one's own, which would be imported."""
    key, _, text = pair.partition("=")
    kinds = parse(text, Argument(key)) if key.strip() in ("types", "data.types") else None
    for kind in kinds.values() if isinstance(kinds, Mapping) else ():
        stem = str(kind).partition("(")[0]
        if stem not in guess.fields() and (":" in stem or names.find("fields", stem).entry.origin != "lamina"):
            raise RunError(
                f"{folder} names the field {stem!r}, which is not part of lamina, and opening a run never runs code "
                f"that the run names. If you trust that code, give it again: --set {shlex.quote(pair)}"
            )
