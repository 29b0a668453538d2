"""Tables from files: what is inferred, what is left out, what is refused and in which words."""

import re
import sys
import time

import numpy as np
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.core.errors import DataError, MissingExtra, SettingError
from lamina.data.sources import table
from lamina.data.sources.table import read, sniff


def write(tmp_path, content, name="houses.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def values(found):
    return {name: list(column.values) for name, column in found.columns.items()}


def refused(path, words, **more):
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read(path, **more)
    assert str(path) in str(caught.value)


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_what_was_written_is_read_and_rows_are_lines(tmp_path_factory, rows):
    """Quotes, line breaks and separators inside of cells; each row is found where its line starts."""
    path = tmp_path_factory.mktemp("t") / "x.csv"
    lines, text = [], "left,right\r\n"
    for row in rows:
        lines.append(text.count("\n") + 1)
        text += ",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n"
    path.write_text(text, encoding="utf-8", newline="")
    found = read(path, delimiter=",", header=True)
    assert values(found) == {"left": [a or None for a, _ in rows], "right": [b or None for _, b in rows]}
    assert [found["left"].where(i) for i in range(len(rows))] == [f"row {line} of {path}" for line in lines]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a,b\n1,x\n2,y\n", "t.csv"),
        ("a;b\r\n1;x\r\n2;y\r\n", "t.csv"),
        ("a|b\n1|x\n2|y", "t.csv"),
        ("a\tb\n1\tx\n2\ty\n", "t.tsv"),
        ("a\tb\n1\tx\n2\ty\n", "t.txt"),
        ("\ufeffa,b\n1,x\n\n2,y\n\n", "t.csv"),
        ('"a","b"\n"1","x"\n2,y\n', "t.csv"),
        ("a,b\n1,x\n2,y\n".encode("utf-16"), "t.csv"),
    ],
)
def test_separators_marks_and_blank_lines(tmp_path, text, name):
    path = write(tmp_path, text, name)
    assert values(read(path)) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert sniff(path) >= 0.5


def test_what_is_inferred_is_said(tmp_path):
    assert read(write(tmp_path, "a;b\n1;2\n")).notes == ["columns are separated by semicolons (data.delimiter)"]
    found = read(write(tmp_path, "5.1,setosa\n4.9,virginica\n"))
    assert values(found) == {"column1": ["5.1", "4.9"], "column2": ["setosa", "virginica"]}
    assert "the first row holds numbers, so it is data" in found.notes[0] and found.first_row == 1
    assert list(read(write(tmp_path, ",x\n1,2\n")).columns) == ["column1", "x"]
    assert list(read(write(tmp_path, "2019,2020\n1,2\n"), header=True).columns) == ["2019", "2020"]


def test_a_few_ragged_rows_are_skipped_and_listed_and_the_rest_keep_their_lines(tmp_path):
    rows = [f"{i},x" for i in range(40)]
    rows[10] = "only"
    path = write(tmp_path, "a,b\n" + "\n".join(rows))
    found = read(path)
    assert found.rows == 39 and found.skipped == [(12, "1 cell where the header has 2")]
    assert found["a"].where(10) == f"row 13 of {path}" and found["a"].values[10] == "11"
    taken = found.take(np.array([10, 3]))
    assert taken["a"].where(0) == f"row 13 of {path}" and taken["a"].values == ["11", "3"] and taken.rows == 2
    assert found.take(np.arange(39) == 10)["a"].values == ["11"]


def test_many_ragged_rows_stop_the_reading(tmp_path):
    words = (
        "has 1 broken row of 3, more than the 5% that are skipped; the first is row 3: 3 cells where the header has 2"
    )
    path = write(tmp_path, "a,b\n1,2\n1,2,3\n1,2\n")
    refused(path, words)
    assert read(path, bad=0.5).rows == 2


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    write(tmp_path, "a\n1\n")
    refused(tmp_path / "house.csv", "Did you mean 'houses.csv'?")
    refused(tmp_path / "none" / "x.csv", "does not exist either")


def test_a_folder_is_answered_with_its_tables(tmp_path):
    refused(tmp_path, "is a folder, where a table was expected. It holds no .csv, .tsv, .jsonl or .parquet file.")
    write(tmp_path, "a\n1\n")
    refused(tmp_path, "Name one of its tables: 'houses.csv'.")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b" \n\n", "is empty (only white space)"),
        (b"a,b\n", "has a header (2 columns: 'a', 'b') but no rows under it"),
        (
            b"a,b,a\n1,2,3\n",
            "has 1 column name more than once: 'a' ('a' stands over columns 1 and 3). Rename one of them.",
        ),
        (b"a,b\n1,x\n2,caf\xe9\n", "is not utf-8: byte 0xe9 in row 3 (byte 13 of the file) cannot be read."),
        (b"a,b\n1,x\n2,\x00\n", "has a NUL byte at byte 10, so it is binary"),
        (b"PK\x03\x04\x00\x00", "is a ZIP archive or a spreadsheet, not text"),
        (b'a,b\n1,2\n3,"4\n5,6\n7,8\n', 'opens a quote (") in row 3 that is never closed'),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path, content, words):
    refused(write(tmp_path, content), words)


def test_another_encoding_is_the_remedy_that_is_named(tmp_path):
    path = write(tmp_path, "name\ncafé\n".encode("latin-1"))
    refused(path, "pass --set data.encoding=latin-1")
    assert read(path, encoding="latin-1")["name"].values[0] == "café"
    with pytest.raises(SettingError, match="No text encoding is called 'latin-one'"):
        read(path, encoding="latin-one")
    with pytest.raises(SettingError, match=r"data.delimiter is one character"):
        read(path, encoding="latin-1", delimiter=", ")


def test_too_long_a_cell_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "FIELD_BOUND", 100)
    refused(
        write(tmp_path, "a,b\n1," + "x" * 200),
        "cannot be read as a table at row 2: field larger than field limit (100)",
    )


def test_a_hundred_thousand_columns_are_read_and_more_are_refused(tmp_path):
    width = 100_000
    line = ",".join(map(str, range(width)))
    path = write(tmp_path, ",".join(f"c{i}" for i in range(width)) + f"\n{line}\n{line}\n")
    start = time.perf_counter()
    found = read(path)
    assert time.perf_counter() - start < 10  # about 1 s on an idle core
    assert found["c99999"].values[1] == "99999"
    refused(path, "has 100,000 columns in its first row, and at most 1,000 are read", max_columns=1000)


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"houses.csv has no column 'prize'. Did you mean 'price'\?"):
        read(write(tmp_path, "price,size\n1,2\n"))["prize"]


def test_json_lines(tmp_path):
    path = write(tmp_path, '{"a": 1, "b": "x"}\n\n{"b": "", "c": [1, 2]}\n', "t.jsonl")
    found = read(path)
    assert values(found) == {"a": [1, None], "b": ["x", None], "c": [None, [1, 2]]}
    assert found["a"].where(1) == f"row 3 of {path}"
    good = '{"a": 1}\n' * 40
    found = read(write(tmp_path, good + "{broken\n" + good, "t.ndjson"))
    assert found.rows == 80 and found.skipped[0][0] == 41 and found["a"].where(40).startswith("row 42")
    refused(write(tmp_path, "[1]\n[2]\n", "t.jsonl"), "the first is row 1: list where an object {…} was expected")
    assert values(read(write(tmp_path, '[{"a": 1}, {"a": 2}]', "t.json"))) == {"a": [1, 2]}
    refused(write(tmp_path, '{"a": 1}', "t.json"), "is JSON, but no list of objects")


def test_parquet_needs_polars_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    polars.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, 2.5]}).write_parquet(path)
    assert values(read(path)) == {"a": [1, 2], "b": ["x", None], "c": [1.5, 2.5]}
    data = path.read_bytes()
    refused(write(tmp_path, data[: len(data) // 2], "half.parquet"), "cannot be read as Parquet")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtra, match=re.escape("Reading t.parquet (Parquet) needs polars")):
        read(path)


@pytest.mark.parametrize("text", ["a,b,c\n1,01,x\n2,02,\n", "a,b\n1,\n-3,2\n,4"])
def test_polars_reads_a_large_file_to_the_same_values(tmp_path, monkeypatch, text):
    path = write(tmp_path, text)
    slow = read(path)
    monkeypatch.setattr(table, "LARGE", 0)
    calls = []
    monkeypatch.setattr(table, "_csv", lambda *a: calls.append(a))
    fast = read(path)
    assert not calls
    said = {name: [None if v is None else str(v) for v in column] for name, column in values(fast).items()}
    assert said == values(slow) and fast["a"].where(1) == slow["a"].where(1)


@pytest.mark.parametrize(
    "text", ["3;4\n5\n" + "1;2\n" * 40, "a,b\n1\n" + "1,2\n" * 40, 'a,b\n"1,0",2\n', "a,b\n1,2\n\n3,4\n"]
)
def test_polars_leaves_what_it_would_mend_silently_to_the_careful_reader(tmp_path, monkeypatch, text):
    path = write(tmp_path, text)
    slow = read(path)
    monkeypatch.setattr(table, "LARGE", 0)
    fast = read(path)
    assert values(fast) == values(slow) and fast.skipped == slow.skipped and fast.notes == slow.notes


def test_sniffing_tells_tables_from_the_rest(tmp_path):
    assert sniff(write(tmp_path, "a,b\n1,2\n", "t.csv")) == 1
    assert sniff(write(tmp_path, "Once upon a time\nthere was.\n", "t.txt")) < 0.2
    assert sniff(write(tmp_path, "{}", "t.json")) < 0.2
    assert sniff(tmp_path) == sniff(tmp_path / "absent.csv") == sniff(write(tmp_path, "x", "t.png")) == 0
