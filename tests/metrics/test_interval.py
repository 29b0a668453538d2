import math
import time

import numpy as np
import pytest

from lamina.core.errors import DataError, ShapeError
from lamina.metrics.arrays import as_array, check_rows, check_weights
from lamina.metrics.interval import Resampling, bootstrap, proportion, resample, spread, student, wilson
from lamina.metrics.value import Value


def mean(total, count):
    return total / count


def ratio_interval(x, **options):
    return bootstrap(mean, x, np.ones(len(x)), **options)


def test_wilson_gives_the_published_figures():
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, count, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson(hits / count, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize(("freedom", "point"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (39, 2.0227)])
def test_student_gives_the_points_of_the_tables(freedom, point):
    assert student(freedom) == pytest.approx(point, rel=2e-3)


@pytest.mark.parametrize("rows", [60, 2500])
def test_bootstrap_covers_the_true_mean_about_95_times_in_100(rows):
    """Skewed draws, 300 trials: a binomial's 3.3 errors around 0.95, a little lower allowed for 60 skewed rows."""
    rng, hits = np.random.default_rng(1), 0
    for trial in range(300):
        low, high = ratio_interval(rng.exponential(2.0, rows), seed=trial, samples=200)
        hits += low <= 2.0 <= high
    assert 0.90 <= hits / 300 <= 0.985


def test_bootstrap_with_groups_covers_where_single_rows_would_not():
    rng, hits, naive = np.random.default_rng(2), 0, 0
    labels = np.repeat(np.arange(60), 20)
    for trial in range(200):
        x = rng.normal(size=60)[labels] + 0.3 * rng.normal(size=1200)
        low, high = ratio_interval(x, groups=labels, seed=trial, samples=300)
        hits += low <= 0 <= high
        low, high = ratio_interval(x, seed=trial, samples=300)
        naive += low <= 0 <= high
    assert hits / 200 >= 0.88
    assert naive / 200 <= 0.6


def test_wilson_with_groups_and_weights_covers():
    rng, hits = np.random.default_rng(3), 0
    labels = np.repeat(np.arange(200), 5)
    for _ in range(300):
        chance = rng.beta(2, 1, 200)[labels]
        weights = rng.uniform(0.2, 3, 200)[labels]
        _, low, high = proportion((rng.random(1000) < chance).astype(float), weights, labels)
        hits += low <= 2 / 3 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_weights_count_a_row_as_often_as_they_say():
    """A weight of 3 moves the figure as three rows of one group do."""
    rng = np.random.default_rng(4)
    x, times = rng.normal(size=400), rng.integers(1, 5, 400)
    weighted = ratio_interval(x, weights=times)
    repeated = ratio_interval(np.repeat(x, times), groups=np.repeat(np.arange(400), times))
    assert weighted == pytest.approx(repeated, rel=1e-9)
    draws = Resampling(400, times)
    assert draws.sums(x)[0] == pytest.approx((x * times).sum())


def test_many_rows_are_fast_and_as_wide_as_theory_says():
    x = np.random.default_rng(5).normal(size=100_000)
    start = time.perf_counter()
    low, high = ratio_interval(x)
    assert time.perf_counter() - start < 1.0  # 0.03 s alone; the machine may be shared
    assert (high - low) / 2 == pytest.approx(1.96 / math.sqrt(100_000), rel=0.12)


def test_the_same_seed_gives_the_same_interval_and_another_another():
    x = np.random.default_rng(6).normal(size=50)
    assert ratio_interval(x, seed=1) == ratio_interval(x, seed=1)
    assert ratio_interval(x, seed=1) != ratio_interval(x, seed=2)


def test_an_interval_holds_its_own_figure_though_resampling_is_biased():
    value, low, high = spread(np.concatenate([[0.1], np.linspace(0.2, 0.4, 101)]), (0, 1))
    assert low <= value <= high
    assert low >= 0


@pytest.mark.parametrize("rows", [300, 20_000])
def test_any_function_of_rows_gets_an_interval_of_the_right_width(rows):
    x = np.random.default_rng(7).normal(size=rows)
    low, high = resample(np.mean, x)
    assert low < x.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 / math.sqrt(rows), rel=0.35)
    labels = np.arange(rows) // 2
    doubled = np.repeat(x[: rows // 2], 2)
    low, high = resample(np.mean, doubled, groups=labels)
    assert (high - low) / 2 == pytest.approx(1.96 / math.sqrt(rows / 2), rel=0.35)


def test_one_group_gives_no_interval():
    assert all(math.isnan(v) for v in ratio_interval(np.arange(5.0), groups=["a"] * 5))
    assert all(math.isnan(v) for v in resample(np.mean, np.arange(5.0), groups=["a"] * 5))


def test_a_value_is_plain_data_and_says_its_unit():
    value = Value(1.25, 1.0, 1.5, 40, "EUR")
    assert value.as_dict() == {"value": 1.25, "low": 1.0, "high": 1.5, "count": 40, "unit": "EUR"}
    assert str(value) == "1.25 (1 to 1.5) EUR"
    alone = Value(2.0, math.nan, math.nan, 1)
    assert alone.as_dict() == {"value": 2.0, "low": None, "high": None, "count": 1}
    assert str(alone) == "2"
    assert float(alone) == 2


def test_tensors_of_any_precision_are_read():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, 1.5], dtype=torch.bfloat16, requires_grad=True)
    assert as_array(x).tolist() == [0.5, 1.5]
    assert as_array(np.float16([0.5])).dtype == np.float32


def test_refusals_say_what_came_and_what_to_do():
    with pytest.raises(DataError, match=r"1 of 3 targets are nan or infinite \(first at row 2, counted from 0\)"):
        check_rows("targets", np.array([1, 2, np.nan]))
    with pytest.raises(DataError, match=r"no targets to measure: 0 rows came. Give at least one row"):
        check_rows("targets", np.array([]))
    with pytest.raises(ShapeError, match=r"2 targets came for 3 rows"):
        check_rows("targets", np.array([1, 2]), 3)
    with pytest.raises(DataError, match=r"sample weight of row 1 is -2. Weights are zero or more"):
        check_weights([1, -2], 2)
    with pytest.raises(DataError, match=r"All 2 sample weights are zero"):
        check_weights([0, 0], 2)
    with pytest.raises(ShapeError, match=r"arrays of one length, at least one row; 2, 3 came"):
        bootstrap(mean, [1, 2], [1, 2, 3])


def test_another_seed_draws_another_resampling():
    rows = np.random.default_rng(0).normal(size=200)
    ends = [resample(lambda x: float(np.median(x)), rows, samples=50, seed=seed) for seed in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]
