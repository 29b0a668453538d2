"""How well text is predicted: bits per byte and perplexity, from sums of nats over whole documents."""

import math
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.metrics.arrays import as_array, check_rows
from lamina.metrics.interval import Resampling, spread
from lamina.metrics.value import Value

__all__ = ["BETTER", "language"]

BETTER = {"bits_per_byte": "min", "perplexity": "min", "nats_per_token": "min"}


def language(
    nats: Any,
    tokens: Any,
    bytes: Any,
    weights: Any = None,
    *,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, Value]:
    """From each document's summed cross-entropy in nats, its predicted tokens and its UTF-8 bytes, (documents,) each.

    bits_per_byte = sum nats / (ln 2 · sum bytes): it does not depend on the tokenizer, so it compares models.
    perplexity = exp(sum nats / sum tokens), per token. The documents are what is drawn again for the interval: text
    within one hangs together. A single document gives no interval.
    """
    n = as_array(nats).astype(np.float64).reshape(-1)
    t, b = (as_array(a).astype(np.float64).reshape(-1) for a in (tokens, bytes))
    check_rows("documents", n)
    check_rows("token counts", t, len(n))
    check_rows("byte counts", b, len(n))
    if t.sum() <= 0 or b.sum() <= 0 or min(t.min(), b.min()) < 0:
        raise DataError(
            f"{len(n)} documents hold {t.sum():g} predicted tokens and {b.sum():g} bytes, which leaves nothing to "
            f"measure. Give documents of at least two tokens."
        )
    draws = Resampling(len(n), weights, samples=samples, seed=seed)
    nat, token, byte = draws.sums(np.stack([n, t, b], axis=1)).T
    figures = {
        "bits_per_byte": spread(nat / byte / math.log(2), (0, math.inf)),
        "nats_per_token": spread(nat / token, (0, math.inf)),
        "perplexity": spread(np.exp(np.minimum(nat / token, 700)), (1, math.inf)),
    }
    if len(n) < 2:
        figures = {name: (value, math.nan, math.nan) for name, (value, _, _) in figures.items()}
    units = {
        "bits_per_byte": "bits/byte",
        "nats_per_token": "nats/token",
        "perplexity": "",
    }
    return {name: Value(*figure, count=len(n), unit=units[name]) for name, figure in figures.items()}
