"""Texts: tokens there and back, bags by their definition."""

import json
import math
import re
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.core.errors import DataError, MissingExtra, SettingError
from lamina.core.protocols import Column, Field
from lamina.fields._tokens import words_of
from lamina.fields.text import Text

TEXTS = ["The cat sat on the mat.", "the dog sat", "", "A cat and a dog; a Cat!", "naïve 😀 <end> text"]
KINDS = ["words", "characters", "bytes", "bpe"]
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=8)


def fitted(values, **more):
    column, field = Column("review", values, "reviews.csv"), Text("review", **more)
    field.fit(column)
    return field, column


def pieces(encoded, kind="text"):
    offsets = encoded[f"{kind}_offsets"]
    return [encoded[kind][a:b] for a, b in pairwise(offsets)]


@settings(max_examples=30, deadline=None)
@given(texts.filter(lambda values: any(v.strip() for v in values)), st.sampled_from(KINDS[1:]))
def test_characters_bytes_and_pairs_come_back_exactly(values, tokens):
    field, column = fitted(values, tokens=tokens)
    encoded = field.encode(column, ["text"])
    assert field.decode(pieces(encoded)) == values
    assert encoded["text"].dtype == np.int32 and encoded["text_offsets"].dtype == np.int64
    assert all(len(piece) for piece in pieces(encoded))
    assert encoded["text"].max() < field.sizes()["vocab"]


@pytest.mark.parametrize("tokens", KINDS)
def test_a_restored_field_is_the_same(tokens):
    field, column = fitted(TEXTS, tokens=tokens)
    again = Text.restore("review", json.loads(json.dumps(field.state())))
    assert again.state() == field.state() and again.sizes() == field.sizes()
    before, after = field.encode(column), again.encode(column)
    assert before.keys() == after.keys()
    for key in before:
        np.testing.assert_array_equal(before[key], after[key])


def test_words_come_back_in_lower_case_and_unknown_ones_are_marked():
    field, column = fitted(["The cat sat.", "the cat sat."])
    assert field.decode(pieces(field.encode(column))) == ["the cat sat.", "the cat sat."]
    assert field.decode([field.cut("the dog sat")]) == ["the \N{REPLACEMENT CHARACTER} sat"]


def test_words_are_counted_from_the_most_frequent_and_bounded():
    field, _ = fitted(["b b b a a c c d"] * 2, vocab=3)
    assert field.tokenizer.words == ["b", "a", "c"] and field.sizes() == {"vocab": 7, "words": 7}


def test_a_bag_is_weighted_as_defined():
    field, column = fitted(TEXTS)
    counts = Counter(word for text in TEXTS for word in words_of(text))
    known = {word for word, n in counts.items() if n >= 2}
    encoded = field.encode(column)
    weights = np.split(encoded["words_weights"], encoded["words_offsets"][1:-1])
    for text, ids, found in zip(TEXTS, pieces(encoded, "words"), weights, strict=True):
        bag = Counter(word for word in words_of(text) if word in known)
        naive = {}
        for word, n in bag.items():
            holding = sum(word in words_of(other) for other in TEXTS)
            naive[word] = (1 + math.log(n)) * (math.log((1 + len(TEXTS)) / (1 + holding)) + 1)
        length = math.sqrt(sum(w**2 for w in naive.values()))
        assert {field.bag.words[i - 4]: pytest.approx(w, rel=1e-5) for i, w in zip(ids, found, strict=True)} == {
            word: w / length for word, w in naive.items()
        }


def test_pair_encoding_is_learned_and_shortens():
    field, column = fitted(["low lower lowest newer wider"] * 20, tokens="bpe", vocab=300)
    assert 260 < field.sizes()["vocab"] <= 300
    assert len(field.cut("lower lowest")) < 6
    assert fitted(column.values, tokens="bpe", vocab=300)[0].state() == field.state()


@pytest.mark.parametrize("tokens", KINDS)
def test_signs_stand_around_a_text_and_it_is_cut_to_its_length(tokens):
    field, column = fitted(["one two three four five"] * 2, tokens=tokens, signs=True, length=4)
    for piece in pieces(field.encode(column)):
        assert len(piece) == 4 and piece[0] == 2 and piece[-1] == 3
    assert "longer than 4 tokens and are cut off" in field.check(column)[-1]


def test_decoding_stops_at_the_end_and_drops_padding():
    field, _ = fitted(["abc"], tokens="bytes")
    assert field.decode(np.array([[2, 101, 102, 3, 103, 0], [101, 0, 0, 0, 0, 0]])) == ["ab", "a"]


def test_missing_texts_are_one_sign_and_are_said():
    field, column = fitted(["some words", None, " ", float("nan")], tokens="bytes")
    assert [len(p) for p in pieces(field.encode(column))] == [10, 1, 1, 1]
    assert field.missing(column).tolist() == [False, True, True, True]
    assert field.check(column) == ['Column "review" of reviews.csv: 3 of 4 texts are empty (rows 3, 4, 5).']


def test_unknown_tokens_are_said():
    field, _ = fitted(["a b", "a b"])
    assert "75% of its tokens are unknown" in field.check(Column("review", ["a x y z"]))[0]


def test_messages():
    with pytest.raises(SettingError, match=r"No way to cut text is called 'byte'. Did you mean 'bytes'\?"):
        Text("x", tokens="byte")
    with pytest.raises(SettingError, match="starts from 256 bytes and 4 signs, but vocab is 100"):
        fitted(["a"], tokens="bpe", vocab=100)
    with pytest.raises(DataError, match=r'Column "review" of reviews.csv has no text in its 2 rows'):
        fitted(["", None])
    with pytest.raises(DataError, match=re.escape("should hold texts, but has list (row 3)")):
        fitted(["a", ["b"]])


def test_pair_encoding_names_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'lamina[text]'")):
        fitted(["a"], tokens="bpe")
    fitted(["a"], tokens="characters")


def test_is_a_field():
    assert isinstance(Text("x"), Field)
    assert Text.guess(Column("x", TEXTS)) > 0.7
    assert Text.guess(Column("x", ["red", "blue"] * 5)) < 0.2
