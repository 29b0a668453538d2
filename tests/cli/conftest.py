"""The `lamina` command, called in this process: what it printed and how it ended."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lamina.cli import main


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def lamina(monkeypatch, capsys, tmp_path) -> Callable[..., Ended]:
    """`lamina("fit", "x.csv")` in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lamina", *map(str, words)])
        status = 0
        try:
            main.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return call


@pytest.fixture
def refused(lamina, tmp_path) -> Callable[..., str]:
    """The command ends with status 2 and one message, which is given back; nothing is printed or written."""

    def call(*words: object) -> str:
        ended = lamina(*words)
        assert ended.status == 2, ended.err
        assert "Traceback" not in ended.err
        assert ended.out == ""
        lines = [line for line in ended.err.splitlines() if line.startswith("lamina: ")]
        assert len(lines) == 1, ended.err
        assert not (tmp_path / "runs").exists(), "a half-written run"
        return lines[0]

    return call
