"""Losses by name: pure functions `loss(outputs, target, *, weight=None, ...) -> scalar`.

    mse                    mean of (y' - y)^2
    mae                    mean of |y' - y|
    huber                  e^2 / 2 within delta, delta (|e| - delta / 2) beyond        Huber 1964
    quantile               max(q e, (q - 1) e), e = y - y', a mean over quantiles      Koenker & Bassett 1978
    cross_entropy          -log softmax(outputs)[target]
    binary_cross_entropy   -t log s - (1 - t) log(1 - s), s = sigmoid(outputs)
    focal, binary_focal    (1 - p)^gamma times the two above, p the chance given to the truth
                                                                          Lin et al. 2017, arXiv:1708.02002
    gaussian_nll           -log N(y; mean, variance), both predicted                   Nix & Weigend 1994

`weight` is one number a sample (or one an element): the result is sum(w l) / sum(w), so a weight of 2 counts like the
sample given twice. Weights that sum to zero give a loss of zero, not nan.
`outputs` of the classifying ones are logits, never probabilities.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lamina.core.errors import ShapeError
from lamina.nn.choice import choose, options_of

__all__ = [
    "LOSSES",
    "binary_cross_entropy",
    "binary_focal",
    "create",
    "cross_entropy",
    "focal",
    "gaussian_nll",
    "huber",
    "l1_penalty",
    "l2_penalty",
    "mae",
    "mse",
    "quantile",
    "weighted_mean",
]


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """sum(w v) / sum(w); w has the shape of the first axes of v and holds for all that follow."""
    if weight is None:
        return values.mean()
    weight = _spread(weight, values)
    return (values * weight).sum() / _positive(weight.sum())


def _spread(weight: Tensor, values: Tensor) -> Tensor:
    if values.shape[: weight.ndim] != weight.shape:
        raise ShapeError(
            f"Weights are one a sample, shape {tuple(values.shape[:1])}, or one an element, {tuple(values.shape)}; "
            f"but they came as {tuple(weight.shape)}."
        )
    return weight.to(values.dtype).reshape(weight.shape + (1,) * (values.ndim - weight.ndim)).expand_as(values)


def _positive(total: Tensor) -> Tensor:
    return total.clamp_min(torch.finfo(total.dtype).tiny)  # 0 / tiny is 0: no nan where nothing counts


def _same_shape(name: str, outputs: Tensor, target: Tensor) -> None:
    """Broadcasting (batch, 1) against (batch,) would compare every prediction with every target, silently."""
    if outputs.shape != target.shape:
        raise ShapeError(
            f"{name} compares element with element, but outputs are {tuple(outputs.shape)} and targets "
            f"{tuple(target.shape)}. Bring both to one shape, e.g. outputs.squeeze(-1)."
        )


def mse(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean squared error. Shapes: equal, (batch, ...)."""
    _same_shape("mse", outputs, target)
    return weighted_mean((outputs - target).square(), weight)


def mae(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error. Shapes: equal, (batch, ...)."""
    _same_shape("mae", outputs, target)
    return weighted_mean((outputs - target).abs(), weight)


def huber(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None, delta: float = 1.0) -> Tensor:
    """Squared within delta of the target, linear beyond: outliers pull with a bounded force. Shapes: equal."""
    _same_shape("huber", outputs, target)
    return weighted_mean(F.huber_loss(outputs, target, reduction="none", delta=delta), weight)


def quantile(
    outputs: Tensor, target: Tensor, *, weight: Tensor | None = None, quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> Tensor:
    """Pinball loss: its minimum is the quantile. Shapes: (batch, ..., quantiles) against (batch, ...)."""
    if outputs.shape != (*target.shape, len(quantiles)):
        raise ShapeError(
            f"quantile wants one output for each of its {len(quantiles)} quantiles, shape "
            f"{(*target.shape, len(quantiles))} for targets {tuple(target.shape)}, but outputs are "
            f"{tuple(outputs.shape)}."
        )
    q = torch.tensor(quantiles, dtype=outputs.dtype, device=outputs.device)
    error = target.unsqueeze(-1) - outputs
    return weighted_mean(torch.maximum(q * error, (q - 1) * error), weight)


def cross_entropy(
    outputs: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    class_weight: Tensor | Sequence[float] | None = None,
    smoothing: float = 0.0,
    ignore: int = -100,
    axis: int = 1,
) -> Tensor:
    """Categorical cross-entropy of logits.

    Shapes: outputs (batch, classes, ...) against target (batch, ...) of int64, or of outputs' shape with probabilities
    (mixed samples). axis: where the classes stand; -1 for (batch, time, vocab). Elements whose target is `ignore`
    count nowhere. smoothing: the truth gets 1 - s, and s is shared by all classes (Szegedy et al. 2016,
    arXiv:1512.00567). class_weight: one a class; as in torch, the mean is over the weights of the true classes.
    """
    outputs = outputs.movedim(axis, 1)
    target = target.movedim(axis, 1) if target.is_floating_point() else target
    classes = _class_weight(class_weight, outputs)
    values = F.cross_entropy(
        outputs, target, weight=classes, ignore_index=ignore, reduction="none", label_smoothing=smoothing
    )
    if target.is_floating_point():
        return weighted_mean(values, weight)
    share = _share(target, weight, ignore, values)
    total = share if classes is None else share * classes[target.where(target != ignore, 0)]
    return (values * share).sum() / _positive(total.sum())  # torch has multiplied by the class weight already


def _share(target: Tensor, weight: Tensor | None, ignore: int, values: Tensor) -> Tensor:
    counted = (target != ignore).to(values.dtype)
    return counted if weight is None else counted * _spread(weight, values)


def _class_weight(given: Tensor | Sequence[float] | None, outputs: Tensor) -> Tensor | None:
    if given is None:
        return None
    weights = torch.as_tensor(given, dtype=outputs.dtype, device=outputs.device)
    if weights.shape != outputs.shape[1:2]:
        raise ShapeError(
            f"class_weight holds one number a class, but {weights.numel()} came for {outputs.shape[1]} classes."
        )
    return weights


def binary_cross_entropy(
    outputs: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    pos_weight: float | Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Binary cross-entropy of logits, also for several labels at once. Shapes: equal, (batch, ...).

    target: 0, 1 or in between. pos_weight: how often a positive counts, a number or one a label (last axis).
    smoothing s: targets become t (1 - s) + s / 2.
    """
    _same_shape("binary_cross_entropy", outputs, target)
    target = target.to(outputs.dtype) * (1 - smoothing) + smoothing / 2
    pos = None if pos_weight is None else torch.as_tensor(pos_weight, dtype=outputs.dtype, device=outputs.device)
    return weighted_mean(F.binary_cross_entropy_with_logits(outputs, target, reduction="none", pos_weight=pos), weight)


def focal(
    outputs: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    gamma: float = 2.0,
    class_weight: Tensor | Sequence[float] | None = None,
    ignore: int = -100,
    axis: int = 1,
) -> Tensor:
    """-(1 - p)^gamma log p of the true class: what is classified well already hardly counts.

    Shapes: (batch, classes, ...) against (batch, ...) int64. class_weight is the paper's alpha, one a class; the mean
    is over samples, not over alpha.
    """
    outputs = outputs.movedim(axis, 1)
    counted = target != ignore
    truth = target.where(counted, 0)
    log_p = outputs.log_softmax(1).gather(1, truth.unsqueeze(1)).squeeze(1)
    values = -((1 - log_p.exp()) ** gamma) * log_p
    classes = _class_weight(class_weight, outputs)
    if classes is not None:
        values = values * classes[truth]
    share = _share(target, weight, ignore, values)
    return (values * share).sum() / _positive(share.sum())


def binary_focal(
    outputs: Tensor, target: Tensor, *, weight: Tensor | None = None, gamma: float = 2.0, alpha: float | None = 0.25
) -> Tensor:
    """The focal loss of logits against 0 or 1. Shapes: equal. alpha: weight of positives, 1 - alpha of negatives."""
    _same_shape("binary_focal", outputs, target)
    target = target.to(outputs.dtype)
    entropy = F.binary_cross_entropy_with_logits(outputs, target, reduction="none")
    s = outputs.sigmoid()
    missed = s + target - 2 * s * target  # 1 - p of the truth
    values = missed**gamma * entropy
    if alpha is not None:
        values = values * (alpha * target + (1 - alpha) * (1 - target))
    return weighted_mean(values, weight)


def gaussian_nll(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None, floor: float = 1e-6) -> Tensor:
    """-log N(target; mean, variance), its constant included. Shapes: (batch, ..., 2) against (batch, ...).

    outputs[..., 0] is the mean, outputs[..., 1] the logarithm of the variance. floor: smallest variance.
    """
    if outputs.shape != (*target.shape, 2):
        raise ShapeError(
            f"gaussian_nll reads a mean and a log-variance for each target, shape {(*target.shape, 2)}, "
            f"but outputs are {tuple(outputs.shape)}."
        )
    mean, log_variance = outputs.unbind(-1)
    log_variance = log_variance.clamp_min(math.log(floor))
    error = (target - mean).square() * torch.exp(-log_variance)
    return weighted_mean(0.5 * (log_variance + error + math.log(2 * math.pi)), weight)


def l1_penalty(parameters: Iterable[Tensor]) -> Tensor:
    """sum |w|, to be multiplied by its strength. Exact zeros come from `optimizers.shrink`, not from its gradient."""
    return torch.stack([p.abs().sum() for p in parameters]).sum()


def l2_penalty(parameters: Iterable[Tensor]) -> Tensor:
    """sum w^2 / 2, whose gradient is w: strength s is then the classical weight decay s."""
    return torch.stack([p.square().sum() for p in parameters]).sum() / 2


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "quantile": quantile,
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "focal": focal,
    "binary_focal": binary_focal,
    "gaussian_nll": gaussian_nll,
}


def create(name: str, **options: Any) -> Callable[..., Tensor]:
    """The loss of that name with its options set: `create("huber", delta=2.0)(outputs, target, weight=w)`.

    Raises: UnknownName, SettingError.
    """
    loss = choose("loss", name, LOSSES)
    return partial(loss, **options_of("loss", name, loss, options, given=2))
