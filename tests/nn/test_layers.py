"""Layers against their definitions: torch's, which all networks here stand on, and the few of our own."""

import itertools
import math

import pytest
import torch
from torch import nn

from lamina.core.errors import SettingError, ShapeError, UnknownName
from lamina.nn.layers import DepthwiseSeparable, GlobalPool, Residual, StochasticDepth, conv_size, pad_same
from lamina.nn.summary import summarise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------- dense


@pytest.mark.covers("base/neuron", "layer/dense-fully-connected-layer", "base/bias-terms", "base/forward-pass")
def test_a_dense_layer_is_a_row_of_neurons():
    """y_i = act(sum_j W_ij x_j + b_i), a bias for each unit."""
    layer, x = nn.Linear(4, 3).double(), noise(2, 4)
    y = layer(x).relu()
    for n, i in itertools.product(range(2), range(3)):
        weighted = sum(layer.weight[i, j].item() * x[n, j].item() for j in range(4))
        assert y[n, i].item() == pytest.approx(max(0.0, weighted + layer.bias[i].item()), abs=1e-12)
    assert layer.weight.numel() + layer.bias.numel() == 3 * 4 + 3


# ---------------------------------------------------------------------------------------------------- convolution


def correlate(x, weight, bias=None, stride=1, dilation=1, groups=1):
    """O(o, i...) = sum over c, m... of I(c, i stride + m dilation) K(o, c, m), by loops over everything."""
    batch, axes = len(x), x.ndim - 2
    sizes = [conv_size(s, k, stride, 0, dilation) for s, k in zip(x.shape[2:], weight.shape[2:], strict=True)]
    out = torch.zeros(batch, len(weight), *sizes, dtype=x.dtype)
    each, made = weight.shape[1], len(weight) // groups
    for n, o in itertools.product(range(batch), range(len(weight))):
        for place in itertools.product(*map(range, sizes)):
            total = 0.0 if bias is None else bias[o].item()
            for c, m in itertools.product(range(each), itertools.product(*map(range, weight.shape[2:]))):
                at = tuple(place[a] * stride + m[a] * dilation for a in range(axes))
                total += x[(n, o // made * each + c, *at)].item() * weight[(o, c, *m)].item()
            out[(n, o, *place)] = total
    return out


CONVOLUTIONS = {
    "1d": (nn.Conv1d(3, 2, 3), (2, 3, 7)),
    "2d": (nn.Conv2d(2, 3, (3, 2)), (2, 2, 5, 6)),
    "3d": (nn.Conv3d(2, 2, 2), (1, 2, 3, 4, 3)),
    "strided": (nn.Conv2d(2, 3, 3, stride=2), (1, 2, 7, 8)),
    "dilated": (nn.Conv2d(2, 2, 3, dilation=2), (1, 2, 7, 6)),
    "depthwise": (nn.Conv2d(3, 3, 3, groups=3), (1, 3, 5, 5)),
    "pointwise": (nn.Conv2d(4, 2, 1), (1, 4, 3, 3)),
}
KINDS = [
    pytest.param(names, id=names[0], marks=pytest.mark.covers(*ids))
    for names, ids in (
        (("1d", "2d", "3d"), ("layer/convolution-1d", "layer/convolution-2d", "layer/convolution-3d")),
        (("strided", "dilated"), ("layer/stride", "layer/dilated-atrous-convolution")),
        (("depthwise", "pointwise"), ("layer/depthwise-convolution", "layer/pointwise-convolution")),
    )
]


@pytest.mark.parametrize("names", KINDS)
def test_convolutions_agree_with_loops(names):
    for name in names:
        layer, shape = CONVOLUTIONS[name]
        layer, x = layer.double(), noise(*shape)
        expected = correlate(x, layer.weight, layer.bias, layer.stride[0], layer.dilation[0], layer.groups)
        torch.testing.assert_close(layer(x), expected, msg=name)


@pytest.mark.covers("claim/w1", "layer/cross-correlation-definition", "layer/filter-kernel")
def test_a_convolution_is_a_cross_correlation():
    """O(i, j) = sum I(i + m, j + n) K(m, n), and not sum I(i - m, j - n) K(m, n), whose kernel is flipped."""
    layer, x = nn.Conv2d(1, 1, 3, bias=False), torch.randn(1, 1, 6, 6, generator=seeded())
    loops = correlate(x, layer.weight)
    torch.testing.assert_close(layer(x), loops, rtol=0, atol=1e-5)
    flipped = correlate(x, layer.weight.flip(-1, -2))
    assert (layer(x) - flipped).abs().max() > 0.1


@pytest.mark.covers("claim/w3", "layer/padding-same-and-valid", "layer/stride", "layer/feature-map")
def test_sizes_follow_the_closed_form():
    """Over a grid: what `conv_size` says is what comes out; 'same' keeps the size at stride 1, 'valid' shrinks it."""
    tried = 0
    for size, kernel, stride, padding, dilation in itertools.product(
        (5, 8, 13), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)
    ):
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        layer = nn.Conv1d(1, 4, kernel, stride, padding, dilation)
        (row,) = summarise(layer, torch.zeros(1, 1, size)).rows
        assert row.output == (1, 4, conv_size(size, kernel, stride, padding, dilation))  # a map for each filter
        same = nn.Conv1d(1, 1, kernel, stride, 0, dilation)(pad_same(torch.zeros(1, 1, size), kernel, stride, dilation))
        assert same.shape[-1] == conv_size(size, kernel, stride, "same", dilation) == math.ceil(size / stride)
        tried += 1
    assert tried > 150
    x = torch.randn(1, 1, 9, 9)
    assert nn.Conv2d(1, 1, 3, padding="same")(x).shape == x.shape
    assert nn.Conv2d(1, 1, 3, padding="valid")(x).shape[-1] == conv_size(9, 3, padding="valid") == 7


def test_padding_alike_is_torchs_own_at_stride_one():
    x = noise(2, 3, 9, 8)
    for kernel, dilation in ((2, 2), (3, 1), (4, 2), (3, 2)):
        layer = nn.Conv2d(3, 2, kernel, dilation=dilation, padding="same").double()
        ours = nn.functional.conv2d(pad_same(x, kernel, 1, dilation), layer.weight, layer.bias, dilation=dilation)
        torch.testing.assert_close(ours, layer(x))


@pytest.mark.covers("claim/w4", "layer/local-connectivity-and-weight-sharing")
def test_shared_weights_are_far_fewer_and_reach_only_their_neighbourhood():
    x = torch.randn(1, 1, 12, 12, requires_grad=True)
    conv, dense = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(144, 8 * 144)
    counts = [summarise(m, i).parameters for m, i in ((conv, x.detach()), (dense, x.detach().flatten(1)))]
    assert counts == [8 * 10, 145 * 8 * 144]
    (grad,) = torch.autograd.grad(conv(x)[0, :, 5, 7].sum(), x)
    assert {tuple(p) for p in grad[0, 0].nonzero().tolist()} == set(itertools.product((4, 5, 6), (6, 7, 8)))


@pytest.mark.covers("claim/w5", "layer/translation-invariance-equivariance")
def test_a_shifted_pattern_shifts_the_features_and_not_the_pooled_score():
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()).double()
    x, moved = torch.zeros(2, 1, 20, 20, dtype=torch.float64).unbind()
    pattern = noise(1, 4, 4)
    x[:, 6:10, 6:10], moved[:, 9:13, 4:8] = pattern, pattern  # 3 down, 2 left, away from the edges
    a, b = net(torch.stack([x, moved]))
    torch.testing.assert_close(a.roll((3, -2), (-2, -1))[:, 5:15, 5:15], b[:, 5:15, 5:15])
    assert (a - b).abs().max() > 0.01
    for kind in ("max", "mean"):
        score = GlobalPool(kind)(net(torch.stack([x, moved])))
        torch.testing.assert_close(score[0], score[1])


@pytest.mark.covers(
    "layer/depthwise-separable-convolution", "layer/depthwise-convolution", "layer/pointwise-convolution"
)
def test_a_separable_convolution_is_a_full_one_of_rank_one_a_channel():
    """K(o, c, m, n) = point(o, c) depth(c, m, n), with k^2 c + c c' + c' weights."""
    layer, x = DepthwiseSeparable(3, 5, 3, stride=2, dilation=2).double(), noise(2, 3, 9, 9)
    kernel = layer.pointwise.weight * layer.depthwise.weight[:, 0][None]
    full = nn.functional.conv2d(x, kernel, layer.pointwise.bias, stride=2, padding=2, dilation=2)
    torch.testing.assert_close(layer(x), full)
    assert sum(p.numel() for p in layer.parameters()) == 9 * 3 + 3 * 5 + 5


# -------------------------------------------------------------------------------------------------------- pooling


@pytest.mark.covers("layer/max-pooling", "layer/average-pooling", "layer/pooling-in-general")
def test_pools_take_the_largest_or_the_mean_of_each_window():
    x = noise(2, 3, 7, 6)
    for kernel, stride in ((2, 2), (3, 2), (3, 1)):
        high, wide = conv_size(7, kernel, stride), conv_size(6, kernel, stride)
        largest, mean = nn.MaxPool2d(kernel, stride)(x), nn.AvgPool2d(kernel, stride)(x)
        assert largest.shape == mean.shape == (2, 3, high, wide)
        for i, j in itertools.product(range(high), range(wide)):
            window = x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel].flatten(2)
            torch.testing.assert_close(largest[:, :, i, j], window.sort(-1).values[..., -1])
            torch.testing.assert_close(mean[:, :, i, j], window.sum(-1) / kernel**2)


def test_global_pools_leave_one_number_a_channel():
    x = noise(2, 3, 4, 5)
    mean, largest = x.sum((2, 3)) / 20, x.amax((2, 3))
    torch.testing.assert_close(GlobalPool()(x), mean)
    torch.testing.assert_close(GlobalPool("both")(x), torch.cat([mean, largest], 1))
    with pytest.raises(UnknownName, match=r"No global pool is called 'maxx'. Did you mean 'max'\?"):
        GlobalPool("maxx")


@pytest.mark.covers("claim/w8")
def test_pooling_makes_small_shifts_matter_less():
    """The change of the features under shifts by 1 to 3 pixels, relative to their size, with and without."""
    plain = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()).double()
    nn.init.normal_(plain[0].weight, generator=seeded(4))
    x = nn.functional.avg_pool2d(noise(20, 1, 36, 36), 3, 1, 1)
    changes = {}
    for name, pool in {"none": nn.Identity(), "max": nn.MaxPool2d(4), "mean": nn.AvgPool2d(4)}.items():
        a = pool(plain(x))
        for shift in (1, 2, 3):
            b = pool(plain(x.roll(shift, -1)))
            changes[name, shift] = ((a - b).norm() / a.norm()).item()
    for shift in (1, 2, 3):
        assert changes["max", shift] < 0.75 * changes["none", shift], changes
        assert changes["mean", shift] < 0.75 * changes["none", shift], changes


# ------------------------------------------------------------------------------------ tables, norms, dropout, paths


@pytest.mark.covers("layer/embedding-layer")
def test_an_embedding_is_a_one_hot_row_times_the_table():
    table, tokens = nn.Embedding(7, 4).double(), torch.tensor([[1, 6, 1], [0, 3, 2]])
    one_hot = torch.eye(7, dtype=torch.float64)[tokens]
    torch.testing.assert_close(table(tokens), one_hot @ table.weight)
    table(tokens).sum().backward()
    assert table.weight.grad[:, 0].tolist() == [1, 2, 1, 1, 0, 0, 1]  # each row learns as often as it is read


@pytest.mark.covers("layer/batch-normalization")
def test_batch_norm_standardises_channels_and_remembers():
    """(x - mean) / sqrt(var + eps) over batch and places; running averages (0.9 old + 0.1 new) serve evaluation."""
    layer, x = nn.BatchNorm2d(3).double(), 3 * noise(6, 3, 4, 4) + 2
    mean = x.sum((0, 2, 3)) / 96
    square = ((x - mean.reshape(1, 3, 1, 1)) ** 2).sum((0, 2, 3))
    spread = (square / 96 + 1e-5).sqrt()
    expected = (x - mean.reshape(1, 3, 1, 1)) / spread.reshape(1, 3, 1, 1)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.running_mean, 0.1 * mean)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * square / 95)
    layer.eval()
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1])  # a sample alone gives what it gives among others


@pytest.mark.covers("layer/layer-normalization")
def test_layer_norm_standardises_each_sample_alone():
    layer, x = nn.LayerNorm(5).double(), 3 * noise(4, 5) + 2
    rows = [[(v - sum(r) / 5) for v in r] for r in x.tolist()]
    expected = [[v / math.sqrt(sum(u * u for u in r) / 5 + 1e-5) for v in r] for r in rows]
    torch.testing.assert_close(layer(x), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))


@pytest.mark.covers("layer/dropout-layer")
def test_dropout_zeroes_a_share_keeps_the_mean_and_is_off_in_evaluation():
    layer, x = nn.Dropout(0.3), torch.full((100_000,), 2.0)
    torch.manual_seed(0)
    y = layer(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 2 / 0.7))
    assert y.mean().item() == pytest.approx(2, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.covers("layer/residual-connection")
def test_a_residual_adds_what_its_body_gives_and_passes_the_gradient_on():
    body, x = nn.Linear(4, 4).double(), noise(2, 4).requires_grad_()
    torch.testing.assert_close(Residual(body)(x), x + x @ body.weight.mT + body.bias)
    nn.init.zeros_(body.weight), nn.init.zeros_(body.bias)
    deep = nn.Sequential(*(Residual(body) for _ in range(50)))
    (grad,) = torch.autograd.grad(deep(x).sum(), x)
    assert torch.equal(grad, torch.ones_like(x))  # 50 layers, and nothing is lost on the way
    narrow = Residual(nn.Linear(4, 3).double(), nn.Linear(4, 3).double())
    torch.testing.assert_close(narrow(x), narrow.body(x) + narrow.shortcut(x))


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    layer, x = StochasticDepth(0.25), torch.ones(8000, 3, 2)
    torch.manual_seed(0)
    y = layer(x)
    kept = y[:, 0, 0] != 0
    assert torch.equal(y, torch.where(kept[:, None, None], torch.tensor(1 / 0.75), torch.tensor(0.0)).expand_as(y))
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


# ------------------------------------------------------------------------------------------------- the chain rule

LAYERS = {
    "dense": (lambda: nn.Linear(3, 2), (2, 3)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 3), (1, 2, 5)),
    "conv2d": (lambda: nn.Conv2d(2, 2, 2, stride=2, padding=1), (1, 2, 4, 3)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (1, 1, 3, 2, 2)),
    "dilated": (lambda: nn.Conv2d(1, 2, 2, dilation=2), (1, 1, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 1, 2, stride=2), (1, 2, 2, 2)),
    "separable": (lambda: DepthwiseSeparable(2, 2), (1, 2, 3, 3)),
    "max pool": (lambda: nn.MaxPool2d(2), (1, 2, 4, 4)),
    "average pool": (lambda: nn.AvgPool2d(2), (1, 2, 4, 4)),
    "global pool": (lambda: GlobalPool("both"), (2, 2, 3, 3)),
    "batch norm": (lambda: nn.BatchNorm1d(3, momentum=0.0), (4, 3)),
    "layer norm": (lambda: nn.LayerNorm(4), (2, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 2)),
    "rms norm": (lambda: nn.RMSNorm(4), (2, 4)),
    "residual": (lambda: Residual(nn.Sequential(nn.Linear(3, 3), nn.Tanh())), (2, 3)),
    "rnn": (lambda: nn.RNN(2, 3, batch_first=True), (1, 3, 2)),
    "lstm": (lambda: nn.LSTM(2, 2, batch_first=True), (1, 3, 2)),
    "gru": (lambda: nn.GRU(2, 2, batch_first=True), (1, 3, 2)),
    "stacked": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Softmax(-1)),
        (1, 1, 3, 3),
    ),
}


@pytest.mark.covers("base/backpropagation", "base/chain-rule", "base/backward-pass")
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_gradients_agree_with_finite_differences(name):
    """Of the input and of every parameter, in float64."""
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    layer = build().double()
    names, weights = zip(*layer.named_parameters(), strict=True) if list(layer.parameters()) else ((), ())

    def run(x, *values):
        out = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return out[0] if isinstance(out, tuple) else out

    assert torch.autograd.gradcheck(run, (noise(*shape).requires_grad_(), *weights))


@pytest.mark.covers("base/backpropagation", "base/chain-rule")
def test_backpropagation_is_the_chain_rule_written_out():
    """Two layers by hand: dL/dW2 = d2 h', dL/dW1 = (W2' d2 · tanh') x'."""
    one, two = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    x, target = noise(5, 3), noise(5, 2, seed=1)
    h = (x @ one.weight.mT + one.bias).tanh()
    (two(one(x).tanh()) - target).square().mean().backward()
    d2 = 2 * (h @ two.weight.mT + two.bias - target) / 10
    d1 = d2 @ two.weight * (1 - h**2)
    torch.testing.assert_close(two.weight.grad, (d2.mT @ h).detach())
    torch.testing.assert_close(one.weight.grad, (d1.mT @ x).detach())
    torch.testing.assert_close(one.bias.grad, d1.sum(0).detach())


def test_what_cannot_fit_is_refused():
    with pytest.raises(ShapeError, match=r"kernel of 3 with dilation 4 reaches over 9 places, but there are 6"):
        conv_size(6, 3, dilation=4)
    with pytest.raises(SettingError, match=r"'same' or 'valid', but came as 'full'"):
        conv_size(6, 3, padding="full")
    with pytest.raises(SettingError, match=r"must be odd, but came as 4"):
        DepthwiseSeparable(2, 2, 4)
    with pytest.raises(SettingError, match=r"drop is a probability below 1, but came as 1.0"):
        StochasticDepth(1.0)
