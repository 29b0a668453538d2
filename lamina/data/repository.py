"""A repository of the hub as a source: which of its files are data, and which of those are one table.

Tables that differ only in a word for a split (train, validation, test) or in a piece's number (-00000-of-00002) are
one; a repository with several others is refused with their addresses. Pictures, texts and graphs are read as a folder.
Code, archives and pickles of a repository are never fetched.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lamina.core import hub
from lamina.core.errors import DataError
from lamina.data.sources import table as tables
from lamina.data.sources.folder import SUFFIXES as PICTURES
from lamina.data.sources.frame import Table
from lamina.data.splits import SPELLINGS
from lamina.data.stacking import stacked

__all__ = ["Pieces", "fetched", "read"]

TABLES = (".parquet", ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
TEXTS = (".txt", ".text", ".md", ".markdown", ".rst")
ABOUT = {"readme", "license", "licence", "changelog", "contributing", "citation", "notice", "authors", "requirements",
         "config", "dataset_info", "dataset_infos", "dataset_dict", "state", "croissant", "package"}  # fmt: skip
_PIECE = re.compile(r"[-_]\d{4,}(?:-of-\d{4,})?$")
_SPLIT = re.compile(rf"(?<![A-Za-z])({'|'.join(sorted(SPELLINGS, key=len, reverse=True))})(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Pieces:
    """Files of a repository that are one table: (split or '', path), the training data first."""

    address: str
    files: tuple[tuple[str, Path], ...]

    def __str__(self) -> str:
        return self.address


def fetched(source: Any) -> Any:
    """A file or a folder on this machine, or `Pieces`, for an address of the hub; anything else as it is."""
    if not hub.is_address(source):
        return source
    asked = hub.parse(source, "datasets")
    listed = hub.listing(asked)
    if asked.file in listed.files:
        return hub.fetch(listed, [asked.file])[0]
    inside = [name for name in listed.files if not asked.file or name.startswith(f"{asked.file}/")]
    chosen = [name for name in inside if _is_data(name)]
    if not chosen:
        held = sorted({PurePosixPath(name).suffix or name for name in inside}) or ["nothing"]
        raise DataError(
            f"{listed.address}{f'/{asked.file}' if asked.file else ''} holds no data that can be read (it has "
            f"{', '.join(held[:8])}). Expected {', '.join(TABLES)}, pictures or text; code in it is not run."
        )
    graph = {"nodes.csv", "edges.csv"} <= {PurePosixPath(name).name for name in chosen}
    rows = [name for name in chosen if name.lower().endswith(TABLES)]
    if graph or (len(rows) < len(chosen) and (any(n.lower().endswith(PICTURES) for n in chosen) or not rows)):
        paths = hub.fetch(listed, chosen)
        depth = len(PurePosixPath(chosen[0]).parts)
        return paths[0].parents[depth - 1] / asked.file
    groups = _grouped(rows)
    if len(groups) > 1:
        each = ", ".join(f"{listed.address}/{names[0]}" for names in list(groups.values())[:6])
        raise DataError(
            f"{listed.address} holds {len(groups)} different tables. Name the one to learn from: {each}"
            f"{' …' if len(groups) > 6 else ''}"
        )
    (names,) = groups.values()
    words = [_split(name) for name in names]
    if "train" in words:
        order = ["train", "valid", "test"]
        pairs = sorted(((w, n) for w, n in zip(words, names, strict=True) if w), key=lambda p: (order.index(p[0]), p))
    else:
        pairs = [("", name) for name in sorted(names)]
    paths = hub.fetch(listed, [name for _, name in pairs])
    if len(paths) == 1:
        return paths[0]
    return Pieces(source, tuple((word, path) for (word, _), path in zip(pairs, paths, strict=True)))


def read(source: Pieces, **settings: Any) -> Table:
    """The pieces as one Table. settings: of a table's reader."""
    each = [(split, tables.read(path, **settings)) for split, path in source.files]
    made = stacked(each)
    made.notes.append(f"{len(each)} files of {source}: {', '.join(path.name for _, path in source.files[:4])}")
    return made


def _is_data(name: str) -> bool:
    path = PurePosixPath(name.lower())
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix in (*TABLES, *TEXTS, *PICTURES) and path.stem not in ABOUT


def _split(name: str) -> str:
    """The split that a file's name, or else its folder's, has a word for; '' where none does."""
    found = _SPLIT.findall(PurePosixPath(name).with_suffix("").as_posix())
    return SPELLINGS[found[-1].lower()] if found else ""


def _grouped(names: list[str]) -> dict[str, list[str]]:
    """Files that are one table, by what their names have in common."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        stem = _PIECE.sub("", path.with_suffix("").as_posix())
        whole = list(_SPLIT.finditer(stem))
        if whole:
            stem = f"{stem[: whole[-1].start()]}*{stem[whole[-1].end() :]}"
        groups.setdefault(stem + path.suffix.lower(), []).append(name)
    return groups
