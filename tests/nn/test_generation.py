"""Decoding over a network small enough to list all its sequences, and over one that counts what it is asked."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch

from lamina.core.errors import SettingError, ShapeError
from lamina.nn.generation import Decoder, beam, greedy, probabilities, sample, select

VOCAB, STOP = 4, 3


class Chain:
    """Scores of the next token follow from the last two: nothing that a search by single steps could see through."""

    def __init__(self, seed=0):
        rng = torch.Generator().manual_seed(seed)
        self.table = 2 * torch.randn(VOCAB, VOCAB, VOCAB, generator=rng, dtype=torch.float64)

    def start(self, batch):
        return {"last": torch.zeros(batch, dtype=torch.long), "read": 0}

    def step(self, token, state):
        return self.table[state["last"], token], {"last": token, "read": state["read"] + 1}

    def logp(self, prompt, tokens):
        """Of one sequence, written out; behind STOP nothing counts."""
        total, before = 0.0, [0, *prompt]
        for token in tokens:
            total += self.table[before[-2], before[-1]].log_softmax(0)[token].item()
            before.append(token)
            if token == STOP:
                break
        return total


def every_text(length, stop):
    """All texts of up to `length` tokens, those that end early filled up with STOP."""
    for text in itertools.product(range(VOCAB), repeat=length):
        if not stop or STOP not in text or all(t == STOP for t in text[text.index(STOP) :]):
            yield text


@pytest.mark.parametrize("stop", [None, STOP])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_as_wide_as_there_are_texts_finds_the_best_of_all(seed, stop):
    chain, prompts = Chain(seed), [(1, 2), (0, 1), (2, 2)]
    found, score = beam(chain, torch.tensor(prompts), 4, beams=VOCAB**3, stop=stop)
    for prompt, text, value in zip(prompts, found.tolist(), score.tolist(), strict=True):
        best = max(chain.logp(prompt, t) if stop else full(chain, prompt, t) for t in every_text(4, stop is not None))
        assert value == pytest.approx(best, abs=1e-5)  # scores are summed in fp32
        reached = chain.logp(prompt, text) if stop else full(chain, prompt, text)
        assert reached == pytest.approx(best, abs=1e-5)


def full(chain, prompt, tokens):
    """log p where STOP is a token like any other."""
    before, total = [0, *prompt], 0.0
    for token in tokens:
        total += chain.table[before[-2], before[-1]].log_softmax(0)[token].item()
        before.append(token)
    return total


def test_some_beam_is_better_than_greedy_and_one_beam_is_greedy():
    prompt, better = torch.tensor([[1]]), 0
    for seed in range(10):
        chain = Chain(seed)
        alone, one = beam(chain, prompt, 5, beams=1)
        assert torch.equal(alone, greedy(chain, prompt, 5))
        _, four = beam(chain, prompt, 5, beams=4)
        better += bool(four > one + 1e-6)
    assert better >= 3


def test_the_length_penalty_is_the_published_one_and_favours_longer_texts():
    chain, prompt = Chain(2), (1, 2)
    lengths = []
    for penalty in (0.0, 3.0):
        found, score = beam(chain, torch.tensor([prompt]), 4, beams=VOCAB**3, penalty=penalty, stop=STOP)
        text = found[0].tolist()
        tokens = text.index(STOP) + 1 if STOP in text else len(text)
        assert score.item() == pytest.approx(chain.logp(prompt, text) / ((5 + tokens) / 6) ** penalty, abs=1e-5)
        lengths.append(tokens)
    assert lengths[0] <= lengths[1]


def test_drawing_is_the_same_again_from_the_same_generator_and_different_from_another():
    def draw(seed):
        return sample(Chain(), torch.tensor([[1], [2]]), 30, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_draws_as_often_as_the_probabilities_say():
    chain = Chain()
    prompt = torch.tensor([[0, 1]]).expand(4000, 2)
    drawn = sample(chain, prompt, 1, temperature=0.7, generator=torch.Generator().manual_seed(3))
    share = torch.bincount(drawn[:, 0], minlength=VOCAB) / 4000
    wanted = (chain.table[0, 1] / 0.7).softmax(0).float()
    assert (share - wanted).abs().max() < 4 * math.sqrt(0.25 / 4000)  # four standard deviations


def test_temperature_zero_always_takes_the_best():
    chain = Chain()
    drawn = greedy(chain, torch.tensor([[0, 2]]), 5)[0].tolist()
    before = [0, 2]
    for token in drawn:
        assert token == chain.table[before[-2], before[-1]].argmax()
        before.append(token)


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.99])
def test_top_p_keeps_the_fewest_tokens_that_have_the_mass(top_p):
    scores = 3 * torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    kept = probabilities(scores, top_p=top_p) > 0
    p = scores.softmax(1)
    for row, keep in zip(p, kept, strict=True):
        mass = row[keep].sum().item()
        assert mass >= top_p - 1e-5
        assert mass - row[keep].min().item() < top_p  # without the least of them it would not be enough
        assert row[keep].min() >= row[~keep].max()
    torch.testing.assert_close(probabilities(scores, top_p=top_p), (p * kept) / (p * kept).sum(1, keepdim=True))


def test_top_k_keeps_the_k_best_and_both_cuts_go_one_after_the_other():
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0]])
    assert (probabilities(scores, top_k=2) > 0).tolist() == [[True, False, True, False]]
    # of the two best, 4 has 0.73 of what is left
    assert (probabilities(scores, top_k=2, top_p=0.7) > 0).tolist() == [[True, False, False, False]]
    torch.testing.assert_close(probabilities(scores, top_k=9), scores.softmax(1))


def test_texts_that_have_ended_repeat_the_stop_and_all_ended_end_early():
    chain = Chain()
    drawn = sample(chain, torch.tensor([[1]] * 50), 40, generator=torch.Generator().manual_seed(0), stop=STOP)
    assert drawn.shape[1] < 40
    for text in drawn.tolist():
        assert all(t == STOP for t in text[text.index(STOP) :])


def test_goes_on_from_a_state_that_is_given():
    chain = Chain()
    _, state = chain.step(torch.tensor([2]), chain.start(1))
    gone_on = greedy(chain, torch.tensor([[1]]), 3, state=state)
    assert torch.equal(gone_on, greedy(chain, torch.tensor([[2, 1]]), 3))


def test_chooses_samples_of_a_state_whatever_it_is_nested_in():
    class Pair(NamedTuple):
        hidden: torch.Tensor
        places: int

    state = [{"a": torch.arange(3)}, (Pair(torch.arange(6).view(3, 2), 7), None)]
    chosen = select(state, torch.tensor([2, 2, 0]))
    assert chosen[0]["a"].tolist() == [2, 2, 0]
    assert chosen[1][0].hidden.tolist() == [[4, 5], [4, 5], [0, 1]] and chosen[1][0].places == 7
    assert isinstance(Chain(), Decoder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(temperature=-1.0), r"temperature is a number of at least 0 .* but -1\.0 came"),
        (dict(top_p=0.0), r"top_p is a probability above 0 and at most 1, but 0\.0 came"),
        (dict(top_k=-2), r"top_k is how many tokens may be drawn, 0 for all, but -2 came"),
        (dict(length=0), r"length is how many tokens may be made, at least 1, but 0 came"),
    ],
)
def test_refuses_settings_outside_their_range(options, words):
    options = {"length": 3, **options}
    with pytest.raises(SettingError, match=words):
        sample(Chain(), torch.tensor([[1]]), options.pop("length"), **options)


def test_refuses_an_empty_prompt_and_no_beams():
    with pytest.raises(ShapeError, match=r"one token or more, but \(2, 0\) came.*token that separates texts"):
        greedy(Chain(), torch.zeros(2, 0, dtype=torch.long), 3)
    with pytest.raises(SettingError, match=r"beams is 0\. Take 1 or more"):
        beam(Chain(), torch.tensor([[1]]), 3, beams=0)
