"""A graph as a data set: its samples are the nodes, and a batch is the whole of it."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.protocols import Batch, Feed
from lamina.data import feeds
from lamina.data.dataset import TableData

__all__ = ["GraphData"]


class GraphData(TableData):
    """Nodes with fields, and edges between them; `rows` in a batch are the nodes whose answers count.

    Nodes without a target stay in the graph and belong to no split.
    """

    sampler: Mapping[str, Any] = {"kind": "graph"}

    def kinds(self) -> list[str]:
        """Those of the node columns, and edges; texts of nodes stand as bags of words."""
        return [*("words" if kind == "text" else kind for kind in super().kinds()), "edges"]

    def sizes(self) -> dict[str, Any]:
        """As for tables; the vocabulary is the bags'."""
        sizes = super().sizes()
        return {**sizes, "vocab": sizes["words"]} if "words" in sizes else sizes

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the used columns and the edges."""
        edges = np.ascontiguousarray(np.asarray(self.table.edges))  # type: ignore[attr-defined]
        return hashlib.sha256(super().fingerprint.encode() + edges.tobytes()).hexdigest()

    @property
    def edges(self) -> Tensor:
        """(2, edges) int64."""
        return torch.as_tensor(np.asarray(self.table.edges), dtype=torch.long)  # type: ignore[attr-defined]

    def whole(self) -> Batch:
        """Every node and edge."""
        batch = self.take(torch.arange(self.table.rows))
        return {**batch, "edges": self._edges()}

    def _edges(self) -> Tensor:
        if "edges" not in self._arrays:  # kept, so that what is derived from the very same tensor is derived once
            self._arrays["edges"] = self.edges
        return self._arrays["edges"]

    def target(self, name: str) -> Tensor:
        """A target, encoded; 0 for nodes that lack it, which no split holds."""
        key = f"target.{name}"
        if key not in self._arrays:
            column, field = self.table[name], self.fields[name]
            known = np.flatnonzero(~field.missing(column))
            given = torch.as_tensor(field.encode_target(column.take(known)))
            held = torch.zeros(len(column.values), *given.shape[1:], dtype=given.dtype)
            held[torch.as_tensor(known)] = given
            self._arrays[key] = held
        return self._arrays[key]

    def feed(self, sampler: Mapping[str, Any], *, split: str, batch: int, seed: int, augment: Any = None) -> Feed:
        """The graph as a whole, each step."""
        if batch:
            raise SettingError(f"A graph is learnt from as a whole: method.batch is 0, not {batch}.")
        return feeds.Graph(self.whole(), self.splits[split])

    def batches(self, sampler: Mapping[str, Any], *, split: str, batch: int) -> Iterator[Batch]:
        """One batch: the whole graph, with the split's nodes as rows."""
        if self.count(split):
            yield {**self.whole(), "rows": self.splits[split]}
