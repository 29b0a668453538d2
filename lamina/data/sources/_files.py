"""Files as sources find them: inside their folder, plain, and no larger, longer or wider than what is asked for."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lamina.core.display import shown
from lamina.core.errors import DataError

__all__ = ["BYTES", "LINE", "beneath", "bounded", "leads_out"]

BYTES = 4 << 30  # of a table or a text (data.max_bytes)
LINE = 32 << 20  # bytes without a line's end; a cell and the number of columns have bounds of their own
DEEPEST = 64  # folders in folders
_PIECE = 1 << 20
_QUOTED = re.compile(rb'"[^"]*"')
_KINDS = {b"PK": "a ZIP archive or a spreadsheet", b"\x1f\x8b": "compressed by gzip", b"PA": "a Parquet file",
          b"\x80\x02": "a pickle", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle"}  # fmt: skip


def beneath(root: Path, skipped: list[tuple[int, str]] | None = None) -> Iterator[Path]:
    """Files below a folder, each folder's in the order of their names, hidden ones and linked folders passed over.

    Links that lead out of the folder, pipes and devices are left out; `skipped` collects them.
    Raises: DataError for folders more than 64 deep.
    """
    waiting = [(str(root), 0)]
    while waiting:
        folder, depth = waiting.pop()
        below = []
        try:
            with os.scandir(folder) as found:
                entries = sorted((entry for entry in found if entry.name[0] != "."), key=lambda entry: entry.name)
        except OSError as error:
            _note(skipped, f"{folder} cannot be opened ({error.strerror})")
            continue
        for entry in entries:
            path = Path(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                below.append((str(path), depth + 1))
            elif entry.is_file(follow_symlinks=False):
                yield path
            elif not entry.is_symlink():
                _note(skipped, f"{path} is a pipe or a device")
            elif not path.is_dir():
                if leads_out(path, root):
                    _note(skipped, f"{path} is a link that leads out of {root}")
                elif path.is_file():
                    yield path
                else:
                    _note(skipped, f"{path} is a link to nothing")
        if below and depth >= DEEPEST:
            raise DataError(f"{root} holds folders more than {DEEPEST} deep: {shown(below[0][0], 200)}. Flatten it.")
        waiting += reversed(below)


def _note(skipped: list[tuple[int, str]] | None, what: str) -> None:
    if skipped is not None:
        skipped.append((0, what))


def leads_out(path: Path, root: Path) -> bool:
    """Whether a file is a link to what lies outside of a folder."""
    return path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def bounded(
    path: Path, *, most: int, encoding: str = "utf-8", columns: int = 0, delimiters: str = "", line: int = LINE
) -> None:
    """Look through a text file piece by piece, so that what cannot be read is refused before it is in memory.

    most: bytes. columns: the most that the first line may hold, parted by one of the delimiters. line: bytes of one.
    Raises: DataError.
    """
    size = path.stat().st_size
    if size > most:
        raise DataError(
            f"{path} has {size:,} bytes, and at most {most:,} are read. Take a part of it, or pass "
            f"--set data.max_bytes={size}."
        )
    wide = encoding.lower().replace("_", "").replace("-", "").startswith(("utf16", "utf32"))
    with path.open("rb") as file:
        wide = wide or file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        file.seek(0)
        if not wide:
            _looked_through(path, file, columns, delimiters, line)


def _looked_through(path: Path, file: IO[bytes], columns: int, delimiters: str, most: int) -> None:
    rows, run, first, read, start = 0, 0, b"", 0, b""
    while piece := file.read(_PIECE):
        start = start or piece[:2]
        if (at := piece.find(0)) >= 0:
            raise _binary(path, start, read + at, rows + piece.count(b"\n", 0, at) + 1)
        ends = [at for at in (piece.find(b"\n"), piece.find(b"\r")) if at >= 0]
        end = min(ends, default=-1)
        run += len(piece) if end < 0 else end
        if rows == 0 and columns:
            first += piece if end < 0 else piece[:end]
            if end >= 0:
                _narrow(path, first, columns, delimiters)
                columns, first = 0, b""
        if run > most:
            raise DataError(
                f"{path} has a line (row {rows + 1}) of more than {most:,} bytes, where a row of a table or a line of "
                "text was expected. Is it damaged, or of another kind? Break the line up, or drop the row."
            )
        if end >= 0:
            run = len(piece) - max(piece.rfind(b"\n"), piece.rfind(b"\r")) - 1
        rows += piece.count(b"\n")
        read += len(piece)
    if columns:
        _narrow(path, first, columns, delimiters)


def _narrow(path: Path, line: bytes, columns: int, delimiters: str) -> None:
    if len(line) > columns and max((line.count(d.encode()) for d in delimiters), default=0) >= columns:
        bare = _QUOTED.sub(b"", line)
        count = max(bare.count(d.encode()) for d in delimiters) + 1
        if count > columns:
            raise DataError(
                f"{path} has {count:,} columns in its first row, and at most {columns:,} are read. Leave columns "
                f"out, turn the table around if rows and columns are swapped, or pass --set data.max_columns={count}."
            )


def _binary(path: Path, start: bytes, at: int, row: int) -> DataError:
    if start in _KINDS:
        return DataError(f"{path} is {_KINDS[start]}, not text. Unpack it, save it as CSV, or mend its ending.")
    return DataError(
        f"{path} is no text: it has a NUL byte at byte {at}, so it is binary, or UTF-16 without a mark (then pass "
        f"--set data.encoding=utf-16-le), or damaged in row {row}."
    )
