"""From a source to a data set: roles of columns, the user's own splits, settings of readers and of fields."""

import numpy as np
import pytest
from PIL import Image

from lamina.core.errors import DataError, SettingError
from lamina.data import opening
from lamina.data.builtin import digits

ROWS = {"a": np.arange(40) % 9, "word": ["x", "y"] * 20, "y": ["u", "v", "v", "u"] * 10}


def test_a_setting_that_a_field_takes_goes_to_every_column_of_that_field():
    data, _ = opening.dataset("digits", size=28)
    assert data.sizes()["size"] == 28 and opening.dataset("digits")[0].sizes()["size"] == 8
    data, _ = opening.dataset("digits", types={"image": "image(size=12; resize=pad)"}, size=28)
    assert data.sizes()["size"] == 12, "what is said of one column goes before what is said of all"
    with pytest.raises(
        SettingError, match=r"neither the reader nor a field here has a setting 'sise'\. Did you mean 'si"
    ):
        opening.dataset("digits", sise=28)


def test_columns_have_the_roles_that_are_said():
    data, notes = opening.dataset(ROWS, target="y", drop=["word"])
    assert (data.inputs, data.targets) == (["a"], ["y"])
    data, _ = opening.dataset(ROWS, target="y", inputs=["word"])
    assert data.inputs == ["word"]
    data, _ = opening.dataset(ROWS | {"w": np.linspace(0, 1, 40)}, target="y", weight="w")
    assert "w" not in data.inputs and float(data.take(data.splits["train"])["sample_weight"].mean()) == pytest.approx(1)
    assert any("split train" in note for note in notes)


def test_groups_and_times_are_kept_apart():
    data, _ = opening.dataset(ROWS | {"who": np.repeat(np.arange(8), 5)}, target="y", group="who")
    sides = [{i // 5 for i in rows.tolist()} for rows in data.splits.values()]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    data, _ = opening.dataset(ROWS | {"day": np.arange(40)[::-1]}, target="y", time="day")
    assert data.splits["test"].max() < data.splits["valid"].min() < data.splits["train"].min(), "the latest test"


def test_messages_name_the_file_and_row_that_a_value_of_one_s_own_split_came_from(tmp_path):
    for name, count in (("a", 30), ("b", 10)):
        rows = "\n".join(f"{i % 7},{'' if name == 'b' and i == 4 else 'uv'[i % 2]}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{rows}\n")
    data, notes = opening.dataset(tmp_path / "a.csv", target="y", test=tmp_path / "b.csv")
    assert any("left out 1 row without a target (first: row 6 of" in n and "b.csv" in n for n in notes), notes
    assert data.count("test") == 9 and data.count("train") + data.count("valid") == 30
    (tmp_path / "c.csv").write_text("x,z\n1,u\n")
    with pytest.raises(DataError, match=r"--test .*c\.csv lacks the column 'y' that .*a\.csv has"):
        opening.dataset(tmp_path / "a.csv", target="y", test=tmp_path / "c.csv")


def test_pictures_of_one_s_own_split_are_found_in_their_own_folder(tmp_path):
    for folder, count in (("one", 12), ("two", 6)):
        (tmp_path / folder).mkdir()
        lines = ["file,y"]
        for i in range(count):
            Image.new("L", (8, 8), 10 * i + (100 if folder == "two" else 0)).save(tmp_path / folder / f"{i}.png")
            lines.append(f"{i}.png,{'uv'[i % 2]}")
        (tmp_path / folder / "table.csv").write_text("\n".join(lines) + "\n")
    data, _ = opening.dataset(tmp_path / "one" / "table.csv", target="y", test=tmp_path / "two" / "table.csv")
    data.prepare(("image",))
    tones = data._arrays["image"][:, 0, 0, 0].tolist()
    assert [tones[i] for i in data.splits["test"].tolist()] == [100 + 10 * i for i in range(6)]


def test_the_fingerprint_follows_the_content():
    held = [opening.dataset(ROWS | more, target="y")[0].fingerprint for more in ({}, {}, {"a": np.arange(40) % 8})]
    assert held[0] == held[1] != held[2]


def test_repeated_rows_stay_on_one_side_unless_said_otherwise():
    table = {"a": np.repeat(np.random.default_rng(0).normal(size=50), 2), "y": ["u", "u", "v", "v"] * 25}
    for how, apart in (("together", False), ("ignored", True)):
        data, _ = opening.dataset(table, target="y", duplicates=how)
        side = np.empty(100, dtype=object)
        for name, rows in data.splits.items():
            side[rows.numpy()] = name
        assert (side[0::2] != side[1::2]).any() == apart
    with pytest.raises(SettingError, match=r"data\.duplicates is together or ignored, but 'gone' came"):
        opening.dataset(table, target="y", duplicates="gone")


def test_the_built_in_digits_are_what_they_are_said_to_be():
    table = digits.read()
    assert table.rows == 1797 and sorted(set(table["label"].values)) == list("0123456789")
