"""95 % intervals: how far a figure would move if the test set were drawn again.

Three ways, each where it is right. *Proportions* have Wilson's interval (Wilson 1927). Figures that are a *function of
sums over rows* (a mean, F1, R²) have the Bayesian bootstrap (Rubin 1981): rows get Exp(1) weights, and only sums are
kept, so a thousand resamplings of 100,000 rows are one matrix product. Figures with a known *gradient in the weights*
(AUROC, Spearman) have the infinitesimal jackknife (Efron 1982). Rows of one group (a patient, say) move together.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core.errors import ShapeError
from lamina.core.seeds import mix
from lamina.metrics.arrays import as_array, check_weights, dense

__all__ = [
    "Resampling",
    "Z",
    "bootstrap",
    "deviation",
    "proportion",
    "resample",
    "spread",
    "student",
    "wilson",
]

Z = 1.959963984540054  # the normal distribution's 97.5 % point
SAMPLES = 1000

# More rows (or groups) than this are first summed into so many random buckets, which are then resampled as one.
# The variance stays the same in expectation; its own relative error is sqrt(2 / 2000) = 3 %, so 1.6 % of the width.
BUCKETS = 2000
PARTS = 40


class Resampling:
    """Sums over all rows (row 0) and over each of `samples` resamplings of them (rows 1..), for vectorised metrics."""

    def __init__(
        self,
        count: int,
        weights: Any = None,
        groups: Any = None,
        *,
        samples: int | None = None,
        seed: int = 0,
    ):
        rng = np.random.default_rng(mix(seed, "bootstrap"))
        self.weights = check_weights(weights, count)
        self.unit, self.units = dense(groups, count)
        if self.units > BUCKETS:
            self.unit = (rng.permutation(self.units) % BUCKETS)[self.unit]
        self.buckets = min(self.units, BUCKETS)
        self.draws = np.ones((1 + (SAMPLES if samples is None else samples), self.buckets))
        rng.standard_exponential(out=self.draws[1:])

    def counts(self, codes: np.ndarray, size: int, values: np.ndarray | None = None) -> np.ndarray:
        """Weight (times value) that falls on each code in 0..size-1: (1 + samples, size)."""
        mass = self.weights if values is None else self.weights * values
        table = np.bincount(self.unit * size + codes, mass, minlength=self.buckets * size)
        return self.draws @ table.reshape(self.buckets, size)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Weighted sums of per-row values, (n,) to (1 + samples,) or (n, m) to (1 + samples, m)."""
        columns = values.reshape(len(values), -1).T
        table = np.stack(
            [np.bincount(self.unit, self.weights * c, minlength=self.buckets) for c in columns],
            axis=1,
        )
        return (self.draws @ table).reshape(len(self.draws), *values.shape[1:])


def spread(values: np.ndarray, limits: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float, float]:
    """(value, low, high) of a figure (row 0) and its resamplings.

    Percentiles, moved so that their median is the figure itself: resampling biases what is not linear in the rows
    (a calibration error, an F1 over rare classes), and an interval must hold its own figure.
    """
    value = float(values[0])
    replicates = values[1:][np.isfinite(values[1:])]
    if len(replicates) < 2 or not math.isfinite(value):
        return value, math.nan, math.nan
    low, middle, high = np.percentile(replicates, [2.5, 50, 97.5])
    return (
        value,
        max(value + low - middle, limits[0]),
        min(value + high - middle, limits[1]),
    )


def bootstrap(
    metric: Callable[..., np.ndarray],
    *arrays: Any,
    weights: Any = None,
    samples: int | None = None,
    seed: int = 0,
    groups: Any = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """(low, high) for a metric of weighted sums.

    Args:
        metric: takes the sums of each array, (resamplings,) or (resamplings, m), and gives (resamplings,). It must
            not change when all sums are scaled alike: a ratio. The mean of x: `bootstrap(lambda s, n: s / n, x, ones)`.
        arrays: per-row statistics, (n,) or (n, m).
        groups: labels of rows that move together. With a single group the answer is (nan, nan).
    """
    given = [as_array(a).astype(np.float64) for a in arrays]
    _same_length(given)
    draws = Resampling(len(given[0]), weights, groups, samples=samples, seed=seed)
    if draws.units < 2:
        return math.nan, math.nan
    return spread(metric(*(draws.sums(a) for a in given)), limits)[1:]


def resample(
    metric: Callable[..., Any],
    *arrays: Any,
    samples: int = 200,
    seed: int = 0,
    groups: Any = None,
) -> tuple[float, float]:
    """(low, high) for any function of rows, `metric(*arrays) -> number`: for a user's own metric.

    Up to 4,000 rows are drawn again with replacement. More are cut into 40 random parts that are measured one by
    one, at the price of about one call on all rows; the figure's error is theirs over sqrt(40), Student's t.
    """
    given = [as_array(a) for a in arrays]
    _same_length(given)
    rng = np.random.default_rng(mix(seed, "resample"))
    unit, units = dense(groups, len(given[0]))
    if units < 2:
        return math.nan, math.nan
    value = float(metric(*given))
    if len(unit) > 4000 and units >= 4 * PARTS:
        part = (rng.permutation(units) % PARTS)[unit]
        values = np.array([float(metric(*(a[part == p] for a in given))) for p in range(PARTS)])
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return math.nan, math.nan
        half = student(len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
        return value - half, value + half
    order = np.argsort(unit, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(unit, minlength=units))[:-1])
    replicates = [value]
    for _ in range(samples):
        drawn = np.concatenate([rows[u] for u in rng.integers(0, units, units)])
        replicates.append(float(metric(*(a[drawn] for a in given))))
    return spread(np.array(replicates))[1:]


def deviation(gradient: np.ndarray, weights: np.ndarray, groups: Any = None) -> float:
    """Standard error of a figure from its gradient in the row weights: sqrt of the sum over groups of (sum w g)²."""
    unit, units = dense(groups, len(gradient))
    return float(np.sqrt(np.square(np.bincount(unit, weights * gradient, minlength=units)).sum()))


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a proportion over `count` independent trials (need not be whole: an effective count)."""
    if not count > 0:
        return math.nan, math.nan
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def proportion(hits: np.ndarray, weights: np.ndarray, groups: Any = None) -> tuple[float, float, float]:
    """(share, low, high) of weighted hits in [0, 1]: Wilson's interval over the effective number of rows.

    Without weights and groups that is the number of rows; weights lower it as Kish (1965) has it, groups by their
    design effect.
    """
    total = weights.sum()
    share = float((weights * hits).sum() / total)
    unit, units = dense(groups, len(hits))
    mass = np.bincount(unit, weights, minlength=units)
    count = total**2 / np.square(mass).sum()
    if 0 < share < 1 and units > 1:
        error = deviation((hits - share) / total, weights, groups)
        if error > 0:
            count = share * (1 - share) / error**2
    return share, *wilson(share, count)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t, to 0.2 % (Abramowitz & Stegun 26.7.5; exact for 1 and 2 degrees)."""
    if freedom < 1:
        return math.nan
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = Z
    terms = [
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    ]
    return z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))


def _same_length(arrays: list[np.ndarray]) -> None:
    if not arrays or len({len(a) for a in arrays}) != 1 or len(arrays[0]) == 0:
        lengths = ", ".join(str(len(a)) for a in arrays) or "no arrays"
        raise ShapeError(f"An interval needs arrays of one length, at least one row; {lengths} came.")
