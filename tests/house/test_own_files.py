"""A file in ./lamina_ext/ is on the shelf at once: nothing is installed, and nothing runs before it is asked for."""

import sys

import pytest

from lamina.models import create
from lamina.verbs import listing

OWN = '''"""A thing of my own, beside my data."""

from pathlib import Path

from torch import nn

VARIANTS = {"tiny": dict(width=2)}

Path("it-was-run").touch()


class Mine(nn.Module):
    """Mine alone."""

    def __init__(self, *, width=8):
        super().__init__()
        self.layers = nn.Linear(3, width)
'''


@pytest.mark.parametrize(
    ("room", "listed"),
    [
        ("models", listing.models),
        ("tasks", listing.tasks),
        ("methods", listing.methods),
        ("data/builtin", listing.datasets),
    ],
)
def test_one_s_own_file_is_listed_without_being_installed_or_run(room, listed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = listed()
    assert {row["from"] for row in before} == {"lamina"}
    file = tmp_path / "lamina_ext" / room / "mynet.py"
    file.parent.mkdir(parents=True)
    file.write_text(OWN, encoding="utf-8")
    (mine,) = [row for row in listed() if row not in before]
    assert mine["name"] == "mynet"
    assert mine["about"] == "A thing of my own, beside my data."
    assert mine["variants"] == ["mynet_tiny"]
    assert mine["from"] == "lamina_ext"
    assert not (tmp_path / "it-was-run").exists()


def test_one_s_own_network_is_made_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lamina_ext" / "models" / "mynet.py"
    file.parent.mkdir(parents=True)
    file.write_text(OWN, encoding="utf-8")
    try:
        assert create("mynet_tiny").layers.out_features == 2
        assert create("mynet", width=5).layers.out_features == 5
    finally:
        sys.modules.pop("lamina_ext.models.mynet", None)
    assert (tmp_path / "it-was-run").exists()
