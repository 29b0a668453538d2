"""The plan: what a number format means, and what a machine lacks."""

import pytest
import torch

from lamina.core.errors import SettingError
from lamina.core.protocols import Phase, Recipe, Stage
from lamina.train.plan import Plan
from lamina.train.running import Running
from tests.train import problems
from tests.train.problems import Rows, net, squared


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_losses_are_computed_in_the_format_that_is_named(name):
    with Plan(device="cpu", precision=name).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == getattr(torch, name)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "int3"}, "plan.precision is one of"),
        ({"layout": "sideways"}, "plan.layout is one of"),
        ({"accumulate": 0}, "at least 1"),
        ({"device": "cuda:77"}, "--device"),
    ],
)
def test_what_the_machine_lacks_is_refused(given, words):
    with pytest.raises(SettingError, match=words):
        Plan(**given).settled()


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_batch_lies_in_memory_as_the_plan_says(layout):
    """Only pictures do; their values stay."""
    model = net()
    stage = Stage("s", {"model": model}, Rows(), [Phase("l", squared(model), model, Recipe())])
    running = Running(stage, ("s",), 0, 0, problems.trainer(None, plan={"layout": layout}).plan)
    batch = {"image": torch.randn(2, 3, 4, 5), "numbers": torch.randn(2, 3)}
    moved = running.move(batch)
    assert moved["image"].is_contiguous(memory_format=torch.channels_last) == (layout == "channels_last")
    assert all(torch.equal(moved[name], batch[name]) for name in batch)
