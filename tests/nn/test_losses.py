"""Losses against their definitions, written out sample by sample, and what a weight means."""

import math

import pytest
import torch
from torch.nn import functional as F

from lamina.core.errors import SettingError, ShapeError, UnknownName
from lamina.nn import losses

RNG = torch.Generator().manual_seed(7)
Y = torch.randn(6, 3, generator=RNG, dtype=torch.float64) * 2
T = torch.randn(6, 3, generator=RNG, dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])
BITS = torch.tensor([[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float64)
W = torch.tensor([1.0, 2.0, 0.0, 0.5, 3.0, 1.0], dtype=torch.float64)


def log_p(row, k):
    return row[k] - math.log(sum(math.exp(v) for v in row))


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def bits_of(v, t):
    return -(t * math.log(sigmoid(v)) + (1 - t) * math.log(1 - sigmoid(v)))


def focal_bits(v, t):
    p = sigmoid(v) if t else 1 - sigmoid(v)
    return -(0.25 if t else 0.75) * (1 - p) ** 2 * math.log(p)


def pinball(e, q):
    return q * e if e > 0 else (q - 1) * e


def huber(e):
    return e * e / 2 if abs(e) <= 0.5 else 0.5 * (abs(e) - 0.25)


def mean(values):
    return sum(values) / len(values)


# name: (outputs, targets, options, the loss of one sample)
CASES = {
    "mse": (Y, T, {}, lambda y, t: mean([(a - b) ** 2 for a, b in zip(y, t, strict=True)])),
    "mae": (Y, T, {}, lambda y, t: mean([abs(a - b) for a, b in zip(y, t, strict=True)])),
    "huber": (Y, T, {"delta": 0.5}, lambda y, t: mean([huber(a - b) for a, b in zip(y, t, strict=True)])),
    "quantile": (
        Y,
        T[:, 0],
        {"quantiles": (0.1, 0.5, 0.8)},
        lambda y, t: mean([pinball(t - a, q) for a, q in zip(y, (0.1, 0.5, 0.8), strict=True)]),
    ),
    "cross_entropy": (Y, LABELS, {}, lambda y, t: -log_p(y, t)),
    "binary_cross_entropy": (Y, BITS, {}, lambda y, t: mean([bits_of(a, b) for a, b in zip(y, t, strict=True)])),
    "focal": (Y, LABELS, {"gamma": 1.5}, lambda y, t: -((1 - math.exp(log_p(y, t))) ** 1.5) * log_p(y, t)),
    "binary_focal": (Y, BITS, {}, lambda y, t: mean([focal_bits(a, b) for a, b in zip(y, t, strict=True)])),
    "gaussian_nll": (
        Y[:, :2],
        T[:, 0],
        {},
        lambda y, t: (
            -math.log(math.exp(-((t - y[0]) ** 2) / (2 * math.exp(y[1]))) / math.sqrt(2 * math.pi * math.exp(y[1])))
        ),
    ),
}


@pytest.mark.covers("loss/mean-squared-error", "loss/cross-entropy", "loss/binary-cross-entropy")
@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_agrees_with_its_definition(name):
    outputs, target, options, one = CASES[name]
    rows = [one(y, t) for y, t in zip(outputs.tolist(), target.tolist(), strict=True)]
    loss = losses.create(name, **options)
    torch.testing.assert_close(loss(outputs, target).item(), mean(rows), rtol=1e-10, atol=0)
    expected = sum(w * r for w, r in zip(W.tolist(), rows, strict=True)) / W.sum().item()
    torch.testing.assert_close(loss(outputs, target, weight=W).item(), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_a_weight_of_two_is_the_sample_given_twice(name):
    outputs, target, options, _ = CASES[name]
    loss, twice = losses.create(name, **options), [0, 0, 1, 2, 3, 4, 5]
    weight = torch.tensor([2.0, 1, 1, 1, 1, 1])
    torch.testing.assert_close(loss(outputs, target, weight=weight), loss(outputs[twice], target[twice]))


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_gradients_agree_with_finite_differences(name):
    outputs, target, options, _ = CASES[name]
    loss = losses.create(name, **options)
    assert torch.autograd.gradcheck(lambda y: loss(y, target, weight=W), (outputs.clone().requires_grad_(),))


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_weights_of_zero_give_zero_and_no_nan(name):
    outputs, target, options, _ = CASES[name]
    outputs = outputs.clone().requires_grad_()
    loss = losses.create(name, **options)(outputs, target, weight=torch.zeros(6))
    loss.backward()
    assert loss.item() == 0 and outputs.grad.abs().sum() == 0


def test_class_weights_smoothing_and_ignored_elements_are_as_in_torch():
    """(batch, classes, height, width), torch's own reduction as the reference."""
    outputs = torch.randn(4, 5, 3, 2, generator=RNG)
    target = torch.randint(0, 5, (4, 3, 2), generator=RNG)
    target[0, 0, 0] = target[2, 1, 1] = -100
    classes = torch.tensor([1.0, 0.2, 3.0, 0.5, 2.0])
    for more in ({}, {"label_smoothing": 0.1}):
        expected = F.cross_entropy(outputs, target, weight=classes, **more)
        smoothing = more.get("label_smoothing", 0.0)
        torch.testing.assert_close(
            losses.cross_entropy(outputs, target, class_weight=classes, smoothing=smoothing), expected
        )
    last = losses.cross_entropy(outputs.movedim(1, -1), target, class_weight=classes, axis=-1)
    torch.testing.assert_close(last, F.cross_entropy(outputs, target, weight=classes))


def test_all_ignored_is_zero():
    outputs = torch.randn(2, 3, requires_grad=True)
    for loss in (losses.cross_entropy, losses.focal):
        assert loss(outputs, torch.full((2,), -100)).item() == 0


def test_smoothing_shares_the_target_among_the_classes():
    soft = F.one_hot(LABELS, 3).double() * 0.7 + 0.1
    torch.testing.assert_close(losses.cross_entropy(Y, LABELS, smoothing=0.3), losses.cross_entropy(Y, soft))


def test_focal_at_gamma_zero_is_cross_entropy():
    torch.testing.assert_close(losses.focal(Y, LABELS, gamma=0.0), losses.cross_entropy(Y, LABELS))
    torch.testing.assert_close(
        losses.binary_focal(Y, BITS, gamma=0.0, alpha=None), losses.binary_cross_entropy(Y, BITS)
    )


def test_pos_weight_counts_positives_so_often():
    logits, target = torch.tensor([0.3, -0.4]), torch.tensor([1.0, 0.0])
    expected = (5 * bits_of(0.3, 1) + bits_of(-0.4, 0)) / 2
    assert losses.binary_cross_entropy(logits, target, pos_weight=5.0).item() == pytest.approx(expected, rel=1e-6)


def test_the_minimum_of_the_pinball_loss_is_the_quantile():
    sample = torch.randn(999, generator=RNG).exp()
    grid = torch.linspace(0, 5, 2001)
    best = min(grid.tolist(), key=lambda v: losses.quantile(torch.full((999, 1), v), sample, quantiles=[0.8]).item())
    assert best == pytest.approx(sample.quantile(0.8).item(), abs=0.02)  # grid of 0.0025, gap of the sample at 0.8


@pytest.mark.covers("loss/l1-penalty", "loss/l2-penalty")
def test_penalties_are_sums_over_all_weights():
    """sum |w| with gradient sign(w); sum w^2 / 2 with gradient w."""
    one, two = torch.tensor([[1.0, -2.0]], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    assert losses.l1_penalty([one, two]).item() == 6
    assert losses.l2_penalty([one, two]).item() == 7
    assert torch.autograd.grad(losses.l1_penalty([one]), one)[0].tolist() == [[1, -1]]
    assert torch.autograd.grad(losses.l2_penalty([one]), one)[0].tolist() == [[1, -2]]


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ShapeError, match=r"outputs are \(4, 1\) and targets \(4,\).*squeeze"):
        losses.mse(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ShapeError, match=r"Weights are one a sample, shape \(4,\).*came as \(3,\)"):
        losses.mse(torch.zeros(4, 2), torch.zeros(4, 2), weight=torch.ones(3))
    with pytest.raises(ShapeError, match=r"3 quantiles, shape \(4, 3\).*outputs are \(4, 1\)"):
        losses.quantile(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ShapeError, match=r"2 came for 3 classes"):
        losses.cross_entropy(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), class_weight=[1, 2])
    with pytest.raises(ShapeError, match=r"mean and a log-variance.*\(4, 2\).*outputs are \(4,\)"):
        losses.gaussian_nll(torch.zeros(4), torch.zeros(4))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UnknownName, match=r"No loss is called 'crossentropy'. Did you mean 'cross_entropy'\?"):
        losses.create("crossentropy")
    with pytest.raises(SettingError, match=r"loss 'huber' takes weight=None, delta=1.0. It has no 'dela'"):
        losses.create("huber", dela=2)
