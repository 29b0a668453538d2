"""Text to learn a language from: a file, or a folder of files, as a table with one column `text`, a document a row.

A document is a file of a folder, a line of JSON lines, or a block between blank lines of one file where it has many
(conversations, poems, paragraphs). A file without blank lines is cut at line ends into pieces, so that some of it
can be held out. Line breaks become \\n; a byte-order mark is obeyed and removed. Files that are no text are skipped and
listed.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError, SettingError, did_you_mean
from lamina.core.untrusted import parsed
from lamina.data.sources._files import BYTES, beneath, bounded
from lamina.data.sources.frame import Table, TableColumn, some

__all__ = ["Documents", "read", "sniff"]

PAIRS_FROM = 300_000  # characters from which 4,096 byte pairs are learnt well

SUFFIXES = {".txt": 0.5, ".text": 0.8, ".md": 0.9, ".markdown": 0.9, ".rst": 0.9}
LINES = {".jsonl", ".ndjson"}
WAYS = ("auto", "files", "blocks", "lines")
MANY = 20  # blank-line blocks from which they are taken for documents, and pieces that an undivided text is cut into
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")


@dataclass
class Documents(TableColumn):
    """A column of texts that knows the file each came from, and the field that suits a language's texts."""

    paths: Sequence[str] | None = None

    @property
    def field(self) -> str:
        """Byte pairs where there is text enough to learn them from and their library is installed, else bytes."""
        enough = sum(map(len, self.values)) >= PAIRS_FROM
        return "text(tokens=bpe)" if enough and importlib.util.find_spec("tokenizers") else "text(tokens=bytes)"

    def where(self, index: int) -> str:
        return super().where(index) if self.paths is None else str(self.paths[index])

    def take(self, rows: np.ndarray) -> "Documents":
        kept = super().take(rows)
        paths = None if self.paths is None else [self.paths[i] for i in rows.tolist()]
        return Documents(kept.name, kept.values, kept.source, kept.first_row, kept.lines, paths)


def sniff(path: Path) -> float:
    """How much a path looks like running text: .md and the like 0.9, .txt less than a table in it would, a folder."""
    if path.is_dir():
        files = _files(path)
        texts = sum(_suffix(f) in SUFFIXES for f in files)
        return 0.8 * texts / len(files) if texts else 0.0
    if not path.is_file():
        return 0.0
    if path.suffix.lower() in LINES:
        with path.open("rb") as file:
            try:
                first = parsed(file.readline(1 << 20).decode("utf-8", "replace"))
            except ValueError:
                return 0.0
        return 0.9 if isinstance(first, dict) and list(first) == ["text"] else 0.0
    return SUFFIXES.get(path.suffix.lower(), 0.0)


def read(
    path: Path,
    *,
    encoding: str = "utf-8",
    documents: str = "auto",
    key: str = "text",
    bad: float = 0.2,
    least: int = 100,
    max_bytes: int = BYTES,
) -> Table:
    """A file or a folder of text as a Table of one column, `text`.

    Args:
        encoding: of the files.
        documents: what a document is: "files", "blocks" between blank lines, "lines", or "auto": the files of a folder,
            and the blocks of one file where it has 20 or more.
        key: of the text in JSON lines.
        bad: share of files or lines that may be unreadable before reading stops; fewer are skipped and listed.
        least: characters that all documents must have together. max_bytes: that a file may have.

    Raises: DataError with file, place and remedy; SettingError for an unknown way or encoding.
    """
    if documents not in WAYS:
        raise SettingError(
            f"data.documents is one of {', '.join(WAYS)}, but {documents!r} came.{did_you_mean(documents, WAYS)}"
        )
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise DataError(f"There is no file or folder {path}.{near}")
    if path.is_dir():
        table = _folder(path, encoding, documents, bad, max_bytes)
    elif path.suffix.lower() in LINES:
        table = _json_lines(path, _text(path, encoding, max_bytes), key, bad)
    else:
        table = _one(path, _text(path, encoding, max_bytes), documents)
    characters = sum(len(text) for text in table["text"].values)
    if characters < least:
        raise DataError(
            f"{path} is too short to learn from: {characters} characters, and at least {least} are needed. "
            f"Give more text, or pass --set data.least={max(1, characters)}."
        )
    return table


# ------------------------------------------------------------------------------------------------------- one file


def _one(path: Path, text: str, documents: str) -> Table:
    starts, values = _cut(text, "blocks" if documents == "auto" else documents)
    notes: list[str] = []
    if documents == "auto" and len(values) >= MANY:
        notes.append(f"{len(values):,} documents, the blocks between blank lines (--set data.documents=files, lines)")
    elif documents == "auto":
        starts, values = _pieces(text)
        notes.append(
            f"one text of {len(text):,} characters, cut at line ends into {len(values)} pieces so that some can be "
            f"held out (--set data.documents=blocks, lines)"
        )
    return _table(path, values, lines=starts, notes=notes)


def _cut(text: str, way: str) -> tuple[list[int], list[str]]:
    """Documents of one text, and the line each starts in."""
    if way == "files":
        return [1], [text]
    starts, values, line, at = [], [], 1, 0
    ends = [(m.start(), m.end()) for m in (_BLANK if way == "blocks" else re.compile("\n")).finditer(text)]
    for stop, after in [*ends, (len(text), len(text))]:
        part = text[at:stop]
        if part.strip():
            body = part.lstrip("\n")
            starts.append(line + len(part) - len(body))
            values.append(body.rstrip())
        line += text.count("\n", at, after)
        at = after
    return starts, values


def _pieces(text: str) -> tuple[list[int], list[str]]:
    """The text in up to 20 pieces of about the same length, cut behind a line break, else a space, that is near."""
    size = max(1, -(-len(text) // MANY))
    starts, values, at, line = [], [], 0, 1
    while at < len(text):
        stop = min(len(text), at + size)
        if stop < len(text):
            near = max(text.rfind("\n", at + size // 2, stop + 1), -1)
            near = near if near >= 0 else text.rfind(" ", at + size // 2, stop + 1)
            stop = near + 1 if near >= 0 else stop
        piece = text[at:stop]
        if piece.strip():
            starts.append(line)
            values.append(piece)
        line += piece.count("\n")
        at = stop
    return starts, values


def _text(path: Path, encoding: str, most: int = BYTES) -> str:
    """The file's characters, or a DataError that says which byte is none."""
    try:
        bounded(path, most=most, encoding=encoding, line=most)
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if not data:
        raise DataError(f"{path} is empty (0 bytes), where a text was expected.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif data[:3] == b"\xef\xbb\xbf":
        encoding, data = "utf-8", data[3:]
    try:
        text = data.decode(encoding)
    except LookupError:
        raise SettingError(f"No text encoding is called {encoding!r}. Try utf-8, latin-1, cp1252 or utf-16.") from None
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not {encoding}: byte 0x{data[error.start]:02x} at byte {error.start} (row {row}) cannot be "
            f"read. If it was saved by an older Windows, pass --set data.encoding=latin-1 (or cp1252)."
        ) from None
    if not text.strip():
        raise DataError(f"{path} is empty (only white space), where a text was expected.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --------------------------------------------------------------------------------------------- folders, JSON lines


def _folder(path: Path, encoding: str, documents: str, bad: float, max_bytes: int) -> Table:
    files = [f for f in _files(path) if _suffix(f) in SUFFIXES]
    if not files:
        raise DataError(
            f"{path} holds no text: no file of it or of its folders ends in {', '.join(SUFFIXES)}. "
            f"It holds {some(sorted(p.name for p in path.iterdir())) or 'nothing'}."
        )
    values: list[str] = []
    paths: list[str] = []
    skipped: list[tuple[int, str]] = []
    for number, file in enumerate(files, 1):
        try:
            text = _text(file, encoding, max_bytes)
        except DataError as error:
            skipped.append((number, str(error)))
            continue
        starts, parts = _cut(text, "files" if documents == "auto" else documents)
        values += parts
        paths += [str(file) if len(parts) == 1 else f"{file}, row {start}" for start in starts]
    _stop_if_many(path, "files", skipped, len(files), bad)
    found = f"{len(values):,} documents from {len(files) - len(skipped):,} files (--set data.documents=blocks, lines)"
    return _table(path, values, paths=paths, skipped=skipped, notes=[found])


def _json_lines(path: Path, text: str, key: str, bad: float) -> Table:
    values: list[str] = []
    starts: list[int] = []
    skipped: list[tuple[int, str]] = []
    keys: dict[str, Any] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = parsed(line)
        except ValueError as error:
            skipped.append((number, f"not JSON ({error})"))
            continue
        if isinstance(item, dict):
            keys.update(item)
        value = item.get(key) if isinstance(item, dict) else None
        if isinstance(value, str) and value.strip():
            values.append(value.replace("\r\n", "\n").replace("\r", "\n"))
            starts.append(number)
        else:
            skipped.append((number, f"no text under {key!r}"))
    if not values and keys:
        raise DataError(
            f"{path} has no text under {key!r} in any row.{did_you_mean(key, keys)} Its keys: {some(list(keys))}. "
            f"Pass --set data.key=NAME."
        )
    _stop_if_many(path, "rows", skipped, len(values) + len(skipped), bad)
    return _table(path, values, lines=starts, skipped=skipped)


def _stop_if_many(path: Path, what: str, skipped: list[tuple[int, str]], total: int, bad: float) -> None:
    if len(skipped) > bad * total or len(skipped) == total:
        raise DataError(
            f"{path}: {len(skipped)} of {total} {what} cannot be read; up to {bad:.0%} would be skipped. "
            f"The first ({what[:-1]} {skipped[0][0]}): {skipped[0][1]}"
        )


def _files(path: Path) -> list[Path]:
    """All files below a folder in a fixed order, hidden ones left out."""
    return sorted(beneath(path))


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _table(
    path: Path,
    values: list[str],
    *,
    lines: list[int] | None = None,
    paths: list[str] | None = None,
    skipped: list[tuple[int, str]] | None = None,
    notes: list[str] | None = None,
) -> Table:
    column = Documents("text", values, str(path), 1, lines, paths)
    return Table({"text": column}, len(values), str(path), 1, skipped or [], notes or [])
