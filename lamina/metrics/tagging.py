"""How good the probabilities of tags are: each sample has any number of them.

Definitions are scikit-learn's, sample weights included. A tag is given from 0.5 on; a figure that the rows do not
define is left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.metrics.arrays import as_array, check_rows, check_weights
from lamina.metrics.interval import Resampling, proportion, spread
from lamina.metrics.ranking import auroc_and_precision
from lamina.metrics.value import Value

__all__ = ["BETTER", "tagging"]

BETTER = {
    "f1_micro": "max",
    "f1_macro": "max",
    "exact_match": "max",
    "hamming_loss": "min",
    "tag_log_loss": "min",
    "mean_auroc": "max",
    "mean_average_precision": "max",
}


def tagging(
    probabilities: Any,
    target: Any,
    weights: Any = None,
    names: Sequence[str] | None = None,
    *,
    groups: Any = None,
    intervals: bool = True,
    seed: int = 0,
) -> dict[str, Value]:
    """Every figure by name, with its 95 % interval (mean_auroc and mean_average_precision have none).

    Args:
        probabilities: (n, tags). target: (n, tags) of 0 and 1. weights: (n,), zero or more. names: of the tags.
        groups: (n,) labels of rows that belong together. intervals: False leaves them out (nan).

    f1_micro (over all tags and rows at once), f1_macro (mean over tags that occur or are given), exact_match (rows
    whose tags are all right), hamming_loss (share of wrong marks), tag_log_loss (nats a mark), and the means over tags
    that some rows have and some lack of AUROC and average precision.
    """
    p, y = as_array(probabilities).astype(np.float64), as_array(target)
    if y.ndim != 2 or p.shape != y.shape:
        raise DataError(f"Tags are (rows, tags) of 0 and 1; probabilities of shape {p.shape} came with {y.shape}.")
    bad = np.argwhere((y != 0) & (y != 1))
    if len(bad):
        tag = names[bad[0, 1]] if names else bad[0, 1]
        raise DataError(f"Row {bad[0, 0]} has the mark {y[tuple(bad[0])]} for tag {tag!r}; marks are 0 and 1.")
    check_rows("probabilities", p, len(y))
    w = check_weights(weights, len(y))
    n, k = y.shape
    given = p >= 0.5
    wrong = given != (y == 1)
    draws = Resampling(n, w, groups, samples=None if intervals else 0, seed=seed)
    hits, true, marked = (draws.sums(v.astype(np.float64)) for v in (given * y, y, given))
    f1 = np.divide(2 * hits, true + marked, out=np.zeros_like(hits), where=true + marked > 0)
    occurs = (true + marked > 0).sum(1)
    both = (true.sum(1) + marked.sum(1)).clip(1e-300)
    q = np.clip(p, 1e-7, 1 - 1e-7)
    nats = -np.where(y == 1, np.log(q), np.log1p(-q)).mean(1)
    means = draws.sums(np.stack([wrong.mean(1), nats, np.ones(n)], axis=1))
    figures = {
        "f1_micro": spread(2 * hits.sum(1) / both, (0, 1)),
        "f1_macro": spread(f1.sum(1) / np.maximum(occurs, 1), (0, 1)),
        "exact_match": proportion((~wrong).all(1).astype(float), w, groups),
        "hamming_loss": spread(means[:, 0] / means[:, 2], (0, 1)),
        "tag_log_loss": spread(means[:, 1] / means[:, 2], (0, math.inf)),
    }
    held = w > 0
    told = [t for t in range(k) if 0 < y[held, t].sum() < held.sum()]
    if told:
        found = np.array([auroc_and_precision(p[held, t], y[held, t] == 1, w[held])[::2] for t in told]).mean(0)
        figures |= {
            "mean_auroc": (float(found[0]), math.nan, math.nan),
            "mean_average_precision": (float(found[1]), math.nan, math.nan),
        }
    if draws.units < 2 or not intervals:
        figures = {name: (value, math.nan, math.nan) for name, (value, _, _) in figures.items()}
    return {name: Value(*figure, count=n) for name, figure in figures.items() if math.isfinite(figure[0])}
