import numpy as np
import pytest

from lamina.core.errors import DataError, ShapeError
from lamina.metrics.classification import calibration, classification, confusion, per_class

sk = pytest.importorskip("sklearn.metrics")


def problem(rows, classes, seed=0, coarse=False):
    """Probabilities that know something, uneven classes, weights from 0.1 to 3; coarse: many equal scores."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.geometric(0.4, rows) - 1, classes - 1)
    scores = rng.normal(size=(rows, classes))
    scores[np.arange(rows), y] += 1.2
    if coarse:
        scores = np.round(scores)
    p = np.exp(scores)
    return p / p.sum(1, keepdims=True), y, rng.uniform(0.1, 3, rows)


def by_sklearn(p, y, w):
    """Every figure by scikit-learn, the ranked ones class by class."""
    k, top = p.shape[1], p.argmax(1)
    present = np.unique(y)
    ones = [1] if k == 2 else present
    figures = {
        "accuracy": sk.accuracy_score(y, top, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, top, sample_weight=w),
        "f1": sk.f1_score(y, top, average="macro", sample_weight=w, zero_division=0),
        "f1_weighted": sk.f1_score(y, top, average="weighted", sample_weight=w, zero_division=0),
        "mcc": sk.matthews_corrcoef(y, top, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w, labels=range(k)),
        "auroc": np.mean([sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in ones]),
        "average_precision": np.mean([sk.average_precision_score(y == c, p[:, c], sample_weight=w) for c in ones]),
        "brier": sk.brier_score_loss(y, p[:, 1], sample_weight=w)
        if k == 2
        else np.average(np.square(p - np.eye(k)[y]).sum(1), weights=w),
    }
    if k > 5:
        figures["top5"] = sk.top_k_accuracy_score(y, p, k=5, sample_weight=w, labels=range(k))
    return figures


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.covers("control/metrics-accuracy", "control/metrics-f1")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(400, 2), (700, 3), (900, 8), (40, 8)])
def test_agrees_with_scikit_learn(rows, classes, weighted):
    p, y, w = problem(rows, classes)
    w = w if weighted else None
    ours, theirs = classification(p, y, w, samples=20), by_sklearn(p, y, w)
    assert set(ours) == {*theirs, "calibration_error"}
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert ours[name].low <= ours[name].value + 1e-12 <= ours[name].high + 2e-12, name
        assert ours[name].count == rows


@pytest.mark.parametrize("classes", [2, 4])
def test_equal_scores_count_as_scikit_learn_counts_them(classes):
    p, y, w = problem(300, classes, coarse=True)
    ours, theirs = classification(p, y, w, samples=20), by_sklearn(p, y, w)
    for name in ("auroc", "average_precision"):
        assert ours[name].value == pytest.approx(theirs[name], rel=1e-9)


@pytest.mark.covers("control/metrics-accuracy", "control/metrics-f1")
@pytest.mark.parametrize("batch", [1, 7, 32, 501])
def test_batches_are_joined_and_their_figures_never_averaged(batch):
    """501 rows leave a last batch of another size; the mean of batch figures would differ, and does for F1."""
    torch = pytest.importorskip("torch")
    p, y, w = (torch.from_numpy(a) for a in problem(501, 5))
    whole = classification(p, y, w, samples=50)
    parts = [list(a.split(batch)) for a in (p, y, w)]
    joined = classification(*(torch.cat(part) for part in parts), samples=50)
    assert joined == whole
    assert whole["f1"].value == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w))
    if 1 < batch < 501:
        means = [classification(*rows, samples=2)["f1"].value for rows in zip(*parts, strict=True)]
        assert np.mean(means) != pytest.approx(whole["f1"].value, rel=1e-3)


def test_calibration_error_agrees_with_torchmetrics_and_the_curve():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    p, y, w = problem(800, 4)
    ours = classification(p, y, samples=20)["calibration_error"]
    theirs = functional.multiclass_calibration_error(torch.tensor(p), torch.tensor(y), num_classes=4, n_bins=15)
    assert ours.value == pytest.approx(float(theirs), abs=1e-6)  # theirs bins in float32
    curve = calibration(p, y, w)
    gap = np.average(np.abs(curve["confidence"] - curve["accuracy"]), weights=curve["weight"])
    assert classification(p, y, w, samples=20)["calibration_error"].value == pytest.approx(gap)


@pytest.mark.parametrize("figure", ["accuracy", "f1", "mcc", "log_loss", "brier", "auroc", "average_precision"])
def test_intervals_cover_the_figure_of_the_population(figure):
    """The truth from 200,000 rows, 150 test sets of 400: 95 in 100, give or take a binomial's 3 errors."""
    p, y, _ = problem(200_000, 3, seed=1)
    true = classification(p, y, samples=2)[figure].value
    hits = 0
    for trial in range(150):
        rows = slice(trial * 400, trial * 400 + 400)
        value = classification(p[rows], y[rows], samples=200, seed=trial)[figure]
        hits += value.low <= true <= value.high
    assert 0.89 <= hits / 150 <= 0.995


def test_rows_without_weight_are_as_if_they_were_not_there():
    p, y, w = problem(200, 3)
    w[::2] = 0
    ours, kept = classification(p, y, w), classification(p[1::2], y[1::2], w[1::2])
    assert {k: v.value for k, v in ours.items()} == pytest.approx({k: v.value for k, v in kept.items()})


def test_groups_widen_the_interval_of_rows_that_repeat_each_other():
    p, y, _ = problem(300, 2)
    again = [np.repeat(a, 10, axis=0) for a in (p, y)]
    naive, once = classification(*again), classification(p, y)
    grouped = classification(*again, groups=np.repeat(np.arange(300), 10))
    for name in ("accuracy", "f1", "auroc", "average_precision", "log_loss"):
        width = {k: v[name].high - v[name].low for k, v in dict(naive=naive, once=once, grouped=grouped).items()}
        assert width["grouped"] == pytest.approx(width["once"], rel=0.02), name
        assert width["naive"] < 0.4 * width["once"], name


def test_a_perfect_score_over_few_rows_is_not_called_certain():
    y = np.array([0, 1] * 10)
    figures = classification(np.eye(2)[y], y)
    assert figures["auroc"].value == figures["accuracy"].value == 1
    assert figures["auroc"].low < 0.8
    assert figures["accuracy"].low == pytest.approx(0.8389, abs=1e-4)


def test_what_the_rows_do_not_define_is_left_out():
    figures = classification(np.array([[0.9, 0.1], [0.4, 0.6]]), [0, 0])
    assert "auroc" not in figures
    assert figures["accuracy"].value == 0.5
    assert figures["mcc"].value == 0


def test_the_probability_of_one_class_is_enough_for_two():
    p, y, w = problem(100, 2)
    assert classification(p[:, 1], y, w, samples=50) == classification(
        np.stack([1 - p[:, 1], p[:, 1]], 1), y, w, samples=50
    )


def test_without_intervals_the_figures_are_the_same():
    p, y, w = problem(300, 3)
    quick, whole = classification(p, y, w, intervals=False), classification(p, y, w)
    assert {k: v.value for k, v in quick.items()} == pytest.approx({k: v.value for k, v in whole.items()})
    assert quick["f1"].as_dict()["low"] is None


def test_confusion_agrees_with_scikit_learn():
    p, y, w = problem(300, 5)
    expected = sk.confusion_matrix(y, p.argmax(1), labels=range(5), sample_weight=w)
    np.testing.assert_allclose(confusion(p, y, w), expected)
    np.testing.assert_allclose(confusion(p.argmax(1), y, w, classes=5), expected)


def test_each_class_agrees_with_scikit_learn():
    p, y, w = problem(400, 3)
    pages = per_class(p, y, w, names=["ant", "bee", "cat"])
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, p.argmax(1), sample_weight=w)
    for c, name in enumerate(["ant", "bee", "cat"]):
        page = pages[name]
        assert page["precision"].value == pytest.approx(precision[c])
        assert page["recall"].value == pytest.approx(recall[c])
        assert page["f1"].value == pytest.approx(f1[c])
        assert page["auroc"].value == pytest.approx(sk.roc_auc_score(y == c, p[:, c], sample_weight=w))
        assert page["recall"].count == (y == c).sum()
        assert page["precision"].low < page["precision"].value < page["precision"].high


def test_refusals_say_what_came_and_what_to_do():
    p = np.full((3, 2), 0.5)
    with pytest.raises(
        DataError, match=r"Row 2 has class number 2, but there are 2 classes, numbered 0 to 1 \(no, yes\)"
    ):
        classification(p, [0, 1, 2], names=["no", "yes"])
    with pytest.raises(
        DataError, match=r"Probabilities lie in \[0, 1\], but row 1 holds -3 to 4. Pass scores through soft"
    ):
        classification([[0.5, 0.5], [-3.0, 4.0]], [0, 1])
    with pytest.raises(ShapeError, match=r"\(rows, classes\), but an array of shape \(3, 2, 1\) came"):
        classification(p[..., None], [0, 1, 1])
    with pytest.raises(ShapeError, match=r"3 probabilities came for 2 rows"):
        classification(p, [0, 1])
    with pytest.raises(DataError, match=r"class numbers 0 to 1, but values of type"):
        classification(p, ["a", "b", "a"])
