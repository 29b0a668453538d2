"""Whatever stands in a column: a field is found that reads it, or it is refused in lamina's own words; never else."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.data import opening
from lamina.fields import guess
from lamina.fields._places import is_missing
from lamina.fields.category import label

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
odd = st.sampled_from(
    [
        "0",
        "-0",
        "007",
        "1_000",
        "1e999",
        "-1e400",
        ".5",
        "5.",
        "+3",
        "0x1f",
        "1,5",
        "1.234,5",
        "1,234",
        "12,34,56",
        "١٢٣",
        "²",
        "½",
        "inf",
        "-Infinity",
        "nan",
        "NaN",
        "NA",
        "null",
        "none",
        "?",
        "true",
        "False",
        "yes",
        "no",
        "Y",
        "t",
        "2024-01-31",
        "31.01.2024",
        "01/31/2024",
        "2024-02-30",
        "20240131",
        "0001-01-01",
        "9999-12-31",
        "24:00",
        "2024-01-31T25:00",
        "[1,2]",
        "[]",
        "[1",
        "[NaN]",
        "[1e999]",
        "[[1]]",
        "{}",
        "a|b",
        "|",
        ";;",
        "a;b",
        "x.png",
        "../../x.jpg",
        "=1+1",
        "\x00",
        "�",
        "\u200b",
        "\ufeff",
    ]
)
texts = st.one_of(
    odd,
    st.text(max_size=12),
    st.text(st.characters(), max_size=4),  # lone surrogates too, which JSON lets in
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.dates().map(str),
    st.lists(st.sampled_from(["red", "green", "blue"]), max_size=3).map("|".join),
    st.lists(st.floats(width=16), max_size=3).map(json.dumps),
    st.text(max_size=6).map(lambda t: f"{t} and some more words"),
)
one_kind = st.one_of(
    *(st.lists(s, min_size=1, max_size=25) for s in (texts, st.sampled_from("ab"), st.integers(0, 9).map(str)))
)
columns = st.one_of(
    one_kind, st.lists(st.one_of(st.none(), texts), min_size=1, max_size=25), odd.map(lambda v: [v] * 3)
)


def made(kind: str):
    return opening._field("c", kind, {})


def encoded(field, column):
    return {k: np.asarray(v) for k, v in field.encode(column).items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)


@FEW
@given(columns)
def test_the_guessed_field_reads_its_column(values):
    """A picture's path may lead nowhere, and a vector may be missing, which is refused with the row; all else that is
    guessed is read, and finitely."""
    column = Column("c", values, "x.csv")
    kind, why = guess.guess(column)
    assert why
    if kind is None:
        return
    field = made(kind)
    try:
        field.fit(column)
    except DataError as error:
        assert kind in ("image", "vector") and "row" in str(error)  # noqa: PT017 (both ends are right)
        return
    for name, value in encoded(field, column).items():
        assert np.isfinite(value).all(), name
        assert len(value) == len(values) or name.startswith(("text", "words"))
    if hasattr(field, "check"):
        assert all(isinstance(said, str) for said in field.check(column))


@FEW
@given(columns, st.sampled_from(sorted(guess.fields())))
def test_every_field_reads_or_refuses_any_column_and_is_the_same_from_its_state(values, name):
    column, field = Column("c", values, "x.csv"), guess.create(name, "c")
    guess.fields()[name].guess(column)
    try:
        field.fit(column)
        first = encoded(field, column)
    except DataError as error:
        assert "'c'" in str(error) or '"c"' in str(error)  # noqa: PT017
        return
    again = guess.restore(name, "c", json.loads(json.dumps(field.state())))
    assert same(first, encoded(again, column))
    assert field.sizes() == again.sizes()


@FEW
@given(columns)
def test_categories_come_back(values):
    column, field = Column("c", values, "x.csv"), guess.create("category", "c")
    known = [v for v in values if not is_missing(v)]
    if not known:
        with pytest.raises(DataError, match="has no value"):
            field.fit(column)
        return
    field.fit(column)
    assert field.decode_input(field.encode(column)["categories"]) == [
        None if is_missing(v) else label(v) for v in values
    ]
    kept = Column("c", known, "x.csv")
    assert field.decode(field.encode_target(kept)) == [label(v) for v in known]


@FEW
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20),
    st.sampled_from([("", "."), (",", "."), (".", ","), (" ", ",")]),
)
def test_numbers_come_back_however_they_are_written(values, signs):
    thousands, decimal = signs
    swap = str.maketrans({",": thousands, ".": decimal})
    column = Column("c", [f"{v:,.3f}".translate(swap) for v in values], "x.csv")
    field = guess.create("number", "c", decimal=decimal, thousands=thousands)
    field.fit(column)
    spread = max(map(abs, values))
    np.testing.assert_allclose(field.decode(field.encode_target(column)), values, rtol=1e-5, atol=1e-6 * spread + 1e-3)


@FEW
@given(st.lists(st.dates(), min_size=2, max_size=20))
def test_dates_come_back(values):
    column, field = Column("c", [v.isoformat() for v in values], "x.csv"), guess.create("date", "c")
    field.fit(column)
    for came, gone in zip(field.decode(field.encode_target(column)), values, strict=True):
        far = abs((np.datetime64(came) - np.datetime64(gone)).astype(int))
        assert far <= 1 + 1e-6 * (max(values) - min(values)).days  # a day lost in float32 over many centuries


@FEW
@given(
    st.lists(st.text(st.characters(), max_size=30), min_size=1, max_size=10), st.sampled_from(["bytes", "characters"])
)
def test_texts_come_back_from_bytes_and_characters(values, tokens):
    column, field = Column("c", values, "x.csv"), guess.create("text", "c", tokens=tokens)
    try:
        field.fit(column)
    except DataError as error:
        assert "has no text" in str(error)  # noqa: PT017
        return
    found = field.encode(column, kinds=("text",))
    cuts = np.split(found["text"], found["text_offsets"][1:-1])
    whole = [v.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for v in values]
    wanted = whole if tokens == "bytes" else values
    assert field.decode(cuts) == wanted
