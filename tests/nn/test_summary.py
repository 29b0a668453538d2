"""The summary's counts against arithmetic done by hand, and its receptive fields against measured ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lamina.nn.layers import DepthwiseSeparable, Residual
from lamina.nn.summary import receptive_field, summarise


@pytest.mark.covers("claim/w2")
def test_sixty_four_filters_of_three_by_three_give_sixty_four_maps_of_the_same_size():
    """32x32x3 through 64 filters, stride 1, same padding: 32x32x64; 2 · 27 · 64 · 1024 FLOPs; 28 weights a filter."""
    (row,) = summarise(nn.Conv2d(3, 64, 3, padding="same"), torch.zeros(1, 3, 32, 32)).rows
    assert row.output == (1, 64, 32, 32)
    assert row.parameters == 64 * (3 * 3 * 3 + 1)
    assert row.flops == 2 * 27 * 64 * 32 * 32
    assert row.receptive == (3, 3)


@pytest.mark.covers("claim/w6")
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_depthwise_separable_convolution_needs_a_fraction_of_the_computation(kernel):
    """1 / out + 1 / kernel^2 of the full one's (Howard et al. 2017, section 3.1)."""
    x = torch.zeros(1, 32, 16, 16)
    full = summarise(nn.Conv2d(32, 64, kernel, padding="same"), x)
    cheap = summarise(DepthwiseSeparable(32, 64, kernel), x)
    assert cheap.output == full.output == [1, 64, 16, 16]
    assert cheap.flops / full.flops == pytest.approx(1 / 64 + 1 / kernel**2)


@pytest.mark.covers("claim/w7")
def test_dilation_widens_the_receptive_field_without_more_parameters():
    x, fields, counts = torch.randn(1, 1, 33, 33), [], set()
    for dilation in (1, 2, 4):
        conv = nn.Conv2d(1, 1, 3, padding="same", dilation=dilation)
        fields.append(receptive_field(conv, x))
        assert summarise(conv, x).rows[0].receptive == fields[-1]
        counts.add(summarise(conv, x).parameters)
    assert fields == [(3, 3), (5, 5), (9, 9)] and len(counts) == 1


NETWORKS = {
    "chain": nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.AvgPool2d(2, 2)),
    "oblong": nn.Sequential(nn.Conv2d(1, 4, (3, 1), stride=(2, 1)), nn.Conv2d(4, 4, (3, 5), dilation=(1, 2))),
    "branches": nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        Residual(nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1)), nn.Conv2d(4, 4, 1, 2)),
    ),
    "separable": DepthwiseSeparable(1, 3, 5, stride=2),
}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_closed_form_is_what_the_gradient_measures(name):
    torch.manual_seed(0)
    x = torch.randn(1, 1, 40, 40)
    assert summarise(NETWORKS[name], x).receptive == summarise(NETWORKS[name], x).rows[-1].receptive
    widest = max(r.receptive for r in summarise(NETWORKS[name], x).rows)
    assert widest == receptive_field(NETWORKS[name], x, draws=32)


def test_counts_what_recurrences_and_attention_multiply():
    lstm, x = nn.LSTM(5, 7, batch_first=True), torch.zeros(2, 3, 5)
    assert summarise(lstm, x).flops == 2 * 2 * 3 * 4 * 7 * (5 + 7)

    class Attention(nn.Module):
        def forward(self, q):
            return F.scaled_dot_product_attention(q, q, q)

    q = torch.zeros(2, 4, 10, 8)
    assert summarise(Attention(), q).flops == 2 * (2 * 2 * 4 * 10 * 10 * 8)


def test_every_parameter_is_counted_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.table = nn.Embedding(10, 4)
            self.body = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.table.weight
            self.spare = nn.Linear(2, 2).requires_grad_(False)

        def forward(self, text):
            return self.head(self.body(self.table(text)))

    model = Tied().train()
    summary = summarise(model, {"text": torch.zeros(2, 6, dtype=torch.long)})
    assert summary.parameters == sum(p.numel() for p in model.parameters()) == sum(r.parameters for r in summary.rows)
    assert summary.trainable == summary.parameters - 6 == sum(r.trainable for r in summary.rows)
    assert summary.bytes == 4 * summary.parameters
    assert summary.output == [2, 6, 10]
    assert model.training and all(not m._forward_hooks for m in model.modules())
    assert [r.name for r in summary.rows if r.calls == 0 and r.name == "spare"] == ["spare"]


def test_works_on_meta_and_gives_plain_rows():
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Conv1d(64, 10**6, 9), nn.Flatten(), nn.LazyLinear(3)), torch.randn(2, 64, 9)
        model(x)
        summary = summarise(model, x)
    assert summary.table()[0] == {
        "name": "0", "kind": "Conv1d", "output": [2, 10**6, 1], "parameters": 577 * 10**6, "trainable": 577 * 10**6,
        "flops": 2 * 2 * 576 * 10**6, "receptive": [9], "calls": 1,
    }  # fmt: skip


@pytest.mark.covers("base/input-hidden-output-layers", "base/weights")
def test_the_worked_digit_network_has_109386_parameters():
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    summary = summarise(model, torch.zeros(1, 784))
    assert [r.output for r in summary.rows if r.kind == "Linear"] == [(1, 128), (1, 64), (1, 10)]
    assert [r.parameters for r in summary.rows if r.kind == "Linear"] == [785 * 128, 129 * 64, 65 * 10]
    assert summary.parameters == 109_386
    assert summary.flops == 2 * (784 * 128 + 128 * 64 + 64 * 10)
