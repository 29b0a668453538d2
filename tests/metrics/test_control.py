import math

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.metrics.control import control


def test_the_mean_return_has_students_interval():
    stats = pytest.importorskip("scipy.stats")
    r = np.random.default_rng(0).normal(400, 80, 12)
    low, high = stats.t.interval(0.95, 11, r.mean(), stats.sem(r))
    value = control(r, lengths=r)["mean_return"]
    assert (value.value, value.low, value.high) == pytest.approx((r.mean(), low, high), rel=1e-3)
    assert value.count == 12


def test_the_median_is_held_by_order_statistics():
    """Of 10 episodes the second and the ninth: the binomial tables' 97.9 % (the third and eighth would be 89 %)."""
    value = control(np.arange(10.0))["median_return"]
    assert (value.value, value.low, value.high) == (4.5, 1.0, 8.0)
    assert math.isnan(control(np.arange(5.0))["median_return"].low)


def test_intervals_cover_about_95_times_in_100_though_episodes_are_few():
    rng, mean, median = np.random.default_rng(1), 0, 0
    for _ in range(500):
        figures = control(rng.normal(size=10))
        mean += figures["mean_return"].low <= 0 <= figures["mean_return"].high
        median += figures["median_return"].low <= 0 <= figures["median_return"].high
    assert 0.92 <= mean / 500 <= 0.98
    assert median / 500 >= 0.94


def test_with_seeds_as_groups_the_interval_is_over_seeds():
    returns = np.concatenate([np.full(100, 300.0), np.full(100, 400.0), np.full(100, 500.0)])
    value = control(returns, groups=np.repeat([1, 2, 3], 100))["mean_return"]
    assert value.high - value.value == pytest.approx(4.303 * 100 / math.sqrt(3), rel=1e-3)


def test_no_episodes_are_refused_in_words():
    with pytest.raises(DataError, match="no episodes to measure: 0 rows came"):
        control([])
