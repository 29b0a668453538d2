"""Folders of pictures: a folder a class, or a table of labels."""

import pytest

from lamina.core.errors import DataError
from lamina.data.sources import folder


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_is_a_class(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.JPG", "dog/1.png", "dog/2.png", "dog/notes.txt", ".git/x.png", "dog/.hidden.png")
    read = folder.read(tmp_path)
    assert folder.sniff(tmp_path) == 0.9 and list(read.columns) == ["image", "label"]
    assert list(read["label"].values) == ["cat", "cat", "dog", "dog"]
    assert read["image"].values[1] == str(tmp_path / "cat/2.JPG")
    assert any("2 classes" in note for note in read.notes)


def test_folders_train_val_and_test_are_the_users_splits(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("cat", "dog") for i in range(2)]
    read = folder.read(put(tmp_path, *names))
    assert list(read["label"].values) == ["cat", "cat", "dog", "dog"] * 3
    assert list(read["split"].values) == ["test"] * 4 + ["train"] * 4 + ["valid"] * 4


def test_classes_that_happen_to_be_called_like_splits_stay_classes(tmp_path):
    read = folder.read(put(tmp_path, "test/1.png", "test/2.png", "real/1.png", "real/2.png"))
    assert "split" not in read.columns and set(read["label"].values) == {"test", "real"}


def test_a_class_of_a_split_that_train_lacks_is_named(tmp_path):
    names = [
        "train/cat/1.png",
        "train/dog/1.png",
        "train/cat/2.png",
        "train/dog/2.png",
        "test/dgo/1.png",
        "test/dgo/2.png",
    ]
    with pytest.raises(DataError, match=r"class 'dgo'.*not among.*Did you mean 'dog'\?"):
        folder.read(put(tmp_path, *names))


def test_pictures_without_folders_have_no_label(tmp_path):
    read = folder.read(put(tmp_path, "1.png", "2.png"))
    assert list(read.columns) == ["image"] and read.rows == 2


def test_a_table_beside_the_pictures_gives_the_labels(tmp_path):
    put(tmp_path, "pictures/a.png", "pictures/b.png", "pictures/c.png")
    (tmp_path / "labels.csv").write_text("kind,file,age\ncat,b.png,1\ndog,pictures/a.png,2\n")
    read = folder.read(tmp_path)
    assert list(read.columns) == ["image", "kind", "age"] and list(read["kind"].values) == ["cat", "dog"]
    assert read["image"].values[0] == str(tmp_path / "pictures/b.png") and read["image"].where(1).startswith("row 3 of")
    assert any("1 pictures have no row" in note for note in read.notes)


def test_a_row_whose_picture_is_missing_is_named(tmp_path):
    put(tmp_path, "a.png", "ball.png")
    (tmp_path / "labels.csv").write_text("file,kind\na.png,cat\nbail.png,dog\n")
    with pytest.raises(DataError, match=r"row 3 of .*labels\.csv, column 'file'.*'bail.png' is not there.*'ball.png'"):
        folder.read(tmp_path)


def test_a_name_that_two_pictures_have_is_refused(tmp_path):
    put(tmp_path, "x/a.png", "y/a.png")
    (tmp_path / "labels.csv").write_text("file,kind\na.png,cat\n")
    with pytest.raises(DataError, match=r"could be .*name it by its path"):
        folder.read(tmp_path)


def test_a_table_that_names_no_picture_or_two_tables_are_refused(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("id,kind\n17,cat\n")
    with pytest.raises(DataError, match=r"No column of .*labels\.csv names pictures.*'a\.png'"):
        folder.read(tmp_path)
    (tmp_path / "more.csv").write_text("id,kind\n17,cat\n")
    with pytest.raises(DataError, match=r"several tables.*data\.labels="):
        folder.read(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat/1.png", "cat/2.png", "dog/1.png"], r"class folder 'dog' .* has 1 picture; a class needs 2 or more"),
        (["cat/1.png", "cat/2.png"], "one class only, 'cat'"),
        (["a.txt", "b.txt", "c.mp3"], r"holds no pictures \(2 \.txt, 1 \.mp3\)"),
        (["cat/1.png", "dog/1.png", "2.png"], r"2\.png and 0 more pictures lie beside the class folders"),
    ],
)
def test_bad_folders_are_told_so(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        folder.read(put(tmp_path, *names))


def test_links_out_of_the_folder_are_left_out_and_listed(tmp_path):
    root = put(tmp_path / "in", "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    put(tmp_path, "secret.png")
    try:
        (root / "cat/3.png").symlink_to(tmp_path / "secret.png")
        (root / "cat/4.png").symlink_to(root / "cat/1.png")
    except OSError:
        pytest.skip("this system makes no links")
    read = folder.read(root)
    assert read.rows == 5 and "leads out of" in read.skipped[0][1]


def test_what_is_no_folder_of_pictures_is_not_taken_for_one(tmp_path):
    put(tmp_path, "a.txt")
    assert folder.sniff(tmp_path) == folder.sniff(tmp_path / "a.txt") == 0
    with pytest.raises(DataError, match="is no folder"):
        folder.read(tmp_path / "a.txt")
