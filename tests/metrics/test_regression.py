import math

import numpy as np
import pytest

from lamina.core.errors import DataError, ShapeError
from lamina.metrics.regression import regression

sk = pytest.importorskip("sklearn.metrics")


def problem(rows, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.lognormal(7, 1, rows)
    return y * rng.lognormal(0, 0.3, rows), y, rng.uniform(0.1, 3, rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [2, 31, 1000])
def test_agrees_with_scikit_learn(rows, weighted):
    guess, y, w = problem(rows)
    w = w if weighted else None
    ours = regression(guess, y, w, unit="EUR", samples=50)
    theirs = {
        "r2": sk.r2_score(y, guess, sample_weight=w),
        "rmse": sk.root_mean_squared_error(y, guess, sample_weight=w),
        "mae": sk.mean_absolute_error(y, guess, sample_weight=w),
        "mape": sk.mean_absolute_percentage_error(y, guess, sample_weight=w),
        "median_error": sk.median_absolute_error(y, guess, sample_weight=w),
    }
    assert set(ours) == {*theirs, "spearman"}
    for name, value in theirs.items():
        tolerance = 0.2 if name == "median_error" and weighted and rows == 2 else 1e-9
        assert ours[name].value == pytest.approx(value, rel=tolerance), name
        assert ours[name].low <= ours[name].value <= ours[name].high, name
        assert ours[name].unit == ("EUR" if name in ("rmse", "mae", "median_error") else "")


def test_spearman_agrees_with_scipy_ties_and_whole_weights_included():
    stats = pytest.importorskip("scipy.stats")
    guess, y, _ = problem(300)
    times = np.random.default_rng(1).integers(1, 4, 300)
    for a, b in [(guess, y), (np.round(np.log(guess)), np.round(np.log(y)))]:
        assert regression(a, b)["spearman"].value == pytest.approx(stats.spearmanr(a, b).statistic)
        expected = stats.spearmanr(np.repeat(a, times), np.repeat(b, times)).statistic
        assert regression(a, b, times)["spearman"].value == pytest.approx(expected)


@pytest.mark.parametrize("figure", ["r2", "rmse", "mae", "mape", "median_error", "spearman"])
def test_intervals_cover_the_figure_of_the_population(figure):
    guess, y, _ = problem(200_000, seed=1)
    guess, y = (guess, y) if figure == "mape" else (np.log(guess), np.log(y))
    true = regression(guess, y, samples=2)[figure].value
    hits = 0
    for trial in range(200):
        rows = slice(trial * 200, trial * 200 + 200)
        value = regression(guess[rows], y[rows], samples=200, seed=trial)[figure]
        hits += value.low <= true <= value.high
    assert 0.90 <= hits / 200 <= 0.99


def test_groups_widen_the_interval_of_rows_that_repeat_each_other():
    guess, y, _ = problem(300)
    once = regression(guess, y)
    grouped = regression(np.repeat(guess, 10), np.repeat(y, 10), groups=np.repeat(np.arange(300), 10))
    for name, value in once.items():
        assert grouped[name].high - grouped[name].low == pytest.approx(value.high - value.low, rel=0.05), name


def test_large_numbers_close_together_keep_their_r2():
    y = 1e9 + np.arange(100.0)
    guess = y + np.tile([1.0, -1.0], 50)
    assert regression(guess, y)["r2"].value == pytest.approx(1 - 1 / np.var(np.arange(100.0)), rel=1e-9)


def test_what_the_rows_do_not_define_is_left_out():
    figures = regression([1.0, 2.0], [0.0, 0.0])
    assert {"r2", "mape", "spearman"}.isdisjoint(figures)
    alone = regression([1.0], [3.0])
    assert alone["mae"].value == 2
    assert math.isnan(alone["mae"].low)


def test_refusals_say_what_came():
    with pytest.raises(DataError, match=r"1 of 2 predictions are nan or infinite \(first at row 1"):
        regression([1.0, np.inf], [1.0, 2.0])
    with pytest.raises(ShapeError, match=r"2 predictions came for 3 rows"):
        regression([1.0, 2.0], [1.0, 2.0, 3.0])
