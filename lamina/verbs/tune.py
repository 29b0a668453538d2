"""tune: try settings, each trial a run of its own, judged on the validation split; kept in SQLite and resumable."""

import contextlib
import json
import math
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.core import hub
from lamina.core.errors import DataError, LaminaError, MissingExtra, RunError, SettingError, UnknownName
from lamina.core.files import write_json
from lamina.core.seeds import mix
from lamina.train import checkpoint
from lamina.train.budget import Budget
from lamina.train.trainer import Stopped
from lamina.verbs.fit import Fitting, fit, fresh
from lamina.verbs.run import Run

__all__ = ["Range", "ranges", "tune"]

Range = dict[str, Any]  # {"low", "high", "log", "whole"}, {"choices"} or {"fixed"}
LOG = 100  # high / low from which a range is searched on a logarithmic scale
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SPAN = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*")


def tune(
    source: Any,
    *,
    set: Sequence[str] | Mapping[str, Any],
    trials: int = 20,
    budget: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Any = None,
    **asked: Any,
) -> dict[str, Any]:
    """Search over settings; the best first.

    Args:
        source: like fit's. set: KEY=RANGE: lr=1e-4..1e-1 (on a logarithmic scale where the ends are 100 apart),
            depth=1..4 (whole numbers), width=64|128|256, or a fixed value.
        trials: how many in all, those of a study that is gone on with counted. budget: of each.
        seed: of the search and of every trial. out: the study's folder; one that holds a study is gone on with.
        watch: called with each finished trial. asked: anything else that fit takes.

    Gives {"metric", "keys", "trials": [{"trial", "value", "set", "run"}], "folder", "command"}. A trial is judged by
    its best value on the validation split; the test split is not looked at for choosing. A trial that fails is listed
    with its "error" and ends nothing.

    Raises: MissingExtra without optuna; SettingError for a range that is none, or where every trial failed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtra("optuna", "tune", "lamina tune") from None
    keys = ranges(set)
    if trials < 1:
        raise SettingError(f"--trials counts trainings, at least 1; {trials} came.")
    if budget is not None:
        Budget.parse(budget)
    folder, source = _study_folder(out, source), hub.pinned(source, "datasets")
    recorded = {"source": _said(source), "set": keys, "seed": seed, "budget": budget} | {
        k: _said(v) for k, v in asked.items() if v is not None
    }
    _same(folder, recorded)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'study.db'}", study_name="lamina", direction="maximize", load_if_exists=True
    )
    if not (folder / "study.json").is_file():
        write_json(folder / "study.json", recorded)
    everything = {"budget": budget, "seed": seed, **asked}
    for trial, values in _pending(optuna, study, keys, trials, seed):
        _run(optuna, study, trial, values, folder, source, everything)
        if watch is not None:
            watch(_rows(study, folder, keys)[1])
    metric, rows = _rows(study, folder, keys)
    if all(row["value"] is None for row in rows):
        raise SettingError(f"All {len(rows)} trials of {folder} failed. The first: {rows[0].get('error', 'unknown')}")
    command = _command(source, rows[0]["set"], {"budget": budget, "seed": seed or None, **asked})
    return {"metric": metric, "keys": list(keys), "trials": rows, "folder": str(folder), "command": command}


def ranges(given: Sequence[str] | Mapping[str, Any]) -> dict[str, Range]:
    """KEY -> what is searched. Raises: SettingError where nothing is searched, or for a range the wrong way round."""
    pairs = [f"{k}={v}" for k, v in given.items()] if isinstance(given, Mapping) else list(given)
    found: dict[str, Range] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key or not text.strip():
            raise SettingError(f"--set takes KEY=RANGE, such as lr=1e-4..1e-1 or width=64|128|256, but {pair!r} came.")
        if key in found:
            raise SettingError(f"--set gives {key} twice. Keep one of them.")
        found[key] = _range(key, text.strip())
    if all("fixed" in one for one in found.values()):
        raise SettingError(
            "tune was given nothing to search: say at least one range, such as --set lr=1e-4..1e-1 or "
            "--set width=64|128|256."
        )
    return found


def _range(key: str, text: str) -> Range:
    span = _SPAN.fullmatch(text)
    if span:
        low, high = float(span[1]), float(span[2])
        if not low < high:
            raise SettingError(f"--set {key}={text}: the lower end comes first, and the two differ.")
        whole = all(re.fullmatch(r"[+-]?\d+", end) for end in span.groups())
        return {"low": low, "high": high, "log": low > 0 and high / low >= LOG, "whole": whole}
    if ".." in text:
        raise SettingError(f"--set {key}={text}: a range is LOW..HIGH, two numbers, such as 1e-4..1e-1.")
    if "|" in text:
        choices = [part.strip() for part in text.split("|")]
        if "" in choices or len(dict.fromkeys(choices)) < len(choices):
            raise SettingError(f"--set {key}={text}: choices are different values parted by |, such as 64|128|256.")
        return {"choices": choices}
    return {"fixed": text}


# -------------------------------------------------------------------------------------------------------- a trial


def _pending(
    optuna: Any, study: Any, keys: Mapping[str, Range], trials: int, seed: int
) -> Iterator[tuple[int, dict[str, str]]]:
    """Trials to run: first those that were cut off, then new ones, until there are as many as asked for."""
    states = optuna.trial.TrialState
    for old in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        if set(old.params) == {k for k, one in keys.items() if "fixed" not in one}:
            yield old.number, _spelled(keys, old.params)
        else:
            study.tell(old.number, state=states.FAIL)
    while len(study.get_trials(deepcopy=False)) < trials:
        # seeded by the trial's number, so that a study gone on with asks what an unbroken one would have asked
        number = len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(seed=mix(seed, "tune", number) % 2**32)
        trial = study.ask()
        yield (
            trial.number,
            _spelled(keys, {k: _suggest(trial, k, one) for k, one in keys.items() if "fixed" not in one}),
        )


def _suggest(trial: Any, key: str, one: Range) -> Any:
    if "choices" in one:
        return trial.suggest_categorical(key, one["choices"])
    if one["whole"]:
        return trial.suggest_int(key, int(one["low"]), int(one["high"]), log=one["log"])
    return trial.suggest_float(key, one["low"], one["high"], log=one["log"])


def _spelled(keys: Mapping[str, Range], values: Mapping[str, Any]) -> dict[str, str]:
    """Values as --set takes them, numbers to four digits, so that the printed command is the very trial."""
    out = {}
    for key, one in keys.items():
        value = one["fixed"] if "fixed" in one else values[key]
        out[key] = f"{value:.4g}" if isinstance(value, float) else str(value)
    return out


def _run(
    optuna: Any, study: Any, number: int, values: Mapping[str, str], folder: Path, source: Any, asked: Mapping[str, Any]
) -> None:
    place = folder / f"trial-{number}"
    store = study._storage
    trial_id = store.get_trial_id_from_study_id_trial_number(study._study_id, number)
    store.set_trial_user_attr(trial_id, "set", dict(values))
    try:
        run = _trained(place, source, {**asked, "set": [f"{k}={v}" for k, v in values.items()]})
        best = run.about.get("best")
        if not best:
            raise SettingError("tune judges by the validation split, and these data have none: give --valid.")
        store.set_trial_user_attr(trial_id, "metric", best["metric"])
        sign = 1 if run.about["better"] == "max" else -1
        store.set_trial_user_attr(trial_id, "sign", sign)
        study.tell(number, sign * best["value"])
    except (Stopped, UnknownName, DataError, RunError):
        raise
    except LaminaError as error:
        if str(error).startswith(("--set", "tune judges")):
            study.tell(number, state=optuna.trial.TrialState.FAIL)
            raise
        store.set_trial_user_attr(trial_id, "error", str(error))
        study.tell(number, state=optuna.trial.TrialState.FAIL)


def _trained(place: Path, source: Any, asked: dict[str, Any]) -> Run:
    """The trial's run: as it stands, gone on with, or new."""
    with contextlib.suppress(RunError):
        run = Run(place)
        if run.status == "done":
            return run
        if checkpoint.latest(place / "checkpoints"):
            objects = {k: v for k, v in asked.items() if v is not None and not isinstance(v, str | int | list)}
            again = {} if isinstance(source, str | Path) else {"source": source}
            return fit(resume=run, **again, **objects)
    if place.is_dir():
        shutil.rmtree(place)  # cut off before its first checkpoint
    fitting = Fitting(source, out=place, **asked)
    for _ in fitting.ticks():
        pass
    return fitting.run


# ------------------------------------------------------------------------------------------------------- the study


def _study_folder(out: str | Path | None, source: Any) -> Path:
    folder = Path(out) if out is not None else fresh(None, source, prefix="tune-")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "study.db").is_file())):
        raise RunError(
            f"--out {folder} exists and holds no study. Name another folder, or one that `lamina tune` made."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _same(folder: Path, recorded: Mapping[str, Any]) -> None:
    """A study gone on with asks the same question as before."""
    try:
        before = json.loads((folder / "study.json").read_text("utf-8"))
    except (OSError, ValueError):
        return
    other = [k for k in dict.fromkeys([*before, *recorded]) if before.get(k) != json.loads(json.dumps(recorded.get(k)))]
    if other:
        raise RunError(
            f"{folder} holds a study that was asked otherwise: {other[0]} was {before.get(other[0])!r}. "
            "Ask the same again to go on with it (more --trials is fine), or name another --out."
        )


def _rows(study: Any, folder: Path, keys: Mapping[str, Range]) -> tuple[str, list[dict[str, Any]]]:
    """The selecting metric, and every trial, the best first and the failed ones last."""
    metric, rows = "", []
    for trial in study.get_trials(deepcopy=False):
        state = trial.state.name
        if state not in ("COMPLETE", "FAIL"):
            continue
        metric = trial.user_attrs.get("metric", metric)
        sign = trial.user_attrs.get("sign", 1)
        row = {
            "trial": trial.number,
            "value": sign * trial.value if trial.value is not None and math.isfinite(trial.value) else None,
            "set": trial.user_attrs.get("set", {}),
            "run": str(folder / f"trial-{trial.number}"),
        }
        rows.append(
            (trial.value, row | ({"error": trial.user_attrs.get("error", "cut off")} if state == "FAIL" else {}))
        )
    rows.sort(key=lambda pair: (pair[0] is None, -(pair[0] or 0)))
    return metric, [row for _, row in rows]


def _command(source: Any, values: Mapping[str, str], asked: Mapping[str, Any]) -> str:
    """The shell's command that trains the best trial again."""
    words = ["lamina", "fit", _said(source)]
    for name, value in asked.items():
        if value is not None:
            words += [f"--{name}", ",".join(value) if isinstance(value, list) else _said(value)]
    for key, value in values.items():
        words += ["--set", f"{key}={value}"]
    return " ".join(shlex.quote(word) for word in words)


def _said(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float | Path) else f"<{type(value).__name__}>"
