"""Whatever stands between quotes: a table is read as the csv module, and as polars, read it."""

import csv
import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.data.sources import table

FEW = settings(max_examples=80, deadline=None)
cells = st.one_of(
    st.text(max_size=8),
    st.sampled_from(['"', '""', ",", ";", "\n", "\r\n", " ", "a,b", 'say "hi"', "0", "1.5", "-", "é", "\u2028", "#"]),
    st.integers(-(10**6), 10**6).map(str),
).filter(lambda cell: "\0" not in cell)
plain = st.text(st.characters(codec="utf-8", exclude_characters='\0"\r\n,\ufeff'), max_size=8)


def rows(of, least=1):
    return st.integers(2, 4).flatmap(
        lambda wide: st.lists(st.lists(of, min_size=wide, max_size=wide), min_size=least, max_size=8)
    )


def read(folder, data: bytes, **how):
    path = folder / "x.csv"
    path.write_bytes(data)
    return table.read(path, **how)


@FEW
@given(rows(cells), st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_any_quoted_cells_are_those_of_the_csv_module(tmp_path_factory, body, end, quoting):
    text = io.StringIO(newline="")
    if any("\r" in cell for row in body for cell in row):
        quoting = csv.QUOTE_ALL  # the module's writer leaves a lone \r bare, and its reader ends the row there
    writer = csv.writer(text, lineterminator=end, quoting=quoting)
    names = [f"n{i}" for i in range(len(body[0]))]
    writer.writerows([names, *body])
    found = read(tmp_path_factory.mktemp("any"), text.getvalue().encode(), delimiter=",")
    wanted = [row for row in csv.reader(io.StringIO(text.getvalue(), newline="")) if row][1:]
    assert [list(row) for row in zip(*(found[n].values for n in names), strict=True)] == [
        [cell or None for cell in row] for row in wanted
    ]


@FEW
@given(rows(plain, least=2))
def test_the_fast_way_over_polars_gives_what_the_careful_way_gives(tmp_path_factory, body):
    pytest.importorskip("polars")
    names = [f"n{i}" for i in range(len(body[0]))]
    data = "\n".join(",".join(row) for row in [names, *body]).encode() + b"\n"
    assume(b"\n\n" not in data)
    folder = tmp_path_factory.mktemp("fast")
    slow = read(folder, data, delimiter=",")
    with mock.patch.object(table, "LARGE", 0):
        fast = read(folder, data, delimiter=",")
    assert fast.rows == slow.rows and list(fast.columns) == list(slow.columns)
    for name in names:
        mine, other = fast[name].values, slow[name].values
        assert ([str(v) for v in mine] if isinstance(mine, np.ndarray) else list(mine)) == list(other)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".txt"]))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, data, ending):
    path = tmp_path_factory.mktemp("bytes") / f"x{ending}"
    path.write_bytes(data)
    try:
        found = table.read(path)
    except DataError as error:
        assert path.name in str(error)  # noqa: PT017 (both ends are right)
        return
    assert found.rows > 0 and all(len(column.values) == found.rows for column in found.columns.values())
