"""What everything on the shelves of tasks, methods, fields, sources and data sets keeps, by being there.

Networks have tests/models/test_contract.py. A new file is run through all of this; what it needs beside itself is a
column for a new field (SAMPLES), and columns that ask for it for a new task (QUESTIONS).
"""

import inspect
import itertools
import json
import re
import sys
from datetime import date
from typing import Any

import numpy as np
import pytest

from lamina.core import calls, names, protocols
from lamina.core.errors import SettingError
from lamina.core.protocols import Column
from lamina.core.settings import arguments, split
from lamina.fields import guess
from lamina.metrics.names import better

ROOMS = ["models", "tasks", "methods", "data/sources", "data/builtin"]
SHELVES = {room: names.shelf(room, own=False) for room in ROOMS}
FIELDS = guess.fields()
UNPUBLISHED = {"supervised": "the loss of the task, minimised: what other methods differ from"}

SAMPLES: dict[str, tuple[dict[str, Any], list[Any]]] = {  # settings, values
    "action": (dict(actions=3), [0, 2, 1, 2, 0, 1]),
    "array": ({}, [np.full((2, 3), i / 4, np.float32) for i in range(6)]),
    "boolean": ({}, ["no", "yes", "yes", "no", "yes", "no"]),
    "category": ({}, ["red", "blue", "red", "green", "blue", "red"]),
    "date": ({}, [date(2024, month, 5) for month in range(1, 7)]),
    "image": ({}, list(np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8))),
    "number": ({}, [1.0, 2.5, -3.0, 4.0, 0.5, 7.0]),
    "tags": ({}, ["red|round", "red", "blue", "blue|round", "round", "red|blue"]),
    "text": ({}, ["the cat sat", "a dog ran", "the dog sat", "a cat ran", "the cat ran", "a dog sat"]),
    "vector": ({}, [[i, 2.0 * i, 1.0] for i in range(6)]),
}
QUESTIONS = {  # inputs and targets, as fields
    "classification": (["number"], ["category"]),
    "control": (["vector"], ["action"]),
    "generation": (["image"], []),
    "language": (["text"], []),
    "regression": (["number"], ["number"]),
    "several": (["number"], ["category", "number"]),
    "tagging": (["number"], ["tags"]),
}


def every(*rooms: str) -> list[Any]:
    """Each thing on these shelves."""
    return [pytest.param(room, name, id=f"{room}-{name}") for room in rooms for name in SHELVES[room]]


def column(name: str, called: str = "it") -> Column:
    return Column(called, SAMPLES[name][1], "samples.csv")


def fitted(name: str, called: str = "it") -> Any:
    field = FIELDS[name](called, **SAMPLES[name][0])
    field.fit(column(name, called))
    return field


def columns(task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a task's question: inputs and targets."""
    inputs, targets = QUESTIONS[task]
    return (
        {f"in{i}": fitted(name, f"in{i}") for i, name in enumerate(inputs)},
        {f"out{i}": fitted(name, f"out{i}") for i, name in enumerate(targets)},
    )


def asked(task: str) -> Any:
    """A task put to its question, as the verbs do."""
    kind, _ = names.load("tasks", task)
    inputs, targets = columns(task)
    if not getattr(kind, "ASKS", True):
        return kind(inputs)
    return kind(targets) if getattr(kind, "SEVERAL", False) else kind(*next(iter(targets.items())))


def objections(made: Any, protocol: type) -> list[str]:
    """What a class lacks of a protocol, or takes in other ways, in words."""
    wrong = []
    for word, stated in vars(protocol).items():
        if word.startswith("_") or not (inspect.isfunction(stated) or isinstance(stated, classmethod)):
            continue
        if not callable(getattr(made, word, None)):
            wrong.append(f"{made.__name__} has no {word}()")
            continue
        if isinstance(stated, classmethod) and not inspect.ismethod(getattr(made, word)):
            wrong.append(f"{made.__name__}.{word} is no classmethod")
            continue
        parameters = list(inspect.signature(getattr(protocol, word)).parameters.values())
        given = [None for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        named = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
        try:
            inspect.signature(getattr(made, word)).bind(*given, **named)
        except TypeError as error:
            wrong.append(f"{made.__name__}.{word}: {error}")
    return wrong


def settings(made: Any) -> dict[str, Any]:
    """What can be set: the keywords behind what the house itself hands over."""
    chosen = {n for n, p in inspect.signature(made).parameters.items() if p.kind is p.KEYWORD_ONLY}
    return {name: argument for name, argument in arguments(made).items() if name in chosen}


def text(value: Any) -> str:
    """A value as one would write it behind --set."""
    return value if isinstance(value, str) else json.dumps(value)


# ----------------------------------------------------------------------------------------------------------- papers


@pytest.mark.parametrize(("room", "name"), every(*ROOMS))
def test_loads_and_says_what_it_is(room, name):
    entry = SHELVES[room][name]
    made, _ = names.load(room, name)
    assert made.__module__ == entry.module, f"{entry.path} lends out {made.__qualname__} of {made.__module__}"
    assert made.__doc__, f"{made.__qualname__} has no docstring"
    assert 10 < len(entry.summary) <= 120


@pytest.mark.parametrize(("room", "name"), every(*ROOMS))
def test_the_first_line_is_a_sentence_of_its_own(room, name):
    """It is all that the listing shows."""
    assert SHELVES[room][name].summary.endswith((".", "?"))


@pytest.mark.parametrize("kind", [*FIELDS.values(), *(names.load(r, n)[0] for r in ROOMS for n in SHELVES[r])])
def test_every_setting_is_explained(kind):
    told = (kind.__doc__ or "").partition("Args")[2]
    unsaid = [name for name in settings(kind) if not re.search(rf"\b{name}\b", told)]
    assert not unsaid, f"under Args, {kind.__qualname__} says nothing of {', '.join(unsaid)}"


@pytest.mark.parametrize("kind", [*FIELDS.values(), *(names.load(r, n)[0] for r in ROOMS[:3] for n in SHELVES[r])])
def test_every_setting_can_be_written_behind_set(kind):
    for name, argument in settings(kind).items():
        assert argument.annotation is not inspect.Parameter.empty, f"{kind.__qualname__}: {name} says no type"
        if argument.default is inspect.Parameter.empty:
            continue
        found = split([f"{name}={text(argument.default)}"], {"room": kind})["room"][name]
        same = found == argument.default or list(found) == list(argument.default)
        assert same, f"{kind.__qualname__}: {name}={text(argument.default)} is read as {found!r}"
        if argument.type in (int, float, int | None, float | None):
            assert split([f"room.{name}=3"], {"room": kind}) == {"room": {name: 3}}
            with pytest.raises(SettingError, match=f"^room.{name} takes a .*number"):
                split([f"{name}=three"], {"room": kind})


@pytest.mark.parametrize("name", SHELVES["methods"])
def test_a_method_names_its_paper(name):
    entry = SHELVES["methods"][name]
    reason = UNPUBLISHED.get(name) or entry.exempt.get("paper")
    named = bool(re.search(r"^Papers?: .*\d{4}", entry.doc, re.MULTILINE | re.DOTALL))
    assert named != bool(reason), f"{entry.path.name} names its paper, or says in EXEMPT why there is none"


@pytest.mark.parametrize("name", SHELVES["data/builtin"])
def test_a_data_set_names_its_source_and_its_licence(name):
    doc = SHELVES["data/builtin"][name].doc
    assert "Source: " in doc
    assert "licence" in doc


# -------------------------------------------------------------------------------------------------- tasks and methods


@pytest.mark.parametrize("name", SHELVES["tasks"])
def test_a_task_has_what_the_house_asks_of_it(name):
    kind, _ = names.load("tasks", name)
    assert not objections(kind, protocols.Task)
    assert name in QUESTIONS, f"tests/house/test_shelves.py has no columns that ask for {name}"
    task = asked(name)
    assert (getattr(task, "better", None) or better(task.metric)) in ("max", "min")
    assert all(isinstance(key, str) for key in task.sizes())


@pytest.mark.parametrize(("room", "name"), every("tasks"))
def test_columns_ask_for_one_task(room, name):
    inputs, targets = columns(name)
    scores = {other: names.load("tasks", other)[0].fits(inputs, targets) for other in SHELVES["tasks"]}
    assert all(0 <= score <= 1 for score in scores.values())
    assert [other for other, score in scores.items() if score == max(scores.values())] == [name]
    assert scores[name] > 0.5


@pytest.mark.parametrize("name", SHELVES["tasks"])
def test_a_task_s_own_network_reads_what_goes_in_and_its_own_method_is_there(name):
    task, (inputs, _) = asked(name), columns(name)
    kinds = list(dict.fromkeys(field.kinds[0] for field in inputs.values()))
    if name == "language":
        kinds = ["text"]
    network, _ = names.load("models", task.model(kinds))
    assert set(kinds) <= set(inspect.signature(network.forward).parameters)
    sizes = {k: v for k, v in task.sizes().items() if k in inspect.signature(network).parameters}
    assert sizes or not task.sizes(), f"{network.__qualname__} takes none of {', '.join(task.sizes())}"
    assert names.find("methods", task.method())


@pytest.mark.parametrize("name", SHELVES["methods"])
def test_a_method_has_what_the_house_asks_of_it(name):
    kind, variant = names.load("methods", name)
    assert not objections(kind, protocols.Method)
    assert callable(kind(**variant).learn)


class Half:
    """Some of a method and of a task."""

    def learn(self, problem: Any) -> None: ...
    def fits(self, inputs: Any, targets: Any) -> float: ...
    def evaluate(self, model: Any, data: Any, split: str) -> Any: ...


def test_what_is_missing_or_taken_otherwise_is_named():
    assert objections(Half, protocols.Method) == ["Half.learn: too many positional arguments"]
    found = objections(Half, protocols.Task)
    assert "Half has no baseline()" in found
    assert "Half.fits is no classmethod" in found
    assert "Half.evaluate: got an unexpected keyword argument 'intervals'" in found


# ------------------------------------------------------------------------------------------------------------- fields


def test_the_shelf_of_fields_holds_fields_and_the_guesser():
    assert set(names.shelf("fields", own=False)) == {*FIELDS, "guess"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_what_the_house_asks_of_it(name):
    kind = FIELDS[name]
    assert not objections(kind, protocols.Field)
    assert kind.__doc__
    assert kind.kinds
    assert set(kind.kinds) <= set(calls.KINDS)
    assert name in SAMPLES, f"tests/house/test_shelves.py has no sample of a column of {name}"
    assert isinstance(fitted(name), protocols.Field)
    assert 0 <= kind.guess(column(name)) <= 1


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_comes_back_from_plain_data(name):
    field = fitted(name)
    state = json.loads(json.dumps(field.state(), allow_nan=False))
    again = FIELDS[name].restore("it", state)
    assert json.loads(json.dumps(again.state())) == state
    assert (again.name, again.kinds, again.sizes()) == (field.name, field.kinds, field.sizes())
    once, twice = field.encode(column(name)), again.encode(column(name))
    assert once.keys() == twice.keys()
    for key in once:
        np.testing.assert_array_equal(once[key], twice[key])


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_encodes_as_the_kinds_it_says_a_row_a_sample(name):
    field, count = fitted(name), len(SAMPLES[name][1])
    encoded = field.encode(column(name))
    kinds = [key for key in encoded if key in calls.KINDS]
    assert kinds
    assert set(kinds) <= set(field.kinds)
    assert all(key.partition("_")[0] in kinds for key in encoded), f"{list(encoded)} beside {kinds}"
    for kind in kinds:
        rows = len(encoded[kind]) if f"{kind}_offsets" not in encoded else len(encoded[f"{kind}_offsets"]) - 1
        assert rows == count
    assert np.asarray(field.missing(column(name))).tolist() == [False] * count


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "text"])
def test_a_field_as_a_target_comes_back_as_it_was(name):
    """Text as a target is a network's own matter, a token at a time."""
    field, values = fitted(name), SAMPLES[name][1]
    found = field.decode(field.encode_target(column(name)))
    assert len(found) == len(values)
    for before, after in itertools.zip_longest(values, found):
        if name in ("number", "array", "vector"):
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
        elif name == "tags":
            assert sorted(after) == sorted(before.split("|"))
        elif name == "image":
            np.testing.assert_array_equal(after[:, :, 0], before)
        else:
            assert str(after) == str(before)


# -------------------------------------------------------------------------------------------- sources and data sets


@pytest.mark.parametrize("name", SHELVES["data/sources"])
def test_a_source_reads_and_sniffs_without_a_fuss(name, tmp_path):
    module = sys.modules[names.load("data/sources", name)[0].__module__]
    assert module.read.__doc__
    if name == "frame":  # in memory: there is no path to sniff at
        return
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing", tmp_path / "nothing.strange"):
        assert module.sniff(path) == 0, f"{name} takes {path.name} for its own"


@pytest.mark.parametrize("name", SHELVES["data/builtin"])
def test_a_data_set_suggests_its_target(name):
    read, _ = names.load("data/builtin", name)
    assert not inspect.signature(read).parameters
    target = getattr(sys.modules[read.__module__], "TARGET", None)  # a text is its own
    assert read.__doc__ and (target or "text") in read.__doc__
