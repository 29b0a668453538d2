"""Text from files and folders: what a document is, where it came from, and what is said about bad input."""

import json

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.data.sources.corpus import read, sniff

POEM = [f"Line one of poem {i},\nand its second line." for i in range(30)]


def written(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def test_blocks_between_blank_lines_are_documents_where_there_are_many(tmp_path):
    table = read(written(tmp_path / "poems.txt", "\n\n".join(POEM)))
    assert list(table.columns) == ["text"] and table["text"].values == POEM and table.rows == 30
    assert table["text"].where(2) == f"row 7 of {tmp_path / 'poems.txt'}"  # two lines and a blank one each
    assert "30 documents" in table.notes[0]


def test_blank_lines_may_hold_spaces_and_be_several(tmp_path):
    table = read(written(tmp_path / "a.txt", "\n\n" + " \n  \n\n".join(POEM) + "\n\n"))
    assert table["text"].values == POEM
    assert table["text"].where(0).startswith("row 3 of")
    assert table["text"].where(1).startswith("row 7 of")


def test_a_text_without_blank_lines_is_cut_at_line_ends_and_nothing_is_lost(tmp_path):
    text = "".join(f"This is line {i} of a long text.\n" for i in range(200))
    table = read(written(tmp_path / "long.txt", text))
    pieces = table["text"].values
    assert "".join(pieces) == text and 15 <= len(pieces) <= 40
    assert all(piece.endswith("\n") for piece in pieces)
    assert table["text"].lines[1] == pieces[0].count("\n") + 1
    one_line = read(written(tmp_path / "one.txt", "word " * 400))["text"].values
    assert "".join(one_line) == "word " * 400 and len(one_line) > 10


@pytest.mark.parametrize(("documents", "count"), [("files", 1), ("blocks", 30), ("lines", 60)])
def test_what_a_document_is_can_be_said(tmp_path, documents, count):
    assert read(written(tmp_path / "a.txt", "\n\n".join(POEM)), documents=documents).rows == count


def test_the_files_of_a_folder_are_documents_in_a_fixed_order(tmp_path):
    for i, poem in enumerate(POEM):
        written(tmp_path / "poems" / f"part{i % 2}" / f"{i:02}.{'md' if i % 3 else 'txt'}", poem)
    written(tmp_path / "poems" / ".hidden.txt", "nothing")
    written(tmp_path / "poems" / "cover.png", b"\x89PNG\0")
    table = read(tmp_path / "poems")
    assert table.rows == 30 and table["text"].values[:2] == [POEM[0], POEM[2]]
    assert table["text"].where(1) == str(tmp_path / "poems" / "part0" / "02.md")
    taken = table.take(np.array([29, 1]))["text"]
    assert taken.values == [POEM[29], POEM[2]] and taken.where(1).endswith("02.md")


def test_json_lines_give_the_text_under_their_key(tmp_path):
    rows = "\n".join(json.dumps({"text": poem}) for poem in POEM)
    table = read(written(tmp_path / "a.jsonl", rows + "\n{broken\n"))
    assert table["text"].values == POEM
    assert table.skipped[0][0] == 31 and "not JSON" in table.skipped[0][1]
    other = written(tmp_path / "b.jsonl", rows.replace('"text"', '"body"'))
    assert read(other, key="body")["text"].values == POEM
    with pytest.raises(DataError, match=r"no text under 'txt' in any row\. Its keys: 'body'\. Pass --set data\.key"):
        read(other, key="txt")


def test_line_breaks_of_windows_and_byte_order_marks_are_obeyed(tmp_path):
    crlf = read(written(tmp_path / "a.txt", "\r\n\r\n".join(p.replace("\n", "\r\n") for p in POEM)))
    assert crlf["text"].values == POEM
    for encoding in ("utf-8-sig", "utf-16"):
        assert read(written(tmp_path / "b.txt", "\n\n".join(POEM), encoding))["text"].values == POEM


def test_looks_like_a_corpus_less_than_a_table_does(tmp_path):
    assert sniff(written(tmp_path / "a.md", "x")) == 0.9
    assert 0.05 < sniff(written(tmp_path / "a.txt", "x")) < 0.6
    assert sniff(written(tmp_path / "a.jsonl", '{"text": "x"}\n')) > 0.8
    assert sniff(written(tmp_path / "b.jsonl", '{"text": "x", "label": 1}\n')) == 0
    assert sniff(written(tmp_path / "a.png", b"x")) == 0 and sniff(tmp_path / "none.txt") == 0
    written(tmp_path / "texts" / "a.txt", "x")
    assert sniff(tmp_path / "texts") == 0.8
    written(tmp_path / "pictures" / "a.png", "x")
    assert sniff(tmp_path / "pictures") == 0


def test_a_few_unreadable_files_are_skipped_and_listed(tmp_path):
    for i, poem in enumerate(POEM):
        written(tmp_path / "t" / f"{i:02}.txt", poem)
    written(tmp_path / "t" / "05.txt", b"PK\0\1binary")
    written(tmp_path / "t" / "06.txt", b"")
    written(tmp_path / "t" / "07.txt", "gr\u00fcn".encode("latin-1"))
    table = read(tmp_path / "t")
    assert table.rows == 27
    assert [number for number, _ in table.skipped] == [6, 7, 8]
    for (_, reason), words in zip(table.skipped, ("is a ZIP archive", "empty", "not utf-8"), strict=True):
        assert words in reason and str(tmp_path / "t") in reason
    with pytest.raises(DataError, match=r"3 of 30 files cannot be read; up to 5% would.*file 6.*ZIP archive"):
        read(tmp_path / "t", bad=0.05)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"a\.txt is empty \(0 bytes\), where a text was expected"),
        (b" \n \n", r"a\.txt is empty \(only white space\)"),
        (b"abc", r"a\.txt is too short to learn from: 3 characters, and at least 100 are needed\. Give more text"),
        (b"good\nb\xe4d" + b"." * 200, r"a\.txt is not utf-8: byte 0xe4 at byte 6 \(row 2\).*data\.encoding=latin-1"),
        (b"x" * 200 + b"\0", r"a\.txt is no text: it has a NUL byte at byte 200, so it is binary, or UTF-16"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read(written(tmp_path / "a.txt", content))


def test_says_what_is_missing(tmp_path):
    written(tmp_path / "poems.txt", "x")
    with pytest.raises(DataError, match=r"no file or folder .*poem\.txt\. Did you mean 'poems\.txt'\?"):
        read(tmp_path / "poem.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none holds no text: no file .* ends in \.txt"):
        read(tmp_path / "none")
    with pytest.raises(
        SettingError, match=r"one of auto, files, blocks, lines, but 'block' came\. Did you mean 'blocks'"
    ):
        read(tmp_path / "poems.txt", documents="block")
    with pytest.raises(SettingError, match=r"No text encoding is called 'utf-9'"):
        read(tmp_path / "poems.txt", encoding="utf-9")


def test_indented_first_lines_keep_their_indent(tmp_path):
    poems = [f"    indented {i}\nnot so" for i in range(25)]
    assert read(written(tmp_path / "a.txt", "\n\n".join(poems)))["text"].values == poems
