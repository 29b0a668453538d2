"""Tables from what lies in memory."""

import re

import numpy as np
import pandas
import polars
import pytest
import torch

from lamina.core.errors import DataError
from lamina.data.sources.frame import is_frame, read

COLUMNS = {"a": [1, 2, 3], "b": ["x", None, "y"], "c": [0.5, None, 1.5]}


def values(found):
    return {name: list(column.values) for name, column in found.columns.items()}


@pytest.mark.parametrize(
    "source",
    [
        COLUMNS,
        polars.DataFrame(COLUMNS),
        pandas.DataFrame(COLUMNS).convert_dtypes(),
        [{"a": 1, "b": "x", "c": 0.5}, {"a": 2}, {"a": 3, "b": "y", "c": 1.5}],
    ],
    ids=["dict", "polars", "pandas", "list"],
)
def test_frames_dicts_and_lists_are_the_same_table(source):
    assert is_frame(source)
    found = read(source, name="frame")
    assert values(found) == COLUMNS
    assert found.rows == 3 and found["b"].where(1) == "row 1 of frame"


def test_pandas_keeps_numbers_as_arrays_and_gaps_as_none():
    frame = pandas.DataFrame(
        {
            "n": [1.5, np.nan],
            "t": pandas.to_datetime(["2024-01-01", None]),
            "g": pandas.Categorical(["u", None]),
            "i": pandas.array([1, None], dtype="Int64"),
            "k": [True, False],
        }
    )
    found = read(frame)
    assert found["n"].values.dtype == np.float64 and np.isnan(found["n"].values[1])
    assert values(found)["t"] == [pandas.Timestamp("2024-01-01"), None]
    assert values(found)["g"] == ["u", None] and values(found)["i"] == [1, None] and values(found)["k"] == [True, False]


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy])
def test_arrays_and_tensors(wrap):
    x, y = wrap(np.arange(6.0).reshape(3, 2)), wrap(np.array([0, 1, 0]))
    assert is_frame((x, y)) and is_frame(x)
    assert values(read((x, y))) == {"x0": [0, 2, 4], "x1": [1, 3, 5], "y": [0, 1, 0]}
    pictures = wrap(np.zeros((3, 8, 8), np.uint8))
    found = read((pictures, y))
    assert list(found.columns) == ["image", "y"] and found["image"].values[0].shape == (8, 8)


def test_a_frame_and_an_array_make_a_pair():
    found = read((pandas.DataFrame({"size": [1, 2]}), np.array([3, 4])))
    assert values(found) == {"size": [1, 2], "y": [3, 4]}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"a": [1, 2], "b": [1, 2], "c": [1]}, "The table has 2 rows, but column 'c' has 1 values. Give each as many."),
        ({}, "The table has 0 columns and no rows."),
        ({"a": "text"}, "Column 'a' of the table is str, where a list of values was expected."),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "has 1 column name more than once: 'a'"),
        (np.zeros((2, 3, 4)), "is an array of shape (2, 3, 4) and type float64"),
        (7, "int is no table. Give a path, a frame of pandas or polars"),
    ],
)
def test_messages(source, words):
    with pytest.raises(DataError, match=re.escape(words)):
        read(source)


@pytest.mark.parametrize("source", ["houses.csv", b"", 7, [], [1, 2], (1, 2)])
def test_what_is_no_frame(source):
    assert not is_frame(source)
