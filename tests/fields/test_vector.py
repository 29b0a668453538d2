"""Vectors: what a cell must hold to be one."""

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.fields.vector import Vector


@pytest.mark.parametrize(
    "cell",
    [[1, 2.5], (1, 2.5), np.array([1, 2.5]), np.array([1, 2], np.uint8), "[1, 2.5]", " [1, 2.5]"],
    ids=lambda cell: f"{type(cell).__name__} {cell}",
)
def test_lists_arrays_and_their_json_are_vectors(cell):
    column = Column("v", [cell] * 3, "t.csv")
    assert Vector.guess(column) > 0.5
    field = Vector("v", raw=True)
    field.fit(column)
    np.testing.assert_array_equal(field.encode_target(column), [[1, 2 if cell[1] == 2 else 2.5]] * 3)


@pytest.mark.parametrize(
    "cell",
    [
        np.ones((2, 2)), np.array(3.0), np.array([1, np.nan]), np.array(["a", "b"]),
        [1, float("inf")], [], [1, "2"], "1, 2", "[1, 2", '{"a": 1}', 7, None,
    ],
    ids=lambda cell: f"{type(cell).__name__} {cell}",
)  # fmt: skip
def test_anything_else_is_none_and_is_refused_with_its_row(cell):
    assert Vector.guess(Column("v", [cell] * 3, "t.csv")) == 0
    field = Vector("v")
    field.fit(Column("v", [[1, 2]] * 3, "t.csv"))
    with pytest.raises(DataError, match=r"'v' holds lists of 2 numbers; row 3 of t\.csv has "):
        field.encode_target(Column("v", [[1, 2], cell], "t.csv"))
