"""How near predicted numbers are, over all rows at once. Definitions are scikit-learn's (Spearman's: SciPy's)."""

import math
from typing import Any

import numpy as np

from lamina.metrics.arrays import as_array, check_rows, check_weights
from lamina.metrics.interval import Resampling, Z, deviation, spread
from lamina.metrics.ranking import spearman
from lamina.metrics.value import Value

__all__ = ["BETTER", "regression"]

BETTER = {
    "r2": "max",
    "rmse": "min",
    "mae": "min",
    "median_error": "min",
    "mape": "min",
    "spearman": "max",
}


def regression(
    prediction: Any,
    target: Any,
    weights: Any = None,
    *,
    unit: str = "",
    groups: Any = None,
    intervals: bool = True,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, Value]:
    """Every figure of predicted numbers (n,) against true ones (n,), by name, with its 95 % interval.

    r2 (where the target varies), rmse, mae and median_error in the target's own `unit`, mape (a share, not percent;
    only where no target is zero), spearman (where both sides vary). weights: (n,), zero or more. groups: labels of
    rows that belong together. intervals: False leaves them out (nan).
    """
    guess, y = (
        as_array(prediction).astype(np.float64),
        as_array(target).astype(np.float64),
    )
    guess, y = guess.reshape(-1), y.reshape(-1)
    check_rows("predictions", guess, len(y))
    check_rows("targets", y)
    w = check_weights(weights, len(y))
    held = w > 0
    guess, y, w = guess[held], y[held], w[held]
    if groups is not None:
        groups = as_array(groups).reshape(-1)
        check_rows("groups", groups, len(held))
        groups = groups[held]
    draws = Resampling(len(y), w, groups, samples=samples if intervals else 0, seed=seed)
    miss = np.abs(guess - y)
    centred = y - (w * y).sum() / w.sum()  # about the mean first: sums of squares of large numbers cancel badly
    columns = [np.ones_like(y), miss, miss**2, centred, centred**2]
    if (y != 0).all():
        columns.append(miss / np.abs(y))
    one, absolute, square, first, second, *relative = draws.sums(np.stack(columns, axis=1)).T

    figures: dict[str, tuple[float, float, float]] = {}
    if y.min() < y.max():
        figures["r2"] = spread(1 - square / (second - first**2 / one), (-math.inf, 1))
    figures["rmse"] = spread(np.sqrt(square / one), (0, math.inf))
    figures["mae"] = spread(absolute / one, (0, math.inf))
    figures["median_error"] = _median(miss, w, groups)
    if relative:
        figures["mape"] = spread(relative[0] / one, (0, math.inf))
    ranked = spearman(guess, y, w)
    if ranked is not None:
        figures["spearman"] = _fisher(ranked[0], deviation(ranked[1], w, groups))
    if draws.units < 2 or not intervals:
        figures = {name: (value, math.nan, math.nan) for name, (value, _, _) in figures.items()}
    own = {"rmse", "mae", "median_error"}
    return {name: Value(*f, count=len(y), unit=unit if name in own else "") for name, f in figures.items()}


def _median(miss: np.ndarray, w: np.ndarray, groups: Any) -> tuple[float, float, float]:
    """Weighted median and Woodruff's interval (1952): the quantiles at one half, plus and minus 1.96 errors."""
    order = np.argsort(miss, kind="stable")
    ordered, upto = miss[order], np.cumsum(w[order]) / w.sum()

    def quantile(share: float) -> float:
        return float(ordered[min(int(np.searchsorted(upto, share - 1e-12)), len(ordered) - 1)])

    middle = min(int(np.searchsorted(upto, 0.5 - 1e-12)), len(ordered) - 1)
    after = min(middle + 1, len(ordered) - 1) if abs(upto[middle] - 0.5) < 1e-12 else middle
    value = float((ordered[middle] + ordered[after]) / 2)  # between the two where half the weight lies on each side
    half = Z * deviation(((miss <= ordered[middle]) - 0.5) / w.sum(), w, groups)
    return value, min(quantile(0.5 - half), value), max(quantile(0.5 + half), value)


def _fisher(value: float, error: float) -> tuple[float, float, float]:
    """An interval of a correlation on Fisher's scale, atanh, where its error hardly depends on its value."""
    if abs(value) > 1 - 1e-12:
        return value, value, value
    half = Z * error / (1 - value**2)
    return (
        value,
        math.tanh(math.atanh(value) - half),
        math.tanh(math.atanh(value) + half),
    )
