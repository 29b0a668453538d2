import math
import time

import numpy as np
import pytest

from lamina.core.errors import ShapeError
from lamina.metrics import baselines
from lamina.metrics.baselines import classification, regression, text
from lamina.metrics.language import language

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler


def table(rows=600, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) * rng.uniform(0.1, 50, columns) + rng.normal(size=columns) * 10
    return x, rng.normal(size=(columns, 4)) / x.std(0)[:, None], rng


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_agrees_with_scikit_learn(classes):
    x, a, rng = table()
    y = (x @ a[:, :classes] + rng.gumbel(size=(600, classes)) - (x @ a[:, :classes]).mean(0)).argmax(1)
    ours = classification(x[:400], y[:400], x[400:], classes)["linear"]
    scale = StandardScaler().fit(x[:400])
    theirs = LogisticRegression(C=1, tol=1e-8, max_iter=1000).fit(scale.transform(x[:400]), y[:400])
    np.testing.assert_allclose(ours, theirs.predict_proba(scale.transform(x[400:])), atol=2e-3)  # float32, 60 steps


def test_logistic_regression_takes_sample_weights_as_repetitions():
    x, a, rng = table(200)
    y = (x @ a[:, 0] + rng.logistic(size=200) > (x @ a[:, 0]).mean()).astype(int)
    times = rng.integers(1, 4, 200)
    weighted = classification(x, y, x, 2, weights=times)
    repeated = classification(np.repeat(x, times, axis=0), np.repeat(y, times), x, 2)
    for name in ("prior", "linear"):
        np.testing.assert_allclose(weighted[name], repeated[name], atol=1e-3)


def test_the_prior_is_the_share_of_each_class_by_weight():
    found = classification(np.zeros((4, 1)), [0, 0, 1, 2], np.zeros((2, 1)), 4, weights=[1, 1, 1, 5])
    np.testing.assert_allclose(found["prior"], [[0.25, 0.125, 0.625, 0]] * 2)
    assert set(found) == {"prior"}  # a constant column has no line through it


def test_a_class_that_training_lacks_gets_hardly_any_probability():
    x, _, rng = table(100)
    found = classification(x, rng.integers(0, 2, 100), x, 3)["linear"]
    assert found[:, 2].max() < 1e-2
    np.testing.assert_allclose(found.sum(1), 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_regression_agrees_with_scikit_learn(weighted):
    x, a, rng = table()
    y = 1000 + 30 * x @ a[:, 0] + rng.normal(size=600)
    w = rng.integers(1, 5, 400) if weighted else np.ones(400, int)
    ours = regression(x[:400], y[:400], x[400:], w if weighted else None)
    scale = StandardScaler().fit(np.repeat(x[:400], w, axis=0))
    theirs = Ridge(alpha=1).fit(scale.transform(x[:400]), y[:400], sample_weight=w)
    np.testing.assert_allclose(ours["linear"], theirs.predict(scale.transform(x[400:])), rtol=1e-5)
    assert ours["mean"][0] == pytest.approx(np.average(y[:400], weights=w))
    assert ours["median"][0] == pytest.approx(np.median(np.repeat(y[:400], w)), abs=1)


def test_missing_numbers_become_the_training_mean():
    x, a, rng = table(300)
    y = x @ a[:, 0] + rng.normal(size=300)
    holed = x.copy()
    holed[::7, 2] = np.nan
    filled = np.where(np.isnan(holed), np.nanmean(holed[:200], axis=0), holed)
    ours, theirs = (regression(t[:200], y[:200], t[200:])["linear"] for t in (holed, filled))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_wide_tables_keep_the_columns_that_matter():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3000)).astype(np.float32)
    y = x[:, 2999] + 0.1 * rng.normal(size=2000)
    found = regression(x[:1500], y[:1500], x[1500:])["linear"]
    assert np.corrcoef(found, y[1500:])[0, 1] > 0.9


@pytest.mark.parametrize("rows", [60_000])
def test_pictures_of_784_pixels_take_seconds(rows):
    rng = np.random.default_rng(0)
    means = rng.random((10, 784), np.float32)
    y = rng.integers(0, 10, rows)
    x = means[y] + rng.standard_normal((rows, 784), np.float32)
    start = time.perf_counter()
    found = classification(x, y, x[:1000], 10)["linear"]
    assert time.perf_counter() - start < 20  # under 5 alone on one core; the machine may be shared
    assert (found.argmax(1) == y[:1000]).mean() > 0.95


def test_letter_frequencies_cost_their_entropy():
    train = ["ab" * 5000, b"\x00" * 10_000]
    nats, sizes = text(train, ["abab", b"\x00", "é"])["unigram"]
    assert sizes.tolist() == [4, 1, 2]
    assert nats[:2] == pytest.approx([4 * math.log(4), math.log(2)], rel=0.01)
    assert nats[2] == pytest.approx(2 * math.log(20_128 / 0.5))
    assert language(nats[:1], sizes[:1], sizes[:1])["bits_per_byte"].value == pytest.approx(2, rel=0.01)


def test_refusals_say_what_came():
    with pytest.raises(ShapeError, match=r"3 training rows came with 2 targets"):
        regression(np.zeros((3, 2)), [1.0, 2.0], np.zeros((1, 2)))
    with pytest.raises(ShapeError, match=r"Training rows have 2 columns, test rows 3. Encode both alike"):
        regression(np.zeros((2, 2)), [1.0, 2.0], np.zeros((1, 3)))
    with pytest.raises(ShapeError, match=r"2 classes were named, but class number 2 came"):
        classification(np.zeros((2, 2)), [1, 2], np.zeros((1, 2)), 2)


def test_beyond_its_rows_a_baseline_learns_from_some_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr(baselines, "ROWS", 50)
    first, again, other = (baselines._subset(2000, seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 50 and first.tolist() == sorted(first.tolist())
    assert baselines._subset(50, 0) == slice(None)
