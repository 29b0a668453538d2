"""Rows with any number of tags, through the verbs."""

import csv

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn

import lamina
from lamina.core.errors import ShapeError


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Handwritten digits, tagged by what is true of their number."""
    held = load_digits()
    said = {"even": {0, 2, 4, 6, 8}, "prime": {2, 3, 5, 7}, "round": {0, 6, 8, 9}}
    path = tmp_path_factory.mktemp("tags") / "digits.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*(f"p{i}" for i in range(64)), "tags"])
        for row, digit in zip(held.data, held.target, strict=True):
            out.writerow([*row, "|".join(tag for tag, of in said.items() if int(digit) in of)])
    return path


def test_tags_are_learnt_better_than_by_a_linear_model_and_given_back_as_they_came(digits, tmp_path):
    run = lamina.fit(digits, target="tags", budget="100steps", seed=0, out=tmp_path / "run")
    assert run.about["task"]["name"] == "tagging"
    linear = run.about["baseline"]["linear"]["f1_micro"]["value"]
    assert run.metrics["f1_micro"] > max(0.97, linear)
    assert run.metrics["exact_match"] > 0.93
    rows = list(csv.DictReader(digits.open()))
    told = run.predict(digits)["tags"]
    assert set().union(*(t.split("|") for t in told)) <= {"even", "prime", "round", ""}
    assert np.mean([t == r["tags"] for t, r in zip(told, rows, strict=True)]) > 0.95
    assert run.evaluate(digits)["f1_micro"]["count"] == len(rows)
    assert not [f for f in run.about["findings"] if "tags" in str(f)]  # a row without a tag lacks nothing


def test_bars_and_semicolons_in_labels_that_are_no_tags_can_be_said_to_be_classes(digits, tmp_path):
    run = lamina.fit(
        digits, target="tags", budget="5steps", out=tmp_path / "run", set={"data.types": {"tags": "category"}}
    )
    assert run.about["task"]["name"] == "classification"


def test_a_network_with_another_number_of_outputs_is_refused(digits, tmp_path):
    with pytest.raises(ShapeError, match=r"tags"):
        lamina.fit(digits, target="tags", model=nn.LazyLinear(5), budget="2steps", out=tmp_path / "run")


def test_tags_may_be_one_of_several_targets(digits, tmp_path):
    rows = list(csv.DictReader(digits.open()))[:400]
    for row in rows:
        row["ink"] = sum(float(v) for k, v in row.items() if k != "tags")
    with (tmp_path / "both.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    run = lamina.fit(tmp_path / "both.csv", target="tags,ink", budget="40steps", out=tmp_path / "run")
    assert run.metrics["tags/f1_micro"] > 0.6 and run.metrics["ink/r2"] > 0.6
    assert list(run.predict(tmp_path / "both.csv"))[:2] == ["tags", "ink"]
