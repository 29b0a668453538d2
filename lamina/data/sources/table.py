"""Tables from files: CSV, TSV and JSON lines by the standard library, Parquet by polars.

What is inferred (delimiter, header) stands in `Table.notes`; a few ragged rows are left out and stand in
`Table.skipped`; what cannot be a table is refused with file, row, column and remedy. Rows are counted as an editor
counts lines, so that a cell with a line break inside does not shift what follows.

polars reads large CSV files faster (above `LARGE` bytes, where it is installed and the file has no quotes), to the same
values; for smaller ones the way over its strings is slower than the csv module.
"""

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina.core.errors import DataError, MissingExtra, SettingError, did_you_mean
from lamina.core.untrusted import parsed
from lamina.data.sources._files import BYTES, LINE, bounded
from lamina.data.sources.frame import Table, TableColumn, column_values, some, unique

__all__ = ["Table", "TableColumn", "read", "sniff"]

SUFFIXES = {
    ".csv": 1.0,
    ".tsv": 1.0,
    ".tab": 0.9,
    ".jsonl": 0.8,
    ".ndjson": 0.9,
    ".parquet": 1.0,
    ".txt": 0.1,
    ".json": 0.1,
}
DELIMITERS = (",", ";", "\t", "|")
LARGE = 8 << 20  # bytes from which polars is worth its import: 17 MB take it 1.2 s, the csv module 3.9 s
FIELD_BOUND = 4 << 20  # characters of one cell (data.max_cell)
VALUES = 500_000_000  # rows times columns of a Parquet file, which may be far smaller than what it holds


def sniff(path: Path) -> float:
    """How much a path looks like a table: 1 for .csv, .tsv, .parquet; less for text that only might be one."""
    score = SUFFIXES.get(path.suffix.lower(), 0.0)
    if not score or not path.is_file():
        return 0.0
    if path.suffix.lower() == ".txt":
        with path.open("rb") as file:
            start = file.read(1 << 14).decode("utf-8", "replace")
        return 0.6 if _delimiter(start) else 0.05
    if path.suffix.lower() == ".json":
        with path.open("rb") as file:
            return 0.6 if file.read(200).lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"[" else 0.1
    return score


def read(
    path: Path,
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    header: bool | None = None,
    bad: float = 0.05,
    max_columns: int = 100_000,
    max_cell: int | None = None,
    max_bytes: int = BYTES,
    max_values: int = VALUES,
) -> Table:
    """A file as a Table; values are text (None where a cell is empty), or what JSON and Parquet say they are.

    Args:
        encoding: of text files. delimiter: None looks for one of , ; tab |. header: None looks whether the first
            line holds names.
        bad: share of rows that may be ragged or broken before reading stops; fewer are skipped and listed.
        max_columns, max_cell, max_bytes, max_values: bounds on columns, on the characters of a cell (None is
            4,194,304), on the bytes of the file, and on the values that a Parquet file may unpack to.

    Raises: DataError with file, row and remedy; MissingExtra for Parquet without polars.
    """
    if not path.exists():
        folder = path.parent
        near = did_you_mean(path.name, [p.name for p in folder.iterdir()]) if folder.is_dir() else ""
        raise DataError(f"There is no file {path}." + (near or f" The folder {folder} {_there(folder)}."))
    if path.is_dir():
        tables = sorted(p.name for p in path.iterdir() if SUFFIXES.get(p.suffix.lower(), 0) >= 0.8)
        hint = (
            f"Name one of its tables: {some(tables)}." if tables else "It holds no .csv, .tsv, .jsonl or .parquet file."
        )
        raise DataError(f"{path} is a folder, where a table was expected. {hint}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes), where a table was expected.")
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _parquet(path, max_columns, max_values)
    if delimiter is not None and len(delimiter) != 1:
        raise SettingError(f"data.delimiter is one character, e.g. ';' or a tab, but {delimiter!r} came.")
    if kind in {".jsonl", ".ndjson", ".json"}:
        bounded(path, most=max_bytes, encoding=encoding, line=max_bytes if kind == ".json" else LINE)
        return _json(path, _text(path, path.read_bytes(), encoding), bad, max_columns, whole=kind == ".json")
    usual = "\t" if kind in {".tsv", ".tab"} else "".join(DELIMITERS)
    bounded(path, most=max_bytes, encoding=encoding, columns=max_columns, delimiters=delimiter or usual)
    data = path.read_bytes()
    text = _text(path, data, encoding)
    notes: list[str] = []
    if delimiter is None:
        delimiter = "\t" if kind in {".tsv", ".tab"} else _delimiter(text[: 1 << 20]) or ","
        if delimiter != "," and kind not in {".tsv", ".tab"}:
            notes.append(f"columns are separated by {_DELIMITER_WORDS.get(delimiter, delimiter)} (data.delimiter)")
    if len(data) > LARGE and encoding.lower().replace("-", "") == "utf8":
        table = _large(path, data, delimiter, header, max_columns, notes)
        if table is not None:
            return table
    return _csv(path, text, delimiter, header, bad, max_columns, max_cell or FIELD_BOUND, notes)


_DELIMITER_WORDS = {
    ";": "semicolons",
    "\t": "tabs",
    "|": "bars",
    " ": "spaces",
    ",": "commas",
}


# ------------------------------------------------------------------------------------------------------------ text


def _text(path: Path, data: bytes, encoding: str) -> str:
    """The file's characters; a byte-order mark is obeyed and removed."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif data[:3] == b"\xef\xbb\xbf":
        encoding, data = "utf-8", data[3:]
    try:
        text = data.decode(encoding)
    except LookupError:
        raise SettingError(f"No text encoding is called {encoding!r}. Try utf-8, latin-1, cp1252 or utf-16.") from None
    except UnicodeDecodeError as e:
        row = data.count(b"\n", 0, e.start) + 1
        raise DataError(
            f"{path} is not {encoding}: byte 0x{data[e.start]:02x} in row {row} (byte {e.start} of the file) cannot be "
            f"read. If it was saved by an older Windows or Excel, pass --set data.encoding=latin-1 (or cp1252)."
        ) from None
    if not text.strip():
        raise DataError(f"{path} is empty (only white space), where a table was expected.")
    return text


def _delimiter(sample: str) -> str | None:
    """The candidate that cuts the first lines into the same number (above one) of cells most often."""
    lines = sample.splitlines(keepends=True)[:30]
    if len(lines) > 2:
        lines = lines[:-1]  # the sample may end inside a line
    best, score = None, 0.0
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        except csv.Error:
            continue
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        if width < 2:
            continue
        share = times / sum(widths.values())
        if share > score + 1e-9:  # at the same agreement the earlier, more usual one
            best, score = delimiter, share
    return best if score >= 0.5 else None


# ------------------------------------------------------------------------------------------------------------- CSV


def _csv(
    path: Path,
    text: str,
    delimiter: str,
    header: bool | None,
    bad: float,
    max_columns: int,
    max_cell: int,
    notes: list[str],
) -> Table:
    rows, lines = _records(path, text, delimiter, max_cell)
    names, named = _names(path, rows, header, max_columns, notes)
    if named:
        rows, lines = rows[1:], lines[1:]
    first = lines[0] if lines else 2
    if not rows:
        raise DataError(f"{path} has a header ({len(names)} columns: {some(names)}) but no rows under it.")
    skipped: list[tuple[int, str]] = []
    width = len(names)
    if any(w != width for w in set(map(len, rows))):
        keep = []
        for i, row in enumerate(rows):
            if len(row) == width:
                keep.append(i)
            else:
                count = f"{len(row)} cell{'s' * (len(row) != 1)}"
                skipped.append((lines[i], f"{count} where the {'header' if named else 'first row'} has {width}"))
        _stop_if_many(
            path,
            skipped,
            len(rows),
            bad,
            "Mend or drop them, or name the separator: --set data.delimiter=';'",
        )
        rows, lines = [rows[i] for i in keep], [lines[i] for i in keep]
    plain = lines[-1] - lines[0] == len(lines) - 1
    kept = None if plain else list(lines)
    first = lines[0]
    columns = {}
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        values: Sequence[Any] = [c or None for c in cells] if "" in cells else cells
        columns[name] = TableColumn(name, values, str(path), first, kept)
    return Table(columns, len(rows), str(path), first, skipped, notes)


def _records(path: Path, text: str, delimiter: str, max_cell: int) -> tuple[list[list[str]], Sequence[int]]:
    """Cells of each record and the line it starts in; blank lines are no records."""
    before = csv.field_size_limit(min(max_cell, sys.maxsize))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = list(reader)
        lines: Sequence[int] = range(1, len(rows) + 1)
        if reader.line_num != len(rows):  # some cell holds a line break
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            starts, last = [], 0
            for _ in reader:
                starts.append(last + 1)
                last = reader.line_num
            lines = starts
            last_record = list(io.StringIO(text, newline=""))[starts[-1] - 1 :]
            if _is_open(last_record, delimiter):
                raise DataError(
                    f'{path} opens a quote (") in row {starts[-1]} that is never closed. Close or remove it.'
                )
    except csv.Error as e:
        raise DataError(
            f"{path} cannot be read as a table at row {reader.line_num}: {e} (a cell holds at most "
            f"{max_cell:,} characters; data.max_cell). Look for a quote that is never closed."
        ) from None
    finally:
        csv.field_size_limit(before)
    if [] in rows:
        lines = [line for line, row in zip(lines, rows, strict=True) if row]
        rows = [row for row in rows if row]
    return rows, lines


def _is_open(lines: list[str], delimiter: str) -> bool:
    """Does this last record end inside a quote? Only a strict reader says so."""
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error as e:
        return "unexpected end of data" in str(e)
    return False


def _names(
    path: Path,
    rows: list[list[str]],
    header: bool | None,
    max_columns: int,
    notes: list[str],
) -> tuple[list[str], bool]:
    """The columns' names, and whether the first record holds them."""
    first = rows[0]
    if len(first) > max_columns:
        raise DataError(
            f"{path} has {len(first):,} columns in its first row, and at most {max_columns:,} are read. Leave columns "
            f"out, turn the table around if rows and columns are swapped, or pass --set data.max_columns={len(first)}."
        )
    if header is None:
        header = not any(_is_number(cell) for cell in first)
        if not header and len(rows) == 1:
            notes.append("the one row holds numbers, so it is taken as data (data.header)")
        elif not header:
            notes.append(
                "the first row holds numbers, so it is data and columns are called column1, column2, … (data.header)"
            )
    if not header:
        return [f"column{i}" for i in range(1, len(first) + 1)], False
    names = [cell.strip() or f"column{i}" for i, cell in enumerate(first, 1)]
    return unique(path, names), True


def _large(
    path: Path,
    data: bytes,
    delimiter: str,
    header: bool | None,
    max_columns: int,
    notes: list[str],
) -> Table | None:
    """The same table by polars, or None where the careful way has to be taken: quotes, ragged rows, no polars.

    polars fills short rows without a word. It refuses long ones, so where the delimiters add up to
    (columns - 1) a line, every row is complete.
    """
    if b'"' in data or b"\r" in data.replace(b"\r\n", b"") or b"\n\n" in data or b"\n\r\n" in data:
        return None
    try:
        import polars
    except ImportError:
        return None
    start = data[: 1 << 20].decode("utf-8-sig", "ignore").splitlines()[:2]
    said = list(notes)  # only told if this way is taken
    names, named = _names(path, [line.split(delimiter) for line in start], header, max_columns, said)
    count = data.count(b"\n") + (not data.endswith(b"\n"))
    if data.count(delimiter.encode()) != count * (len(names) - 1):
        return None
    try:
        frame = polars.read_csv(
            data,
            separator=delimiter,
            has_header=named,
            new_columns=names,
            infer_schema=False,
            quote_char=None,
        )
    except BaseException as e:  # a panic of polars derives from BaseException
        if isinstance(e, KeyboardInterrupt):
            raise
        return None
    if frame.height != count - named:
        return None
    first = 1 + named
    columns = {}
    for name in names:
        text = frame.get_column(name)
        whole = text.cast(polars.Int64, strict=False)  # "07" stays text: it may be a code
        if not text.null_count() and not whole.null_count() and (whole.cast(polars.String) == text).all():
            values: Any = whole.to_numpy()
        else:
            values = [v or None for v in text.to_list()]
        columns[name] = TableColumn(name, values, str(path), first)
    return Table(columns, frame.height, str(path), first, [], said)


# ------------------------------------------------------------------------------------------------ JSON and Parquet


def _json(path: Path, text: str, bad: float, max_columns: int, *, whole: bool) -> Table:
    skipped: list[tuple[int, str]] = []
    records: list[tuple[int, dict[str, Any]]] = []
    total = 0
    if whole:
        try:
            items = parsed(text)
        except ValueError as e:
            raise DataError(f"{path} is not JSON: {e}.") from None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f'{path} is JSON, but no list of objects like [{{"x": 1, "y": 2}}, …], so it is no table.')
        records, total = list(enumerate(items, 1)), len(items)
    else:
        for line, part in enumerate(text.split("\n"), 1):
            if not part.strip():
                continue
            total += 1
            try:
                item = parsed(part)
            except ValueError as e:
                skipped.append((line, f"not JSON ({e})"))
                continue
            if isinstance(item, dict):
                records.append((line, item))
            else:
                skipped.append((line, f"{type(item).__name__} where an object {{…}} was expected"))
    _stop_if_many(path, skipped, total, bad, 'Each line is one object, like {"x": 1, "y": 2}')
    names = list(dict.fromkeys(key for _, item in records for key in item))
    if not names:
        raise DataError(f"{path} holds {total} objects without a single key, where a table was expected.")
    if len(names) > max_columns:
        raise DataError(
            f"{path} has {len(names):,} different keys, and at most {max_columns:,} are read. Leave some out."
        )
    lines = [line for line, _ in records]
    kept = None if lines[-1] - lines[0] == len(lines) - 1 else lines
    columns = {}
    for name in names:
        values = [item.get(name) for _, item in records]
        columns[name] = TableColumn(name, [None if v == "" else v for v in values], str(path), lines[0], kept)
    return Table(columns, len(records), str(path), lines[0], skipped, [])


def _parquet(path: Path, max_columns: int, max_values: int) -> Table:
    try:
        import polars
    except ImportError:
        raise MissingExtra("polars", "tabular", f"Reading {path.name} (Parquet)") from None
    try:
        wide, long = _claims(polars, path)
        if wide > max_columns:
            raise DataError(f"{path} has {wide:,} columns, and at most {max_columns:,} are read. Leave some out.")
        if wide * long > max_values:
            raise DataError(
                f"{path} claims {long:,} rows of {wide:,} columns, and at most {max_values:,} values are read. Take a "
                f"part of it, or pass --set data.max_values={wide * long}."
            )
        frame = polars.read_parquet(path, glob=False)
    except BaseException as e:  # a panic of polars derives from BaseException
        if isinstance(e, KeyboardInterrupt | MemoryError | DataError):
            raise
        reason = str(e).strip().splitlines()
        raise DataError(
            f"{path} cannot be read as Parquet: {reason[0] if reason else type(e).__name__}. Write it anew."
        ) from None
    if not frame.height:
        raise DataError(f"{path} has {frame.width} columns but no rows.")
    columns = {n: TableColumn(n, column_values(_contents(frame.get_column(n))), str(path), 1) for n in frame.columns}
    return Table(columns, frame.height, str(path), 1, [], [])


def _claims(polars: Any, path: Path) -> tuple[int, int]:
    """Columns and rows, as the end of the file says them, before anything is unpacked."""
    scan = polars.scan_parquet(path, glob=False)
    return len(scan.collect_schema()), scan.select(polars.len()).collect().item()


def _contents(series: Any) -> Any:
    """The bytes of files that stand in a column as published sets have them, {bytes, path}; else the column itself."""
    inner = {one.name for one in getattr(series.dtype, "fields", ())}
    whole = inner == {"bytes", "path"} and not series.struct.field("bytes").has_nulls()
    return series.struct.field("bytes").alias(series.name) if whole else series


# ----------------------------------------------------------------------------------------------------------- words


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() not in {"nan", "inf", "infinity"}


def _there(folder: Path) -> str:
    return "exists, but holds nothing of a like name" if folder.is_dir() else "does not exist either"


def _stop_if_many(path: Path, skipped: list[tuple[int, str]], total: int, bad: float, remedy: str) -> None:
    """A few broken rows among many are skipped; more than the share `bad` means that something else is wrong."""
    if len(skipped) > bad * total:
        line, reason = skipped[0]
        raise DataError(
            f"{path} has {len(skipped)} broken row{'s' * (len(skipped) > 1)} of {total}, more than the {bad:.0%} that "
            f"are skipped; the first is row {line}: {reason}. {remedy}."
        )
