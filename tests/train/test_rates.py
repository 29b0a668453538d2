"""The range test for a learning rate."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lamina
from lamina.core.errors import SettingError, TrainingError
from lamina.core.protocols import Phase, Recipe, Stage
from lamina.train import rates
from lamina.train.plan import Plan
from lamina.train.running import Running
from tests.train.problems import Rows


def running(scale=1.0, lr=0.0):
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    loss = lambda batch: {"mse": F.mse_loss(model(scale * batch["numbers"]), batch["target.y"])}  # noqa: E731
    phase = Phase("loss", loss, model, Recipe(optimizer="sgd", lr=lr, schedule="constant"))
    stage = Stage("fit", {"model": model}, Rows(noise=0.0), [phase])
    made = Running(stage, ("fit",), 0, 0, Plan(precision="float32", layout="contiguous", threads=1).settled())
    made.lasts(200, 1)
    return made


@pytest.mark.covers("base/learning-rate")
def test_inputs_ten_times_as_large_ask_for_a_rate_about_a_hundred_times_smaller():
    """The curvature of least squares grows with the square of the inputs, and with it falls the largest stable rate."""
    small, large = rates.find(running(1.0))[0], rates.find(running(10.0))[0]
    assert 20 < small / large < 500


def test_the_found_rate_learns_and_a_hundredfold_one_does_not():
    rate = rates.find(running())[0]
    trial = running(lr=rate)
    losses = [float(trial.advance()["loss"]) for _ in range(200)]
    assert losses[-1] < 0.7 * losses[0]
    wild = running(lr=100 * rate)
    with pytest.raises(TrainingError, match="became"):
        for _ in range(200):
            wild.advance()


def test_looking_leaves_no_trace_and_given_rates_alone():
    made, other = running(), running()
    rates.find(made)
    assert torch.equal(made.stage.modules["model"].weight, other.stage.modules["model"].weight)
    assert made.step == 0
    assert not made.optimizers[0].state
    assert rates.find(running(lr=0.03)) == [0.03]


def test_where_no_rate_helps_it_says_so():
    made = running()
    made.stage.modules["model"].requires_grad_(True)
    constant = Phase("loss", lambda batch: {"flat": made._groups[0][0].sum() * 0 + 1}, made.stage.modules["model"],
                     Recipe(optimizer="sgd", lr=0.0, schedule="constant"))  # fmt: skip
    stage = Stage("fit", made.stage.modules, Rows(), [constant])
    flat = Running(stage, ("fit",), 0, 0, made.plan)
    flat.lasts(200, 1)
    with pytest.raises(TrainingError, match=r"No learning rate between 1e-06 and 1 made the loss fall"):
        rates.find(flat)


def test_a_run_can_be_asked_to_find_its_rate(tmp_path):
    settings = {"lr": "find", "optimizer": "adamw", "augment": "none", "plan.threads": 1}
    run = lamina.fit("digits", model="mlp", budget="10epochs", out=tmp_path / "run", set=settings)
    found = [line for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines() if '"lr"' in line]
    assert len(found) == 1
    assert run.metrics["accuracy"] > 0.9
    with pytest.raises(SettingError, match="takes a number, or find"):
        lamina.fit("digits", set={"lr": "search"})
