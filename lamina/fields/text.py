"""Text: as a sequence of tokens, and as a bag of weighted words.

A bag holds each known word of a text once, weighted by (1 + ln count) · idf, where
idf = ln((1 + texts) / (1 + texts with the word)) + 1; the weights of a text have Euclidean length 1.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.protocols import Column
from lamina.core.untrusted import fits
from lamina.fields._places import is_missing, of, rows
from lamina.fields._state import require
from lamina.fields._tokens import END, PADDING, START, UNKNOWN, Tokenizer, Words, tokenizer, words_of

__all__ = ["Text"]


class Text:
    """A column of texts.

    Args:
        tokens: how the sequence is cut: "words", "characters", "bytes" or "bpe".
        vocab: at most so many words or byte pairs; None is 50,000 words or 4,096 pairs.
        length: tokens a text is cut off at; 0 keeps all.
        signs: put the signs for start and end around each sequence.

    Encoded: {"text": (tokens,) int32 on end, "text_offsets": (n + 1,) int64} and {"words": (words,) int32,
    "words_offsets": (n + 1,) int64, "words_weights": (words,) float32}. An empty text is the one token `start`.
    """

    kinds = ("text", "words")
    padding, unknown, start, end = PADDING, UNKNOWN, START, END  # ids of the signs, whatever the tokens

    def __init__(
        self,
        name: str,
        *,
        tokens: str = "words",
        vocab: int | None = None,
        length: int = 0,
        signs: bool = False,
    ):
        self.name, self.tokens, self.vocab, self.length, self.signs = name, tokens, vocab, length, signs
        self.tokenizer: Tokenizer = tokenizer(tokens, vocab)
        self.bag = self.tokenizer if isinstance(self.tokenizer, Words) else Words()
        self.idf = np.ones(0, np.float32)

    @classmethod
    def guess(cls, column: Column) -> float:
        """Surer, the more words a value has and the fewer values come again."""
        step = max(1, len(column.values) // 500)
        known = [value for value in column.values[::step] if not is_missing(value)]
        if not known or not all(isinstance(value, str) for value in known):
            return 0.0
        words = float(np.mean([len(value.split()) for value in known]))
        letters = float(np.mean([len(value) for value in known]))  # some scripts put no spaces
        fresh = len(set(known)) / len(known)
        if (words < 2.5 and letters < 80) or fresh < 0.2:
            return 0.1
        return min(0.95, 0.4 + 0.5 * fresh + 0.005 * words)

    @classmethod
    def restore(cls, name: str, state: dict[str, Any]) -> "Text":
        settings = {"tokens": str, "vocab": (int, None), "length": int, "signs": bool}
        wrong = fits(state, {"settings": settings, "tokenizer": dict, "bag?": dict, "idf": [float]})
        require(not wrong, str(wrong))
        field = cls(name, **{key: state["settings"][key] for key in settings})
        field.tokenizer.load(state["tokenizer"])
        if field.bag is not field.tokenizer:
            field.bag.load(state["bag"])
        field.idf = np.array(state["idf"], np.float32)
        require(len(field.idf) == field.bag.size(), f"idf has {len(field.idf)} weights for {field.bag.size()} words")
        return field

    def state(self) -> dict[str, Any]:
        keys = ("tokens", "vocab", "length", "signs")
        state = {"settings": {key: getattr(self, key) for key in keys}, "tokenizer": self.tokenizer.state()}
        if self.bag is not self.tokenizer:
            state["bag"] = self.bag.state()
        return state | {"idf": self.idf.tolist()}

    def fit(self, column: Column) -> None:
        """Learn vocabulary and word weights from the training texts."""
        texts = self._texts(column)
        if not any(text.strip() for text in texts):
            raise DataError(f"{of(column)} has no text in its {len(texts)} rows. Leave the column out.")
        self.tokenizer.fit(texts)
        if self.bag is not self.tokenizer:
            self.bag.fit(texts)
        found = np.zeros(self.bag.size())
        index = {word: i for i, word in enumerate(self.bag.words, 4)}
        for text in texts:
            found[[index[word] for word in set(words_of(text)) if word in index]] += 1
        self.idf = (np.log((1 + len(texts)) / (1 + found)) + 1).astype(np.float32)

    def encode(self, column: Column, kinds: Iterable[str] = kinds) -> dict[str, np.ndarray]:
        """The kinds that are asked for; both unless told."""
        texts, encoded = self._texts(column), {}
        if "text" in kinds:
            encoded["text"], encoded["text_offsets"] = self._sequences(texts)
        if "words" in kinds:
            encoded["words"], encoded["words_offsets"], encoded["words_weights"] = self._bags(texts)
        return encoded

    encode_target = encode

    def decode(self, values: Any) -> list[str]:
        """Texts of token sequences: lists or arrays, or (n, time) padded with 0; each ends at its end sign."""
        return [self.join(ids) for ids in values]

    def join(self, ids: Any) -> str:
        """The text of one sequence of tokens."""
        tokens = [int(i) for i in ids]
        if END in tokens:
            tokens = tokens[: tokens.index(END)]
        return self.tokenizer.join([i for i in tokens if i != PADDING])

    def cut(self, text: str) -> list[int]:
        """The tokens of one text, without signs: what `predict` continues."""
        return self.tokenizer.cut([text])[0].tolist()

    def missing(self, column: Column) -> np.ndarray:
        """(n,) bool: where there is no text. "NA" and the like are text."""
        return np.array([not v.strip() if isinstance(v, str) else is_missing(v) for v in column.values], bool)

    def sizes(self) -> dict[str, Any]:
        return {"vocab": self.tokenizer.size(), "words": self.bag.size()}

    def target_sizes(self) -> dict[str, Any]:
        return {"vocab": self.tokenizer.size()}

    def check(self, column: Column) -> list[str]:
        """What a careful reader would remark on, a sentence each."""
        found, total = [], len(column.values)
        absent = np.flatnonzero(self.missing(column))
        if len(absent):
            found.append(f"{of(column)}: {len(absent)} of {total} texts are empty ({rows(column, absent)}).")
        texts = self._texts(column)
        if self.idf.size:
            offsets, ids = self._flat(texts)
            if len(ids) and (share := float((ids == UNKNOWN).mean())) > 0.1:
                found.append(
                    f"{of(column)}: {share:.0%} of its tokens are unknown: training lacked them or saw them once."
                )
            if self.length and (long := int((np.diff(offsets) + 2 * self.signs > self.length).sum())):
                found.append(
                    f"{of(column)}: {long} of {total} texts are longer than {self.length} tokens and are cut off."
                )
        return found

    @staticmethod
    def _texts(column: Column) -> list[str]:
        wrong = [i for i, value in enumerate(column.values) if not isinstance(value, str) and not is_missing(value)]
        if wrong and not isinstance(column.values[wrong[0]], int | float | bool | np.generic):
            kind = type(column.values[wrong[0]]).__name__
            raise DataError(f"{of(column)} should hold texts, but has {kind} ({rows(column, wrong)}).")
        return [value if isinstance(value, str) else "" if is_missing(value) else str(value) for value in column.values]

    def _flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        cuts = self.tokenizer.cut(texts)
        return _offsets(map(len, cuts), len(cuts)), np.concatenate(cuts or [np.zeros(0, np.int32)])

    def _sequences(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        cuts = self.tokenizer.cut(texts)
        if self.signs or self.length or not all(map(len, cuts)):
            before, after = [START] * self.signs, [END] * self.signs
            room = self.length - 2 * self.signs if self.length else None
            cuts = [np.array([*before, *ids[:room], *after] or [START], np.int32) for ids in cuts]
        return np.concatenate(cuts or [np.zeros(0, np.int32)]), _offsets(map(len, cuts), len(cuts))

    def _bags(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cuts = self.bag.cut(texts)
        size, count = max(1, self.bag.size()), len(texts)
        owner = np.repeat(np.arange(count, dtype=np.int64), list(map(len, cuts)))
        ids = np.concatenate(cuts or [np.zeros(0, np.int32)])
        known = ids > END
        pairs, times = np.unique(owner[known] * size + ids[known], return_counts=True)
        owner, ids = pairs // size, (pairs % size).astype(np.int32)
        weights = (1 + np.log(times)) * self.idf[ids]
        norms = np.sqrt(np.bincount(owner, weights**2, minlength=count))
        offsets = _offsets(np.bincount(owner, minlength=count).tolist(), count)
        return ids, offsets, (weights / norms[owner]).astype(np.float32)


def _offsets(lengths: Iterable[int], count: int) -> np.ndarray:
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(chain(lengths), np.int64, count), out=offsets[1:])
    return offsets
