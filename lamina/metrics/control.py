"""How well an agent does: the mean return of whole episodes."""

import math
from typing import Any

import numpy as np

from lamina.metrics.arrays import as_array, check_rows
from lamina.metrics.interval import student
from lamina.metrics.value import Value

__all__ = ["BETTER", "control"]

BETTER = {"mean_return": "max", "median_return": "max"}


def control(returns: Any, lengths: Any = None, groups: Any = None) -> dict[str, Value]:
    """mean_return and median_return over episodes, and mean_length (steps) where lengths came.

    Args:
        returns: (episodes,) undiscounted sums of rewards. groups: (episodes,) what trained each agent (its seed):
            the interval is then over seeds, which is the right one for a claim about the method.

    The interval is Student's t, as episodes are few; of the median, order statistics.
    """
    r = as_array(returns).astype(np.float64).reshape(-1)
    check_rows("episodes", r)
    figures = {
        "mean_return": Value(*_mean(r, groups), count=len(r)),
        "median_return": _median(r),
    }
    if lengths is not None:
        steps = as_array(lengths).astype(np.float64).reshape(-1)
        check_rows("episode lengths", steps, len(r))
        figures["mean_length"] = Value(*_mean(steps, groups), count=len(r), unit="steps")
    return figures


def _mean(r: np.ndarray, groups: Any) -> tuple[float, float, float]:
    value = float(r.mean())
    if groups is not None:
        labels = as_array(groups).reshape(-1)
        check_rows("groups", labels, len(r))
        r = np.array([r[labels == g].mean() for g in np.unique(labels)])
    if len(r) < 2:
        return value, math.nan, math.nan
    half = student(len(r) - 1) * r.std(ddof=1) / math.sqrt(len(r))
    return value, min(float(r.mean() - half), value), max(float(r.mean() + half), value)


def _median(r: np.ndarray) -> Value:
    """Between the order statistics that hold the median in 95 % of draws; no interval below six episodes."""
    ordered, n = np.sort(r), len(r)
    cumulative, rank = (
        0.0,
        0,
    )  # rank: the most order statistics that may be cut off at each end
    for k in range(n):
        cumulative += math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
        if cumulative > 0.025:
            break
        rank = k + 1
    low, high = (float(ordered[rank - 1]), float(ordered[n - rank])) if rank else (math.nan, math.nan)
    return Value(float(np.median(r)), low, high, n)
