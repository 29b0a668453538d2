import math

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.metrics.language import language


def test_agrees_with_the_definition_and_weighs_documents_by_their_length():
    figures = language([10.0, 300.0], [4, 90], [20, 400])
    assert figures["bits_per_byte"].value == pytest.approx(310 / 420 / math.log(2))
    assert figures["nats_per_token"].value == pytest.approx(310 / 94)
    assert figures["perplexity"].value == pytest.approx(math.exp(310 / 94))
    assert figures["bits_per_byte"].unit == "bits/byte"
    assert figures["bits_per_byte"].count == 2


def test_a_uniform_guess_over_bytes_costs_eight_bits():
    lengths = np.array([5, 70, 900])
    figures = language(lengths * math.log(256), lengths, lengths)
    assert figures["bits_per_byte"].value == pytest.approx(8)
    assert figures["perplexity"].value == pytest.approx(256)


def test_the_interval_is_over_documents():
    """Documents differ in difficulty: covers the true ratio 95 times in 100."""
    rng, hits = np.random.default_rng(0), 0
    for trial in range(200):
        tokens = rng.integers(20, 200, 80)
        nats = tokens * rng.normal(2.0, 0.5, 80)
        value = language(nats, tokens, 4 * tokens, samples=200, seed=trial)["nats_per_token"]
        hits += value.low <= 2.0 <= value.high
    assert 0.89 <= hits / 200 <= 0.99


def test_a_single_document_has_a_figure_and_no_interval():
    value = language([10.0], [4], [20])["perplexity"]
    assert value.value == pytest.approx(math.exp(2.5))
    assert value.as_dict()["low"] is None


def test_documents_without_tokens_are_refused_in_words():
    with pytest.raises(DataError, match=r"2 documents hold 0 predicted tokens and 3 bytes.*at least two tokens"):
        language([0.0, 0.0], [0, 0], [1, 2])
