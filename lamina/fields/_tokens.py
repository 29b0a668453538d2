"""Ways to cut text into tokens: words, characters, bytes, and byte-pair encoding learned from the texts.

All share the first four ids: 0 padding, 1 unknown, 2 start, 3 end. A tokenizer is trained once, is plain data in
`state()`, and `join` undoes `cut`: exactly for bytes, BPE and known characters; words come back with single spaces.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from lamina.core.errors import MissingExtra, SettingError, did_you_mean
from lamina.core.untrusted import fits, parsed
from lamina.fields._state import require

__all__ = ["SPECIALS", "Bpe", "Bytes", "Characters", "Tokenizer", "Words", "tokenizer", "words_of"]

PADDING, UNKNOWN, START, END = range(4)
SPECIALS = ("<pad>", "<unk>", "<start>", "<end>")
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class Tokenizer(Protocol):
    """Text to ids and back."""

    def fit(self, texts: Sequence[str]) -> None: ...
    def cut(self, texts: Sequence[str]) -> list[np.ndarray]: ...
    def join(self, ids: Sequence[int]) -> str: ...
    def size(self) -> int: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...


class Words:
    """Lower-case words and signs, the most frequent ones; rarer than `least` is unknown."""

    def __init__(self, vocab: int = 50_000, least: int = 2):
        self.vocab, self.least = vocab, least
        self.words: list[str] = []
        self._index: dict[str, int] = {}

    def fit(self, texts: Sequence[str]) -> None:
        counts = Counter(chain.from_iterable(map(words_of, texts)))
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [word for word, n in most if n >= self.least][: self.vocab]
        self._take(kept or [word for word, _ in most][: self.vocab])  # few short texts repeat nothing

    def cut(self, texts: Sequence[str]) -> list[np.ndarray]:
        index = self._index
        return [np.array([index.get(word, UNKNOWN) for word in words_of(text)], np.int32) for text in texts]

    def join(self, ids: Sequence[int]) -> str:
        known = (self.words[i - 4] if i > END else "\N{REPLACEMENT CHARACTER}" if i == UNKNOWN else "" for i in ids)
        return re.sub(r" ([.,;:!?)\]}])", r"\1", " ".join(word for word in known if word))

    def size(self) -> int:
        return 4 + len(self.words)

    def state(self) -> dict[str, Any]:
        return {"words": self.words}

    def load(self, state: dict[str, Any]) -> None:
        wrong = fits(state, {"words": [str]})
        require(not wrong, str(wrong))
        self._take(list(state["words"]))

    def _take(self, words: list[str]) -> None:
        self.words = words
        self._index = {word: i for i, word in enumerate(words, 4)}


class Characters:
    """Every character of the training texts, in the order of their code points."""

    def __init__(self) -> None:
        self.characters = ""
        self._points = np.zeros(0, np.uint32)

    def fit(self, texts: Sequence[str]) -> None:
        self._take("".join(sorted(set().union(*texts))))

    def cut(self, texts: Sequence[str]) -> list[np.ndarray]:
        cuts = []
        for text in texts:
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            if not len(self._points):
                cuts.append(np.full(len(points), UNKNOWN, np.int32))
                continue
            at = np.minimum(np.searchsorted(self._points, points), len(self._points) - 1)
            cuts.append(np.where(self._points[at] == points, at + 4, UNKNOWN).astype(np.int32))
        return cuts

    def join(self, ids: Sequence[int]) -> str:
        unknown = {UNKNOWN: "\N{REPLACEMENT CHARACTER}"}
        return "".join(self.characters[i - 4] if i > END else unknown.get(i, "") for i in ids)

    def size(self) -> int:
        return 4 + len(self.characters)

    def state(self) -> dict[str, Any]:
        return {"characters": self.characters}

    def load(self, state: dict[str, Any]) -> None:
        wrong = fits(state, {"characters": str})
        require(not wrong, str(wrong))
        self._take(state["characters"])

    def _take(self, characters: str) -> None:
        self.characters = characters
        self._points = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32)


class Bytes:
    """The 256 bytes of UTF-8; nothing is unknown and nothing is learned."""

    def fit(self, texts: Sequence[str]) -> None:
        pass

    def cut(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(t.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int32) + 4 for t in texts]

    def join(self, ids: Sequence[int]) -> str:
        return bytes(i - 4 for i in ids if i > END).decode("utf-8", "replace")

    def size(self) -> int:
        return 4 + 256

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass


class Bpe:
    """Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909), learned by the library `tokenizers`."""

    def __init__(self, vocab: int = 4096):
        self.vocab = vocab
        self._tokenizer: Any = None

    def fit(self, texts: Sequence[str]) -> None:
        library = _library()
        if self.vocab < 4 + 256:
            raise SettingError(
                f"Byte-pair encoding starts from 256 bytes and 4 signs, but vocab is {self.vocab}. Take more."
            )
        made = library.Tokenizer(library.models.BPE())
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=self.vocab,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        made.train_from_iterator(texts, trainer)
        made.encode_special_tokens = True  # "<end>" in a text is five letters, not our sign
        self._tokenizer = made

    def cut(self, texts: Sequence[str]) -> list[np.ndarray]:
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def join(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([i for i in ids if i > END], skip_special_tokens=False)

    def size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def state(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "tokenizer": self._tokenizer.to_str() if self._tokenizer else None}

    def load(self, state: dict[str, Any]) -> None:
        wrong = fits(state, {"vocab": int, "tokenizer": (str, None)})
        require(not wrong, str(wrong))
        self.vocab = state["vocab"]
        if state["tokenizer"]:
            _only_ours(parsed(state["tokenizer"], strict=True))
            try:
                self._tokenizer = _library().Tokenizer.from_str(state["tokenizer"])
            except Exception as error:  # the library raises nothing narrower
                raise ValueError(f"tokenizer: {error}") from None
            self._tokenizer.encode_special_tokens = True


def _only_ours(held: Any) -> None:
    """Refuse what `Bpe.fit` does not write: other parts of the library take patterns that never end, and paddings."""
    kind = {"type": str}
    merges = [([str], str)]
    shape = {**dict.fromkeys(("normalizer", "truncation", "padding", "post_processor")), "pre_tokenizer": kind,
             "decoder": kind, "added_tokens": [{"content": str, "id": int}],
             "model": {**kind, "dropout": None, "vocab": {str: int}, "merges": merges}}  # fmt: skip
    wrong = fits(held, shape, "tokenizer")
    require(not wrong, str(wrong))
    kinds = [held[part]["type"] for part in ("pre_tokenizer", "decoder", "model")]
    require(kinds == ["ByteLevel", "ByteLevel", "BPE"], f"tokenizer is made of {', '.join(kinds)[:100]}")
    ids = sorted(held["model"]["vocab"].values())
    require(ids == list(range(len(ids))), "tokenizer numbers its tokens with gaps")
    require([t["content"] for t in held["added_tokens"]] == list(SPECIALS), "tokenizer adds tokens of its own")


def tokenizer(name: str, vocab: int | None = None) -> Tokenizer:
    """One of "words", "characters", "bytes", "bpe"; `vocab` bounds words and bpe."""
    kinds = {"words": Words, "characters": Characters, "bytes": Bytes, "bpe": Bpe}
    if name not in kinds:
        raise SettingError(
            f"No way to cut text is called {name!r}.{did_you_mean(name, kinds)} There are: {', '.join(kinds)}."
        )
    if vocab is not None and name in {"words", "bpe"}:
        return kinds[name](vocab)  # type: ignore[call-arg]
    return kinds[name]()


def words_of(text: str) -> list[str]:
    """Lower-case words and signs, in order."""
    return _WORD.findall(text.lower())


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtra("tokenizers", "text", "Byte-pair encoding (tokens=bpe)") from None
    return tokenizers
