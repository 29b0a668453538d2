"""Graphs from two tables and from NetworkX."""

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.data.sources import graph


def folder(tmp_path, nodes="id,text,y\na,hello,1\nb,there,2\nc,you,1\n", edges="from,to\na,b\nc,b\n"):
    (tmp_path / "nodes.csv").write_text(nodes)
    (tmp_path / "edges.csv").write_text(edges)
    return tmp_path


def test_a_folder_of_two_tables_is_a_table_of_nodes_with_edges(tmp_path):
    read = graph.read(folder(tmp_path))
    assert list(read.columns) == ["text", "y"] and read.rows == 3 and read.ids == ["a", "b", "c"]
    assert read.edges.dtype == np.int64 and read.edges.tolist() == [[0, 2], [1, 1]]
    assert any("'id'" in note for note in read.notes)


def test_either_file_stands_for_the_pair(tmp_path):
    folder(tmp_path)
    for name in ("", "nodes.csv", "edges.csv"):
        assert graph.sniff(tmp_path / name) == 1
        assert graph.read(tmp_path / name).edges.tolist() == [[0, 2], [1, 1]]
    assert graph.sniff(tmp_path / "other.csv") == 0
    (tmp_path / "links.csv").write_text("a,b\nb,c\n")
    assert graph.read(tmp_path / "nodes.csv", edges=tmp_path / "links.csv").edges.tolist() == [[1], [2]]


def test_from_and_to_are_found_by_name_whatever_their_order(tmp_path):
    read = graph.read(folder(tmp_path, edges="weight,to,from\n3,b,a\n1,c,a\n"))
    assert read.edges.tolist() == [[0, 0], [1, 2]]
    assert any("'to'" not in note and "not used" in note for note in read.notes)


def test_an_edge_to_a_node_that_does_not_exist_names_row_and_nearest_id(tmp_path):
    nodes = "id,y\nalpha,1\nbeta,2\n"
    with pytest.raises(DataError, match=r"row 3 of .*edges\.csv, column 'to'.*'bets'.*Did you mean 'beta'\?"):
        graph.read(folder(tmp_path, nodes=nodes, edges="from,to\nalpha,beta\nalpha,bets\n"))


def test_an_edge_with_an_empty_end_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"row 2 of .*edges\.csv, column 'from'.*is empty"):
        graph.read(folder(tmp_path, edges="from,to\n,b\na,b\n"))


def test_an_id_given_twice_names_both_rows(tmp_path):
    with pytest.raises(DataError, match=r"row 4 of .*'a' was already given in row 2 of .*unique"):
        graph.read(folder(tmp_path, nodes="id,y\na,1\nb,2\na,3\n"))


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "nodes.csv").write_text("id,y\na,1\nb,2\n")
    with pytest.raises(DataError, match=r"has no edges\.csv"):
        graph.read(tmp_path)


def test_no_nodes_is_refused(tmp_path):
    with pytest.raises(DataError):
        graph.read(folder(tmp_path, nodes="id,y\n"))


def test_nodes_without_edges_are_read(tmp_path):
    assert graph.read(folder(tmp_path, edges="from,to\n")).edges.shape == (2, 0)


def test_loops_and_repeated_edges_are_counted(tmp_path):
    read = graph.read(folder(tmp_path, edges="from,to\na,a\na,b\na,b\n"))
    assert read.edges.shape == (2, 3)
    assert any("1 edges are loops" in n for n in read.notes) and any("1 edges are given more" in n for n in read.notes)


def test_some_of_the_nodes_keep_the_edges_among_them(tmp_path):
    part = graph.read(folder(tmp_path)).take([1, 2])
    assert part.ids == ["b", "c"] and part.edges.tolist() == [[1], [0]]
    assert list(part["text"].values) == ["there", "you"]


def test_a_networkx_graph_has_attributes_as_columns():
    networkx = pytest.importorskip("networkx")
    read = graph.read(networkx.karate_club_graph())
    assert read.rows == 34 and read.edges.shape == (2, 78) and list(read.columns) == ["club"]
    assert set(read["club"].values) == {"Mr. Hi", "Officer"}
    with pytest.raises(DataError, match="no nodes"):
        graph.read(networkx.Graph())
