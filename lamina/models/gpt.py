"""GPT: a decoder-only Transformer that writes text, in the form that learns fastest from little.

Papers: Radford et al., "Improving Language Understanding by Generative Pre-Training" (2018); Brown et al., "Language
Models are Few-Shot Learners" (2020), arXiv:2005.14165. The 2019 network in its published form is `gpt2.py`.
Differently, each because it reaches the same bits per byte in fewer steps:
- rotary positions instead of learned ones (Su et al. 2021, arXiv:2104.09864), so that a cache may roll for ever;
- RMS norms without weights before each branch (Zhang & Sennrich 2019, arXiv:1910.07467), no biases;
- queries and keys of length one, RMS-wise (Henry et al. 2020, arXiv:2010.04245; Dehghani et al. 2023);
- squared ReLU (So et al., "Primer", 2021, arXiv:2109.08668);
- branches and head begin at zero, the head is its own table (Jordan et al., modded-nanogpt, 2024).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lamina.core.errors import SettingError
from lamina.nn.attention import Cache, attend, check_heads
from lamina.nn.rotary import rotate, turns

__all__ = ["GPT"]

VARIANTS = {
    "": dict(),
    "mini": dict(width=384, depth=6, heads=6),
    "small": dict(vocab=50304, context=1024, width=768, depth=12, heads=12),
    "tiny": dict(vocab=64, context=16, width=16, depth=2, heads=2),
}

State = list[Cache]  # one a block


def norm(x: Tensor) -> Tensor:
    """x / sqrt(mean x^2) over the features."""
    return F.rms_norm(x, x.shape[-1:])


class Attention(nn.Module):
    """Causal self-attention by rotary positions, over queries and keys that are normed a head at a time."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Cache | None = None) -> Tensor:
        """x: (batch, time, width), a whole text; an empty cache takes up its keys and values."""
        q, k, v = self.split(x, turn)
        if cache is not None:
            cache.fill(k, v)
        return self.join(attend(q, k, v, causal=True))

    def step(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Cache) -> Tensor:
        """x: (batch, 1, width), the next place: it looks at all that the cache holds."""
        q, k, v = self.split(x, turn)
        keys, values = cache.add(k, v)
        return self.join(attend(q, keys.to(q.dtype), values.to(v.dtype)))

    def split(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        batch, time, width = x.shape
        q, k, v = self.qkv(x).view(batch, time, 3 * self.heads, width // self.heads).transpose(1, 2).chunk(3, dim=1)
        return rotate(norm(q), *turn), rotate(norm(k), *turn), v  # (batch, heads, time, features)

    def join(self, y: Tensor) -> Tensor:
        return self.out(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """W2 relu(W1 x)^2, four times as wide inside."""

    def __init__(self, width: int):
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu().square())


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, drop: float):
        super().__init__()
        self.attention, self.mlp, self.drop = Attention(width, heads), MLP(width), nn.Dropout(drop)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Cache | None = None) -> Tensor:
        x = x + self.drop(self.attention(norm(x), turn, cache))
        return x + self.drop(self.mlp(norm(x)))

    def step(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Cache) -> Tensor:
        x = x + self.attention.step(norm(x), turn, cache)
        return x + self.mlp(norm(x))


class GPT(nn.Module):
    """A decoder-only Transformer.

    Args:
        vocab: tokens it knows, and scores it gives.
        context: tokens of a training window; decoding remembers as many and forgets older ones.
        width: features of a token; a multiple of `heads`, and an even number to each head.
        depth: blocks, each with `heads` attention heads.
        drop: share of each branch's features set to zero in training.

    Shapes: (batch, time) -> (batch, time, vocab); the scores at a place are of the token that follows it.
    Decoding (`lamina.nn.generation`): `start`, `step` and `read`, with one static cache a block.
    Raises: ShapeError if width does not split into heads; SettingError for a context without places.
    """

    def __init__(
        self,
        *,
        vocab: int = 4096,
        context: int = 256,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        drop: float = 0.0,
    ):
        super().__init__()
        check_heads("GPT", width, heads)
        turns(torch.arange(1), width // heads)  # refuses heads whose features do not pair up
        if context < 1:
            raise SettingError(f"context is how many tokens GPT looks back over, at least 1, but {context} came.")
        self.context, self.heads, self.features = context, heads, width // heads
        self.tokens = nn.Embedding(vocab, width)
        self.drop = nn.Dropout(drop)
        self.blocks = nn.ModuleList(Block(width, heads, drop) for _ in range(depth))
        self.head = nn.Linear(width, vocab, bias=False)
        nn.init.zeros_(self.head.weight)
        # Rows of a table move only where their token stands, and begin at length sqrt(width): they need longer steps
        # than the matrices that all tokens share. For Muon and AdamW alike, whose updates have the same size.
        self.tokens.weight.lr_scale = 48.0  # type: ignore[attr-defined]
        self.head.weight.lr_scale = 2.0  # type: ignore[attr-defined]

    def forward(self, text: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        turn = turns(torch.arange(text.shape[1], device=text.device), self.features)
        x = self.drop(norm(self.tokens(text)))
        for block in self.blocks:
            x = block(x, turn)
        return self.head(norm(x))

    def start(self, batch: int) -> State:
        """Empty caches, one a block."""
        like = self.tokens.weight
        return [Cache.empty(like, batch, self.heads, self.context, self.features) for _ in self.blocks]

    def step(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch vocab"], State]:
        """Scores of what follows one more token."""
        turn = turns(torch.tensor([state[0].places], device=token.device), self.features)
        x = norm(self.tokens(token))[:, None]
        for block, cache in zip(self.blocks, state, strict=True):
            x = block.step(x, turn, cache)  # type: ignore[operator]
        return self.head(norm(x))[:, 0], state

    def read(self, text: Int[Tensor, "batch time"], state: State) -> tuple[Float[Tensor, "batch vocab"], State]:
        """Scores of what follows a prompt: its last `context` tokens at once, or one by one after what was read."""
        if state[0].places:
            for token in text.unbind(1):
                scores, state = self.step(token, state)
            return scores, state
        text = text[:, -self.context :]
        turn = turns(torch.arange(text.shape[1], device=text.device), self.features)
        x = norm(self.tokens(text))
        for block, cache in zip(self.blocks, state, strict=True):
            x = block(x, turn, cache)
        return self.head(norm(x[:, -1])), state
