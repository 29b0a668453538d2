"""What a column is taken for, and why."""

import numpy as np
import pytest
from PIL import Image as Pillow

from lamina.core.errors import UnknownName
from lamina.core.protocols import Column
from lamina.fields.guess import create, fields, guess, restore

WORDS = ["a fine day indeed", "the worst of all films", "we would go there again", "not what I had hoped for"]


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("price", ["1.5", "2.5", "", "3.5"] * 10, "number"),
        ("rooms", ["1", "2", "3", "4"] * 10, "number"),
        ("cluster_id", ["1", "2", "3", "4"] * 10, "category"),
        ("species", ["cat", "dog"] * 10, "category"),
        ("smoker", ["yes", "no", ""] * 10, "boolean"),
        ("smoker", [True, False] * 10, "boolean"),
        ("day", ["2024-01-01", "2024-02-01", ""] * 10, "date"),
        ("review", [f"{text} {i}" for i in range(10) for text in WORDS], "text"),
        ("rownames", [str(i) for i in range(1, 41)], None),
        ("PassengerId", np.arange(40), None),
        ("x", np.arange(40), "number"),
        ("customer_id", [str(7 * i % 1009) for i in range(1, 41)], None),
        ("order", [f"A-{i:05d}" for i in range(40)], None),
        ("same", ["x"] * 10, None),
        ("same", [3.0] * 10, None),
        ("nothing", ["", None, "NA"], None),
        ("photo", [np.zeros((4, 4), np.uint8)] * 3, "image"),
        ("photo", np.zeros((5, 4, 4), np.uint8), "image"),
    ],
)
def test_inputs(name, values, field):
    found = guess(Column(name, values))
    assert found.field == field, found


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (["0", "1", "2"] * 10, "category"),
        (["0", "1"] * 10, "boolean"),
        ([str(i) for i in range(40)], "number"),
        (["1.5", "2.5"] * 20, "number"),
        ([f"name{i}" for i in range(40)], "category"),
        (np.array([5, 6, 7] * 10), "category"),
        ([i % 21 for i in range(210)], "number"),
    ],
)
def test_targets(values, field):
    found = guess(Column("y", values), target=True)
    assert found.field == field, found


def test_paths_to_pictures_are_images(tmp_path):
    for i in range(3):
        Pillow.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    assert guess(Column("file", [f"{i}.png" for i in range(3)], str(tmp_path / "labels.csv"))).field == "image"


def test_a_late_word_among_numbers_is_seen():
    """Fields look at a sample first; the winner looks at all."""
    assert guess(Column("x", [str(i % 50) for i in range(5000)] + ["red", "blue"] * 500)).field == "category"


def test_the_reason_is_said():
    assert (
        guess(Column("rownames", [str(i) for i in range(1, 41)])).why
        == "it is an identifier: it counts the rows, 1 to 40"
    )
    assert guess(Column("c", ["x"] * 3)).why == 'it is constant: all its values are "x"'


def test_every_field_is_found_made_and_restored_by_name():
    assert {"boolean", "category", "date", "image", "number", "text"} <= set(fields())
    made = create("category", "species", labels=["cat", "dog"])
    assert restore("category", "species", made.state()).state() == made.state()


def test_an_unknown_field_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"No field is called 'categry'. Did you mean 'category'\?"):
        create("categry", "x")
