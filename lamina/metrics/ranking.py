"""Figures of order alone: AUROC, average precision, Spearman's correlation; with their gradients in the row weights.

The gradient g of a figure says how it moves as a row's weight does; sum(w g) = 0, and the figure's variance is the sum
of (w g)² (the infinitesimal jackknife; for AUROC that is DeLong, DeLong & Clarke-Pearson 1988).
"""

import numpy as np

__all__ = ["auroc_and_precision", "spearman"]


def auroc_and_precision(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray, float, np.ndarray]:
    """(AUROC, its gradient, average precision, its gradient) of scores against a boolean truth, both classes present.

    AUROC = P(positive above negative) + P(equal) / 2.  AP = mean over positives of the precision at their own score.
    """
    heights, inverse = np.unique(scores[positive], return_inverse=True)
    mass = np.bincount(inverse.reshape(-1), weights[positive])  # positives at each of their heights
    place = np.searchsorted(heights, scores)
    equal = (place < len(heights)) & (heights[np.minimum(place, len(heights) - 1)] == scores)
    upto = place + equal  # how many heights are not above this row
    negative = ~positive
    ties = np.bincount(place[negative & equal], weights[negative & equal], minlength=len(heights))
    below = np.cumsum(np.bincount(place[negative], weights[negative], minlength=len(heights) + 1))[:-1] - ties
    positives, negatives = mass.sum(), weights[negative].sum()
    summed = np.concatenate([[0.0], np.cumsum(mass)])
    here = np.minimum(place, len(heights) - 1)

    beats = (below + ties / 2) / negatives  # of each height
    auroc = float((mass * beats).sum() / positives)
    beaten = (positives - summed[upto] + np.where(equal, mass[here] / 2, 0.0)) / positives
    slope = np.where(positive, (beats[here] - auroc) / positives, (beaten - auroc) / negatives)

    true = positives - summed[:-1]  # positives at or above each height
    reached = true + negatives - below
    precision = true / reached
    average = float((mass * precision).sum() / positives)
    gain = np.concatenate([[0.0], np.cumsum(mass * (1 - precision) / reached)])[upto]
    loss = np.concatenate([[0.0], np.cumsum(mass * precision / reached)])[upto]
    tilt = np.where(positive, precision[here] - average + gain, -loss) / positives
    return auroc, slope, average, tilt


def spearman(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Pearson's correlation of weighted mid-ranks and its gradient; None where one side is constant."""
    w = weights / weights.sum()
    u, over_u = _ranks(a, w)
    v, over_v = _ranks(b, w)
    shared, mine, yours = (w * u * v).sum(), (w * u * u).sum(), (w * v * v).sum()
    if mine <= 1e-15 or yours <= 1e-15:
        return None
    value = float(shared / np.sqrt(mine * yours))
    # A row counts twice: for itself, and for the ranks of all rows above it.
    moved = [
        u * v + over_u(v) + over_v(u),
        u * u + 2 * over_u(u),
        v * v + 2 * over_v(v),
    ]
    c, x, y = (m - (w * m).sum() for m in moved)
    gradient = c / np.sqrt(mine * yours) - value / 2 * (x / mine + y / yours)
    return value, gradient / weights.sum()


def _ranks(values: np.ndarray, w: np.ndarray):
    """Centred mid-ranks in [-1/2, 1/2], and a function of f: each row's sum of w f over those above (ties half)."""
    levels, inverse = np.unique(values, return_inverse=True)
    inverse = inverse.reshape(-1)

    def above(f: np.ndarray) -> np.ndarray:
        mass = np.bincount(inverse, w * f, minlength=len(levels))
        return (mass.sum() - np.cumsum(mass) + mass / 2)[inverse]

    return 0.5 - above(np.ones_like(w)), above
