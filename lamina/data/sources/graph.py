"""A graph: a folder (or a pair) of nodes.csv and edges.csv, or a NetworkX graph; nodes are the rows of a table.

The first column of the nodes is their id, which is no input. Edges have two columns, from and to, that hold ids. What
is counted on the way (loops, edges given twice) stands in `notes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError, did_you_mean
from lamina.data.sources import table as tables
from lamina.data.sources._files import leads_out
from lamina.data.sources.frame import Table, TableColumn, column_values

__all__ = ["GraphTable", "read", "sniff"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


@dataclass
class GraphTable(Table):
    """A table whose rows are nodes.

    edges: (2, edges) int64, rows of the table, from and to. ids: of the nodes, as in the file.
    """

    edges: np.ndarray = field(default_factory=lambda: np.zeros((2, 0), np.int64))
    ids: Sequence[Any] = ()

    def take(self, rows: Any) -> "GraphTable":
        """The part with only these nodes and the edges among them."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        kept = super().take(rows)
        place = np.full(self.rows, -1, np.int64)
        place[rows] = np.arange(len(rows))
        edges = place[self.edges]
        edges = edges[:, (edges >= 0).all(0)]
        ids = [self.ids[i] for i in rows.tolist()]
        return GraphTable(kept.columns, kept.rows, kept.source, kept.first_row, kept.skipped, kept.notes, edges, ids)


def sniff(path: Path) -> float:
    """1 for a folder with nodes and edges, or for either of the two files with the other beside it."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.stem not in {"nodes", "edges"}:
        return 0.0
    return 1.0 if _beside(folder, "nodes") and _beside(folder, "edges") else 0.0


def read(path: Any, *, edges: str | Path | None = None, encoding: str = "utf-8") -> GraphTable:
    """A graph as a table of nodes with edges.

    Args:
        path: a folder, one of the two files, the file of the nodes, or a NetworkX graph.
        edges: the file of the edges, where it is not edges.csv beside the nodes.
        encoding: of both files.

    Raises: DataError for missing files, no nodes, an id given twice, and an edge to a node that does not exist.
    """
    if hasattr(path, "nodes") and hasattr(path, "edges"):
        return _networkx(path)
    nodes_file, edges_file = _files(Path(path), edges)
    nodes = tables.read(nodes_file, encoding=encoding)
    if not nodes.columns or not nodes.rows:
        raise DataError(f"{nodes_file} has no nodes. Expected one node a row, its id in the first column.")
    first = next(iter(nodes.columns.values()))
    ids = [None if v is None else str(v) for v in first.values]
    at: dict[str, int] = {}
    for row, id_ in enumerate(ids):
        if id_ is None:
            raise DataError(f"{first.where(row)}: the node has no id in column {first.name!r}. Give each node one.")
        if id_ in at:
            raise DataError(
                f"{first.where(row)}: node {id_!r} was already given in {first.where(at[id_])}. "
                f"Ids (column {first.name!r}, the first) must be unique: drop or rename one."
            )
        at[id_] = row
    columns = {name: column for name, column in nodes.columns.items() if name != first.name}
    notes = [*nodes.notes, f"nodes are told apart by {first.name!r}, the first column of {nodes_file.name}"]
    made = GraphTable(columns, nodes.rows, str(path), nodes.first_row, list(nodes.skipped), notes, ids=ids)
    made.edges, counted = _edges(edges_file, encoding, at, nodes_file)
    lone = nodes.rows - len(np.unique(made.edges))
    made.notes += [*counted, *([f"{lone:,} nodes have no edge"] if lone else [])]
    return made


def _edges(file: Path, encoding: str, at: dict[str, int], nodes_file: Path) -> tuple[np.ndarray, list[str]]:
    if file.suffix.lower() in {".csv", ".tsv"} and file.read_bytes().count(b"\n") <= 1:
        try:
            table = tables.read(file, encoding=encoding)
        except DataError:  # a header and nothing below it: nodes without edges
            return np.zeros((2, 0), np.int64), [f"{file.name} holds no edges"]
    else:
        table = tables.read(file, encoding=encoding)
    if len(table.columns) < 2:
        raise DataError(f"{file} has the columns {list(table.columns)}, but edges need two: from and to, ids of nodes.")
    names = ("from", "to") if {"from", "to"} <= table.columns.keys() else tuple(table.columns)[:2]
    out = np.empty((2, table.rows), np.int64)
    for side, name in enumerate(names):
        column = table.columns[name]
        for row, value in enumerate(column.values):
            place = at.get("" if value is None else str(value), -1)
            if place < 0:
                came = "is empty" if value is None else f"names node {str(value)!r}, which {nodes_file.name} lacks"
                near = did_you_mean(str(value), at) if value is not None and len(at) <= 200_000 else ""
                raise DataError(
                    f"{column.where(row)}, column {name!r}: the edge {came}.{near} "
                    f"Add the node to {nodes_file.name}, or drop the edge."
                )
            out[side, row] = place
    more = list(table.columns)[2:]
    notes = [f"columns {', '.join(map(repr, more))} of {file.name} are not used"] if more else []
    return out, [*_counted(out), *notes]


def _counted(edges: np.ndarray) -> list[str]:
    loops = int((edges[0] == edges[1]).sum())
    twice = edges.shape[1] - np.unique(edges, axis=1).shape[1] if edges.size else 0
    notes = [f"{edges.shape[1]:,} edges"]
    notes += [f"{loops:,} edges are loops (from a node to itself)"] if loops else []
    notes += [f"{twice:,} edges are given more than once; each counts once"] if twice else []
    return notes


def _networkx(graph: Any) -> GraphTable:
    """Node attributes become columns (None where a node lacks one); an undirected edge stands once."""
    ids = list(graph.nodes)
    if not ids:
        raise DataError("The graph has no nodes. Give one with at least two.")
    at = {id_: row for row, id_ in enumerate(ids)}
    names = dict.fromkeys(str(key) for id_ in ids for key in graph.nodes[id_])
    rows = [{str(k): v for k, v in graph.nodes[id_].items()} for id_ in ids]
    columns = {
        name: TableColumn(name, column_values([row.get(name) for row in rows]), "the graph", 0) for name in names
    }
    pairs = [(at[edge[0]], at[edge[1]]) for edge in graph.edges]
    edges = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    return GraphTable(columns, len(ids), "the graph", 0, [], _counted(edges), edges, ids)


def _files(path: Path, edges: str | Path | None) -> tuple[Path, Path]:
    if path.is_dir():
        nodes_file, edges_file = _beside(path, "nodes"), _beside(path, "edges")
    else:
        nodes_file = _beside(path.parent, "nodes") if path.stem == "edges" and edges is None else path
        edges_file = path if path.stem == "edges" and edges is None else _beside(path.parent, "edges")
    edges_file = Path(edges) if edges is not None else edges_file
    for word, file in (("nodes", nodes_file), ("edges", edges_file)):
        if file is None or not file.is_file():
            raise DataError(
                f"{path} has no {file.name if file else f'{word}.csv'}. A graph is a folder with nodes.csv (first "
                "column the id) and edges.csv (columns from, to)."
            )
        home = path if path.is_dir() else path.parent
        if file != path and edges is None and leads_out(file, home):
            raise DataError(f"{file} is a link that leads out of {home}. Put the table itself there.")
    return nodes_file, edges_file  # type: ignore[return-value]


def _beside(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{suffix}" for suffix in SUFFIXES if (folder / f"{stem}{suffix}").is_file()]
    return found[0] if found else None
