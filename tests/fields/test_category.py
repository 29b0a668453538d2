"""Categories and booleans: indexes there and back, order, unknown labels."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.core.protocols import Column, Field
from lamina.fields._places import is_missing
from lamina.fields.boolean import Boolean
from lamina.fields.category import Category, natural

labels = st.text(max_size=8).map(str.strip)


def fitted(values, kind=Category, **settings):
    column, field = Column("label", values, "train.csv"), kind("label", **settings)
    field.fit(column)
    return field, column


@given(st.lists(st.one_of(st.none(), labels), min_size=1, max_size=30).filter(lambda v: not all(map(is_missing, v))))
def test_labels_come_back_and_a_restored_field_is_the_same(values):
    field, column = fitted(values)
    codes = field.encode(column)["categories"]
    assert codes.shape == (len(values), 1) and codes.dtype == np.int64
    assert field.decode_input(codes) == [None if is_missing(v) else v for v in values]
    known = Column("label", [v for v in values if not is_missing(v)])
    assert field.decode(field.encode_target(known)) == known.values
    again = Category.restore("label", json.loads(json.dumps(field.state())))
    assert again.state() == field.state()
    np.testing.assert_array_equal(again.encode(column)["categories"], codes)


def test_the_code_is_nought_for_unknown_and_missing():
    field, _ = fitted(["cat", "dog"])
    assert field.encode(Column("label", ["dog", "emu", "", None, "NA", "cat"]))["categories"][:, 0].tolist() == [
        2,
        0,
        0,
        0,
        0,
        1,
    ]
    assert field.sizes() == {"cardinalities": [3]} and field.target_sizes() == {"classes": 2}


def test_classes_are_sorted_as_people_sort():
    assert fitted(["class 10", "class 2", "Class 1"])[0].labels == ["Class 1", "class 2", "class 10"]
    assert fitted(["10", "9", "-1", "2.5"])[0].labels == ["-1", "2.5", "9", "10"]
    assert sorted(["b", "3", "a1b"], key=natural) == ["3", "a1b", "b"]


def test_none_is_a_label():
    assert fitted(["none", "airbag", "None"])[0].labels == ["airbag", "None", "none"]


def test_numbers_of_a_frame_and_words_of_a_file_are_the_same_labels():
    for values in ([3, 1, 2], [3.0, 1.0, 2.0], np.array([3, 1, 2]), np.array([3.0, 1.0, 2.0])):
        field, column = fitted(values)
        assert field.labels == ["1", "2", "3"]
        assert field.decode(field.encode_target(column)) == [3, 1, 2]
        assert field.encode_target(Column("label", ["3", "1.0", "2"])).tolist() == [2, 0, 1]
    assert fitted(["01", "1"])[0].labels == ["01", "1"]


def test_the_user_may_give_the_order():
    field, column = fitted(["low", "high"], labels=["low", "middle", "high"])
    assert field.encode_target(column).tolist() == [0, 2] and field.counts == [1, 0, 1]


def test_new_labels_are_refused_by_name_and_row():
    field, _ = fitted(["cat", "dog"])
    words = (
        'Column "label" of new.csv has 3 values that the 2 labels seen in training lack: "lynx", "ocelot", "puma" '
        "(rows 3, 4, 5 and 1 more). Fit anew, or drop these rows."
    )
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode_target(Column("label", ["cat", "lynx", "ocelot", "puma", "lynx"], "new.csv"))


def test_a_missing_label_is_refused_by_row():
    field, _ = fitted(["cat", "dog"])
    words = 'Column "label" has no value in 1 of 2 rows (row 3), and a target needs one.'
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode_target(Column("label", ["cat", ""]))


def test_lists_are_no_labels():
    with pytest.raises(DataError, match="holds lists or arrays, where labels were expected"):
        fitted([["a"], ["b"]])


def test_an_empty_column_is_refused():
    with pytest.raises(DataError, match=r'Column "label" of train.csv has no value in its 2 rows'):
        fitted([None, "NA"])


def test_findings_name_constants_gaps_and_identifiers():
    field, column = fitted(["a", "a", ""])
    assert field.check(column) == [
        'Column "label" of train.csv: 1 of 3 values are missing.',
        'Column "label" of train.csv is constant ("a"), so it tells nothing.',
    ]
    assert 'labels that training lacks: "z" (row 2)' in field.check(Column("label", ["z", "a"]))[0]
    field, column = fitted([f"n{i}" for i in range(30)])
    assert "has 30 different labels in 30 rows: is it an identifier?" in field.check(column)[0]


@pytest.mark.parametrize(
    ("values", "codes", "back"),
    [
        (["yes", "no", "yes"], [1, 0, 1], ["yes", "no", "yes"]),
        (["T", "F", "f"], [1, 0, 0], ["T", "F", "F"]),
        (["1", "0"], [1, 0], ["1", "0"]),
        ([1, 0], [1, 0], [1, 0]),
        ([True, False], [1, 0], [True, False]),
        (["True", "FALSE"], [1, 0], ["True", "FALSE"]),
        (["No", "No"], [0, 0], ["No", "No"]),
    ],
)
def test_booleans_come_back_in_the_words_of_the_user(values, codes, back):
    field, column = fitted(values, Boolean)
    assert field.encode_target(column).tolist() == codes
    assert field.encode(column)["categories"][:, 0].tolist() == [c + 1 for c in codes]
    again = Boolean.restore("label", json.loads(json.dumps(field.state())))
    assert again.decode(codes) == back and again.state() == field.state()


def test_a_boolean_refuses_a_third_word():
    with pytest.raises(DataError, match=r'should be true or false, but holds "maybe" \(row 4\)'):
        fitted(["yes", "no", "maybe"], Boolean)


def test_booleans_are_guessed_from_a_pair_only():
    assert Boolean.guess(Column("x", ["yes", "No", "", "YES"])) > 0.9
    assert Boolean.guess(Column("x", np.array([0, 1, 1]))) > 0.9
    for values in (["yes", "yes"], ["0", "2"], ["yes", "0"], ["yes", "no", "maybe"]):
        assert Boolean.guess(Column("x", values)) == 0


def test_are_fields():
    assert isinstance(Category("x"), Field) and isinstance(Boolean("x"), Field)
