"""Schedules against torch's own, and what they are at both ends."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from lamina.core.errors import SettingError, UnknownName
from lamina.nn import schedules

STEPS = 30


def of_torch(build, steps=STEPS):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


CASES = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "cosine": ({"floor": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)),
    "linear": ({"floor": 0.2}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, STEPS)),
    "step": ({}, lambda o: lr_scheduler.StepLR(o, STEPS // 3, 0.1)),
    "exponential": ({"end": 0.01}, lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / STEPS))),
    "one_cycle": ({}, lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS + 1)),
}


@pytest.mark.covers("control/learning-rate-scheduling")
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_torchs_own(name):
    options, build = CASES[name]
    steps = STEPS + 1 if name == "one_cycle" else STEPS
    ours = schedules.create(name, steps=steps, **options)
    assert [ours(t) for t in range(STEPS)] == pytest.approx(of_torch(build), rel=1e-9, abs=1e-12)


def test_wsd_is_stable_then_falls_as_one_minus_the_root():
    factor = schedules.create("wsd", steps=100, warmup=0.1, decay=0.2)
    assert [factor(t) for t in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert all(factor(t) == 1 for t in range(9, 82))
    # 90 steps after the warm-up, the last fifth of them falls: steps 82 to 99.
    assert [factor(82 + k) for k in range(18)] == pytest.approx([1 - math.sqrt(k / 18) for k in range(18)])
    assert factor(100) == pytest.approx(0)
    line = schedules.create("wsd", steps=100, decay=0.5, shape="linear", floor=0.1)
    assert [line(t) for t in (50, 75, 100)] == pytest.approx([1.0, 0.55, 0.1])


@pytest.mark.parametrize("name", sorted(schedules.SCHEDULES))
def test_warms_up_by_equal_steps_and_stays_within_bounds(name):
    factor = schedules.create(name, steps=50, warmup=0.2)
    assert [factor(t) for t in range(10)] == pytest.approx([(t + 1) / 10 for t in range(10)])
    assert all(0 <= factor(t) <= 1 for t in range(80))
    assert factor(70) == factor(50)  # stays where it ended
    assert [factor(t) for t in (40, 3, 40)] == [factor(40), factor(3), factor(40)]  # no memory of the order


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_agrees_with_torchs_own(mode):
    metrics = [1.0, 0.9, 0.9, 0.95, 0.9, 0.89999, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.3, patience=2, min_lr=0.01)
    ours = schedules.create("plateau", steps=99, factor=0.3, patience=2, mode=mode, floor=0.01)
    for metric in metrics:
        theirs.step(metric)
        ours.observe(metric)
        assert ours(5) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours(5) < 0.1


def test_plateau_goes_on_from_plain_numbers():
    one, two = (schedules.create("plateau", steps=9, patience=1) for _ in range(2))
    for metric in (1.0, 1.0, float("nan")):
        one.observe(metric)
    assert one(0) == 0.5  # nan is no improvement
    one.observe(2.0)
    two.load_state_dict(one.state_dict())
    one.observe(2.0), two.observe(2.0)
    assert one(0) == two(0) == 0.25


def test_one_step_is_enough_and_none_is_refused():
    for name in schedules.SCHEDULES:
        assert 0 <= schedules.create(name, steps=1)(0) <= 1
    with pytest.raises(SettingError, match="at least one step, but steps came as 0"):
        schedules.create("cosine", steps=0)


def test_wrong_settings_are_refused():
    with pytest.raises(UnknownName, match=r"No schedule is called 'cosin'. Did you mean 'cosine'\?"):
        schedules.create("cosin", steps=5)
    with pytest.raises(SettingError, match=r"'cosine' takes floor=0.0. It has no 'flor'. Did you mean 'floor'"):
        schedules.create("cosine", steps=5, flor=0.1)
    with pytest.raises(SettingError, match=r"warmup is a share of all steps.*came as 100"):
        schedules.create("cosine", steps=5, warmup=100)
    with pytest.raises(SettingError, match=r"'min' or 'max', but mode came as 'up'"):
        schedules.create("plateau", steps=5, mode="up")
    with pytest.raises(SettingError, match=r"'sqrt' or 'linear', but shape came as 'cube'"):
        schedules.create("wsd", steps=5, shape="cube")
