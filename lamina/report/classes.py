"""What the answers of a classifier tell: which classes it mixes up, how far it may be believed, where it is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.metrics.classification import calibration, confusion, per_class
from lamina.metrics.interval import proportion
from lamina.metrics.value import Value
from lamina.report.blocks import Cell, Figure, Lines, Series, Table, compact, number
from lamina.report.judged import Answers, gallery

__all__ = ["classes", "mistakes", "thresholds"]

MATRIX = 20  # classes up to which all pairs are shown
LISTED = 40  # classes that a table lists
SHOWN = 12  # examples of a kind
LEAST = 5  # rows of a class that a threshold is chosen by


def classes(part: Any, raw: Mapping[str, Any], answers: Answers) -> list[Any]:
    """Confusion matrix, figures by class and calibration of one target."""
    p, y, w = _arrays(part, raw, answers)
    names = part.names
    found: list[Any] = [*_confusion(p, y, w, names), *_by_class(p, y, w, names), *_calibration(p, y, w)]
    return found


def _arrays(part: Any, raw: Mapping[str, Any], answers: Answers) -> tuple[np.ndarray, np.ndarray, Any]:
    weight = None if answers.weight is None else answers.weight.numpy()
    return raw["probabilities"].float().numpy(), answers.targets[part.key].numpy().astype(int), weight


def _confusion(p: np.ndarray, y: np.ndarray, w: Any, names: Sequence[str]) -> list[Any]:
    table = confusion(p, y, w, len(names))
    weighed = " (by weight)" if w is not None else ""
    pairs = [(table[a, b], a, b) for a, b in zip(*np.nonzero(table), strict=True) if a != b]
    pairs.sort(key=lambda pair: -pair[0])
    found: list[Any] = []
    if len(names) <= MATRIX:
        whole = np.clip(table.sum(1, keepdims=True), 1e-12, None)
        shares = table / whole
        rows = []
        for a, name in enumerate(names):
            cells = [
                Cell(_count(table[a, b]), shade=float(shares[a, b]) if table[a, b] else None,
                     mood="right" if a == b else "", note=f"{100 * shares[a, b]:.0f} % of {name}")
                for b in range(len(names))
            ]  # fmt: skip
            rows.append([name, *cells])
        note = f"Down: the true class; across: the answer. Rows{weighed}; the darker, the larger the share of its row."
        found.append(Table("Confusion matrix", ["true ↓ answered →", *names], rows, note, matrix=True))
    if len(names) > 3 and pairs:
        rows = [
            [names[a], names[b], Cell(_count(n), bar=float(n / pairs[0][0])), f"{100 * n / table[a].sum():.1f} %"]
            for n, a, b in pairs[:10]
        ]
        head = ["true class", "answered", f"rows{weighed}", "of that class"]
        found.append(Table("Most frequent confusions", head, rows, left=2))
    return found


def _count(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _by_class(p: np.ndarray, y: np.ndarray, w: Any, names: Sequence[str]) -> list[Any]:
    """Precision, recall and F1 by class with intervals, the worst F1 first."""
    kept = np.arange(len(names))
    if len(names) > LISTED:  # the frequent ones: each takes a thousand resamplings
        kept = np.argsort(-np.bincount(y, minlength=len(names)), kind="stable")[:LISTED]
        # the rest is one class, so that precision still counts the rows of the others
        place = np.full(len(names), len(kept))
        place[kept] = np.arange(len(kept))
        own = np.eye(len(kept) + 1, dtype=p.dtype)[place[p.argmax(1)]]
        p, y, names = own, place[y], [*(names[int(c)] for c in kept), "all others"]
    pages = per_class(p, y, w, names)
    names = names[:LISTED]
    order = sorted(names, key=lambda n: pages[n]["f1"].value if "f1" in pages[n] else 2.0)
    rows = []
    for name in order:
        page = pages[name]
        count = page["recall"].count if "recall" in page else 0
        rows.append([name, *(_figure(page.get(f), f == "f1") for f in ("precision", "recall", "f1")), f"{count:,}"])
    note = "With 95 % intervals, the class of lowest F1 first."
    if len(kept) < len(pages) - 1 or len(pages) > len(names):
        note += f" The {LISTED} most frequent classes."
    return [Table("By class", ["class", "precision", "recall", "F1", "rows"], rows, note)]


def _figure(value: Value | None, bar: bool) -> Cell:
    if value is None:
        return Cell("–")
    interval = "" if np.isnan(value.low) else f"{number(value.low)} – {number(value.high)}"
    return Cell(number(float(value.value)), note=interval, bar=float(max(0.0, min(1.0, value.value))) if bar else None)


def _calibration(p: np.ndarray, y: np.ndarray, w: Any) -> list[Figure]:
    found = calibration(p, y, w)
    confidence, accuracy = found["confidence"].tolist(), found["accuracy"].tolist()
    gap = float(np.average(np.abs(found["confidence"] - found["accuracy"]), weights=found["weight"]))
    lean = float(np.average(found["confidence"] - found["accuracy"], weights=found["weight"]))
    said = "more often right than they claim" if lean < 0 else "less often right than they claim"
    alt = f"On average confidence and accuracy differ by {number(gap)} (calibration error)" + (
        f"; answers are {said}." if abs(lean) > 0.02 else "."
    )
    ends = [min(confidence, default=0.0), 1.0]
    series = [
        Series("as often right as claimed", ends, ends, "dashed"),
        Series("answers", confidence, accuracy, "marked"),
    ]
    return [
        Figure(
            "calibration",
            "Calibration",
            "confidence of the answer",
            "share that is right",
            series,
            alt,
            alt,
            share=True,
        )
    ]


def thresholds(
    part: Any, chosen: tuple[np.ndarray, np.ndarray, Any], judged: tuple[Any, Any, Any], split: str
) -> list[Any]:
    """Where to draw the line between two classes: chosen on one split, shown on the other."""
    name = part.names[1]
    p, y, w = chosen
    cuts, precision, recall, f1 = _at_all(p[:, 1], y == 1, w)
    if not len(cuts) or min((y == 1).sum(), (y == 0).sum()) < LEAST:
        held = f"{(y == 1).sum():,} of {len(y):,} rows of the {split} split are {name}"
        words = f"{held}: too few of one class to choose a threshold by."
        return [Lines([words], f"Threshold for {name}")]
    known = [float(c) for c in cuts]
    series = [
        Series("precision", known, precision.tolist()), Series("recall", known, recall.tolist()),
        Series("F1", known, f1.tolist(), "dashed"),
    ]  # fmt: skip
    top = int(f1.argmax())
    alt = (
        f"F1 of {name} is highest, {number(float(f1[top]))}, where everything above {number(known[top])} is taken for "
        f"it; at 0.5 it is {number(float(_at(p[:, 1], y == 1, w, 0.5)[2]))}."
    )
    figure = Figure(
        "threshold", f"Threshold for {name}", f"threshold on the probability of {name}", "share", series, alt,
        note=f"Drawn over the {split} split.",
    )  # fmt: skip
    picks = [("0.5, the usual", 0.5), ("largest F1", known[top])]
    for wanted in (0.5, 0.8, 0.95):
        able = np.flatnonzero(recall >= wanted)
        if len(able):
            picks.append((f"recall at least {wanted}", known[int(able[-1])]))
    rows = []
    for words, cut in picks:
        own = _at(judged[0][:, 1], judged[1] == 1, judged[2], cut)
        rows.append([words, compact(float(f"{cut:.4g}")), *(number(float(v)) for v in own[:3]), f"{own[3]:.1%}"])
    note = f"Thresholds chosen on the {split} split; the figures are those of the split the run is judged on."
    head = ["aim", "threshold", "precision", "recall", "F1", f"taken for {name}"]
    return [figure, Table("Choosing a threshold", head, rows, note)]


def _at_all(score: np.ndarray, positive: np.ndarray, w: Any) -> tuple[np.ndarray, ...]:
    """Thresholds in ascending order with precision, recall and F1 of what lies at or above each."""
    weight = np.ones(len(score)) if w is None else np.asarray(w, dtype=float)
    if not positive.any() or positive.all():
        return (np.zeros(0),) * 4
    order = np.argsort(-score, kind="stable")
    hits, taken = np.cumsum((weight * positive)[order]), np.cumsum(weight[order])
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    total = (weight * positive).sum()
    precision, recall = hits[last] / np.clip(taken[last], 1e-12, None), hits[last] / total
    f1 = 2 * hits[last] / np.clip(taken[last] + total, 1e-12, None)
    return tuple(v[::-1] for v in (score[order][last], precision, recall, f1))


def _at(score: np.ndarray, positive: np.ndarray, w: Any, cut: float) -> tuple[float, float, float, float]:
    weight = np.ones(len(score)) if w is None else np.asarray(w, dtype=float)
    taken = score >= cut
    hits, total = (weight * (taken & positive)).sum(), (weight * positive).sum()
    mass = (weight * taken).sum()
    nan = float("nan")
    return (
        hits / mass if mass else nan, hits / total if total else nan,
        2 * hits / (mass + total) if mass + total else nan, mass / weight.sum(),
    )  # fmt: skip


def mistakes(part: Any, raw: Mapping[str, Any], answers: Answers, drawer: Any) -> list[Any]:
    """The rows that are wrong with the most confidence, and those whose true class got the least."""
    p, y, _ = _arrays(part, raw, answers)
    top, sure, own = p.argmax(1), p.max(1), p[np.arange(len(y)), y]
    wrong = np.flatnonzero(top != y)
    if not len(wrong):
        return []

    def picked(order: np.ndarray) -> list[tuple[int, str, str]]:
        titles = []
        for i in order[:SHOWN]:
            words = f"{part.names[y[i]]}, taken for {part.names[top[i]]} ({sure[i]:.0%} sure)"
            titles.append((int(answers.rows[i]), words, "bad"))
        return titles

    confident = wrong[np.argsort(-sure[wrong], kind="stable")]
    hard = wrong[np.argsort(own[wrong], kind="stable")]
    count = f"{len(wrong):,} of {len(y):,} rows are wrong."
    found: list[Any] = list(gallery("Wrong, and surest of it", drawer, picked(confident), count))
    if len(part.names) > 2 and set(confident[:SHOWN].tolist()) != set(hard[:SHOWN].tolist()):
        note = "Those whose true class was given the least probability, which the log loss counts the most."
        new = np.array([i for i in hard if i not in set(confident[:SHOWN].tolist())], dtype=int)
        found += gallery("Worst by loss, of the others", drawer, picked(new), note)
    unsure = np.flatnonzero(top == y)
    unsure = unsure[np.argsort(sure[unsure], kind="stable")][:SHOWN]
    titles = [(int(answers.rows[i]), f"{part.names[y[i]]} ({sure[i]:.0%} sure)", "") for i in unsure]
    if drawer.pictures:
        found += gallery("Right, and least sure of it", drawer, titles)
    return found


def right(part: Any, raw: Mapping[str, Any], answers: Answers, chosen: np.ndarray, interval: bool) -> Value:
    """The share of some rows that is answered rightly, with its interval, which costs next to nothing."""
    p, y, w = _arrays(part, raw, answers)
    weight = np.ones(len(y)) if w is None else np.asarray(w, dtype=float)
    hits = (p.argmax(1) == y)[chosen].astype(float)
    return Value(*proportion(hits, weight[chosen]), count=len(hits))
