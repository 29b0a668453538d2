"""What happened while it learnt, as figures: losses and their parts, metrics, rates, gradient norms, throughput."""

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.report.blocks import Figure, Series, compact

__all__ = ["curves", "number_of", "steps"]

MOST = 40  # figures of a training
TOGETHER = 12  # series of a figure
_OWN = {"stage", "step", "updates", "valid", "withheld"}
_RATE = ("lr",)
_NORM = ("gradient_norm", "grad_norm", "norm")


def steps(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Each line beside the updates made by then; lines of an evaluation count on from the one before."""
    out: list[tuple[int, Mapping[str, Any]]] = []
    stage, step, updates = None, 0, 0
    for line in history:
        if "updates" in line:
            stage, step, updates = line.get("stage"), int(number_of(line, "step")), int(number_of(line, "updates"))
            out.append((updates, line))
        else:
            here = int(number_of(line, "step"))
            out.append((updates + max(0, here - step) if line.get("stage") == stage else updates, line))
    return out


def curves(
    about: Mapping[str, Any], history: Sequence[Mapping[str, Any]], timing: Sequence[Mapping[str, Any]]
) -> list[Figure]:
    """All figures of a training, the telling ones first."""
    lines = steps(history)
    series: dict[str, tuple[list[float], list[float | None]]] = {}
    judged: dict[str, tuple[list[float], list[float | None]]] = {}
    for x, line in lines:
        valid = line.get("valid")
        for where, values in ((judged, valid if isinstance(valid, Mapping) else {}), (series, line)):
            for name, value in values.items():
                if name in _OWN and where is series:
                    continue
                if (isinstance(value, float | int) and not isinstance(value, bool)) or value is None:
                    xs, ys = where.setdefault(name, ([], []))
                    xs.append(x)
                    # neither nan nor infinite
                    ys.append(float(value) if value is not None and abs(value) < 1e300 else None)
    rates = {k: v for k, v in series.items() if k.rpartition("/")[2] in _RATE}
    norms = {k: v for k, v in series.items() if k.rpartition("/")[2] in _NORM}
    losses = {k: v for k, v in series.items() if k not in rates and k not in norms}
    best = _metric(about, judged)
    found = [*_losses(losses), *best]
    main = about.get("metric") or (about.get("best") or {}).get("metric")
    found += _together("norm", "Gradient norm", "norm of the gradient", norms)
    found += _together("lr", "Learning rate", "learning rate", rates)
    found += _throughput(timing)
    found += _per_frame(series, judged, str(main))
    for name, (xs, ys) in judged.items():
        if name != main and len(xs) > 1:
            figure = _figure(f"valid-{name}", f"{name}, validation split", name, [Series(name, xs, ys)])
            found.append(figure)
            figure.folded = True
    return sorted(found, key=lambda f: f.folded)[:MOST]


def number_of(line: Mapping[str, Any], name: str) -> float:
    """What a line of a diary holds under a name; 0 where that is no number: a stranger may have written it."""
    value = line.get(name, 0)
    return value if isinstance(value, int | float) and abs(value) < 1e15 else 0


def _losses(losses: Mapping[str, Any]) -> list[Figure]:
    """A figure for what is minimised and its parts; parts on quite another scale are only shown, each by itself."""
    totals = [name for name in losses if "/" not in name] or list(losses)
    together, apart = [], []
    reach = max((_reach(losses[name][1]) for name in totals), default=0.0)
    for name, (x, y) in losses.items():
        parent = name.partition("/")[0]
        if name not in totals:
            if parent in losses and losses[parent][1] == y:
                continue  # a loss of one part
            if not 0.02 * reach <= _reach(y) <= 10 * reach:
                apart.append((name, x, y))
                continue
        together.append(Series(name, x, y, "line" if name in totals else "dashed"))
    found = []
    if together:
        found.append(_figure("loss", "Loss", "loss, mean since the last point", together, log=True))
    for name, x, y in apart:
        figure = _figure(name.replace("/", "-"), name.rpartition("/")[2], name.rpartition("/")[2], [Series(name, x, y)])
        figure.folded = True
        found.append(figure)
    return found


def _reach(values: Sequence[float | None]) -> float:
    return max((abs(v) for v in values if v is not None), default=0.0)


def _metric(about: Mapping[str, Any], judged: Mapping[str, Any]) -> list[Figure]:
    """The metric that picks the best weights; where the best are, and what the baselines reach on the final split."""
    best = about.get("best") or {}
    name = str(about.get("metric") or best.get("metric"))
    if name not in judged:
        return []
    x, y = judged[name]
    drawn = [Series(f"{name}, validation split", x, y)]
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    if len(known) < 2:
        return []
    pick = min if about.get("better") == "min" else max
    top = pick(known, key=lambda p: p[1])
    for kind, values in (about.get("baseline") or {}).items():
        value = (values.get(name) or {}).get("value")
        if value is not None:
            ends = [float(x[0]), float(x[-1])]
            drawn.append(Series(f"baseline {kind}, {about.get('split', 'test')} split", ends, [value] * 2, "dashed"))
    figure = _figure("metric", f"{name}", name, drawn)
    figure.alt = (
        f"{name} on the validation split goes from {compact(known[0][1])} after {known[0][0]:,} updates to "
        f"{compact(known[-1][1])} after {known[-1][0]:,}; the best is {compact(top[1])} after {top[0]:,}."
    )
    figure.note = f"The best, {compact(top[1])}, came after {top[0]:,} updates; those weights are the run's."
    if about.get("status") != "done":
        figure.note = f"The best so far, {compact(top[1])}, came after {top[0]:,} updates."
    return [figure]


def _together(key: str, title: str, axis: str, series: Mapping[str, Any]) -> list[Figure]:
    drawn = [Series(name, x, y) for name, (x, y) in series.items()]
    return [_figure(key, title, axis, drawn, log=True)] if drawn else []


def _throughput(timing: Sequence[Mapping[str, Any]]) -> list[Figure]:
    x, y = [], []
    before = (0, 0.0)
    for line in timing:
        updates, seconds = int(number_of(line, "updates")), number_of(line, "seconds")
        if before[0] and updates > before[0] and seconds > before[1]:
            x.append(float(updates))
            y.append((updates - before[0]) / (seconds - before[1]))
        before = (updates, seconds)
    if len(x) < 2:
        return []
    figure = _figure("speed", "Throughput", "updates a second", [Series("updates a second", x, list(y))])
    figure.note = "By the clock, evaluations and saving included."
    return [figure]


def _per_frame(series: Mapping[str, Any], judged: Mapping[str, Any], metric: str) -> list[Figure]:
    """What was reached over the steps made in the environment, which is what trying costs."""
    name = next((n for n in series if n.rpartition("/")[2] == "frames"), None)
    if name is None or metric not in judged:
        return []
    frames = [(x, f) for x, f in zip(*series[name], strict=True) if f is not None]
    xs, ys = [], []
    for x, value in zip(*judged[metric], strict=True):
        seen = [f for at, f in frames if at <= x]
        if seen and value is not None:
            xs.append(float(round(seen[-1])))
            ys.append(value)
    if len(xs) < 2:
        return []
    figure = _figure("frames", f"{metric} by experience", metric, [Series(metric, xs, list(ys))])
    figure.x = "steps made in the environment"
    return [figure]


def _figure(key: str, title: str, axis: str, series: list[Series], *, log: bool = False) -> Figure:
    said = []
    for one in series:
        known = [(x, y) for x, y in zip(one.x, one.y, strict=True) if y is not None]
        if known and one.style != "dashed":
            said.append(
                f"{one.name} goes from {compact(known[0][1])} to {compact(known[-1][1])}, between "
                f"{compact(min(v for _, v in known))} and {compact(max(v for _, v in known))}"
            )
    series = series[:TOGETHER]
    return Figure(key, title, "updates", axis, series, "; ".join(said[:4]) + ".", whole=True, log=log)
