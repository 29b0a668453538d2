"""The figures of tags, against scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from lamina.core.errors import DataError
from lamina.metrics.tagging import tagging


def drawn(n=400, k=5):
    rng = np.random.default_rng(0)
    y = (rng.random((n, k)) < [0.5, 0.3, 0.1, 0.02, 0.6]).astype(np.float32)
    return np.clip(0.6 * y + 0.55 * rng.random((n, k)), 0, 1), y, rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(weighted):
    p, y, w = drawn()
    w = w if weighted else np.ones(len(y))
    found, given, s = tagging(p, y, w), (p >= 0.5).astype(int), dict(sample_weight=w)
    expected = {
        "f1_micro": sk.f1_score(y, given, average="micro", **s),
        "f1_macro": sk.f1_score(y, given, average="macro", zero_division=0, **s),
        "exact_match": sk.accuracy_score(y, given, **s),
        "hamming_loss": sk.hamming_loss(y, given, **s),
        "tag_log_loss": np.mean([sk.log_loss(y[:, t], np.clip(p[:, t], 1e-7, 1 - 1e-7), **s) for t in range(5)]),
        "mean_auroc": sk.roc_auc_score(y, p, average="macro", **s),
        "mean_average_precision": sk.average_precision_score(y, p, average="macro", **s),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-9), name
        if not name.startswith("mean"):
            assert found[name].low < value < found[name].high, name


def test_a_tag_that_no_row_has_or_lacks_has_no_rank():
    p, y, _ = drawn()
    y[:, 3], y[:, 4] = 0, 1
    found = tagging(p, y)
    assert float(found["mean_auroc"]) == pytest.approx(np.mean([sk.roc_auc_score(y[:, t], p[:, t]) for t in range(3)]))
    assert "mean_auroc" not in tagging(p[:, 3:], y[:, 3:])
    assert math.isnan(tagging(p, y, intervals=False)["f1_micro"].low)


def test_what_is_no_mark_is_refused():
    p, y, _ = drawn()
    y[7, 2] = 2
    with pytest.raises(DataError, match=r"Row 7 has the mark 2\.0 for tag 'c'"):
        tagging(p, y, names="abcde")
    with pytest.raises(DataError, match=r"\(400, 4\) came with \(400, 5\)"):
        tagging(p[:, :4], y)
