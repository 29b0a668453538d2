"""Tags: sets of labels there and back."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.core.protocols import Column, Field
from lamina.fields.guess import guess
from lamina.fields.tags import Tags

words = st.text("abcxyz", min_size=1, max_size=3)


def fitted(values, **more):
    column, field = Column("topics", values, "posts.csv"), Tags("topics", **more)
    field.fit(column)
    return field, column


@given(st.lists(st.sets(words), min_size=1, max_size=10).filter(any), st.sampled_from("|;,"))
def test_tags_come_back_and_a_restored_field_is_the_same(sets, separator):
    field, column = fitted([separator.join(sorted(tags)) or None for tags in sets], separator=separator)
    marks = field.encode_target(column)
    assert marks.shape == (len(sets), len(set().union(*sets))) and marks.dtype == np.float32
    assert [set(tags) for tags in field.decode(marks)] == sets
    again = Tags.restore("topics", json.loads(json.dumps(field.state())))
    assert again.state() == field.state()
    np.testing.assert_array_equal(again.encode(column)["numbers"], marks)
    lists = Column("topics", [sorted(tags) for tags in sets])
    np.testing.assert_array_equal(field.encode_target(lists), marks)


def test_the_separator_is_found():
    assert fitted(["a, b;c", "d"])[0].labels == ["a, b", "c", "d"]
    assert fitted(["a, b", "c"])[0].labels == ["a", "b", "c"]


def test_unknown_tags_are_refused_by_name_and_row():
    field, _ = fitted(["a|b", "b"])
    words = 'Column "topics" of new.csv has 2 tags that the 2 seen in training lack: "c", "d" (row 3). Fit anew'
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode_target(Column("topics", ["a", "c|d"], "new.csv"))
    assert field.check(Column("topics", ["a", "", "c"])) == [
        'Column "topics": 1 of 3 rows have no tag.',
        'Column "topics": 1 tag is unknown to training, like "c" (row 4).',
    ]
    with pytest.raises(DataError, match=r'Column "topics" of posts.csv has no tag in its 2 rows'):
        fitted([None, ""])


def test_tags_are_guessed_where_they_come_again():
    assert guess(Column("topics", ["red|round", "red", "blue|round", "blue|flat"] * 5)).field == "tags"
    assert guess(Column("topics", [["red", "round"], ["red"], []] * 5)).field == "tags"
    assert guess(Column("topics", ["red", "blue"] * 5)).field == "category"
    assert isinstance(Tags("x"), Field)


def test_separators_alone_are_no_tags():
    """They were once guessed to be, and then refused."""
    assert Tags.guess(Column("c", [";", ";;"])) == 0
