"""Bags of words, and the sparse product beneath them."""

import copy

import pytest
import torch

from lamina.nn.bag import Bag
from lamina.nn.sparse import Pattern, product, remember

WORDS, OFFSETS = torch.tensor([3, 1, 3, 0, 5, 2]), torch.tensor([0, 2, 2, 5])  # the second text is empty
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, -1.0, 0.25, 3.0])


def naive(table, weights):
    """One text after the other, one word after the other."""
    ends = [*OFFSETS[1:].tolist(), len(WORDS)]
    texts = [range(start, end) for start, end in zip(OFFSETS.tolist(), ends, strict=True)]
    return torch.stack([sum((weights[k] * table[WORDS[k]] for k in text), torch.zeros(4)) for text in texts])


@pytest.mark.parametrize("weights", [WEIGHTS, None])
def test_agrees_with_the_definition_the_first_time_and_from_the_kept_matrix(weights):
    """Once through torch's embedding bag, then through the sparse product; values and gradients."""
    bag = Bag(vocab=6, width=4)
    expected = naive(bag.table, torch.ones(6) if weights is None else weights)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), bag.table)
    for _ in range(3):
        out = bag(WORDS, OFFSETS, weights)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(torch.autograd.grad(out.square().sum(), bag.table)[0], expected_gradient)


def test_words_that_were_written_over_are_looked_at_again():
    bag, words = Bag(vocab=6, width=4), WORDS.clone()
    for _ in range(2):
        bag(words, OFFSETS, WEIGHTS)
    words[0] = 4
    torch.testing.assert_close(bag(words, OFFSETS, WEIGHTS)[0], 0.5 * bag.table[4] + 2 * bag.table[1])


def test_words_are_left_out_in_training_and_their_mean_stays():
    torch.manual_seed(0)
    bag = Bag(vocab=1, width=2, drop=0.25)
    words, offsets = torch.zeros(40_000, dtype=torch.int64), torch.arange(0, 40_000, 4)
    with torch.no_grad():
        made = bag(words, offsets) / bag.table
    counts = made[:, 0] * 0.75
    assert set(counts.round().int().tolist()) == {0, 1, 2, 3, 4}
    assert made.mean().item() == pytest.approx(4, abs=0.05)  # five standard errors of 10,000 texts
    torch.testing.assert_close(bag.eval()(words, offsets), 4 * bag.table.expand(10_000, 2))


def test_a_bag_that_has_kept_something_can_be_copied_and_does_not_hold_the_words():
    bag, words = Bag(vocab=6, width=4), WORDS.clone()
    for _ in range(3):
        out = bag(words, OFFSETS)
    assert bag._seen
    torch.testing.assert_close(copy.deepcopy(bag)(words, OFFSETS), out)
    del words, out
    assert not bag._seen


def test_the_sparse_product_has_the_gradients_of_the_dense_one():
    """Against finite differences, for the values and for the dense side; one row and one column are empty."""
    starts, columns = torch.tensor([0, 2, 2, 5]), torch.tensor([3, 0, 1, 3, 0])
    pattern = Pattern(starts, columns, width=5)
    values = torch.randn(5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    dense = torch.zeros(3, 5, dtype=torch.float64).index_put((pattern.rows, columns), values)
    torch.testing.assert_close(product(pattern, values, x), dense @ x)
    assert torch.autograd.gradcheck(lambda v, y: product(pattern, v, y), (values, x))


def test_the_sparse_product_is_the_same_where_torch_has_no_fast_one(monkeypatch):
    pattern = Pattern(torch.tensor([0, 2, 2, 5]), torch.tensor([3, 0, 1, 3, 0]), width=5)
    values, x = torch.randn(5), torch.randn(5, 3)
    fast = product(pattern, values, x)
    monkeypatch.setattr("lamina.nn.sparse._native", lambda x: False)
    torch.testing.assert_close(product(pattern, values, x), fast)


def test_what_is_remembered_is_made_once_and_forgotten_with_its_tensor():
    kept, made, key = {}, [], torch.zeros(2)
    for _ in range(3):
        remember(kept, (key,), "a", lambda: made.append(1) or len(made))
    assert len(made) == 1
    key.add_(1)
    assert remember(kept, (key,), "a", lambda: "anew") == "anew"
    del key
    assert not kept


def test_a_scale_multiplies_the_sum():
    words, offsets = torch.tensor([1, 2, 3]), torch.tensor([0, 2])
    plain, scaled = Bag(5, 4), Bag(5, 4, scale=3.0)
    scaled.load_state_dict(plain.state_dict())
    torch.testing.assert_close(scaled(words, offsets), 3 * plain(words, offsets))
