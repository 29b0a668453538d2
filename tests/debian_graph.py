"""The Debian package graph as a folder of two tables, made from apt's own lists.

Nodes are the packages of one release, with their English description, section and source package; an edge goes from
a package to each package that it depends on (the first of alternatives). What is built from one source shares its
words and its section, so a split must keep a source together: column `source` is there for that.
"""

import csv
import re
from collections import Counter
from pathlib import Path

__all__ = ["SMALLEST", "write"]

SMALLEST = 200  # packages of a section that is asked for; the section of the others is left empty

_FIELD = re.compile(r"^(Package|Source|Section|Description-md5|Depends): (.*)$", re.M)
_TRANSLATION = re.compile(r"Package: \S+\nDescription-md5: (\S+)\nDescription-en: (.*?)\n(.*)", re.S)


def write(folder: str | Path, apt_lists: str | Path, *, release: str = "bookworm", named: bool = True) -> Path:
    """Write nodes.csv (id, text, section, source) and edges.csv (from, to) into `folder`, and return it.

    named: whether a text begins with the package's name, as apt prints it; else it is the description alone.
    apt_lists: a folder as `apt-get update -o Acquire::GzipIndexes=false -o Acquire::Languages=en` leaves it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    packages = _packages(_only(apt_lists, f"*dists_{release}_main_binary-*_Packages"))
    texts = _texts(_only(apt_lists, f"*dists_{release}_main_i18n_Translation-en"))
    sizes = Counter(p.get("Section", "") for p in packages.values())
    with (folder / "nodes.csv").open("w", encoding="utf8", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["id", "text", "section", "source"])
        for name, p in packages.items():
            section = p.get("Section", "")
            text = f"{name}: " * named + texts.get(p.get("Description-md5", ""), "")
            source = p.get("Source", name).split(" ")[0]  # 'glibc (2.36-9)' where the versions differ
            out.writerow([name, text, section if sizes[section] >= SMALLEST else "", source])
    with (folder / "edges.csv").open("w", encoding="utf8", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["from", "to"])
        for name, p in packages.items():
            needs = dict.fromkeys(re.split(r"[ (:|]", d.strip())[0] for d in p.get("Depends", "").split(","))
            out.writerows([name, n] for n in needs if n in packages and n != name)
    return folder


def _only(folder: str | Path, pattern: str) -> Path:
    found = sorted(Path(folder).glob(pattern))
    if not found:
        raise FileNotFoundError(f"No file {pattern} in {folder}: run apt-get update into it first.")
    return found[0]


def _packages(path: Path) -> dict[str, dict[str, str]]:
    """Package name -> its fields; of two versions the later in the list."""
    out: dict[str, dict[str, str]] = {}
    for stanza in path.read_text(encoding="utf8").split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if "Package" in fields:
            out[fields["Package"]] = fields
    return out


def _texts(path: Path) -> dict[str, str]:
    """MD5 of a description -> synopsis and long description, without apt's leading blanks and dots."""
    out: dict[str, str] = {}
    for stanza in path.read_text(encoding="utf8").split("\n\n"):
        m = _TRANSLATION.match(stanza)
        if m:
            out.setdefault(m[1], m[2] + "\n" + re.sub(r"^ (\.$)?", "", m[3], flags=re.M))
    return out
