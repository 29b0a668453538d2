"""What fit says of the data before the first step, and how quickly."""

import time

import numpy as np
import pytest

import lamina
from lamina.core.errors import DataError
from lamina.data import opening
from tests import datasets


def found(source, **asked):
    data, _ = opening.dataset(source, **asked)
    return [str(finding) for finding in data.findings]


def rows(count=200, **more):
    rng = np.random.default_rng(0)
    return {"a": rng.normal(size=count), "y": ["no", "yes"] * (count // 2), **more}


def test_a_column_that_holds_the_answer_is_warned_of():
    frame = datasets.nasscds()
    said = found(frame, target="dead", drop=["caseid", "rownames"], weight="weight")
    leaks = [line for line in said if "injSeverity" in line and "missing" not in line]
    assert len(leaks) == 1, said
    assert "it alone predicts 'dead' (AUROC 0.9" in leaks[0] and "leave it out" in leaks[0]
    clean = found(frame, target="dead", drop=["caseid", "rownames", "injSeverity"], weight="weight")
    assert not any("alone predicts" in line for line in clean)


def test_a_table_of_54_000_rows_is_looked_over_within_two_seconds():
    frame = datasets.diamonds()
    spent = []
    inspected = opening._inspected

    def timed(*words):
        start = time.process_time()
        out = inspected(*words)
        spent.append(time.process_time() - start)
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "_inspected", timed)
        said = found(frame, target="price")
    assert spent[0] < 2, spent
    assert any("rows repeat an earlier one" in line for line in said)


def test_each_finding_is_in_the_run_and_said_once():
    table = rows(id=np.arange(1000, 1200) * 7, alone=["x"] * 199 + ["z"])
    run = lamina.fit(table | {"y": ["a", "b"] * 99 + ["a", "rare"]}, target="y", model="mlp_tiny", budget="2steps")
    whats = [f"{f['where']}: {f['what']}" for f in run.about["findings"]]
    assert len(set(whats)) == len(whats)
    assert any("'rare'" in what and "one sample" in what for what in whats)
    assert all(set(f) >= {"level", "what", "where", "remedy"} for f in run.about["findings"])


def test_one_class_stops_the_fit():
    with pytest.raises(DataError, match="all 200 rows are of one class, 'yes'"):
        opening.dataset(rows() | {"y": ["yes"] * 200}, target="y")


def test_rows_of_the_user_s_own_test_split_that_stand_in_training_too_are_counted():
    table = rows(split=["train"] * 150 + ["test"] * 50)
    table["a"][150:160] = table["a"][:10]
    said = found(table, target="y")
    assert any("Split 'test': 10 of its 50 rows stand in 'train' too" in line for line in said), said


def test_numbers_of_rows_do_not_hide_repeats():
    """Two equal rows are equal though an identifier counts them, and stay on one side of the split."""
    a = np.repeat(np.random.default_rng(0).normal(size=100), 2)
    table = {"case_id": np.arange(200) * 3 + 11, "a": a, "y": np.repeat(["u", "v"], 100).tolist()}
    data, _ = opening.dataset(table, target="y")
    assert any("100 of 200 rows repeat" in str(f) for f in data.findings)
    side = np.empty(200, dtype=object)
    for name, where in data.splits.items():
        side[where.numpy()] = name
    assert (side[0::2] == side[1::2]).all()
