"""The plan: what a number format means, and what a machine lacks."""

import pytest
import torch

from lamina.core.errors import SettingError
from lamina.train.plan import Plan


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
