"""Self-attention over several heads, and the static cache that lets a decoder read one token at a time.

    q, k, v = x Wq, x Wk, x Wv;   head = softmax(q k' / sqrt(features of a head)) v;   y = (heads side by side) Wo

Paper: Vaswani et al., "Attention Is All You Need" (2017), arXiv:1706.03762, section 3.2. The products are mostly
those of torch's `scaled_dot_product_attention`, which never holds the (time, time) weights; `attend` says where not.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lamina.core.errors import ShapeError

__all__ = ["Cache", "SelfAttention", "attend", "check_heads"]

SHORT = 512  # places up to which `attend` writes the products out on a CPU in bfloat16


def attend(
    q: Float[Tensor, "batch heads time features"],
    k: Float[Tensor, "batch heads other features"],
    v: Float[Tensor, "batch heads other features"],
    *,
    causal: bool = False,
) -> Float[Tensor, "batch heads time features"]:
    """softmax(q k' / sqrt(features)) v, each place over all, or causally over itself and those before it."""
    # torch's kernel for CPUs computes in fp32 whatever it is given: over 256 places the plain products in bfloat16
    # take 0.37 of its time, backward included (one core of a Zen 5).
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or max(q.shape[2], k.shape[2]) > SHORT:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if causal:
        time, other = scores.shape[-2:]
        scores = scores + torch.full((time, other), -torch.inf, dtype=q.dtype).triu(1)
    return scores.softmax(-1) @ v


def check_heads(what: str, width: int, heads: int) -> None:
    """Raises ShapeError where width does not split into heads."""
    if heads < 1 or width < 1 or width % heads:
        takes = [h for h in range(1, max(width, 0) + 1) if width % h == 0][:12]
        raise ShapeError(
            f"{what} splits width among heads, but {width} features do not split into {heads} heads. "
            + (f"Take one of {takes} heads." if takes else "Give width at least 1.")
        )


class Cache:
    """Keys and values of the latest `capacity` places, in memory that is taken once.

    It is a ring: place p stands in slot p mod capacity, so that when it is full the oldest place is forgotten.
    Attention does not care about the order of keys, and whoever turns keys by their place (rotary) loses nothing.
    `keys` and `values` have the batch first; `places`, a plain number, counts what was ever added.
    """

    def __init__(self, keys: Tensor, values: Tensor, places: int = 0):
        self.keys, self.values, self.places = keys, values, places

    @classmethod
    def empty(cls, like: Tensor, batch: int, heads: int, capacity: int, features: int) -> "Cache":
        shape = (batch, heads, capacity, features)
        return cls(like.new_zeros(shape), like.new_zeros(shape))

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add (batch, heads, 1, features) of the next place; all that is remembered comes back, itself among it."""
        slot = self.places % self.keys.shape[2]
        self.keys[:, :, slot], self.values[:, :, slot] = key[:, :, 0], value[:, :, 0]
        self.places += 1
        full = min(self.places, self.keys.shape[2])
        return self.keys[:, :, :full], self.values[:, :, :full]

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Take (batch, heads, time, features) at once into an empty cache: a prompt no longer than the capacity."""
        time = keys.shape[2]
        self.keys[:, :, :time], self.values[:, :, :time] = keys, values
        self.places = time

    def select(self, rows: Tensor) -> "Cache":
        """The cache of these samples of the batch, copied."""
        return Cache(self.keys[rows], self.values[rows], self.places)


class SelfAttention(nn.Module):
    """Multi-head self-attention.

    Args:
        width: features in and out, a multiple of `heads`.
        heads: each attends by width / heads features of its own.
        causal: a place sees itself and those before it only.
        bias: of the four linear maps.
        drop: share of the attention weights that training sets to zero.

    Shapes: (batch, time, width) -> (batch, time, width). mask: (batch, time), True where a place may be looked at;
    a place with nothing to look at gives the output's bias.
    Raises: ShapeError if width does not split into heads.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False, bias: bool = True, drop: float = 0.0):
        super().__init__()
        check_heads("SelfAttention", width, heads)
        self.heads, self.causal, self.drop = heads, causal, drop
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self, x: Float[Tensor, "batch time width"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch time width"]:
        q, k, v = self.split(x)
        drop = self.drop if self.training else 0.0
        if mask is None and not drop:
            return self.join(attend(q, k, v, causal=self.causal))
        allowed = None
        if mask is not None:
            allowed = mask[:, None, None, :]
            if self.causal:
                time = x.shape[1]
                allowed = allowed & torch.ones(time, time, dtype=torch.bool, device=x.device).tril()
        causal = self.causal and mask is None
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=drop, is_causal=causal))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, heads, time, features) each."""
        batch, time, width = x.shape
        q, k, v = self.qkv(x).view(batch, time, 3 * self.heads, width // self.heads).transpose(1, 2).chunk(3, dim=1)
        return q, k, v

    def join(self, y: Tensor) -> Tensor:
        """(batch, heads, time, features) back to (batch, time, width), through the last linear map."""
        return self.out(y.transpose(1, 2).flatten(2))

    def step(self, x: Float[Tensor, "batch 1 width"], cache: Cache) -> Float[Tensor, "batch 1 width"]:
        """One more place of a causal attention: it looks at all that the cache holds."""
        q, k, v = self.split(x)
        keys, values = cache.add(k, v)
        return self.join(attend(q, keys.to(q.dtype), values.to(v.dtype)))
