"""What the rooms of the house hand each other: the nouns, and nothing that works.

A *field* types a column. A *dataset* holds fields and samples. A *task* says what is asked. A *model* is a plain
`nn.Module`. A *method* arranges *stages*; a stage is a feed and a short list of phases; the trainer runs stages and
yields *ticks*. The trainer knows nothing but the words on this page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "Average",
    "Batch",
    "Column",
    "Dataset",
    "Feed",
    "Field",
    "Judge",
    "Method",
    "Phase",
    "Problem",
    "Recipe",
    "Stage",
    "Task",
    "Tick",
    "Train",
]

# Name -> tensor, first axis the samples. Inputs stand under the kind that a model's forward names (`numbers`,
# `categories`, `image`, `text`, …), targets under their field's name; what varies in length has NAME_lengths beside it.
Batch = dict[str, "Tensor"]


# ---------------------------------------------------------------------------------------------------------- data


@dataclass
class Column:
    """One column as it came: raw values (None where missing), and where they came from, for messages."""

    name: str
    values: Sequence[Any]
    source: str = ""
    first_row: int = 2  # the file's line of the first value: a header stands above it

    def where(self, index: int) -> str:
        """'row 12 of houses.csv', for messages."""
        return f"row {self.first_row + index}" + (f" of {self.source}" if self.source else "")


@runtime_checkable
class Field(Protocol):
    """The type of one column. It guesses itself, checks, encodes, decodes and draws; it knows no model.

    `kinds` are the ways it can stand in a batch as an input, the usual one first. After `fit` it is plain data:
    `state()` is JSON-able and `type(field).restore(name, state)` gives the same field again.
    `decode` takes what a task predicts, in the target's encoding, back to the user's own values.
    """

    name: str
    kinds: tuple[str, ...]

    @classmethod
    def guess(cls, column: Column) -> float: ...
    def fit(self, column: Column) -> None: ...
    def encode(self, column: Column, **how: Any) -> dict[str, Any]: ...
    def encode_target(self, column: Column) -> Any: ...
    def missing(self, column: Column) -> Any: ...
    def decode(self, values: Any) -> list[Any]: ...
    def sizes(self) -> dict[str, Any]: ...
    def state(self) -> dict[str, Any]: ...


class Dataset(Protocol):
    """Fields and samples from one source. It alone knows classes, sizes and columns.

    name, source: how the user called it; `fields`: by column, inputs and targets; `fingerprint`: of the content.
    """

    name: str
    fields: dict[str, Field]
    inputs: list[str]
    targets: list[str]

    @property
    def fingerprint(self) -> str: ...
    def kinds(self) -> list[str]: ...
    def sizes(self) -> dict[str, Any]: ...
    def count(self, split: str) -> int: ...
    def prepare(self, kinds: Sequence[str], reader: str = ...) -> None: ...
    def feed(self, sampler: Mapping[str, Any], *, split: str, batch: int, seed: int, augment: Any = None) -> Feed: ...
    def batches(self, sampler: Mapping[str, Any], *, split: str, batch: int) -> Iterator[Batch]: ...


class Feed(Protocol):
    """Where a stage's batches come from.

    `next(step, parts)` gives the batch of that step (counted from 0) in `parts` micro-batches. A feed over kept data
    computes it from (seed, step) alone and has nothing to save; one that acts in an environment, or fills a replay
    buffer, saves what it needs. `length` is the steps of an epoch, None where there is no such thing.
    """

    length: int | None

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


# ------------------------------------------------------------------------------------------------------ learning


@dataclass(frozen=True)
class Recipe:
    """How one group of parameters is moved: plain data, built by the trainer.

    optimizer: a name of `lamina.nn.optimizers`, with its own keywords in `options`. lr: the peak rate; 0 has
    the trainer find one by a range test.
    schedule: a name of `lamina.nn.schedules`, with its own keywords in `shape`; warmup: the share of the steps that the
        rate rises over.
    weight_decay: decoupled, on matrices only (never on norms, biases and embeddings' scales).
    clip: largest norm of the gradient, 0 for none. l1, l2: penalties added to the loss's gradient.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Phase:
    """One update: a pure loss, whom it moves, and how.

    `loss(batch) -> {name: scalar}`: the sum of the parts is minimised; a part that is detached is only shown.
    No `.item()`, no Python value of a tensor. `count(batch)` is what the loss is a mean over (samples by default),
    so that micro-batches add up to the large batch. `every`: the phase takes part in each such step.
    """

    name: str
    loss: Callable[[Batch], Mapping[str, Tensor]]
    parameters: nn.Module | Sequence[nn.Parameter]
    recipe: Recipe
    count: Callable[[Batch], Any] | None = None
    every: int = 1


@dataclass
class Average:
    """A copy that follows: `into` ← decay · into + (1 - decay) · of, each `every` steps. decay 0: a target network.

    The first updates count more: at the k-th, decay is at most (1 + k) / (10 + k), so that the start is soon forgotten.
    """

    of: str
    into: str
    decay: float = 0.999
    every: int = 1


@dataclass
class Stage:
    """A feed and phases over named modules; what happens between one save and the end of it.

    modules: everything with weights, by name, all of it saved. steps: how many, or None for the run's budget;
    share: of that budget, where a method has several stages. judged: the module that is evaluated and may be *best*,
    None where evaluation means nothing yet (a pre-training layer). shuffle of dropout, noise and the like needs
    nothing here: the trainer seeds each step and phase.
    """

    name: str
    modules: Mapping[str, nn.Module]
    feed: Feed
    phases: Sequence[Phase]
    averages: Sequence[Average] = ()
    steps: int | None = None
    share: float = 1.0
    judged: str | None = "model"


@dataclass
class Tick:
    """One step just made. Reading `losses` waits for the device; a loop that does not look does not wait.

    path: names of the trainings around this one and the stage's own, outermost first.
    losses: what each phase minimised, under its own name, and every part as PHASE/PART; detached scalars.
    """

    path: tuple[str, ...]
    step: int
    steps: int
    losses: Mapping[str, Tensor]
    means: Mapping[str, float] | None = None  # at a logging step: the losses' means since the last one, and the rates
    metrics: Mapping[str, float] | None = None  # where this step was followed by an evaluation


class Train(Protocol):
    """What a method is handed to run a stage with, inside its own code and as often as it likes.

    `state` is the method's own memory (plain values and tensors, e.g. {"round": 3}): it is in every checkpoint, and
    holds what was saved when a stopped run goes on. `modules` adds networks that live across stages (a global
    model), saved too. `within(name)` is the same for a training nested in this one, with a state of its own.
    """

    state: dict[str, Any]

    def __call__(self, stage: Stage) -> Iterator[Tick]: ...
    def within(self, name: str, modules: Mapping[str, nn.Module] | None = None) -> Train: ...


class Judge(Protocol):
    """Evaluates a module on the validation split. `metric` selects the best; `better(a, b)`: is a better than b."""

    metric: str

    def __call__(self, module: nn.Module) -> dict[str, float]: ...
    def better(self, new: float, old: float) -> bool: ...


class Method(Protocol):
    """A way of learning. Its signature is its settings.

    `learn` reads as the paper reads: it builds stages and hands them to `train`. Code between stages runs again
    after a resume, so it is a function of `train.state` and of modules alone.
    """

    def learn(self, problem: Problem, train: Train) -> Iterator[Tick]: ...


@dataclass
class Problem:
    """What a method is given: the network, what is asked of it, the data, and the seed.

    create(**settings): another network of the same family, for methods that need a second or third one.
    """

    model: nn.Module
    task: Task
    data: Dataset
    seed: int
    device: torch.device
    create: Callable[..., nn.Module] | None = None

    def feed(self, batch: int, split: str = "train", **options: Any) -> Feed:
        """The task's usual feed over one split of the data."""
        sampler = self.task.sampler(self.model)
        return self.data.feed(sampler, split=split, batch=batch, seed=self.seed, **options)


class Task(Protocol):
    """What is asked: input fields → target field. It knows no method.

    Built as `Task(target, field, **settings)`; where it says ASKS = False (no target), as
    `Task({input: field, …}, **settings)`; where it says SEVERAL = True, as `Task({target: field, …}, **settings)`.
    metric: the one of `evaluate` that picks the best weights.
    """

    metric: str

    @classmethod
    def fits(cls, inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> float:
        """How surely these columns ask for this task, 0 to 1."""
        ...

    def sizes(self) -> dict[str, Any]:
        """What a network's signature may ask for of its outputs: classes, outputs, …"""
        ...

    def model(self, kinds: list[str]) -> str:
        """The default network for what goes in."""
        ...

    def method(self) -> str:
        """The default way of learning."""
        ...

    def sampler(self, model: nn.Module) -> dict[str, Any]:
        """How the data set shall cut its batches; {} leaves it to the data set."""
        ...

    def loss(self, outputs: Any, batch: Batch) -> dict[str, Tensor]: ...

    def predict(self, model: nn.Module, batch: Batch, rng: Any, **options: Any) -> dict[str, Any]:
        """Answers for a batch: tensors or lists, a row a sample. A forward pass, or a loop around the model."""
        ...

    def decode(self, raw: Mapping[str, Any]) -> dict[str, list[Any]]:
        """What `predict` gave as columns for a person."""
        ...

    def evaluate(self, model: nn.Module, data: Any, split: str, *, intervals: bool = True) -> Mapping[str, Any]:
        """{metric: Value} over a whole split."""
        ...

    def baseline(self, data: Any, split: str) -> Mapping[str, Mapping[str, Any]]:
        """{simple baseline: {metric: Value}} on the same split; empty where nothing simple answers."""
        ...
