import time as clock

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.data.splits import split


def sides(rows, count):
    """Every row on exactly one side."""
    joined = np.concatenate(list(rows.values()))
    assert sorted(joined) == list(range(count))
    assert all(r.dtype == np.int64 and (np.diff(r) > 0).all() for r in rows.values())
    out = np.empty(count, int)
    for i, name in enumerate(("train", "valid", "test")):
        out[rows[name]] = i
    return out


def test_the_seed_fixes_the_split_and_another_gives_another():
    same = [split(200, target=np.arange(200) % 4, seed=3) for _ in range(2)]
    assert all((same[0][k] == same[1][k]).all() for k in same[0])
    assert set(split(200, seed=1)["test"]) != set(split(200, seed=2)["test"])


@pytest.mark.parametrize("kind", ["numbers", "words"])
def test_classes_keep_their_shares_on_every_side(kind):
    y = np.repeat([0, 1, 2], [700, 250, 50])
    labels = y if kind == "numbers" else [["ant", "bee", "cat"][c] for c in y]
    where = sides(split(1000, target=labels), 1000)
    for c, size in enumerate([700, 250, 50]):
        assert [(where[y == c] == i).sum() for i in range(3)] == [0.8 * size, 0.1 * size, 0.1 * size]


def test_numbers_keep_their_distribution_on_every_side():
    y = np.random.default_rng(0).lognormal(size=2000)
    rows = split(2000, target=y)
    deciles = np.quantile(y, np.arange(0.1, 1, 0.1))
    for r in rows.values():
        shares = np.bincount(np.searchsorted(deciles, y[r]), minlength=10) / len(r)
        assert shares == pytest.approx(0.1, abs=0.011)


def test_small_classes_train_first_and_are_judged_where_they_can_be():
    y = np.repeat(np.arange(5), [1, 2, 3, 5, 189])
    where = sides(split(200, target=y), 200)
    counts = [[int((where[y == c] == i).sum()) for i in range(3)] for c in range(4)]
    assert counts == [[1, 0, 0], [2, 0, 0], [2, 0, 1], [3, 1, 1]]


@pytest.mark.parametrize("labels", [12, 60, 3000])
def test_groups_never_cross_and_shares_come_near(labels):
    rng = np.random.default_rng(labels)
    groups = rng.integers(0, labels, 6000)
    y = (rng.random(labels) < 0.3)[groups].astype(int) if labels > 100 else None
    where = sides(split(6000, groups=groups, target=y), 6000)
    for g in np.unique(groups):
        assert len(set(where[groups == g])) == 1
    tolerance = 0.03 if labels > 12 else 0.1
    assert np.bincount(where) / 6000 == pytest.approx([0.8, 0.1, 0.1], abs=tolerance)
    if y is not None:
        assert [y[where == i].mean() for i in range(3)] == pytest.approx([y.mean()] * 3, abs=0.05)


def test_a_few_twins_among_single_rows_do_not_disturb_the_classes():
    """Duplicate rows as groups: 100 pairs among 4,800 single rows."""
    groups = np.concatenate([np.arange(4900), np.arange(100)])
    y = np.arange(5000) % 10 == 0
    where = sides(split(5000, groups=groups, target=y), 5000)
    assert (where[:100] == where[4900:]).all()
    assert np.bincount(where) / 5000 == pytest.approx([0.8, 0.1, 0.1], abs=0.005)
    assert [y[where == i].mean() for i in range(3)] == pytest.approx([0.1] * 3, abs=0.01)


def test_words_and_missing_words_are_groups_too():
    groups = ["a", "b", None, "c", "a", None, "b", "c"]
    where = sides(split(8, groups=groups), 8)
    assert where[2] == where[5]
    assert where[0] == where[4]


def test_time_trains_on_the_past_and_never_cuts_a_moment():
    moments = np.random.default_rng(0).integers(0, 50, 1000)
    rows = split(1000, time=moments)
    sides(rows, 1000)
    assert moments[rows["train"]].max() < moments[rows["valid"]].min()
    assert moments[rows["valid"]].max() < moments[rows["test"]].min()
    assert len(rows["train"]) == pytest.approx(800, abs=20)
    days = [f"2020-01-{d:02d}" for d in range(30, 0, -1)]
    assert split(30, time=days)["test"].tolist() == [0, 1, 2]


def test_numbers_written_as_words_are_ordered_as_numbers():
    assert split(20, time=[str(i) for i in range(1, 21)])["test"].tolist() == [18, 19]


def test_heavy_moments_leave_no_side_empty():
    rows = split(100, time=[0] * 98 + [1, 2])
    assert [len(r) for r in rows.values()] == [98, 1, 1]


def test_the_users_own_column_is_taken_as_it_is():
    rows = split(6, given=["Train", "training", "val", "TEST", None, "dev"])
    assert {k: v.tolist() for k, v in rows.items()} == {"train": [0, 1], "valid": [2, 5], "test": [3]}


def test_without_valid_rows_they_are_cut_from_the_train_rows_within_groups():
    groups = np.arange(100) // 2
    rows = split(100, given=["train"] * 90 + ["test"] * 10, groups=groups)
    assert rows["test"].tolist() == list(range(90, 100))
    assert len(rows["valid"]) == 10
    assert set(groups[rows["train"]]).isdisjoint(groups[rows["valid"]])


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.6, 0.0, 0.4)])
def test_a_share_of_zero_leaves_that_side_empty(fractions):
    rows = split(100, target=np.arange(100) % 3, fractions=fractions)
    sides(rows, 100)
    assert [len(r) / 100 for r in rows.values()] == pytest.approx(fractions, abs=0.021)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_handful_of_rows_still_has_three_sides(count):
    rows = split(count, target=list("abcdefg")[:count])
    sides(rows, count)
    assert min(len(r) for r in rows.values()) >= 1


def test_large_tables_are_split_in_a_moment():
    rng = np.random.default_rng(0)
    start = clock.perf_counter()
    split(336_776, target=rng.normal(size=336_776), groups=rng.integers(0, 100_000, 336_776))
    assert clock.perf_counter() - start < 3


def test_refusals_say_what_came_and_what_to_do():
    with pytest.raises(SettingError, match=r"sum to 1, train above 0; \(0.8, 0.1, 0.2\) came. Try \(0.8, 0.1, 0.1\)"):
        split(10, fractions=(0.8, 0.1, 0.2))
    with pytest.raises(SettingError, match=r"by group or by time, not both. Leave out data.group or data.time"):
        split(2, groups=[1, 2], time=[1, 2])
    with pytest.raises(DataError, match=r"The group column has 2 values for 10 rows"):
        split(10, groups=[1, 2])
    with pytest.raises(DataError, match=r"2 rows cannot be split into 3 parts"):
        split(2)
    with pytest.raises(DataError, match=r"2 distinct groups, too few for 3 parts that share none"):
        split(4, groups=["a", "a", "b", "b"])
    with pytest.raises(DataError, match=r"The split column holds 'tset' \(row 2, counted from 0\). Its words are"):
        split(4, given=["train", "test", "tset", "tset"])
    with pytest.raises(DataError, match=r"gives 2 train, 0 valid, 0 test rows. Mark some rows 'train' and some 'test'"):
        split(2, given=["train", "train"])
    with pytest.raises(DataError, match=r"1 of \d rows have no time \(first: row 1, counted from 0\)"):
        split(4, time=[1.0, np.nan, 2.0, 3.0])
    with pytest.raises(DataError, match=r"The time column mixes int, str, which have no order"):
        split(3, time=[1, "monday", 3])
    with pytest.raises(DataError, match=r"The time column has 2 distinct moments, too few for 3 parts"):
        split(4, time=[1, 1, 2, 2])
