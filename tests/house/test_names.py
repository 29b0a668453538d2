"""The finder: names are addresses, listing runs nothing, and what a run names is never imported unasked."""

import ast
import os
import subprocess
import sys
import textwrap

import pytest

from lamina.core import names
from lamina.core.errors import RunError, SettingError, UnknownName

SHELVES = ["models", "tasks", "methods", "fields", "data/sources", "data/builtin"]
NET = '''
"""A net of our own: nothing special.

Paper: none.
"""

import torch

__all__ = ["Net", "helper"]

VARIANTS = {
    "tiny": dict(width=2, stages=((1, 2), (3, 4))),
    "50": {"width": 50},
}
EXEMPT = {"overfits": "it has nothing to learn"}


class Net:
    """Nothing."""
'''


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package folder of our own making, the working directory elsewhere."""
    (tmp_path / "package" / "models" / "vision").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(names, "PACKAGE", tmp_path / "package")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "package"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def test_a_file_is_read_without_being_run(house):
    write(house / "models" / "net.py", NET + "\nraise RuntimeError('run')\n")
    entry = names.shelf("models")["net"]
    assert entry.summary == "A net of our own: nothing special."
    assert entry.variants == {"tiny": {"width": 2, "stages": ((1, 2), (3, 4))}, "50": {"width": 50}}
    assert entry.exports == ("Net", "helper")
    assert entry.exempt == {"overfits": "it has nothing to learn"}
    assert entry.module == "lamina.models.net"


def test_folders_on_a_shelf_do_not_count_in_the_name(house):
    write(house / "models" / "vision" / "resnet.py", NET)
    write(house / "models" / "vision" / "__init__.py", "")
    write(house / "models" / "_blocks.py", NET)
    assert list(names.shelf("models")) == ["resnet"]
    assert names.shelf("models")["resnet"].module == "lamina.models.vision.resnet"


@pytest.mark.parametrize(
    ("name", "variant"),
    [("net", None), ("net50", "50"), ("net_50", "50"), ("net_tiny", "tiny"), ("nettiny", "tiny"), ("Net-Tiny", "tiny")],
)
def test_a_name_is_stem_then_underscore_then_variant(house, name, variant):
    write(house / "models" / "net.py", NET)
    found = names.find("models", name)
    assert (found.entry.name, found.variant) == ("net", variant)


def test_names_are_spelled_as_people_spell_them(house):
    write(house / "models" / "net.py", NET)
    write(house / "models" / "dqn2.py", '"""Two."""\nVARIANTS = {"50": dict()}\n\n\nclass Two: ...\n')
    assert names.names("models") == ["dqn2", "dqn2_50", "net", "net_tiny", "net50"]
    assert all(names.find("models", name).name == name for name in names.names("models"))


def test_the_empty_key_is_the_bare_stem(house):
    write(house / "models" / "net.py", '"""Net."""\nVARIANTS = {"": dict(width=3)}\n\n\nclass Net: ...\n')
    assert names.find("models", "net").settings == {"width": 3}
    assert names.names("models") == ["net"]


def test_settings_of_a_variant_are_a_copy(house):
    write(house / "models" / "net.py", NET)
    names.find("models", "net50").settings["width"] = 1
    assert names.find("models", "net50").settings == {"width": 50}


def test_an_unknown_name_is_answered_with_the_nearest(house):
    write(house / "models" / "vit.py", '"""ViT."""\nVARIANTS = {"b16": dict()}\n\n\nclass ViT: ...\n')
    with pytest.raises(UnknownName) as error:
        names.find("models", "vitt_b16")
    assert str(error.value) == "No model is called 'vitt_b16'. Did you mean 'vit_b16'?"


def test_a_name_near_nothing_is_answered_with_the_listing():
    with pytest.raises(UnknownName) as error:
        names.find("data/builtin", "zzzzzzzz")
    assert str(error.value) == "No data set is called 'zzzzzzzz'. `lamina datasets` lists them all."


def test_a_name_that_splits_in_two_ways_is_refused(house):
    write(house / "models" / "net.py", '"""Net."""\nVARIANTS = {"v2_50": dict()}\n\n\nclass Net: ...\n')
    write(house / "models" / "net_v2.py", '"""Net 2."""\nVARIANTS = {"50": dict()}\n\n\nclass Net: ...\n')
    with pytest.raises(SettingError) as error:
        names.find("models", "net_v2_50")
    assert str(error.value) == (
        "'net_v2_50' can be read in 2 ways: variant 'v2_50' of net.py or variant '50' of net_v2.py. "
        "Rename a variant or a file."
    )


def test_two_files_of_one_stem_are_refused(house):
    write(house / "models" / "net.py", NET)
    write(house / "models" / "vision" / "net.py", NET)
    with pytest.raises(SettingError, match=r"Two models are called 'net': .*net.py and .*net.py. A stem stands once"):
        names.shelf("models")


def test_variants_that_are_not_literal_are_refused_with_their_line(house):
    write(
        house / "models" / "net.py",
        '"""Net.\n\nTwo.\n"""\n\nW = 3\nVARIANTS = {\n    "a": dict(),\n    "b": dict(width=W),\n}\n',
    )
    with pytest.raises(SettingError) as error:
        names.shelf("models")
    assert "net.py (line 9) is read without running the file" in str(error.value)
    assert str(error.value).endswith("there stands: W")


def test_a_changed_file_is_read_again(house):
    path = write(house / "models" / "net.py", '"""One."""\n\n\nclass Net: ...\n')
    assert names.shelf("models")["net"].summary == "One."
    path.write_text('"""Two, longer."""\n\n\nclass Net: ...\n')
    assert names.shelf("models")["net"].summary == "Two, longer."


# ------------------------------------------------------------------------------------------------- users' own


def test_a_file_in_lamina_ext_is_on_the_shelf(house):
    write(
        house.parent / "work/lamina_ext/models/mine.py",
        '"""Mine."""\nVARIANTS = {"b": dict(x=2)}\n\n\nclass Mine: ...\n',
    )
    assert names.shelf("models")["mine"].origin == "lamina_ext"
    assert "mine" not in names.shelf("models", own=False)
    cls, settings = names.load("models", "mine_b")
    assert cls.__name__ == "Mine"
    assert settings == {"x": 2}
    assert names.load("models", "mine")[0] is cls


def test_an_address_is_imported(house):
    path = write(house.parent / "work/own_network.py", "class Net: ...\n")
    assert names.load("models", f"{path}:Net")[0].__name__ == "Net"
    by_module, settings = names.load("models", "own_network:Net")
    assert by_module.__name__ == "Net"
    assert settings == {}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("no_such_module:Net", "There is no module 'no_such_module', neither installed nor in "),
        ("no/such/file.py:Net", "There is no file no/such/file.py (looked in "),
        ("json:Encodr", "json has no 'Encodr'."),
    ],
)
def test_an_address_that_leads_nowhere_says_so(house, address, words):
    with pytest.raises(UnknownName) as error:
        names.load("models", address)
    assert str(error.value).startswith(words)


def test_a_broken_file_is_the_users_and_named_with_its_line(house):
    path = write(house.parent / "work/broken.py", "x = 1\ny = 1 / 0\n")
    with pytest.raises(SettingError) as error:
        names.load("models", f"{path}:Net")
    assert str(error.value) == (
        f"{path} could not be imported: ZeroDivisionError: division by zero (line 2 of broken.py). "
        "Mend it, then try again."
    )
    assert not [m for m in sys.modules if m.endswith("broken")]


@pytest.mark.parametrize("name", ["own_code:Net", "./own_code.py:Net", "mine", "mine_b"])
def test_what_a_run_names_is_never_imported_unasked(house, name):
    """The files would leave a trace if they were run."""
    code = "from pathlib import Path\nPath('trace').touch()\n\n\nclass Net: ...\n"
    write(house.parent / "work/own_code.py", code)
    write(house.parent / "work/lamina_ext/models/mine.py", code + '\n\nVARIANTS = {"b": dict()}\n')
    with pytest.raises(RunError) as error:
        names.load("models", name, trusted=False)
    assert str(error.value) == (
        f"This run was made with model {name!r}, which is not part of lamina, and opening a run never runs code "
        f"that the run names. If you trust that code, give it again: --model {name}"
    )
    assert not os.path.exists("trace")
    names.load("models", name)
    assert os.path.exists("trace")


def test_an_untrusted_name_of_the_house_is_the_houses(house, monkeypatch):
    """A file of the same name in the working directory of whoever opens the run changes nothing."""
    write(house / "models" / "net.py", NET)
    write(house.parent / "work/lamina_ext/models/net.py", "raise RuntimeError\n")
    monkeypatch.setattr(names.importlib, "import_module", lambda module: type("M", (), {"Net": module}))
    assert names.load("models", "net50", trusted=False) == ("lamina.models.net", {"width": 50})


def test_an_installed_package_adds_an_entry(house, monkeypatch):
    site = house.parent / "site"
    write(
        site / "pets-1.0.dist-info/entry_points.txt",
        "[console_scripts]\nx = y:z\n\n[lamina.models]\nPetNet = pets.net:Net\n",
    )
    write(site / "pets-1.0.dist-info/METADATA", "Name: pets\nVersion: 1.0\n")
    write(site / "pets/__init__.py", "")
    write(site / "pets/net.py", '"""Knows cats."""\n\nVARIANTS = {"tiny": dict(width=2)}\n\n\nclass Net: ...\n')
    monkeypatch.syspath_prepend(str(site))
    entry = names.shelf("models")["PetNet"]
    assert (entry.origin, entry.summary, entry.exports) == ("entry point", "Knows cats.", ("Net",))
    assert "pets.net" not in sys.modules
    cls, settings = names.load("models", "petnet_tiny", trusted=False)
    assert (cls.__module__, settings) == ("pets.net", {"width": 2})


# ------------------------------------------------------------------------------------- what really is on the shelves


@pytest.mark.parametrize("room", SHELVES)
def test_every_name_on_a_shelf_is_found_and_is_one_thing(room):
    for name in names.names(room):
        assert names.find(room, name).name == name


@pytest.mark.parametrize("room", SHELVES)
def test_the_quick_reader_agrees_with_python_s_own(room):
    """Only heads of files are parsed, for speed: the whole file must say the same."""
    for entry in names.shelf(room).values():
        tree = ast.parse(entry.path.read_text(encoding="utf-8"))
        assert entry.doc == (ast.get_docstring(tree, clean=False) or "")
        assigned = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        assigned |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
        assert bool(entry.variants) <= ("VARIANTS" in assigned)
        assert bool(entry.exempt) == ("EXEMPT" in assigned), entry.path
        assert entry.exports, entry.path
        assert entry.exports[0] in {n.name for n in tree.body if hasattr(n, "name")}, entry.path
        assert entry.summary, f"{entry.path} needs a docstring: its first line is what the listing shows"


def test_listing_imports_neither_torch_nor_rich_and_is_quick():
    """CPU time, for other things may run on this machine too; 50 ms is what the shell can spare."""
    code = f"""
        import sys, time
        start = time.process_time()
        from lamina.core import names
        for room in {SHELVES}:
            names.shelf(room)
        print(time.process_time() - start, *({{"torch", "rich", "numpy", "importlib.metadata"}} & set(sys.modules)))
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    out = [
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment)
        for _ in range(3)
    ]
    assert not any(ran.returncode for ran in out), out[0].stderr
    assert not any(ran.stdout.split()[1:] for ran in out)
    assert min(float(ran.stdout.split()[0]) for ran in out) < 0.05
