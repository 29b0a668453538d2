"""What a network has to beat: the class prior, the mean, a linear model, letter frequencies. Seconds, no tuning.

Linear: ridge regression in closed form, and multinomial logistic regression by L-BFGS (Liu & Nocedal 1989), on
standardised columns with a penalty of 1 on the squared coefficients: scikit-learn's `Ridge(alpha=1)` and
`LogisticRegression(C=1)`. Sets of more than 20,000 rows are subsampled and more than 1,024 columns screened, so that
an answer takes seconds.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from lamina.core.errors import ShapeError
from lamina.core.seeds import mix
from lamina.metrics.arrays import as_array, check_rows, check_weights

__all__ = ["classification", "regression", "text"]

ROWS = 20_000
COLUMNS = 1024
PENALTY = 1.0


def classification(
    train_x: Any, train_y: Any, test_x: Any, classes: int, weights: Any = None, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Class probabilities (test rows, classes) of 'prior' (the majority class, if one must choose) and 'linear'.

    Args:
        train_x, test_x: (rows, columns) numbers; nan is missing and becomes the training mean. train_y: class numbers.
        weights: (rows,) of the training rows, zero or more.
    """
    y = as_array(train_y).reshape(-1).astype(np.int64)
    w = check_weights(weights, len(y))
    mass = np.bincount(y, w, minlength=classes)
    if len(mass) > classes:
        raise ShapeError(f"{classes} classes were named, but class number {len(mass) - 1} came. They count from 0.")
    rows = _subset(len(y), seed)
    x, test = _columns(train_x, test_x, w, rows)
    y, w = y[rows], w[rows]
    prior = np.repeat((mass / mass.sum())[None], len(test), axis=0)
    found = {"prior": prior}
    if (mass > 0).sum() > 1 and x.shape[1]:
        x, test = _screen(x, test, w, np.eye(classes)[y])
        found["linear"] = _logistic(x, y, test, w, classes, prior[0])
    return found


def regression(train_x: Any, train_y: Any, test_x: Any, weights: Any = None, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers (test rows,) of 'mean' (least squares), 'median' (least absolute error) and 'linear'."""
    y = as_array(train_y).reshape(-1).astype(np.float64)
    check_rows("targets", y)
    w = check_weights(weights, len(y))
    rows = _subset(len(y), seed)
    x, test = _columns(train_x, test_x, w, rows)
    order = np.argsort(y, kind="stable")
    middle = y[order[np.searchsorted(np.cumsum(w[order]), w.sum() / 2)]]
    found = {"mean": np.full(len(test), np.average(y, weights=w)), "median": np.full(len(test), middle)}
    if x.shape[1]:
        y, w = y[rows], w[rows]
        centre = np.average(y, weights=w)
        x, test = _screen(x, test, w, (y - centre)[:, None])
        x, y, test = x.astype(np.float64), y - centre, test.astype(np.float64)
        gram = (x * w[:, None]).T @ x + PENALTY * np.eye(x.shape[1])
        found["linear"] = centre + test @ np.linalg.solve(gram, x.T @ (w * y))
    return found


def text(train: Iterable[str | bytes], test: Iterable[str | bytes]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """'unigram': (nats, bytes) of each test document when every byte is drawn by its frequency in training.

    Half a count is added to each of the 256 bytes (Krichevsky & Trofimov 1981). Hand both to
    `metrics.language.language(nats, bytes, bytes)` for bits per byte.
    """
    counts = np.full(256, 0.5)
    for document in train:
        counts += np.bincount(_bytes(document), minlength=256)
    cost = -np.log(counts / counts.sum())
    pages = [_bytes(document) for document in test]
    return {"unigram": (np.array([cost[p].sum() for p in pages]), np.array([len(p) for p in pages]))}


def _bytes(document: str | bytes) -> np.ndarray:
    return np.frombuffer(document.encode() if isinstance(document, str) else document, np.uint8)


def _columns(train_x: Any, test_x: Any, w: np.ndarray, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """The chosen rows and the test rows in float32, standardised by the former; constant columns are left out."""
    x, test = (as_array(a) for a in (train_x, test_x))
    if len(x) != len(w):
        raise ShapeError(f"{len(x)} training rows came with {len(w)} targets. Give one target for each row.")
    x, w = x[rows], w[rows]
    x, test = (a.reshape(len(a), math.prod(a.shape[1:])).astype(np.float32) for a in (x, test))
    if x.shape[1] != test.shape[1]:
        raise ShapeError(f"Training rows have {x.shape[1]} columns, test rows {test.shape[1]}. Encode both alike.")
    missing = ~np.isfinite(x)
    if missing.any() or not np.isfinite(test).all():
        filled = np.where(missing, 0, x)
        known = w @ ~missing
        mean = np.divide(w @ filled, known, out=np.zeros(x.shape[1]), where=known > 0).astype(np.float32)
        x, test = np.where(missing, mean, x), np.where(np.isfinite(test), test, mean)
    mean = (w @ x) / w.sum()
    x = x - mean.astype(np.float32)
    scale = np.sqrt(w @ np.square(x) / w.sum())
    held = scale > 1e-6 * np.maximum(1e-6, np.abs(mean))
    divisor = scale[held].astype(np.float32)
    return x[:, held] / divisor, (test[:, held] - mean[held].astype(np.float32)) / divisor


def _subset(count: int, seed: int) -> Any:
    if count <= ROWS:
        return slice(None)
    return np.sort(np.random.default_rng(mix(seed, "baseline")).permutation(count)[:ROWS])


def _screen(x: np.ndarray, test: np.ndarray, w: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns most correlated with the target, where there are too many (sure screening, Fan & Lv 2008)."""
    if x.shape[1] <= COLUMNS:
        return x, test
    y = y - np.average(y, axis=0, weights=w)
    tie = np.square((x.T @ (w[:, None] * y).astype(np.float32)) / np.maximum(1e-12, np.sqrt(w @ np.square(y)))).sum(1)
    best = np.sort(np.argsort(-tie, kind="stable")[:COLUMNS])
    return x[:, best], test[:, best]


def _logistic(x, y, test, w, classes: int, prior: np.ndarray) -> np.ndarray:
    """argmin over (a, b) of sum w · cross-entropy + |a|² / 2; two classes share one column of coefficients."""
    inputs, weights = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(w.astype(np.float32))
    total = float(w.sum())
    scores = 1 if classes == 2 else classes
    start = np.log(np.maximum(prior, 1e-6))
    a = torch.zeros(x.shape[1], scores, requires_grad=True)
    b = torch.tensor(start[1:] - start[:1] if scores == 1 else start, dtype=torch.float32, requires_grad=True)
    target = torch.from_numpy(y)
    with torch.enable_grad():
        optimizer = torch.optim.LBFGS(
            [a, b], max_iter=60, history_size=10, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            z = inputs @ a + b
            if scores == 1:
                each = torch.nn.functional.softplus(torch.where(target == 1, -z[:, 0], z[:, 0]))
            else:
                each = torch.nn.functional.cross_entropy(z, target, reduction="none")
            loss = ((weights * each).sum() + PENALTY / 2 * a.square().sum()) / total
            loss.backward()
            return loss

        optimizer.step(closure)
    with torch.no_grad():
        z = (torch.from_numpy(np.ascontiguousarray(test)) @ a + b).double()
        if scores == 1:
            z = torch.cat([torch.zeros_like(z), z], dim=1)
        return z.softmax(1).numpy()
