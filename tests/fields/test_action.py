"""Actions: what the environment says there are, and columns that hold none."""

import pytest

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.fields.action import Action
from lamina.fields.array import Array


def test_a_column_is_no_actions_unless_an_environment_says_which_there_are():
    with pytest.raises(DataError, match="Column 'c' is to hold actions, but no environment says which"):
        Action("c").fit(Column("c", ["0", "1"]))


@pytest.mark.parametrize(("values", "said"), [(["0", "left"], "invalid literal"), (["0", "2"], "actions 0 to 1")])
def test_actions_that_there_are_not_are_named(values, said):
    with pytest.raises(DataError, match=f"Column 'c' .*{said}"):
        Action("c", actions=2).encode_target(Column("c", values))


def test_words_are_no_arrays():
    with pytest.raises(DataError, match=r"Column 'c' holds str \(row 2 of x.csv\), where arrays of numbers"):
        Array("c").fit(Column("c", ["0x1f"], "x.csv"))
