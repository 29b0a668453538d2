"""The words of a report: what was asked and inferred, how it ended, what it is for and what not, how to repeat it."""

import itertools
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.report.blocks import Cell, Lines, Table, number
from lamina.report.curves import number_of

__all__ = ["asked", "command", "findings", "fits", "headline", "limits", "machine", "metrics", "model"]


MOST = 100  # rows of a list that a stranger may have made


# ------------------------------------------------------------------------------------------------------------ headline


def headline(about: Mapping[str, Any]) -> dict[str, Any]:
    """The figure that counts, the best baseline beside it, and a sentence that weighs them."""
    metric = about.get("metric") or (about.get("best") or {}).get("metric")
    own = (about.get("metrics") or {}).get(metric) or {}
    value = own.get("value")
    if about["status"] != "done" or value is None:
        return {"metric": "", "value": "", "verdict": _unfinished(about), "mood": "bad"}
    sign = -1 if about.get("better") == "min" else 1
    rivals = {n: (v.get(metric) or {}).get("value") for n, v in (about.get("baseline") or {}).items()}
    rivals = {n: v for n, v in rivals.items() if v is not None}
    best = max(rivals, key=lambda n: sign * float(rivals[n] or 0.0), default=None)
    interval = "" if None in (own.get("low"), own.get("high")) else f"{number(own['low'])} to {number(own['high'])}"
    out = {
        "metric": metric, "value": number(value), "unit": own.get("unit", ""), "interval": interval,
        "count": f"{own['count']:,}", "split": about.get("split", ""),
        "better": "less is better" if sign < 0 else "more is better",
    }  # fmt: skip
    if best is None:
        return out | {"baseline": "", "verdict": "There is no simple baseline for this.", "mood": ""}
    rival = float(rivals[best] or 0.0)
    out |= {"baseline": best, "baseline_value": number(rival)}
    if not sign * value > sign * rival:
        words = f"The network is not better than the simple baseline {best} ({number(rival)})."
        return out | {"verdict": words, "mood": "bad"}
    edge: float | None = own.get("low") if sign > 0 else own.get("high")
    words = f"Better than the simple baseline {best} ({number(rival)})"
    if edge is None:
        return out | {"verdict": words + ".", "mood": "good"}
    if sign * edge > sign * rival:
        return out | {"verdict": words + ", by more than its 95 % interval.", "mood": "good"}
    return out | {"verdict": words + ", but not by more than its 95 % interval: it may be chance.", "mood": "bad"}


def _unfinished(about: Mapping[str, Any]) -> str:
    words = {"running": "It is still running, or was killed", "stopped": "It was stopped", "failed": "It failed"}
    reason = f" ({about['reason']})" if about.get("reason") and about["status"] != "running" else ""
    at = f" after {about.get('steps', 0):,} updates"
    return f"{words.get(about['status'], 'It is not done')}{at}{reason}. What it is worth is measured when it is done."


# ---------------------------------------------------------------------------------------------------- asked, inferred


def asked(about: Mapping[str, Any]) -> list[Any]:
    """What was asked, and what was inferred, with the option that says otherwise."""
    held = about["asked"]
    rows = [["source", about["source"]]]
    for name in ("target", "task", "model", "method", "budget", "valid", "test", "weights", "loss", "metrics"):
        value = held.get(name)
        if value is not None:
            rows.append([name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)])
    rows += [["set", pair] for pair in (held.get("set") or ())[:MOST]]
    rows.append(["seed", str(about["seed"])])
    inferred = []
    for note in about["inferred"][:MOST]:
        words, _, rest = str(note).rpartition(" (")
        why, option = rest.split("; --", 1) if "; --" in rest else ("", rest)
        option = f"--{option}" if why else option
        given = option.endswith(")") and option.startswith("--")
        inferred.append([words + (f" ({why})" if why else ""), option[:-1]] if given else [str(note), ""])
    found: list[Any] = [Table("Asked", ["what", "as given"], rows, left=2)]
    if inferred:
        found.append(Table("Inferred", ["what, and why", "to say otherwise"], inferred, left=2))
    return found


def command(about: Mapping[str, Any]) -> str:
    """The line that makes this run again."""
    held = about["asked"]
    words = ["lamina", "fit", about["source"]]
    for name in ("target", "task", "model", "method", "valid", "test", "weights"):
        value = held.get(name)
        if value is not None:
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    words += ["--budget", about["budget"]]
    for pair in held.get("set") or ():
        words += ["--set", pair]
    if held.get("device") not in (None, "auto"):
        words += ["--device", held["device"]]
    return shlex.join([*words, "--seed", str(about["seed"])])


# ------------------------------------------------------------------------------------------------------------- results


def metrics(about: Mapping[str, Any]) -> list[Any]:
    """All figures with their intervals, the baselines beside them."""
    values, rivals = about.get("metrics") or {}, about.get("baseline") or {}
    if not values:
        return []
    main = about.get("metric")
    rows = []
    for name in sorted(values, key=lambda n: n != main):
        value = values[name]
        unit = f" {value['unit']}" if value.get("unit") else ""
        interval = "" if None in (value["low"], value["high"]) else f"{number(value['low'])} – {number(value['high'])}"
        cells: list[Any] = [name + (" ★" if name == main and len(values) > 1 else "")]
        cells += [Cell(number(value["value"]) + unit, mood="main" if name == main else ""), interval or "–"]
        for rival in rivals.values():
            cells.append(number((rival.get(name) or {}).get("value")))
        rows.append([*cells, f"{value['count']:,}"])
    note = f"Over the whole {about.get('split', 'test')} split."
    note += " ★ is the figure that picked the best weights." if len(values) > 1 else ""
    if about.get("split") == "train":
        note += " There is no test or validation split: these rows were learnt from, so the figures flatter."
    elif about.get("split") == "valid":
        note += " There is no test split, and these rows picked the best weights, so the figures flatter a little."
    head = ["metric", "network", "95 % interval", *(f"baseline {n}" for n in rivals), "samples"]
    return [Table("Metrics beside the baseline", head, rows, note)]


def findings(
    about: Mapping[str, Any], events: Sequence[Mapping[str, Any]], skipped: Sequence[tuple[str, str]]
) -> list[Any]:
    """What the look before the first step found, what happened on the way, and the rows left out."""
    found: list[Any] = []
    rows = []
    for one in (about.get("findings") or ())[:MOST]:
        level = str(one.get("level", ""))
        cell = Cell(level, mood="bad" if level == "error" else "warn")
        rows.append([cell, str(one.get("where", "")), str(one.get("what", "")), str(one.get("remedy", ""))])
    if rows:
        found.append(Table("Before the first step", ["level", "where", "what", "what to do"], rows, left=4))
    else:
        found.append(Lines(["The look at the data before the first step found nothing to remark on."]))
    told = [_event(e) for e in events if e.get("event") not in ("stage", None)]
    if told:
        found.append(Lines(told[:50], "On the way", listed=True))
    if skipped:
        note = f"The first {len(skipped)}; all stand in skipped.csv." if len(skipped) >= 20 else ""
        found.append(Table("Left out", ["where", "why"], [list(s) for s in skipped], note, left=2))
    return found


def _event(event: Mapping[str, Any]) -> str:
    words = {k: v for k, v in event.items() if k not in ("event", "path")}
    said = ", ".join(f"{k} {v}" for k, v in words.items())
    return f"{event['event']}{': ' + said if said else ''}"


def machine(about: Mapping[str, Any], pace: float | None, weights: int | None) -> list[Any]:
    """What the run used, and how fast it was."""
    plan, hardware = about.get("plan") or {}, about.get("hardware") or {}
    rows = [["training time", f"{_time(about['seconds'])}, evaluations included"], ["updates", f"{about['steps']:,}"]]
    if pace:
        rows.append(["updates a second (median)", number(pace)])
    rows.append(["parameters", f"{about['model']['parameters']:,}"])
    if weights:
        rows.append(["weights on disk", _bytes(weights)])
    if peak := (about.get("memory") or {}).get("peak"):
        rows.append([f"memory of the {about['memory']['of']}, peak", _bytes(peak)])
    told = ", ".join(str(plan[k]) for k in ("device", "precision", "layout") if plan.get(k))
    rows.append(["device, number format, layout", told])
    rows.append(["threads", str(plan.get("threads", ""))])
    if hardware:
        words = [str(hardware[k]) for k in ("system", "machine") if hardware.get(k)]
        rows.append(["machine", ", ".join(words) + (f", {hardware['cores']} cores" if hardware.get("cores") else "")])
    rows.append(["versions", ", ".join(f"{k} {v}" for k, v in about["versions"].items())])
    return [Table("Used", ["what", "value"], [r for r in rows if r[1]], left=2)]


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours = f"{whole // 3600} h " if whole >= 3600 else ""
    return f"{hours}{whole % 3600 // 60} min {whole % 60} s"


def _bytes(count: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


# ---------------------------------------------------------------------------------------------------------- model card


def model(about: Mapping[str, Any], told: Mapping[str, str], layers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the network is, what it is for, what it learnt from, where it ends, and the command that repeats it."""
    kinds = about["settings"].get("model") or {}
    rows = [["network", f"{about['model']['name']}, {about['model']['parameters']:,} parameters"]]
    rows += [[name, words] for name, words in told.items() if words]
    rows += [[f"setting {k}", str(v)] for k, v in kinds.items()]
    rows.append(["made", str(about.get("made", ""))])
    found: list[Any] = [Table("What it is", ["what", "value"], rows, left=2), Lines(fits(about), "Intended use")]
    found.append(Lines(limits(about), "Limits", listed=True))
    if layers:
        cells = [
            [
                str(r.get("name") or "(whole)"),
                str(r.get("kind", "")),
                "×".join(map(str, (r.get("output") or [])[1:])) or "–",
                f"{int(r.get('parameters') or 0):,}",
                f"{int(r.get('flops') or 0):,}",
            ]
            for r in layers[:60]
        ]
        note = f"{len(layers) - 60} more layers: lamina show RUN." if len(layers) > 60 else ""
        found.append(
            Table("Layers", ["layer", "kind", "gives", "parameters", "FLOPs"], cells, note, left=2, folded=True)
        )
    return found


def fits(about: Mapping[str, Any]) -> list[str]:
    """What it may be used for, in sentences."""
    data, task = about["data"], about["task"]["name"]
    inputs = _some(data["inputs"])
    if data["targets"]:
        words = f"Given {inputs}, it answers {_some(data['targets'])} ({task})."
    else:
        words = f"It learnt {task} from {inputs}."
    return [
        words,
        f"It is meant for samples of the kind it learnt from ({data['name']}), gathered in the same way. Before it "
        "decides about people, or anything that is costly to get wrong, let somebody who knows the field look at "
        "the examples above and the limits below.",
    ]


def limits(about: Mapping[str, Any]) -> list[str]:
    """What the figures cannot promise, as far as the run knows."""
    data, found = about["data"], []
    split = about.get("split")
    own = (about.get("metrics") or {}).get(about.get("metric") or "", {})
    if about["status"] != "done":
        found.append("It is not done: nothing is known yet of how good it is.")
    elif split in data["splits"]:
        words = (
            f"Judged on {data['splits'][split]:,} rows of the same source ({split} split), drawn once, with one seed."
        )
        found.append(words + " On data from elsewhere, or from later, expect less.")
    elif own:
        found.append(f"Judged over {own['count']:,} samples, with one seed.")
    if split in ("train", "valid"):
        found.append("There was no test split of its own, so the figures flatter.")
    if own.get("low") is not None and own.get("high") is not None:
        found.append(
            f"By chance of the draw alone, {about['metric']} may be {number(own['low'])} to {number(own['high'])}."
        )
    error = ((about.get("metrics") or {}).get("calibration_error") or {}).get("value")
    if error is not None and error > 0.05:
        found.append(f"Its confidence is off by {number(error)} on average: do not read it as a probability.")
    warned = [one for one in about.get("findings") or () if one.get("level") == "warning"]
    if warned:
        found.append(f"{len(warned)} finding{'s' * (len(warned) > 1)} before the first step: see Findings.")
    if data.get("skipped"):
        found.append(f"{data['skipped']:,} rows were left out; it has not seen their like.")
    verdict = headline(about)
    if verdict["mood"] == "bad" and about["status"] == "done":
        found.append(str(verdict["verdict"]))
    return found


def _some(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(map(str, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def pace(timing: Sequence[Mapping[str, Any]]) -> float | None:
    """Updates a second, the median over the lines of the diary."""
    rates = []
    for a, b in itertools.pairwise(timing):
        seconds, made = (number_of(b, name) - number_of(a, name) for name in ("seconds", "updates"))
        if seconds > 0 and made > 0:
            rates.append(made / seconds)
    rates.sort()
    return rates[len(rates) // 2] if rates and math.isfinite(rates[len(rates) // 2]) else None
