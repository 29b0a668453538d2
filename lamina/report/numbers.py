"""What the answers of a regression tell: how they lie beside the truth, how errors spread, which rows are the worst."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.metrics.interval import bootstrap
from lamina.metrics.value import Value
from lamina.report.blocks import Figure, Series, compact, number, spaced
from lamina.report.judged import Answers, gallery

__all__ = ["numbers", "residuals", "worst"]

POINTS = 1500
SHOWN = 6


def residuals(part: Any, raw: Mapping[str, Any], answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """(answers, truths) in the column's own unit."""
    given = np.asarray(part.field.decode(raw["number"].float()), dtype=np.float64)
    return given, np.asarray(part.field.decode(answers.targets[part.key].float()), dtype=np.float64)


def numbers(part: Any, raw: Mapping[str, Any], answers: Answers) -> list[Any]:
    """Answers beside truths, and how the residuals spread."""
    given, true = residuals(part, raw, answers)
    error, name = given - true, part.target
    order = np.argsort(true, kind="stable")
    kept = order[spaced(len(order), POINTS)]
    low, high = float(true.min()), float(true.max())
    some = f"{len(kept):,} of {len(true):,} rows, evenly spaced by {name}." if len(kept) < len(true) else ""
    within = float(np.mean(np.abs(error) <= np.abs(true) * 0.1))
    beside = Figure(
        "predicted", "Answers beside the truth", f"{name}, true", f"{name}, answered",
        [
            Series("exact", [low, high], [low, high], "dashed"),
            Series("rows", true[kept].tolist(), given[kept].tolist(), "points"),
        ],
        f"{within:.0%} of the answers lie within 10 % of the truth.", note=some,
    )  # fmt: skip
    spread = np.quantile(error, [0.005, 0.05, 0.5, 0.95, 0.995])
    edges = np.linspace(spread[0], spread[4] if spread[4] > spread[0] else spread[0] + 1.0, 41)
    counts = np.histogram(np.clip(error, edges[0], edges[-1]), bins=edges)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    alt = (
        f"Nine residuals of ten lie between {compact(float(spread[1]))} and {compact(float(spread[3]))}; the median is "
        f"{compact(float(spread[2]))}."
    )
    histogram = Figure(
        "residuals", "Residuals", f"{name}, answered minus true", "rows",
        [Series("rows", middle.tolist(), counts.astype(float).tolist(), "bars")], alt,
        note=alt + " What lies further out than 99 % stands in the outermost bars.",
    )  # fmt: skip
    return [beside, histogram, *_by_size(given, error, name)]


def _by_size(given: np.ndarray, error: np.ndarray, name: str) -> list[Figure]:
    """The spread of residuals over the answers: where they widen, small answers are surer than large ones."""
    if len(given) < 40:
        return []
    order = np.argsort(given, kind="stable")
    groups = np.array_split(order, min(20, len(given) // 20))
    x = [float(given[g].mean()) for g in groups]
    cuts = [np.quantile(error[g], [0.1, 0.5, 0.9]) for g in groups]
    lines = (("10 % lie below", "dashed"), ("median", "marked"), ("10 % lie above", "dashed"))
    series = [Series(label, x, [float(c[i]) for c in cuts], style) for i, (label, style) in enumerate(lines)]
    alt = (
        f"Between the tenth and the ninetieth percentile residuals span {compact(float(cuts[0][2] - cuts[0][0]))} for "
        f"the smallest answers and {compact(float(cuts[-1][2] - cuts[-1][0]))} for the largest."
    )
    return [Figure("widening", "Residuals by answer", f"{name}, answered", "answered minus true", series, alt, alt)]


def worst(part: Any, raw: Mapping[str, Any], answers: Answers, drawer: Any) -> list[Any]:
    """The rows that were answered far too high and far too low."""
    given, true = residuals(part, raw, answers)
    error = given - true
    found: list[Any] = []
    for title, order in (("Far too high", np.argsort(-error)), ("Far too low", np.argsort(error))):
        picked = []
        for i in order[:SHOWN]:
            if (error[i] > 0) != (title == "Far too high") or error[i] == 0:
                continue
            words = f"{number(float(given[i]))} for {number(float(true[i]))} ({compact(float(error[i]))} off)"
            picked.append((int(answers.rows[i]), words, "bad"))
        found += gallery(title, drawer, picked)
    return found


def error_of(part: Any, raw: Mapping[str, Any], answers: Answers, chosen: np.ndarray, interval: bool) -> Value:
    """The mean absolute error of some rows, with its interval or without, which costs a hundredth."""
    given, true = residuals(part, raw, answers)
    off = np.abs(given - true)[chosen]
    w = None if answers.weight is None else answers.weight.numpy()[chosen]
    if not interval:
        return Value(float(np.average(off, weights=w)), float("nan"), float("nan"), len(off))
    low, high = bootstrap(lambda s, n: s / n, off, np.ones(len(off)), weights=w, limits=(0.0, np.inf))
    return Value(float(np.average(off, weights=w)), low, high, len(off))
