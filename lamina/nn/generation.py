"""Decoding: from a network that scores the next token to sequences of tokens.

The protocol of whatever decodes one token at a time (a Transformer with a cache, a recurrent network):

    start(batch) -> state                        nothing read yet; the state's tensors have the batch first
    step(token, state) -> (scores, state)        token (batch,) int64; scores (batch, vocab) of the one that follows.
                                                 The state handed in is used up.
    read(tokens, state) -> (scores, state)       optional: several tokens at once, (batch, time), scores of what follows

Everything here is a function over it, and the same given the same `torch.Generator`. Shorter sequences end in `stop`.
Papers: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), arXiv:1904.09751 (nucleus, top_p);
Fan et al. (2018), arXiv:1805.04833 (top_k); Wu et al. (2016), arXiv:1609.08144, equation 14 (length penalty).
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lamina.core.errors import SettingError, ShapeError

__all__ = ["Decoder", "beam", "greedy", "probabilities", "sample", "select"]


@runtime_checkable
class Decoder(Protocol):
    """What can be decoded from."""

    def start(self, batch: int) -> Any: ...
    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]: ...


def select(state: Any, rows: Tensor) -> Any:
    """The state of these samples of the batch: tensors by their first axis, whatever they are nested in."""
    if isinstance(state, Tensor):
        return state[rows]
    if isinstance(state, dict):
        return {key: select(value, rows) for key, value in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):  # a named tuple
        return type(state)(*(select(value, rows) for value in state))
    if isinstance(state, list | tuple):
        return type(state)(select(value, rows) for value in state)
    return state.select(rows) if hasattr(state, "select") else state


def probabilities(
    scores: Float[Tensor, "batch vocab"], *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Float[Tensor, "batch vocab"]:
    """softmax(scores / temperature), cut to what may be drawn, and scaled up to one again.

    temperature: 0 puts all on the best token; below 1 is bolder about the likely ones, above 1 more even.
    top_k: only the k best may be drawn, 0 for all. top_p: only the fewest that together have this probability; the best
    always may. Both: first k, then p of what is left.
    Raises: SettingError for values outside these ranges.
    """
    if not temperature >= 0 or temperature == float("inf"):
        raise SettingError(f"temperature is a number of at least 0 (0: always the best token), but {temperature} came.")
    if top_k < 0 or top_k != int(top_k):
        raise SettingError(f"top_k is how many tokens may be drawn, 0 for all, but {top_k} came.")
    if not 0 < top_p <= 1:
        raise SettingError(f"top_p is a probability above 0 and at most 1, but {top_p} came. Take 0.9, say; 1 for all.")
    if temperature == 0:
        return torch.zeros_like(scores, dtype=torch.float32).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
    scores = scores.float() / temperature
    if 0 < top_k < scores.shape[1]:
        kept = scores.topk(top_k, dim=1).indices
        scores = torch.full_like(scores, -torch.inf).scatter_(1, kept, scores.gather(1, kept))
    p = scores.softmax(1)
    if top_p < 1:
        best, order = p.sort(dim=1, descending=True, stable=True)
        before = best.double().cumsum(1) - best  # of all better ones; a token stays while these fall short of top_p
        p = torch.zeros_like(p).scatter_(1, order, best.masked_fill(before >= top_p, 0.0))
        p = p / p.sum(1, keepdim=True)
    return p


@torch.no_grad()
def sample(
    model: Decoder,
    prompt: Int[Tensor, "batch time"],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    stop: int | None = None,
    state: Any = None,
) -> Int[Tensor, "batch length"]:
    """Draw what follows the prompt, token by token; the prompt itself is not repeated.

    prompt: at least one token (a text's first is drawn after the separator). length: at most so many new tokens; it
    ends earlier where all samples have come to `stop`, and those that came there before the others repeat it.
    generator: on the CPU, wherever the network is. state: to go on from, e.g. of a decoder that has read a source text.
    """
    _check(prompt, length)
    scores, state = _read(model, prompt, state)
    tokens: list[Tensor] = []
    ended = torch.zeros(len(prompt), dtype=torch.bool)
    for i in range(length):
        p = probabilities(scores, temperature=temperature, top_k=top_k, top_p=top_p)
        if temperature == 0:
            token = p.argmax(1).cpu()
        else:
            token = torch.multinomial(p.cpu(), 1, generator=generator)[:, 0]
        if stop is not None:
            token[ended] = stop
            ended |= token == stop
        tokens.append(token)
        if ended.all() or i == length - 1:
            break
        scores, state = model.step(token.to(prompt.device), state)
    return torch.stack(tokens, dim=1).to(prompt.device)


def greedy(
    model: Decoder, prompt: Int[Tensor, "batch time"], length: int, *, stop: int | None = None, state: Any = None
) -> Int[Tensor, "batch length"]:
    """Always the best next token: quick, repeatable, and not always the best sequence (`beam`)."""
    return sample(model, prompt, length, temperature=0.0, stop=stop, state=state)


@torch.no_grad()
def beam(
    model: Decoder,
    prompt: Int[Tensor, "batch time"],
    length: int,
    *,
    beams: int = 4,
    penalty: float = 0.0,
    stop: int | None = None,
    state: Any = None,
) -> tuple[Int[Tensor, "batch length"], Float[Tensor, " batch"]]:
    """The likeliest continuation that a search over `beams` sequences finds, and its score.

    score = log p(sequence) / ((5 + tokens) / 6)^penalty, `stop` counted as a token; a penalty of 0 gives plain log p,
    0.6 to 1 makes up for longer sequences' smaller probability. One beam is `greedy`; with as many beams as there are
    sequences it is exact.
    Raises: SettingError for fewer than one beam.
    """
    _check(prompt, length)
    if beams < 1:
        raise SettingError(f"beam keeps beams sequences, but beams is {beams}. Take 1 or more; 4 is usual.")
    batch, device = len(prompt), prompt.device
    scores, state = _read(model, prompt, state)
    vocab = scores.shape[1]
    state = select(state, torch.arange(batch, device=device).repeat_interleave(beams))
    # Only the first beam of each sample is real until the first step has made them differ.
    total = torch.full((batch, beams), -torch.inf, device=device)
    total[:, 0] = 0.0
    logp = scores.float().log_softmax(1)[:, None].expand(batch, beams, vocab)
    ended = torch.zeros(batch, beams, dtype=torch.bool, device=device)
    tokens = torch.zeros(batch, beams, 0, dtype=torch.long, device=device)
    counts = torch.zeros(batch, beams, device=device)
    for i in range(length):
        grown, longer = total[..., None] + logp, counts + 1
        if stop is not None:  # an ended beam goes on in one way only, for nothing
            grown = grown.masked_fill(ended[..., None], -torch.inf)
            grown[..., stop] = torch.where(ended, total, grown[..., stop])
            longer = torch.where(ended, counts, longer)
        ranked = grown / ((5 + longer[..., None]) / 6) ** penalty
        best = ranked.flatten(1).topk(min(beams, beams * vocab), dim=1).indices
        origin, token = best // vocab, best % vocab
        total = grown.flatten(1).gather(1, best)
        counts = longer.gather(1, origin)
        tokens = torch.cat([tokens.gather(1, origin[..., None].expand(-1, -1, i)), token[..., None]], dim=2)
        if stop is not None:
            ended = ended.gather(1, origin) | (token == stop)
        if ended.all() or i == length - 1:
            break
        rows = (origin + beams * torch.arange(batch, device=device)[:, None]).flatten()
        scores, state = model.step(token.flatten(), select(state, rows))
        logp = scores.float().log_softmax(1).view(batch, beams, vocab)
    score, first = (total / ((5 + counts) / 6) ** penalty).max(dim=1)
    return tokens[torch.arange(batch, device=device), first], score


def _check(prompt: Tensor, length: int) -> None:
    if prompt.ndim != 2 or prompt.shape[1] < 1:
        raise ShapeError(
            f"Decoding goes on from a prompt of shape (batch, time) with one token or more, but {tuple(prompt.shape)} "
            f"came. Begin a text with the token that separates texts."
        )
    if length < 1:
        raise SettingError(f"length is how many tokens may be made, at least 1, but {length} came.")


def _read(model: Decoder, prompt: Tensor, state: Any) -> tuple[Tensor, Any]:
    state = model.start(len(prompt)) if state is None else state
    if hasattr(model, "read"):
        return model.read(prompt, state)
    for token in prompt.unbind(1):
        scores, state = model.step(token, state)
    return scores, state
