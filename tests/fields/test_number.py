"""Numbers: scaling by its definition, there and back, gaps, and what is refused."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.core.protocols import Column, Field
from lamina.fields.number import Number, parse

reals = st.floats(-1e9, 1e9, allow_subnormal=False)


def fitted(values, **settings):
    column, field = Column("price", values, "houses.csv"), Number("price", **settings)
    field.fit(column)
    return field, column


@pytest.mark.covers("data/normalisation-preprocessing")
def test_an_input_is_scaled_as_the_paper_writes_it():
    """(x - median) / (q75 - q25), then z / sqrt(1 + (z/3)^2), an outlier included."""
    values = [1.0, 2.0, 4.0, 8.0, 1000.0]
    field, column = fitted(values)
    z = (np.array(values) - 4.0) / (8.0 - 2.0)
    np.testing.assert_allclose(field.encode(column)["numbers"][:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_where_the_quartiles_agree_the_range_is_the_scale():
    field, column = fitted([5.0] * 9 + [7.0])
    z = 1.0 * 2  # 2 / (7 - 5) from the median 5
    assert field.encode(column)["numbers"][-1, 0] == pytest.approx(z / np.sqrt(1 + (z / 3) ** 2), rel=1e-6)


@given(st.lists(reals, min_size=1, max_size=30), st.lists(st.floats(allow_nan=False), max_size=5))
def test_an_input_stays_within_three_and_is_never_nan(values, strange):
    field, _ = fitted(values)
    numbers = field.encode(Column("price", [*strange, None, *values]))["numbers"]
    assert np.isfinite(numbers).all() and (np.abs(numbers) <= 3).all()


@given(st.lists(st.one_of(st.none(), reals), min_size=1, max_size=30).filter(lambda v: any(x is not None for x in v)))
def test_inputs_come_back(values):
    """Within what float32 keeps of a value pressed into ±3: the spread times the steepness of the way back."""
    field, column = fitted(values)
    back = field.decode_input(field.encode(column)["numbers"])
    for value, again in zip(values, back, strict=True):
        if value is None:
            assert again is None
        elif field.factor:
            z = abs(value - field.median) * field.factor
            assert again == pytest.approx(
                value, abs=1e-6 * (1 + z**2) ** 1.5 / field.factor + 1e-9 * abs(value), rel=1e-5
            )


@given(st.lists(reals, min_size=1, max_size=30))
def test_targets_come_back_and_a_restored_field_is_the_same(values):
    field, column = fitted(values)
    target = field.encode_target(column)
    assert target.dtype == np.float32 and target.shape == (len(values),)
    wide = max(map(abs, values))
    np.testing.assert_allclose(field.decode(target), values, rtol=1e-6, atol=1e-6 * wide + 1e-12)
    again = Number.restore("price", json.loads(json.dumps(field.state())))
    assert again.state() == field.state()
    np.testing.assert_array_equal(again.encode(column)["numbers"], field.encode(column)["numbers"])


def test_targets_have_mean_nought_and_deviation_one():
    field, column = fitted(np.random.default_rng(0).normal(50, 7, 1000))
    target = field.encode_target(column)
    assert target.mean() == pytest.approx(0, abs=1e-5) and target.std() == pytest.approx(1, abs=1e-5)


def test_gaps_of_training_make_a_second_column():
    field, column = fitted(["1", "", "NA", "NaN", "null", "None", "?", None, "3"])
    numbers = field.encode(column)["numbers"]
    assert field.sizes() == {"columns": 2}
    assert numbers[:, 1].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert (numbers[1:-1, 0] == 0).all()
    assert fitted(["1", "3"])[0].sizes() == {"columns": 1}


def test_text_and_numbers_are_read_alike():
    words = ["1", " 2.5 ", "-3e2", "+4"]
    np.testing.assert_array_equal(parse(words)[0], parse([1, 2.5, -300.0, np.float32(4)])[0])
    np.testing.assert_array_equal(parse(words)[0], parse(np.array([1, 2.5, -300, 4]))[0])


@pytest.mark.parametrize("word", ["1_000", "1,000", "12a", "0x1f", "twelve"])
def test_what_only_looks_like_a_number_is_none(word):
    assert parse(["1", word])[2].tolist() == [False, True]


def test_a_comma_may_stand_for_the_point():
    field, column = fitted(["1,5", "2", "-3,25"], decimal=",")
    np.testing.assert_allclose(field.decode(field.encode_target(column)), [1.5, 2, -3.25], rtol=1e-6)
    with pytest.raises(DataError, match=r"They seem to be written as number\(decimal=,\): say so"):
        fitted(["1,5", "2,5"])


def test_infinity_counts_as_missing_and_is_said():
    field, column = fitted([1.0, np.inf, 2.0, -np.inf])
    assert field.missing(column).tolist() == [False, True, False, True]
    assert field.check(column) == [
        'Column "price" of houses.csv: 2 of 4 values are infinite and count as missing (rows 3, 5).'
    ]


def test_many_words_among_numbers_are_refused_by_name_and_row():
    words = 'Column "price" of houses.csv should hold numbers, but 2 of 3 values are none: "cheap", "dear" (rows 3, 4).'
    with pytest.raises(DataError, match=re.escape(words)):
        fitted(["1", "cheap", "dear"])


def test_a_few_words_count_as_missing_and_are_said():
    field, column = fitted([*map(str, range(99)), "oops"])
    assert field.missing(column).sum() == 1
    assert field.check(column) == [
        'Column "price" of houses.csv: 1 of 100 values are no numbers and count as missing: "oops" (row 101).'
    ]


def test_a_missing_target_is_refused_by_row():
    field, _ = fitted(["1", "2"])
    words = 'Column "price" of new.csv has no value in 2 of 3 rows (rows 3, 4), and a target needs one.'
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode_target(Column("price", ["1", "", "nan"], "new.csv"))


def test_a_column_without_numbers_is_refused():
    with pytest.raises(DataError, match=r"has no number in its 2 rows. Leave the column out."):
        fitted(["", None])


def test_a_constant_column_is_nought_and_is_said():
    field, column = fitted(["7"] * 5)
    assert (field.encode(column)["numbers"] == 0).all()
    assert field.decode(field.encode_target(column)) == [7.0] * 5
    assert field.check(column) == ['Column "price" of houses.csv is constant (7), so it tells nothing.']


def test_is_a_field():
    assert isinstance(Number("x"), Field)
    assert Number.guess(Column("x", ["1", "2", ""])) > 0.5
    assert Number.guess(Column("x", ["red", "2", "blue"])) == 0
