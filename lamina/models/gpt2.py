"""GPT-2: the Transformer decoder as published, with learned positions, layer norms, GELU and biases.

Paper: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019). Norms stand before each branch,
the branches' last weights begin smaller by sqrt(2 depth), the head is the table of tokens. Dropout at the usual places.

Checkpoints: transformers' `GPT2LMHeadModel` and `GPT2Model`, both ways (`LAYOUTS`). They keep the maps of a block as
(in, out), where torch has (out, in).
"""

import math
import re
from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.models._layouts import Layout
from lamina.nn.attention import Cache, SelfAttention

__all__ = ["GPT2"]

VARIANTS = {
    "": dict(),
    "medium": dict(width=1024, depth=24, heads=16),
    "large": dict(width=1280, depth=36, heads=20),
    "xl": dict(width=1600, depth=48, heads=25),
    "tiny": dict(vocab=64, context=16, width=16, depth=2, heads=2, drop=0.0),
}

State = list[Cache]  # one a block


class MLP(nn.Module):
    """Two linear maps, four times as wide inside, with the tanh form of GELU between."""

    def __init__(self, width: int):
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, drop: float):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads, causal=True, drop=drop)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        x = x + self.attention.step(self.norm1(x), cache)
        return x + self.mlp(self.norm2(x))


class GPT2(nn.Module):
    """GPT-2.

    Args:
        vocab: tokens it knows, and scores it gives.
        context: places it has learned; no text may be longer.
        width: features of a token; a multiple of `heads`.
        depth: blocks, each with `heads` attention heads.
        drop: share set to zero in training, of features and of attention weights.

    Shapes: (batch, time) -> (batch, time, vocab); the scores at a place are of the token that follows it.
    Decoding (`lamina.nn.generation`): `start` and `step`, up to `context` tokens, the prompt's counted.
    Raises: ShapeError if width does not split into heads; in `step`, SettingError behind the last place.
    """

    def __init__(
        self,
        *,
        vocab: int = 50257,
        context: int = 1024,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        drop: float = 0.1,
    ):
        super().__init__()
        self.context, self.heads = context, heads
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.drop = nn.Dropout(drop)
        self.blocks = nn.ModuleList(Block(width, heads, drop) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.tokens.weight
        for name, p in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * depth))
            elif p.ndim == 2:
                nn.init.normal_(p, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, text: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        x = self.drop(self.tokens(text) + self.positions.weight[: text.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def start(self, batch: int) -> State:
        """Empty caches, one a block."""
        like = self.tokens.weight
        features = like.shape[1] // self.heads
        return [Cache.empty(like, batch, self.heads, self.context, features) for _ in self.blocks]

    def step(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch vocab"], State]:
        """Scores of what follows one more token."""
        place = state[0].places
        if place >= self.context:
            raise SettingError(
                f"GPT-2 has learned {self.context} places, and the text is that long already. Ask for fewer tokens, "
                f"or give it the end of the text only; gpt has no such end."
            )
        x = (self.tokens(token) + self.positions.weight[place])[:, None]
        for block, cache in zip(self.blocks, state, strict=True):
            x = block.step(x, cache)  # type: ignore[operator]
        return self.head(self.norm(x))[:, 0], state


def _turned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their maps (in, out) as torch's (out, in), or back."""
    maps = re.compile(r"\.c_(attn|proj|fc)\.weight$")
    return {name: p.T.contiguous() if maps.search(name) else p for name, p in state.items()}


LAYOUTS = {
    "transformers": Layout(
        of="transformers' GPT2LMHeadModel",
        marks=r"transformer\.(wte|wpe|ln_f|h\.\d+)\.|lm_head\.",
        names=[
            (r"tokens\.", "transformer.wte."),
            (r"positions\.", "transformer.wpe."),
            (r"norm\.", "transformer.ln_f."),
            (r"head\.", "lm_head."),
            (r"blocks\.(\d+)\.norm(\d)\.", r"transformer.h.\1.ln_\2."),
            (r"blocks\.(\d+)\.attention\.qkv\.", r"transformer.h.\1.attn.c_attn."),
            (r"blocks\.(\d+)\.attention\.out\.", r"transformer.h.\1.attn.c_proj."),
            (r"blocks\.(\d+)\.mlp\.up\.", r"transformer.h.\1.mlp.c_fc."),
            (r"blocks\.(\d+)\.mlp\.down\.", r"transformer.h.\1.mlp.c_proj."),
        ],
        prefix="transformer.",  # GPT2Model writes none
        shared={"head.weight": "tokens.weight"},
        ignored=r"\.attn\.(masked_)?bias$",  # the mask, in files of old
        enter=_turned,
        leave=_turned,
    )
}
