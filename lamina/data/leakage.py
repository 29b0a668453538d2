"""Target leakage: a single column that gives the answer away."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.core.seeds import mix
from lamina.data.codes import code, is_number, show, take
from lamina.metrics.ranking import auroc_and_precision

__all__ = ["giveaways"]

CELLS = 5_000_000  # more rows times columns than this are subsampled, to 2,000 rows at least: seconds for any table
AUROC, R2, ACCURACY, PURITY = 0.95, 0.99, 0.98, 0.95


def giveaways(
    columns: Mapping[str, Any], name: str, target: Any, *, numeric: bool | None = None, seed: int = 0
) -> dict[str, str]:
    """By column that alone predicts the target, how: judged on a half of the rows that they were not fitted on.

    Two classes: AUROC ≥ 0.95. More: accuracy ≥ 0.98. Numbers: R² ≥ 0.99. And any one value of a column that means one
    class (95 % of its rows, 20 at least, half of that class) where the class is not the rule anyway.
    """
    answer = code(target)
    if answer is None:
        return {}
    rows = np.flatnonzero(answer.codes >= 0)
    rng = np.random.default_rng(mix(seed, "leakage"))
    rows = rng.permutation(rows)[: max(2000, CELLS // max(1, len(columns)))]
    wanted = is_number(answer) if numeric is None else numeric
    values = answer.numbers[answer.codes[rows]] if wanted and answer.numbers is not None else None
    if len(rows) < 40 or len(answer.levels) < 2 or (wanted and values is None):
        return {}
    fit, held = np.arange(len(rows)) < len(rows) // 2, np.arange(len(rows)) >= len(rows) // 2
    found = {}
    for column_name, column in columns.items():
        coded = code(take(column, rows))
        if coded is None or len(coded.levels) == 0:
            continue
        if values is not None:
            share = _explained(coded, fit, held, values)
            says = [f"it alone explains {name!r} (R² {share:.4f} on rows it was not fitted on)"] if share >= R2 else []
        else:
            y = answer.codes[rows]
            says = _gives_class_away(coded, fit, held, y, len(answer.levels), name)
            says += _pure_value(coded, y, answer, name)
        if says:
            found[column_name] = "; ".join(says)
    return found


def _gives_class_away(coded, fit, held, y, classes, name) -> list[str]:
    bins = _bins(coded, fit)
    size = int(bins.max()) + 1
    if classes == 2:
        positive = y == 1
        if min(positive[held].sum(), (~positive[held]).sum()) < 10:
            return []
        prior = positive[fit].mean()
        hits = np.bincount(bins[fit], positive[fit], minlength=size)
        chance = (hits + prior) / (np.bincount(bins[fit], minlength=size) + 1)
        area = auroc_and_precision(chance[bins[held]], positive[held], np.ones(held.sum()))[0]
        return [f"it alone predicts {name!r} (AUROC {area:.3f} on rows it was not fitted on)"] if area >= AUROC else []
    if size * classes > 20_000_000:
        return []
    table = np.bincount(bins[fit] * classes + y[fit], minlength=size * classes).reshape(size, classes)
    overall = np.bincount(y[fit], minlength=classes)
    guess = np.where(table.any(1), table.argmax(1), overall.argmax())
    right, usual = (guess[bins[held]] == y[held]).mean(), (y[held] == overall.argmax()).mean()
    if right >= ACCURACY and 1 - right <= 0.2 * (1 - usual):
        return [f"it alone predicts {name!r} (accuracy {right:.3f} on rows it was not fitted on)"]
    return []


def _pure_value(coded, y, answer, name) -> list[str]:
    if len(coded.levels) > (12 if coded.numbers is not None else 200):
        return []
    size, classes = len(coded.levels) + 1, len(answer.levels)
    table = np.bincount((coded.codes + 1) * classes + y, minlength=size * classes).reshape(size, classes)
    mass = table.sum(0)
    says = []
    for value, row in enumerate(table):
        top, support = int(row.argmax()), int(row.sum())
        rare = 2 * mass[top] <= row[top] / max(1, support) * mass.sum()
        if support >= 20 and row[top] >= PURITY * support and row[top] >= 0.5 * mass[top] and rare:
            shown = show(coded.levels[value - 1]) if value else "a missing value"
            says.append(
                f"where it is {shown}, {name!r} is {show(answer.levels[top])} in {row[top]:,} of {support:,} rows"
            )
    return says[:2]


def _explained(coded, fit, held, y) -> float:
    """R² on the held-out half of a curve through up to 500 knots (numbers) or of each value's mean (words)."""
    codes = coded.codes
    spread = np.square(y[held] - y[held].mean()).sum()
    if spread == 0:
        return 0.0
    guess = np.full(len(y), y[fit].mean())
    if coded.numbers is not None:
        known = codes >= 0
        x = np.where(known, coded.numbers[np.maximum(codes, 0)], 0.0)
        learn = np.flatnonzero(fit & known)
        if len(learn) < 20:
            return 0.0
        learn = learn[np.argsort(x[learn], kind="stable")]
        at = np.linspace(0, len(learn), min(500, len(learn) // 4) + 1).astype(int)[:-1]
        width = np.diff([*at, len(learn)])
        guess[known] = np.interp(x[known], np.add.reduceat(x[learn], at) / width, np.add.reduceat(y[learn], at) / width)
    else:
        bins = codes + 1
        size = len(coded.levels) + 1
        count = np.bincount(bins[fit], minlength=size)
        total = np.bincount(bins[fit], y[fit], minlength=size)
        guess = np.where(count > 0, total / np.maximum(count, 1), y[fit].mean())[bins]
    return float(1 - np.square(y[held] - guess[held]).sum() / spread)


def _bins(coded, fit) -> np.ndarray:
    """Values as they are where there are few; numbers of many values in up to 256 bins of equal size; 0 is missing."""
    codes = coded.codes
    if coded.numbers is None or len(coded.levels) <= 64:
        return codes + 1
    x = coded.numbers[np.maximum(codes, 0)]
    learn = x[fit & (codes >= 0)]
    bins = int(np.clip(len(learn) // 20, 2, 256))
    edges = np.unique(np.quantile(learn, np.linspace(0, 1, bins + 1)[1:-1])) if len(learn) else np.zeros(1)
    return np.where(codes < 0, 0, 1 + np.searchsorted(edges, x, side="right"))
