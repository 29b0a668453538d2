"""GPT and GPT-2: cached decoding against the whole forward, the published sizes and layout."""

import math

import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from lamina.core.errors import SettingError, ShapeError
from lamina.models import create, gpt, gpt2
from lamina.models.gpt import GPT
from lamina.models.gpt2 import GPT2
from lamina.nn.generation import Decoder, greedy, sample
from tests import peers

PUBLISHED = gpt2.LAYOUTS["transformers"]


def shaken(model):
    """Weights that are nowhere zero or one, so that no part can hide."""
    rng = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=rng)
    return model.double().eval()


def text(rows, time):
    return torch.randint(0, 64, (rows, time), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("family", [gpt, gpt2])
def test_decoding_token_by_token_gives_the_scores_of_the_whole_forward(family):
    model = shaken({gpt: GPT, gpt2: GPT2}[family](**family.VARIANTS["tiny"]))
    assert isinstance(model, Decoder)
    tokens, state = text(3, 16), model.start(3)
    whole = model(tokens)
    for t in range(16):
        scores, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(scores, whole[:, t])


def test_reading_a_prompt_at_once_is_reading_it_token_by_token():
    model, tokens = shaken(GPT(**gpt.VARIANTS["tiny"])), text(2, 10)
    at_once, state = model.read(tokens[:, :6], model.start(2))
    torch.testing.assert_close(at_once, model(tokens[:, :6])[:, -1])
    for t in range(6, 9):
        scores, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(scores, model(tokens[:, : t + 1])[:, -1])
    more, _ = model.read(tokens[:, 9:], state)
    torch.testing.assert_close(more, model(tokens)[:, -1])


def test_behind_its_context_it_goes_on_by_a_window_that_slides():
    """Against a forward in which each place of each block sees the last `context` places only."""
    model, tokens = shaken(GPT(**(gpt.VARIANTS["tiny"] | dict(context=5)))), text(2, 13)
    place = torch.arange(13)
    window = (place[:, None] >= place) & (place[:, None] - place < 5)
    turn = gpt.turns(place, model.features)
    x = gpt.norm(model.tokens(tokens))
    for block in model.blocks:
        q, k, v = block.attention.split(gpt.norm(x), turn)
        x = x + block.attention.join(F.scaled_dot_product_attention(q, k, v, attn_mask=window))
        x = x + block.mlp(gpt.norm(x))
    state = model.start(2)
    for t in range(13):
        scores, state = model.step(tokens[:, t], state)
    torch.testing.assert_close(scores, model.head(gpt.norm(x))[:, -1])


def test_a_prompt_longer_than_the_context_counts_by_its_end():
    model, tokens = shaken(GPT(**gpt.VARIANTS["tiny"])), text(1, 40)
    assert torch.equal(greedy(model, tokens, 4), greedy(model, tokens[:, -16:], 4))


@pytest.mark.parametrize("family", [gpt, gpt2])
def test_no_score_depends_on_what_comes_later(family):
    model = shaken({gpt: GPT, gpt2: GPT2}[family](**family.VARIANTS["tiny"]))
    tokens = text(1, 12)
    other = tokens.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 64
    torch.testing.assert_close(model(tokens)[:, :7], model(other)[:, :7])
    assert not torch.allclose(model(tokens)[:, 7:], model(other)[:, 7:])


def test_begins_at_a_uniform_guess():
    """Zero heads: the first loss is log vocab, whatever the seed."""
    model, tokens = GPT(vocab=100, context=8, width=16, depth=2, heads=2), text(2, 8)
    torch.testing.assert_close(F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).item(), math.log(100))


@pytest.mark.parametrize("seed", range(3))
def test_learns_to_repeat_a_text_and_writes_it_from_its_beginning(seed):
    torch.manual_seed(seed)
    model = GPT(vocab=16, context=12, width=32, depth=2, heads=2)
    poem = torch.randint(1, 16, (1, 12))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(poem[:, :-1]).flatten(0, 1), poem[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert torch.equal(sample(model, poem[:, :1], 11, temperature=0.0), poem[:, 1:])


@pytest.mark.parametrize(
    ("variant", "published"),
    [("", 124_439_808), ("medium", 354_823_168), ("large", 774_030_080), ("xl", 1_557_611_200)],
)
def test_gpt2_has_as_many_parameters_as_published(variant, published):
    with torch.device("meta"):
        model = GPT2(**gpt2.VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == published


def transformers_gpt2(state, tokens, depth, heads):
    """The network of `GPT2LMHeadModel`, written out over its own names: y = x W + b with W (in, out)."""
    w = {name.removeprefix("transformer."): p for name, p in state.items()}

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    time = tokens.shape[1]
    x = w["wte.weight"][tokens] + w["wpe.weight"][:time]
    for i in range(depth):
        q, k, v = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").chunk(3, -1)
        means = []
        for q1, k1, v1 in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
            scores = q1 @ k1.mT / q1.shape[-1] ** 0.5
            means.append(scores.masked_fill(torch.ones(time, time).triu(1) > 0, -torch.inf).softmax(-1) @ v1)
        x = x + linear(torch.cat(means, -1), f"h.{i}.attn.c_proj")
        u = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        u = 0.5 * u * (1 + ((2 / math.pi) ** 0.5 * (u + 0.044715 * u**3)).tanh())
        x = x + linear(u, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["lm_head.weight"].T


def test_gpt2_agrees_with_the_published_layout_both_ways():
    model, tokens = shaken(GPT2(**gpt2.VARIANTS["tiny"])), text(2, 9)
    theirs = PUBLISHED.write(model.state_dict())
    assert theirs["transformer.h.1.attn.c_attn.weight"].shape == (16, 48)
    torch.testing.assert_close(model(tokens), transformers_gpt2(theirs, tokens, 2, 2), rtol=1e-8, atol=1e-8)
    other = GPT2(**gpt2.VARIANTS["tiny"]).double().eval()
    del theirs["lm_head.weight"]  # tied, and left out of many files
    bare = {name.removeprefix("transformer."): p for name, p in theirs.items()}  # GPT2Model
    bare["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)  # the mask, in files of old
    for held in (theirs, bare):
        assert PUBLISHED.meets(held)
        other.load_state_dict(PUBLISHED.read(other, held))
        assert torch.equal(other(tokens), model(tokens))


def test_a_file_under_the_published_names_is_read_by_create(tmp_path):
    model = shaken(GPT2(**gpt2.VARIANTS["tiny"])).float()
    theirs = PUBLISHED.write(model.state_dict())
    del theirs["lm_head.weight"]
    safetensors.torch.save_file(theirs, tmp_path / "published.safetensors")
    other = create("gpt2_tiny", weights=tmp_path / "published.safetensors").eval()
    assert torch.equal(other(text(2, 9)), model(text(2, 9)))


@pytest.mark.peer
@peers.DTYPES
def test_gpt2_agrees_with_transformers_itself(dtype, tmp_path):
    """A checkpoint of transformers' own, as it is saved, found to be one and read; and written back."""
    transformers = peers.peer("transformers")
    sizes = dict(vocab_size=64, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    theirs = peers.shaken(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)), dtype)
    path = peers.stored(theirs, tmp_path)
    ours = create("gpt2_tiny", weights=path).to(dtype).eval()
    ours.load_state_dict(PUBLISHED.read(ours, theirs.state_dict()))  # create is of float32
    peers.agree(ours(text(2, 9)), theirs(text(2, 9)).logits)
    peers.exchange(theirs, ours, PUBLISHED)
    peers.agree(ours(text(2, 9)), theirs(text(2, 9)).logits)


def test_weights_that_do_not_fit_are_named():
    model = GPT2(**gpt2.VARIANTS["tiny"])
    theirs = PUBLISHED.write(model.state_dict())
    with pytest.raises(ShapeError, match=r"'transformer\.wte\.weight' is \(64, 16\).*but \(65, 16\) in this network"):
        PUBLISHED.read(GPT2(**(gpt2.VARIANTS["tiny"] | dict(vocab=65))), theirs)
    with pytest.raises(ShapeError, match=r"have no 'transformer\.h\.2\.ln_1\.weight' for .*'blocks\.2\.norm1\.weight'"):
        PUBLISHED.read(GPT2(**(gpt2.VARIANTS["tiny"] | dict(depth=3))), theirs)


def test_blocks_that_the_network_does_not_have_are_not_left_out_in_silence():
    theirs = PUBLISHED.write(GPT2(**gpt2.VARIANTS["tiny"]).state_dict())
    with pytest.raises(ShapeError, match=r"also hold 'transformer\.h\.1\.attn\.c_attn\.bias', and 12 in all"):
        PUBLISHED.read(GPT2(**(gpt2.VARIANTS["tiny"] | dict(depth=1))), theirs)


def test_gpt2_says_where_its_places_end():
    model = GPT2(**gpt2.VARIANTS["tiny"])
    with pytest.raises(SettingError, match=r"learned 16 places.*Ask for fewer tokens"):
        greedy(model, text(1, 10), 9)


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"256 features do not split into 5 heads"):
        GPT(heads=5)
    with pytest.raises(ShapeError, match=r"a head has 3\. Give it an even number"):
        GPT(width=6, heads=2)
    with pytest.raises(SettingError, match=r"looks back over, at least 1, but 0 came"):
        GPT(context=0)
