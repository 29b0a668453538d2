"""What stands on a real terminal: colour where it may be, none under NO_COLOR, plain lines on a dumb one."""

import os
import re
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|38;5;\d+|48;5;\d+)(?:;\d+)*m")


@pytest.fixture
def screen(tmp_path):
    """A command on a pseudo-terminal: everything that it showed."""
    rows = "".join(f"{i % 7},{i % 2},{'ab'[i % 2]}\n" for i in range(90))
    (tmp_path / "t.csv").write_text("x,told,y\n" + rows)  # `told` holds the answer: a warning

    def show(**environment):
        ours, theirs = pty.openpty()
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "FORCE_COLOR", "COLORTERM")}
        words = ["fit", "t.csv", "--target", "y", "--model", "mlp_tiny", "--steps", "3", "--out", "run"]
        process = subprocess.Popen(
            [sys.executable, "-m", "lamina.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={**kept, "OMP_NUM_THREADS": "1", **environment},
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so where the other side is closed
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        assert process.wait() == 0, shown.decode()
        assert b"warning:" in shown and b"accuracy" in shown
        return shown.decode()

    return show


def test_a_terminal_gets_colour_and_a_line_that_is_rewritten(screen):
    shown = screen(TERM="xterm-256color")
    assert COLOUR.search(shown)
    assert "\r\x1b[2K" in shown


def test_no_color_takes_the_colour_and_nothing_else(screen):
    shown = screen(TERM="xterm-256color", NO_COLOR="1")
    assert not COLOUR.search(shown)
    assert "\r\x1b[2K" in shown


def test_a_dumb_terminal_gets_lines_of_plain_text(screen):
    shown = screen(TERM="dumb")
    assert "\x1b" not in shown
    assert not re.search(r"\r(?!\n)", shown), "a line is rewritten"
    assert re.search(r"3/3 +100 %", shown)
