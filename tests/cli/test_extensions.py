"""One's own network, task and method: by address, from ./lamina_ext/, and by an installed package's entry points."""

import json
import shutil
import sys

import pytest

NET = '''"""Straight: a linear map of my own."""

from torch import nn

__all__ = ["Straight"]


class Straight(nn.Module):
    """One matrix."""

    def __init__(self, *, columns=1, outputs=1):
        super().__init__()
        self.layer = nn.Linear(columns, outputs)

    def forward(self, numbers):
        return self.layer(numbers)
'''
ASKED = '''"""Robust: how much, judged by the mean error."""

from lamina.tasks.regression import Regression

__all__ = ["Robust"]


class Robust(Regression):
    """How much, judged by the mean error."""

    def __init__(self, target, field):
        super().__init__(target, field, loss="mae", select="mae")
'''
WAY = '''"""Gently: supervised learning at a small rate."""

from lamina.methods.supervised import Supervised

__all__ = ["Gently"]


class Gently(Supervised):
    """Supervised learning at a small rate."""

    def __init__(self, *, lr=1e-3):
        super().__init__(lr=lr)
'''
FILES = {"models": ("straight", NET), "tasks": ("robust", ASKED), "methods": ("gently", WAY)}
CLASSES = {"models": "Straight", "tasks": "Robust", "methods": "Gently"}
OPTIONS = {"models": "--model", "tasks": "--task", "methods": "--method"}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What is imported here is forgotten behind the test."""
    before, paths = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = paths
    for name in set(sys.modules) - before:
        if any(word in name for word in ("straight", "robust", "gently", "lamina_ext", "addon")):
            del sys.modules[name]


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5},{3 * (i % 7) - i % 5}\n" for i in range(80)))
    return tmp_path / "t.csv"


def by_address(folder):
    """module:Class, found in the working directory."""
    for stem, text in FILES.values():
        (folder / f"{stem}.py").write_text(text)
    return {room: f"{FILES[room][0]}:{CLASSES[room]}" for room in FILES}


def by_path(folder):
    """path/to/file.py:Class."""
    (folder / "own").mkdir()
    for stem, text in FILES.values():
        (folder / "own" / f"{stem}.py").write_text(text)
    return {room: f"own/{FILES[room][0]}.py:{CLASSES[room]}" for room in FILES}


def by_file(folder):
    """./lamina_ext/ROOM/NAME.py."""
    for room, (stem, text) in FILES.items():
        (folder / "lamina_ext" / room).mkdir(parents=True)
        (folder / "lamina_ext" / room / f"{stem}.py").write_text(text)
    return {room: stem for room, (stem, _) in FILES.items()}


def by_entry_point(folder):
    """What pip leaves of an installed package: a module, and entry_points.txt in its dist-info."""
    site = folder / "site"
    (site / "addon").mkdir(parents=True)
    (site / "addon" / "__init__.py").write_text("")
    lines = []
    for room, (stem, text) in FILES.items():
        (site / "addon" / f"{stem}.py").write_text(text)
        lines += [f"[lamina.{room}]", f"{stem} = addon.{stem}:{CLASSES[room]}", ""]
    info = site / "addon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: addon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.append(str(site))
    return {room: stem for room, (stem, _) in FILES.items()}


WAYS = [by_address, by_path, by_file, by_entry_point]


def fitted(lamina, names, *more):
    options = [word for room, name in names.items() for word in (OPTIONS[room], name)]
    return lamina("fit", "t.csv", "--target", "y", *options, "--steps", 6, "--out", "run", *more)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_of_one_s_own_code_names_it_and_is_opened_where_it_is_given_again(way, lamina, table, tmp_path):
    names = way(tmp_path)
    ended = fitted(lamina, names)
    assert ended.status == 0, ended.err
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {room: about[room.removesuffix("s")]["name"] for room in names} == names
    assert about["metric"] == "mae" and about["settings"]["method"] == {}
    again = [word for room in ("models", "tasks") for word in (OPTIONS[room], names[room])]
    values = {}
    for verb in ("evaluate", "predict"):
        ended = lamina(verb, "run", "t.csv", *again, "--json")
        assert ended.status == 0, ended.err
        values[verb] = json.loads(ended.out)
    assert "mae" in values["evaluate"] and len(values["predict"]["y"]) == 80
    ended = lamina("show", "run", *again)
    assert ended.status == 0 and "3 parameters" in ended.out, ended.err


@pytest.mark.parametrize("way", WAYS)
def test_elsewhere_what_is_missing_is_named_with_the_option_that_gives_it(way, lamina, table, tmp_path, monkeypatch):
    """Another folder, where nothing of it lies: a model, then a task, given by path; then the run answers."""
    names = way(tmp_path)
    assert fitted(lamina, names).status == 0
    there = tmp_path / "elsewhere"
    there.mkdir()
    shutil.move(tmp_path / "run", there / "run")
    for stem, text in FILES.values():
        (there / f"mine_{stem}.py").write_text(text)
    monkeypatch.chdir(there)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path / "site")]
    given = []
    for room in ("tasks", "models"):
        ended = lamina("evaluate", "run", tmp_path / "t.csv", *given)
        assert ended.status == 2, ended.out
        assert f"{OPTIONS[room]} " in ended.err and repr(names[room]) in ended.err, ended.err
        given += [OPTIONS[room], f"mine_{FILES[room][0]}.py:{CLASSES[room]}"]
    ended = lamina("evaluate", "run", tmp_path / "t.csv", *given)
    assert ended.status == 0, ended.err


@pytest.mark.parametrize("way", WAYS)
def test_going_on_needs_the_method_too(way, lamina, table, tmp_path, monkeypatch):
    names = way(tmp_path)
    assert fitted(lamina, names).status == 0
    sys.path[:] = [path for path in sys.path if path != str(tmp_path / "site")]
    given = []
    for room in ("task", "model", "method"):
        name = names[f"{room}s"]
        ended = lamina("fit", "--resume", "run", "--steps", 9, *given)
        assert ended.status == 2 and f"--{room} " in ended.err and repr(name) in ended.err, ended.err
        if way is by_entry_point:
            sys.path.append(str(tmp_path / "site"))
            break
        given += [f"--{room}", name]
    ended = lamina("fit", "--resume", "run", "--steps", 9, *given)
    assert ended.status == 0, ended.err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["steps"] == 9


@pytest.mark.parametrize(("way", "origin"), [(by_file, "lamina_ext"), (by_entry_point, "entry point")])
def test_listings_say_where_an_entry_comes_from_and_import_nothing_of_it(way, origin, lamina, tmp_path):
    way(tmp_path)
    for room, (stem, text) in FILES.items():
        rows = {row["name"]: row for row in json.loads(lamina(room, "--json").out)[room]}
        assert rows[stem]["from"] == origin
        assert rows[stem]["about"] == text.partition("\n")[0].strip('"')
        line = next(line for line in lamina(room).out.splitlines() if line.startswith(stem))
        assert line.endswith(f"({origin})")
        assert not any(line.endswith(")") for line in lamina(room).out.splitlines() if line.startswith("mlp "))
    assert not [name for name in sys.modules if "straight" in name or name.startswith("addon")]
