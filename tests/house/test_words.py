"""The repository speaks to strangers: no machine's paths, no registry's hosts, no names but its own."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written so that this file does not contain what it looks for.
REFUSED = {
    "a path of one machine": rf"(?<![\w.])/(?:{'|'.join(['work', 'ho' + 'me', 'root', 'Users'])})/\w",
    "a host of a package registry": r"\b(?:files\.python"
    + r"hosted|test\.py"
    + r"pi|download\.py"
    + r"torch)\.org|index-"
    + "url",
    "who wrote it": r"\b(?:Cl" + r"aude|Anth" + r"ropic|Co-Authored" + r"-By|Copi" + r"lot)\b",
    "a merge left open": r"^(?:<{7} |>{7} )",
}
BINARY = {".npz", ".png", ".jpg", ".ico", ".safetensors", ".woff2", ".gz"}


def texts() -> list[Path]:
    """Every text file that git tracks, or would."""
    try:
        out = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    paths = [ROOT / name for name in out.stdout.decode().split("\0") if name]
    return [p for p in paths if p.is_file() and p.suffix not in BINARY]


@pytest.mark.parametrize("what", REFUSED)
def test_no_file_mentions(what):
    pattern = re.compile(REFUSED[what], re.MULTILINE | re.IGNORECASE)
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, f"{what}:\n" + "\n".join(found)


def test_the_search_would_find_them():
    """Each pattern against a line that it must refuse, put together here."""
    lines = {
        "a path of one machine": "open('/" + "home/me/data.csv')",
        "a host of a package registry": "--extra-index" + "-url x",
        "who wrote it": "Co-authored" + "-by: x",
        "a merge left open": "<" * 7 + " HEAD",
    }
    assert set(lines) == set(REFUSED)
    for what, line in lines.items():
        assert re.search(REFUSED[what], line, re.MULTILINE | re.IGNORECASE), what


def test_no_large_file_is_kept():
    """1 MB for what is data of the package, 500 kB for all else: downloads belong into .cache/."""
    try:
        out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    large = []
    for name in filter(None, out.decode().split("\0")):
        path = ROOT / name
        most = 1_000_000 if name.startswith("lamina/") else 500_000
        if path.is_file() and path.stat().st_size > most:
            large.append(f"{name}: {path.stat().st_size:,} bytes")
    assert not large, large
