"""How good class probabilities are, over all rows at once: accuracy, F1, AUROC, calibration and the rest.

Definitions are scikit-learn's, sample weights included (each is tested against it). A figure that the rows do not
define (AUROC where only one class is there) is left out, never made up.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError, ShapeError
from lamina.metrics.arrays import as_array, check_rows, check_weights
from lamina.metrics.interval import Resampling, deviation, proportion, spread, wilson
from lamina.metrics.ranking import auroc_and_precision
from lamina.metrics.value import Value

__all__ = ["BETTER", "calibration", "classification", "confusion", "per_class"]

BETTER = {
    "accuracy": "max",
    "balanced_accuracy": "max",
    "f1": "max",
    "f1_weighted": "max",
    "log_loss": "min",
    "auroc": "max",
    "average_precision": "max",
    "mcc": "max",
    "brier": "min",
    "calibration_error": "min",
    "top5": "max",
    "precision": "max",
    "recall": "max",
}
BINS = 15


def classification(
    probabilities: Any,
    target: Any,
    weights: Any = None,
    names: Sequence[str] | None = None,
    *,
    groups: Any = None,
    intervals: bool = True,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, Value]:
    """Every figure of a classifier, by name, with its 95 % interval.

    Args:
        probabilities: (n, classes), rows summing to one; (n,) is the probability of class 1 of two.
        target: (n,) class numbers. weights: (n,), zero or more. groups: (n,) labels of rows that belong together.
        names: of the classes, for messages. intervals: False leaves them out (nan), several times faster.

    accuracy, top5 (more than 5 classes), balanced_accuracy (mean recall of the classes that occur), f1 (macro: mean
    over classes that occur or are predicted), f1_weighted (by class mass), mcc, log_loss (nats; probabilities are
    kept above the precision they came in), brier (two classes: of class 1, in [0, 1]; more: summed over classes),
    calibration_error (15 equal bins of the top probability), auroc and average_precision (two classes: of class 1;
    more: each class against the rest, mean over those that occur).
    """
    p, y, w, groups = _rows(probabilities, target, weights, groups, names)
    n, k = p.shape
    tiny = np.finfo(p.dtype).eps
    p = p.astype(np.float64)
    top = p.argmax(1)
    own = p[np.arange(n), y]
    draws = Resampling(n, w, groups, samples=samples if intervals else 0, seed=seed)

    figures: dict[str, tuple[float, float, float]] = {"accuracy": proportion((top == y).astype(float), w, groups)}
    if k > 5:
        above = (p > own[:, None]).sum(1) + ((p == own[:, None]) & (np.arange(k) > y[:, None])).sum(1)
        figures["top5"] = proportion((above < 5).astype(float), w, groups)
    right = (top == y).astype(float)
    hits, true, predicted = (
        draws.counts(y, k, right),
        draws.counts(y, k),
        draws.counts(top, k),
    )
    figures["balanced_accuracy"] = spread(_balanced(hits, true), (0, 1))
    figures["f1"] = spread(_f1(hits, true, predicted, weighted=False), (0, 1))
    figures["f1_weighted"] = spread(_f1(hits, true, predicted, weighted=True), (0, 1))
    figures["mcc"] = spread(_mcc(hits, true, predicted), (-1, 1))
    nats = -np.log(np.clip(own / np.clip(p.sum(1), tiny, None), tiny, 1 - tiny))
    squares = np.square(p[:, 1] - y) if k == 2 else np.square(p).sum(1) - 2 * own + 1
    sums = draws.sums(np.stack([nats, squares, np.ones(n)], axis=1))
    figures["log_loss"] = spread(sums[:, 0] / sums[:, 2], (0, math.inf))
    figures["brier"] = spread(sums[:, 1] / sums[:, 2], (0, 1 if k == 2 else 2))
    bins = _bins(p.max(1))
    gap = draws.counts(bins, BINS, p.max(1)) - draws.counts(bins, BINS, right)
    figures["calibration_error"] = spread(np.abs(gap).sum(1) / sums[:, 2], (0, 1))
    figures |= _ranked(p, y, w, groups)
    if draws.units < 2 or not intervals:
        figures = {name: (value, math.nan, math.nan) for name, (value, _, _) in figures.items()}
    return {name: Value(*figure, count=n) for name, figure in figures.items() if math.isfinite(figure[0])}


def confusion(predicted: Any, target: Any, weights: Any = None, classes: int | None = None) -> np.ndarray:
    """(classes, classes) weight of rows by true class (down) and predicted class (across).

    predicted: (n,) class numbers, or (n, classes) probabilities, of which the largest counts.
    """
    chosen, y = as_array(predicted), as_array(target).reshape(-1)
    if chosen.ndim == 2:
        classes = classes or chosen.shape[1]
        chosen = chosen.argmax(1)
    check_rows("predictions", chosen, len(y))
    classes = classes or int(max(chosen.max(), y.max())) + 1
    _check_classes(y, classes, None)
    _check_classes(chosen, classes, None)
    cells = y.astype(np.int64) * classes + chosen.astype(np.int64)
    return np.bincount(cells, check_weights(weights, len(y)), minlength=classes**2).reshape(classes, classes)


def per_class(
    probabilities: Any,
    target: Any,
    weights: Any = None,
    names: Sequence[str] | None = None,
    *,
    groups: Any = None,
) -> dict[str, dict[str, Value]]:
    """For each class by name: precision, recall, f1 and, against the rest, auroc and average_precision.

    `count` is the rows of that class (for precision: the rows predicted as it). What is not defined is left out.
    """
    p, y, w, groups = _rows(probabilities, target, weights, groups, names)
    k = p.shape[1]
    top = p.argmax(1)
    draws = Resampling(len(y), w, groups)
    hits, true, predicted = (
        draws.counts(y, k, (top == y).astype(float)),
        draws.counts(y, k),
        draws.counts(top, k),
    )
    pages: dict[str, dict[str, Value]] = {}
    for c in range(k):
        page: dict[str, Value] = {}
        mine, chosen = y == c, top == c
        for figure, over, hit in (
            ("precision", chosen, mine),
            ("recall", mine, chosen),
        ):
            if over.any():
                rows = groups if groups is None else groups[over]
                page[figure] = Value(
                    *proportion(hit[over].astype(float), w[over], rows),
                    count=int(over.sum()),
                )
        if mine.any() or chosen.any():
            page["f1"] = Value(
                *spread(_f1_by_class(hits, true, predicted)[:, c], (0, 1)),
                count=int(mine.sum()),
            )
        if mine.any() and not mine.all():
            for figure, value in _ranked_once(p[:, c], mine, w, groups).items():
                page[figure] = Value(*value, count=int(mine.sum()))
        pages[str(names[c]) if names else str(c)] = page
    return pages


def calibration(probabilities: Any, target: Any, weights: Any = None) -> dict[str, np.ndarray]:
    """The reliability curve of the top probability over the bins that hold rows: confidence, accuracy, weight."""
    p, y, w, _ = _rows(probabilities, target, weights, None, None)
    bins = _bins(p.max(1))
    mass = np.bincount(bins, w, minlength=BINS)
    confidence = np.bincount(bins, w * p.max(1), minlength=BINS)
    hits = np.bincount(bins, w * (p.argmax(1) == y), minlength=BINS)
    held = mass > 0
    return {
        "confidence": confidence[held] / mass[held],
        "accuracy": hits[held] / mass[held],
        "weight": mass[held],
    }


def _rows(probabilities, target, weights, groups, names):
    """The rows that weigh anything, checked."""
    p, y = as_array(probabilities), as_array(target).reshape(-1)
    if p.dtype.kind != "f":
        p = p.astype(np.float64)
    if p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1):
        p = np.stack([1 - p.reshape(-1), p.reshape(-1)], axis=1)
    if p.ndim != 2:
        raise ShapeError(f"Class probabilities are (rows, classes), but an array of shape {p.shape} came.")
    check_rows("probabilities", p, len(y))
    if p.min() < -1e-6 or p.max() > 1 + 1e-3:
        row = int(np.flatnonzero(((p < -1e-6) | (p > 1 + 1e-3)).any(1))[0])
        raise DataError(
            f"Probabilities lie in [0, 1], but row {row} holds {p[row].min():.4g} to {p[row].max():.4g}. "
            f"Pass scores through softmax (or sigmoid) first."
        )
    _check_classes(y, p.shape[1], names)
    w = check_weights(weights, len(y))
    held = w > 0
    groups = None if groups is None else as_array(groups).reshape(-1)
    if groups is not None:
        check_rows("groups", groups, len(y))
        groups = groups[held]
    return p[held], y[held].astype(np.int64), w[held], groups


def _check_classes(y: np.ndarray, classes: int, names: Sequence[str] | None) -> None:
    if y.dtype.kind not in "iub":
        whole = y.dtype.kind == "f" and bool((y == np.floor(y)).all())
        if not whole:
            raise DataError(f"Targets are class numbers 0 to {classes - 1}, but values of type {y.dtype} came.")
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        known = f" ({', '.join(map(str, names))})" if names else ""
        raise DataError(
            f"Row {bad[0]} has class number {int(y[bad[0]])}, but there are {classes} classes, "
            f"numbered 0 to {classes - 1}{known}; {len(bad)} rows in all. Leave out rows of unknown classes."
        )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _balanced(hits: np.ndarray, true: np.ndarray) -> np.ndarray:
    return _share(hits, true).sum(1) / (true > 0).sum(1)


def _f1_by_class(hits: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _share(2 * hits, true + predicted)


def _f1(hits: np.ndarray, true: np.ndarray, predicted: np.ndarray, *, weighted: bool) -> np.ndarray:
    mass = true if weighted else ((true + predicted) > 0).astype(float)
    return (_f1_by_class(hits, true, predicted) * mass).sum(1) / mass.sum(1)


def _mcc(hits: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 where one side has a single class."""
    total = true.sum(1)
    shared = hits.sum(1) * total - (true * predicted).sum(1)
    spans = (total**2 - np.square(true).sum(1)) * (total**2 - np.square(predicted).sum(1))
    sound = spans > 1e-12 * total**4
    return np.divide(
        shared,
        np.sqrt(np.where(sound, spans, 1)),
        out=np.zeros_like(total),
        where=sound,
    )


def _bins(confidence: np.ndarray) -> np.ndarray:
    """Bin b holds (b / 15, (b + 1) / 15], as Naeini et al. (2015) have it."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _ranked(p: np.ndarray, y: np.ndarray, w: np.ndarray, groups: Any) -> dict[str, tuple[float, float, float]]:
    if p.shape[1] == 2:
        return _ranked_once(p[:, 1], y == 1, w, groups) if 0 < (y == 1).sum() < len(y) else {}
    present = np.unique(y)
    if len(present) < 2:
        return {}
    totals, slopes = np.zeros(2), np.zeros((2, len(y)))
    for c in present:
        area, slope, precision, tilt = auroc_and_precision(p[:, c], y == c, w)
        totals += (area, precision)
        slopes[0] += slope
        slopes[1] += tilt
    area, precision = totals / len(present)
    slopes /= len(present)
    return {
        "auroc": _bounded(area, deviation(slopes[0], w, groups), len(y)),
        "average_precision": _bounded(precision, deviation(slopes[1], w, groups), len(y)),
    }


def _ranked_once(scores, positive, w, groups) -> dict[str, tuple[float, float, float]]:
    area, slope, precision, tilt = auroc_and_precision(scores, positive, w)
    fewest = min(positive.sum(), (~positive).sum())
    return {
        "auroc": _bounded(area, deviation(slope, w, groups), fewest),
        "average_precision": _bounded(precision, deviation(tilt, w, groups), positive.sum()),
    }


def _bounded(value: float, error: float, fewest: float) -> tuple[float, float, float]:
    """Wilson's interval over as many trials as would have this error, so that it stays in [0, 1] (Newcombe 2006)."""
    inside = 1e-12 < value < 1 - 1e-12 and error > 1e-12
    return value, *wilson(min(max(value, 0.0), 1.0), value * (1 - value) / error**2 if inside else fewest)
