"""Attention against softmax(q k' / sqrt(d)) v written out, its symmetry, and the cache."""

import pytest
import torch

from lamina.core.errors import ShapeError
from lamina.nn.attention import SHORT, Cache, SelfAttention, attend
from lamina.nn.rotary import rotate, turns


def written_out(block, x, allowed):
    """One sample, one head, one place at a time."""
    q, k, v = block.qkv(x).chunk(3, dim=-1)
    size = x.shape[-1] // block.heads
    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for head in range(block.heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(x.shape[1]):
                seen = [s for s in range(x.shape[1]) if allowed(b, t, s)]
                weights = torch.stack([q[b, t, part] @ k[b, s, part] / size**0.5 for s in seen]).softmax(0)
                y[b, t, part] = sum(w * v[b, s, part] for w, s in zip(weights, seen, strict=True))
    return block.out(y)


@pytest.mark.covers("layer/self-attention", "layer/multi-head-attention")
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_agrees_with_the_definition(heads, causal):
    block = SelfAttention(12, heads, causal=causal).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(block(x), written_out(block, x, lambda b, t, s: s <= t or not causal))


@pytest.mark.parametrize("causal", [False, True])
def test_looks_only_where_the_mask_allows(causal):
    block = SelfAttention(8, 2, causal=causal).double()
    x = torch.randn(2, 4, 8, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True], [True, False, True, True]])
    wanted = written_out(block, x, lambda b, t, s: bool(mask[b, s]) and (s <= t or not causal))
    torch.testing.assert_close(block(x, mask), wanted)


@pytest.mark.parametrize("time", [40, SHORT + 8])
@pytest.mark.parametrize("causal", [False, True])
def test_agrees_with_itself_in_bfloat16_forward_and_backward(time, causal):
    """Both ways that `attend` goes, against float64; bfloat16 keeps 8 bits, so scores of about 1 are good to 1/256."""
    x = torch.randn(3, 1, 2, time, 8, generator=torch.Generator().manual_seed(2))
    given, exact = x.bfloat16().requires_grad_(), x.bfloat16().double().requires_grad_()
    y, wanted = attend(*given, causal=causal), attend(*exact, causal=causal)
    assert y.dtype == torch.bfloat16
    assert (y - wanted).abs().max() < 0.03
    way = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(3))
    y.backward(way.bfloat16())
    wanted.backward(way.double())
    assert (given.grad - exact.grad).norm() < 0.02 * exact.grad.norm()


def test_causal_attention_does_not_see_what_comes():
    block, x = SelfAttention(8, 2, causal=True), torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] = 9.0
    torch.testing.assert_close(block(changed)[:, :4], block(x)[:, :4])
    assert not torch.allclose(block(changed)[:, 4:], block(x)[:, 4:])


@pytest.mark.covers("claim/w12")
def test_without_positions_the_order_of_places_does_not_count_and_with_rotary_ones_it_does():
    block, x = SelfAttention(8, 2).double(), torch.randn(1, 7, 8, dtype=torch.float64)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])

    def turned(x):
        q, k, v = block.split(x)
        turn = turns(torch.arange(7), 4)
        return block.join(torch.nn.functional.scaled_dot_product_attention(rotate(q, *turn), rotate(k, *turn), v))

    assert not torch.allclose(turned(x[:, order]), turned(x)[:, order], atol=1e-3)


def test_one_place_at_a_time_gives_what_all_at_once_give():
    block, x = SelfAttention(12, 3, causal=True).double(), torch.randn(2, 6, 12, dtype=torch.float64)
    cache = Cache.empty(x, 2, 3, 6, 4)
    steps = torch.cat([block.step(x[:, t : t + 1], cache) for t in range(6)], dim=1)
    torch.testing.assert_close(steps, block(x))


def test_a_full_cache_forgets_the_oldest_place():
    cache = Cache.empty(torch.zeros(()), 1, 1, 3, 1)
    for p in range(5):
        keys, _ = cache.add(torch.full((1, 1, 1, 1), float(p)), torch.zeros(1, 1, 1, 1))
    assert sorted(keys.flatten().tolist()) == [2.0, 3.0, 4.0]


def test_a_chosen_sample_of_a_cache_is_its_own_copy():
    cache = Cache.empty(torch.zeros(()), 2, 1, 3, 1)
    cache.add(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))
    twice = cache.select(torch.tensor([1, 1]))
    cache.keys.zero_()
    assert twice.keys[:, 0, 0, 0].tolist() == [2.0, 2.0] and twice.places == 1


def test_refuses_a_width_that_does_not_split_into_heads():
    words = r"100 features do not split into 12 heads\. Take one of \[1, 2, 4, 5, 10, 20, 25, 50, 100\] heads"
    with pytest.raises(ShapeError, match=words):
        SelfAttention(100, 12)
