"""What every network keeps, run over everything on the shelf in its `tiny` variant.

Where a check is rightly not so, the file says why: EXEMPT = {check: reason}. That is held against it: the check of an
exempt network has to fail, so that no reason outlives its cause.
"""

import contextlib
import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina.core import calls, names
from tests.models.contract import CHECKS, SIZES, Case, leak, outputs
from tools.shapes import unchecked

SHELF = names.shelf("models", own=False)
GIVEN = {  # what data with one kind of column say of their sizes
    "numbers": {"columns": 3},
    "categories": {"cardinalities": [4, 12]},
    "image": {"channels": 1, "size": 8},
    "words": {"vocab": 20},
}


def case(name: str) -> Case:
    made, variant = names.load("models", SHELF[name].spell("tiny"))
    takes = inspect.signature(made).parameters
    return Case(made, {**variant, **{k: v for k, v in SIZES.items() if k in takes}})


# ------------------------------------------------------------------------------------------------------- on the shelf


def every() -> Iterator[Any]:
    """Each check on each network."""
    for check, name in itertools.product(CHECKS, sorted(SHELF)):
        yield pytest.param(check, name)


@pytest.mark.parametrize(("check", "name"), list(every()))
def test_every_network_keeps_the_contract(check, name):
    with contextlib.ExitStack() as around:
        if check == "compile":
            around.enter_context(unchecked("lamina.nn", "lamina.models"))
        if check in SHELF[name].exempt:
            around.enter_context(pytest.raises(Exception))  # however it fails
        CHECKS[check](case(name))


@pytest.mark.parametrize("name", [name for name in sorted(SHELF) if "edges" in case(name).batch()])
def test_nodes_know_each_other_by_edges_alone(name):
    leak(case(name), without=("edges",))
    leak(case(name), without=("edges",), training=True)


@pytest.mark.parametrize("name", sorted(SHELF))
def test_exemptions_are_of_checks_that_there_are_and_say_why(name):
    for check, reason in SHELF[name].exempt.items():
        assert check in CHECKS, f"{name} is exempt from {check!r}; the checks are {', '.join(CHECKS)}"
        assert len(reason.split()) > 3, f"{name} is exempt from {check!r} because of {reason!r}: say it in a sentence"


@pytest.mark.parametrize("name", sorted(SHELF))
def test_says_its_paper_its_settings_and_its_shapes(name):
    entry = SHELF[name]
    made, _ = names.load("models", name)
    doc = made.__doc__ or ""
    assert re.search(r"^Papers?: .*\d{4}", entry.doc, re.MULTILINE | re.DOTALL), f"{entry.path.name} names no paper"
    assert "Shapes:" in doc and "->" in doc, f"{made.__name__} gives no shapes"
    settings = doc.partition("Args:")[2].partition("Shapes:")[0]
    unsaid = [n for n in inspect.signature(made).parameters if not re.search(rf"\b{n}\b", settings)]
    assert not unsaid, f"{made.__name__} says nothing of {', '.join(unsaid)}"


@pytest.mark.parametrize("name", sorted(SHELF))
def test_has_a_tiny_variant(name):
    assert "tiny" in SHELF[name].variants, f"{SHELF[name].path.name} has no variant 'tiny' for these tests"
    model = case(name).build()
    assert calls.reads(model), f"{type(model).__name__}.forward names none of {', '.join(calls.KINDS)}"
    assert sum(p.numel() for p in model.parameters()) < 100_000


def alone() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(network, kind that need not be there, sizes that data with that kind alone say)."""
    for name, kind in itertools.product(sorted(SHELF), GIVEN):
        made, _ = names.load("models", name)
        parameter = inspect.signature(made.forward).parameters.get(kind)
        if parameter is not None and parameter.default is not parameter.empty:
            yield name, kind, {"columns": 0, "cardinalities": []} | GIVEN[kind]
            if kind == "numbers":
                yield name, kind, GIVEN[kind]  # environments have no categories, and say nothing of them


@pytest.mark.parametrize(("name", "kind", "sizes"), list(alone()))
def test_reads_any_one_of_the_kinds_that_need_not_be_there(name, kind, sizes):
    """A variant holds no size that data without that kind leave standing: the network would wait for its columns."""
    made, variant = names.load("models", SHELF[name].spell("tiny"))
    fitting = {k: v for k, v in sizes.items() if k in inspect.signature(made).parameters}
    batch = {k: v for k, v in case(name).batch().items() if k.partition("_")[0] == kind}
    (out,) = outputs(Case(made, {**variant, **fitting}).build().eval(), batch)
    assert out.isfinite().all()


# ------------------------------------------------------------------------------------------- the checks find offenders


class Sound(nn.Module):
    """A network that keeps everything; each one below breaks one thing."""

    def __init__(self, *, columns: int = 3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(columns, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers)


class Idle(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.never_used = nn.Linear(2, 2)


class Shared(Sound):
    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers - numbers.mean(0))


class Normalised(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.layers.insert(1, nn.BatchNorm1d(16))


class Deaf(Sound):
    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(torch.zeros_like(numbers))


class Forgetful(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.kept_aside = torch.randn(3)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers * self.kept_aside)


class Branching(Sound):
    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers) if numbers.sum() > 0 else -self.layers(numbers)


class Baked(Sound):
    def forward(self, numbers: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.layers(numbers) + 1e-3
        return self.layers(numbers)


class Blind(Sound):
    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers.sum(1, keepdim=True).sign() * torch.ones_like(numbers))


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_network_passes(check):
    CHECKS[check](Case(Sound, {}))


@pytest.mark.parametrize(
    ("check", "offender"),
    [
        ("gradient", Idle),
        ("leak", Shared),
        ("leak", Deaf),
        ("leak in training", Normalised),
        ("save", Forgetful),
        ("export", Branching),
        ("export", Baked),
        ("compile", Branching),
        ("compile", Baked),
        ("overfit", Blind),
        ("overfit", Deaf),
    ],
)
def test_an_offender_is_found(check, offender):
    with pytest.raises(Exception):
        CHECKS[check](Case(offender, {}))
