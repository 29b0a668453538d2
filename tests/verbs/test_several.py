"""Several targets: one network, a task each, losses weighted, figures and answers by target."""

import csv

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import SettingError
from lamina.tasks.classification import Classification
from lamina.tasks.regression import Regression


@pytest.fixture
def run(columns):
    return lamina.fit(columns, target="y,z", model="mlp_tiny", budget="200steps", set={"lr": 0.02}, out="both")


def test_both_are_learnt_by_one_network(run, columns):
    assert run.about["task"]["name"] == "several"
    assert run.metrics["y/accuracy"] > 0.9 and run.metrics["z/r2"] > 0.95
    assert run.metrics["score"] == pytest.approx((run.metrics["y/accuracy"] + run.metrics["z/r2"]) / 2)
    baseline = run.about["baseline"]["constant"]
    assert abs(baseline["z/r2"]["value"]) < 0.1 and 0.4 < baseline["y/accuracy"]["value"] < 0.65


def test_answers_have_a_column_a_target_and_are_written_with_probabilities(run, columns):
    answers = run.predict({"a": [2.0, -2.0], "b": [-2.0, 2.0]}, out="answers.csv")
    assert list(answers) == ["y", "confidence(y)", "z"]
    assert answers["y"] == ["more", "less"] and answers["z"][0] > 10 > answers["z"][1]
    with open("answers.csv", newline="") as file:
        header, first, _ = csv.reader(file)
    assert header == ["y", "confidence(y)", "z", "p(y=less)", "p(y=more)"]
    assert float(first[3]) + float(first[4]) == pytest.approx(1, abs=2e-6)


def test_the_loss_is_the_weighted_sum_of_each_target_s_own(columns):
    tick = next(lamina.train(columns, target="y,z", model="mlp_tiny", budget="3steps", set={"task.weights": {"z": 5}}))
    parts = {k: float(v) for k, v in tick.losses.items() if "/" in k}
    assert set(parts) == {"loss/y/cross_entropy", "loss/z/mse"}
    assert float(tick.losses["loss"]) == pytest.approx(sum(parts.values()), rel=1e-5)
    assert parts["loss/z/mse"] == pytest.approx(5, rel=0.5), "five times the variance of a standardised number"


def test_each_target_sees_its_own_outputs_only(columns):
    from lamina.data import opening
    from lamina.tasks.several import Several

    data, _ = opening.dataset(columns, target="y,z")
    task = Several({name: data.fields[name] for name in ("y", "z")})
    data.prepare(("numbers",))
    batch = data.take(torch.arange(16))
    outputs = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    found = task.loss(outputs, batch)
    alone = Classification("y", data.fields["y"]).loss(outputs[:, :2], batch)["cross_entropy"]
    number = Regression("z", data.fields["z"]).loss(outputs[:, 2:], batch)["mse"]
    torch.testing.assert_close(found["y/cross_entropy"], alone)
    torch.testing.assert_close(found["z/mse"], number)


def test_pictures_with_two_answers_fit_networks_that_only_know_classes():
    rng = np.random.default_rng(0)
    tone = rng.integers(0, 2, 80)
    pixels = (tone[:, None, None] * 150 + rng.integers(0, 60, (80, 16, 16))).astype(np.uint8)
    table = {"image": list(pixels), "tone": [["dark", "light"][t] for t in tone], "mean": pixels.mean((1, 2))}
    run = lamina.fit(table, target=["tone", "mean"], model="resnet_tiny", budget="30steps")
    assert run.metrics["tone/accuracy"] == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": "y,y"}, "--target names y, y: each column once"),
        (
            {"target": "y,z", "set": {"task.weights": {"w": 1}}},
            "task.weights are numbers from 0 up for the targets y, z",
        ),
        ({"target": "y,z", "set": {"task.select": "w/r2"}}, "task.select is TARGET/metric, with a target of y, z"),
    ],
)
def test_what_cannot_be_asked_is_refused(columns, asked, said):
    with pytest.raises(SettingError, match=said):
        lamina.fit(columns, **asked)
