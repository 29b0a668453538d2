"""Signatures as settings: what text becomes, what is refused, and in which words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lamina.core.errors import SettingError
from lamina.core.settings import Argument, arguments, check, parse, split


def typed(
    count: int = 1,
    rate: float = 0.5,
    deep: bool = False,
    name: str = "relu",
    kind: Literal["max", "mean", 3] = "max",
    sizes: list[int] = [],  # noqa: B006
    pair: tuple[int, float] = (1, 2.0),
    several: tuple[int, ...] = (),
    shares: Mapping[str, float] = {},
    maybe: int | None = None,
    either: float | str = 0.1,
    where: Path = Path(),
    loss: Callable | None = None,
    words: Sequence[str] = (),
    anything: Any = None,
):
    """Every kind of argument, annotated."""


def untyped(count=1, rate=0.5, deep=False, name="relu", sizes=(64, 64), betas=[0.9, 0.999], mixed=(1, 0.5), free=None):  # noqa: B006
    """The same, by default alone."""


def wide(*, width=3, **options):
    """Takes more than it names."""


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "12", 12),
        ("count", "1e6", 1_000_000),
        ("count", "-3", -3),
        ("rate", "1", 1.0),
        ("rate", "1e-4", 1e-4),
        ("deep", "true", True),
        ("deep", "No", False),
        ("deep", "1", True),
        ("name", "gelu", "gelu"),
        ("name", "3", "3"),
        ("name", "'a b'", "a b"),
        ("kind", "mean", "mean"),
        ("kind", "3", 3),
        ("sizes", "[128,64]", [128, 64]),
        ("sizes", "128, 64", [128, 64]),
        ("sizes", "128", [128]),
        ("sizes", "[]", []),
        ("pair", "(3, 4)", (3, 4.0)),
        ("several", "[1,2,3]", (1, 2, 3)),
        ("shares", '{"a": 1}', {"a": 1.0}),
        ("shares", "{'a': 0.5}", {"a": 0.5}),
        ("maybe", "none", None),
        ("maybe", "4", 4),
        ("either", "auto", "auto"),
        ("either", "2", 2.0),
        ("where", "a/b", Path("a/b")),
        ("words", "[a,b]", ["a", "b"]),
        ("words", '["a", "b"]', ["a", "b"]),
        ("anything", "null", None),
        ("anything", "[1, {}]", [1, {}]),
        ("anything", "plain words", "plain words"),
    ],
)
def test_text_becomes_what_the_annotation_says(key, text, value):
    came = parse(text, arguments(typed)[key])
    assert came == value
    assert type(came) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "12", 12),
        ("rate", "1", 1.0),
        ("deep", "yes", True),
        ("name", "12", "12"),
        ("sizes", "[128,64,32]", (128, 64, 32)),
        ("betas", "0.8,1", [0.8, 1.0]),
        ("mixed", "[1, 2]", (1.0, 2.0)),
        ("free", "none", None),
        ("free", "3", 3),
        ("free", "abc", "abc"),
    ],
)
def test_without_an_annotation_the_default_says_it(key, text, value):
    came = parse(text, arguments(untyped)[key])
    assert came == value
    assert type(came) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("count", "1.5", "count takes a whole number (usually 1), but '1.5' came."),
        ("count", "nan", "count takes a whole number (usually 1), but 'nan' came."),
        ("rate", "fast", "rate takes a number (usually 0.5), but 'fast' came."),
        ("deep", "2", "deep takes true or false (usually False), but '2' came."),
        ("kind", "sum", "kind takes one of max, mean, 3 (usually 'max'), but 'sum' came."),
        ("sizes", "[1.5]", "sizes takes a list of whole numbers (usually []), but '[1.5]' came."),
        ("pair", "[1]", "pair takes a list of 2 values (a whole number, a number) (usually (1, 2.0)), but '[1]' came."),
        ("shares", "[1]", "shares takes a mapping like {\"key\": value} (usually {}), but '[1]' came."),
        ("maybe", "x", "maybe takes a whole number or none (usually None), but 'x' came."),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(key, text, words):
    with pytest.raises(SettingError) as error:
        parse(text, arguments(typed)[key])
    assert str(error.value) == words


def test_text_is_never_evaluated(tmp_path):
    trace = tmp_path / "trace"
    text = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    assert parse(text, Argument("x")) == text
    with pytest.raises(SettingError):
        parse(text, arguments(typed)["pair"])
    assert not trace.exists()


@given(st.recursive(st.integers() | st.booleans() | st.none(), lambda x: st.lists(x, max_size=3), max_leaves=5))
def test_a_literal_written_out_is_read_back(value):
    assert parse(repr(value), Argument("x")) == value


@given(st.text(max_size=30))
def test_any_text_is_either_taken_or_refused_in_one_voice(text):
    for argument in (*arguments(typed).values(), *arguments(untyped).values()):
        try:
            parse(text, argument)
        except SettingError as error:
            assert str(error).startswith(f"{argument.name} takes ")  # noqa: PT017


# ------------------------------------------------------------------------------------------------------- rooms


def model(hidden=(64, 64), drop: float = 0.0): ...


def method(lr=1e-3, drop=0.1): ...


ROOMS = {"model": model, "method": method}


def test_pairs_go_to_their_rooms():
    pairs = ["hidden=[128,64]", "method.drop=0.2", "lr=1e-4", "model.drop=0.3"]
    assert split(pairs, ROOMS) == {"model": {"hidden": (128, 64), "drop": 0.3}, "method": {"drop": 0.2, "lr": 1e-4}}


def test_a_room_may_have_several_signatures():
    assert split(["data.group=f", "data.seed=3"], {"data": [lambda group="": 0, lambda seed=0: 0]}) == {
        "data": {"group": "f", "seed": 3}
    }


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["drop=1"], "--set drop: 2 rooms have it. Say which: model.drop or method.drop."),
        (["hiden=3"], "--set hiden: nothing here has a setting 'hiden'. Did you mean 'model.hidden'? "
                      "There are model: hidden, drop; method: lr, drop."),
        (["modle.drop=1"], "--set modle.drop: there is no room 'modle'. Did you mean 'model'? "
                           "Rooms here: model, method."),
        (["model.lr=1"], "--set model.lr: model has no setting 'lr'. It takes: hidden, drop."),
        (["lr"], "--set takes KEY=VALUE, but 'lr' came. For example: --set model.hidden=…"),
        (["lr=1", "method.lr=2"], "--set gives method.lr twice: 'lr=1' and 'method.lr=2'. Keep one of them."),
        (["lr=fast"], "method.lr takes a number (usually 0.001), but 'fast' came."),
    ],
)  # fmt: skip
def test_a_pair_that_fits_nowhere_is_refused_with_what_there_is(pairs, words):
    with pytest.raises(SettingError) as error:
        split(pairs, ROOMS)
    assert str(error.value) == words


def test_a_callable_with_options_takes_other_keys_by_their_address():
    assert split(["model.other=3"], {"model": wide}) == {"model": {"other": 3}}
    with pytest.raises(SettingError):
        split(["other=3"], {"model": wide})


# ------------------------------------------------------------------------------------------------- from Python


def test_values_from_python_pass_and_lists_from_json_become_tuples_again():
    given = {"sizes": [3, 4], "rate": 1, "name": "gelu", "free": object}
    assert check(untyped, given) == {"sizes": (3, 4), "rate": 1.0, "name": "gelu", "free": object}


def test_a_function_in_place_of_a_name_passes():
    assert check(untyped, {"name": max}) == {"name": max}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": "3"}, "count takes a whole number (usually 1), but '3' came."),
        ({"count": True}, "count takes a whole number (usually 1), but True (bool) came."),
        ({"count": 2.5}, "count takes a whole number (usually 1), but 2.5 (float) came."),
        ({"deep": 1}, "deep takes true or false (usually False), but 1 (int) came."),
        ({"sizes": "64"}, "sizes takes a list of whole numbers (usually (64, 64)), but '64' came."),
        ({"cuont": 1}, "untyped has no setting 'cuont'. Did you mean 'count'? "
                       "It takes: count, rate, deep, name, sizes, betas, mixed, free."),
    ],
)  # fmt: skip
def test_a_wrong_value_from_python_is_refused(given, words):
    with pytest.raises(SettingError) as error:
        check(untyped, given)
    assert str(error.value) == words


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    assert check(untyped, {"count": np.int64(3), "rate": np.float32(0.5)}) == {"count": 3, "rate": 0.5}


def test_arguments_are_those_of_the_signature():
    class Net:
        def __init__(self, width: int, *, drop=0.1): ...

    found = arguments(Net)
    assert list(found) == ["width", "drop"]
    assert found["width"].required
    assert not found["drop"].required
    assert found["drop"].annotation is inspect.Parameter.empty
    assert list(arguments(wide)) == ["width"]


def test_an_annotation_that_names_what_is_not_there_leaves_the_default_to_say_it():
    def odd(width: Missing = 3): ...  # noqa: F821

    assert parse("4", arguments(odd)["width"]) == 4
