"""What the answers of a task of tags tell: how good each tag is, and which rows are the worst."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.metrics.interval import proportion
from lamina.report.blocks import Cell, Table, number
from lamina.report.judged import Answers, gallery

__all__ = ["counted", "tags", "worst"]

LISTED = 40
SHOWN = 12


def _told(part: Any, raw: Mapping[str, Any], answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities and truths (rows, tags), and weights of rows."""
    p = raw["probabilities"].float().numpy()
    weight = np.ones(len(p)) if answers.weight is None else answers.weight.numpy().astype(float)
    return p, answers.targets[part.key].numpy() > 0.5, weight


def tags(part: Any, raw: Mapping[str, Any], answers: Answers) -> list[Any]:
    """Precision, recall and F1 of each tag where its probability is above 0.5, the worst F1 first."""
    p, true, weight = _told(part, raw, answers)
    given = p > 0.5
    rows = []
    for i in np.argsort(-true.sum(0), kind="stable")[:LISTED]:
        said, held = given[:, i], true[:, i]
        hits = (weight * (said & held)).sum()
        mass = (weight * said).sum() + (weight * held).sum()
        f1 = float(2 * hits / mass) if mass else float("nan")
        precision, recall = _share(held, said, weight), _share(said, held, weight)
        bar = Cell(number(f1), bar=f1 if np.isfinite(f1) else None)
        rows.append(
            (f1 if np.isfinite(f1) else 2.0, [part.names[int(i)], precision, recall, bar, f"{int(held.sum()):,}"])
        )
    rows.sort(key=lambda row: row[0])
    note = "A tag is given where its probability is above 0.5; with 95 % intervals, the tag of lowest F1 first."
    if len(part.names) > LISTED:
        note += f" The {LISTED} most frequent tags."
    return [Table("By tag", ["tag", "precision", "recall", "F1", "rows"], [row for _, row in rows], note)]


def _share(hit: np.ndarray, over: np.ndarray, weight: np.ndarray) -> Cell:
    if not over.any() or not weight[over].any():
        return Cell("–")
    value, low, high = proportion(hit[over].astype(float), weight[over])
    return Cell(number(float(value)), note="" if np.isnan(low) else f"{number(low)} – {number(high)}")


def worst(part: Any, raw: Mapping[str, Any], answers: Answers, drawer: Any) -> list[Any]:
    """The rows whose tags were given the least probability all together."""
    p, true, _ = _told(part, raw, answers)
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    cost = -np.where(true, np.log(p), np.log(1 - p)).sum(1)
    wrong = np.flatnonzero(((p > 0.5) != true).any(1))
    picked = []
    for i in wrong[np.argsort(-cost[wrong], kind="stable")][:SHOWN]:
        missed = [part.names[j] for j in np.flatnonzero(true[i] & (p[i] <= 0.5))[:5]]
        extra = [part.names[j] for j in np.flatnonzero(~true[i] & (p[i] > 0.5))[:5]]
        words = "; ".join(
            f"{how} {', '.join(names)}" for how, names in (("missed", missed), ("wrongly", extra)) if names
        )
        picked.append((int(answers.rows[i]), words, "bad"))
    return gallery("Worst by loss", drawer, picked, f"{len(wrong):,} of {len(p):,} rows have a wrong tag.")


def counted(name: str, labels: list[str], held: np.ndarray, splits: Mapping[str, np.ndarray]) -> Table:
    """How many rows of each split have each tag, the most frequent first."""
    counts = {split: held[rows].sum(0) for split, rows in splits.items()}
    total = np.sum(list(counts.values()), axis=0)
    rows_in_all = sum(len(rows) for rows in splits.values())
    rows = []
    for i in np.argsort(-total, kind="stable")[:LISTED]:
        share = total[i] / max(1, rows_in_all)
        cells = [f"{int(n[i]):,}" for n in counts.values()]
        rows.append([labels[int(i)], Cell(f"{100 * share:.1f} %", bar=float(share)), *cells])
    return Table(f"Tags of {name}", ["tag", "of all rows", *counts], rows)
