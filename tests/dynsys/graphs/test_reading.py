"""Every way to hand in a graph gives the same graph; what is no graph is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from dynsys.errors import InputError
from dynsys.graphs import Graph, as_graph

EDGES = np.array([[0, 0, 1, 3], [1, 2, 2, 4]])  # a triangle, an edge, and node 5 alone
N = 6


def dense() -> np.ndarray:
    A = np.zeros((N, N))
    A[EDGES[0], EDGES[1]] = A[EDGES[1], EDGES[0]] = 1
    return A


def networkx_graph() -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(N))
    graph.add_edges_from(EDGES.T.tolist())
    return graph


def written(kind: str, folder: Path) -> Path:
    ending = kind.split(maxsplit=1)[0]
    path = folder / f"graph.{ending}"
    if kind == "npz edges":
        np.savez(path, edges=EDGES, num_nodes=N)
    elif kind == "npz edge_index":
        np.savez(path, edge_index=np.concatenate([EDGES, EDGES[::-1]], axis=1), num_nodes=np.array([N]))
    elif kind == "npz scipy":
        sp.save_npz(path, sp.csr_array(dense()))
    elif kind == "npz parts":
        A = sp.csr_array(dense())
        np.savez(path, adj_data=A.data, adj_indices=A.indices, adj_indptr=A.indptr, adj_shape=A.shape)
    elif kind == "graphml":
        nx.write_graphml(networkx_graph(), path)
    else:
        separator = {"csv": ",", "tsv": "\t", "txt": " "}[ending]
        header = f"source{separator}target\n" if "header" in kind else "# a comment\n"
        path.write_text(header + "".join(f"{u}{separator}{v}\n" for u, v in EDGES.T))
    return path


SOURCES: dict[str, Any] = {
    "networkx": networkx_graph(),
    "csr": sp.csr_array(dense()),
    "coo matrix": sp.coo_matrix(dense()),
    "bool": sp.csc_array(dense().astype(bool)),
    "edges": EDGES,
    "lists": EDGES.tolist(),
    "tuples": [tuple(edge) for edge in EDGES.T.tolist()],
    "both ways": np.concatenate([EDGES, EDGES[::-1]], axis=1),
    "floats": EDGES.astype(float),
    "data": SimpleNamespace(edge_index=EDGES, num_nodes=N),
}


def check(graph: Graph) -> None:
    assert np.array_equal(graph.adjacency.toarray(), dense())
    assert (graph.n_nodes, graph.n_edges, graph.n_components) == (N, 4, 3)
    assert np.array_equal(graph.edges, EDGES)
    assert graph.components.tolist() == [0, 0, 0, 1, 1, 2]
    assert graph.isolated.tolist() == [5]
    assert graph.degrees.tolist() == [2, 2, 2, 1, 1, 0]
    assert not graph.weighted
    assert not len(graph.self_loops)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_the_same_graph(name: str) -> None:
    settings = {"n_nodes": N} if name in ("edges", "lists", "tuples", "both ways", "floats") else {}
    check(as_graph(SOURCES[name], **settings))


FILES = ["npz edges", "npz edge_index", "npz scipy", "npz parts", "graphml", "csv", "csv header", "tsv header", "txt"]


@pytest.mark.parametrize("kind", FILES)
def test_every_file_is_the_same_graph(kind: str, tmp_path: Path) -> None:
    graph = as_graph(written(kind, tmp_path), **({"n_nodes": N} if kind.startswith(("csv", "tsv", "txt")) else {}))
    check(graph)
    assert list(graph.nodes) == ([str(i) for i in range(N)] if kind == "graphml" else list(range(N)))


def test_torch_tensors_are_read() -> None:
    torch = pytest.importorskip("torch")
    check(as_graph(torch.tensor(EDGES), n_nodes=N))
    check(as_graph(torch.tensor(dense()).to_sparse_coo()))


def test_node_order_is_the_graphs_own() -> None:
    graph = as_graph(nx.path_graph(["z", "a", "m"]))
    assert graph.nodes == ("z", "a", "m")
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    named = as_graph([["z", "a"], ["a", "m"]])
    assert named.nodes == ("z", "a", "m")
    assert as_graph([[70, 9], [9, 8]], names=True).nodes == (70, 9, 8)


def test_weights_are_kept_unless_refused(tmp_path: Path) -> None:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=2.5)
    graph.add_edge("b", "c", strength=3.0)
    assert as_graph(graph).weights.tolist() == [2.5, 1.0]
    assert as_graph(graph).weighted
    assert as_graph(graph, weights=None).weights.tolist() == [1.0, 1.0]
    assert as_graph(graph, weights="strength").weights.tolist() == [1.0, 3.0]
    assert as_graph(EDGES, weights=[1, 2, 3, 4]).degrees.tolist() == [3, 4, 5, 4, 4]
    (tmp_path / "w.csv").write_text("a,b,0.5\nb,c,2\n")
    assert as_graph(tmp_path / "w.csv").weights.tolist() == [0.5, 2.0]
    assert as_graph(tmp_path / "w.csv", weights=None).weights.tolist() == [1.0, 1.0]


def test_repeated_edges_count_once_and_are_mentioned() -> None:
    graph = as_graph([[0, 0, 1, 1], [1, 1, 2, 2]])
    assert graph.adjacency.toarray().max() == 1
    assert "2 edges are listed more than once" in graph.notes[0]
    mixed = as_graph([[0, 1, 1], [1, 0, 2]])
    assert mixed.n_edges == 2
    assert "both directions" in mixed.notes[0]
    assert as_graph([[0, 1], [1, 0]]).notes == ()


def test_conflicting_weights_are_refused_or_the_larger_is_taken() -> None:
    with pytest.raises(InputError, match="weights 1 and 2"):
        as_graph([[0, 1], [1, 0]], weights=[1.0, 2.0])
    graph = as_graph([[0, 1], [1, 0]], weights=[1.0, 2.0], directed="symmetrise")
    assert graph.weights.tolist() == [2.0]
    assert "larger" in graph.notes[0]


def test_directed_graphs_are_refused_or_symmetrised_aloud() -> None:
    for source in (nx.DiGraph([(0, 1), (1, 2), (2, 1)]), sp.csr_array([[0, 1, 0], [0, 0, 1], [0, 1, 0]])):
        with pytest.raises(InputError, match="symmetrise"):
            as_graph(source)
        graph = as_graph(source, directed="symmetrise")
        assert np.array_equal(graph.adjacency.toarray(), nx.to_numpy_array(nx.path_graph(3)))
        assert "symmetrised" in graph.notes[0]


def test_parallel_edges_of_a_multigraph_add_up() -> None:
    graph = as_graph(nx.MultiGraph([(0, 1), (0, 1), (1, 2)]))
    assert graph.weights.tolist() == [2.0, 1.0]
    assert "parallel" in graph.notes[0]


def test_self_loops_are_kept_on_the_diagonal_once() -> None:
    for source in (nx.Graph([(0, 0), (0, 1)]), [[0, 0], [0, 1]], sp.csr_array([[1.0, 1.0], [1.0, 0.0]])):
        graph = as_graph(source)
        assert graph.adjacency.toarray().tolist() == [[1, 1], [1, 0]]
        assert graph.self_loops.tolist() == [0]
        assert graph.n_edges == 1
        assert graph.degrees.tolist() == [2, 1]
        assert graph.neighbour_counts.tolist() == [1, 1]
        # A + I on top of the loop: the first node sees itself with weight 2.
        assert graph.propagation_matrix("row+loops").toarray()[0] == pytest.approx([2 / 3, 1 / 3])
    only = as_graph([[0], [0]])
    assert only.isolated.tolist() == [0]
    assert only.simple.nnz == 0


def test_one_node_is_a_graph() -> None:
    graph = as_graph(nx.empty_graph(1))
    assert (graph.n_nodes, graph.n_edges, graph.n_components) == (1, 0, 1)
    assert as_graph(np.zeros((2, 0), dtype=int), n_nodes=3).isolated.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (nx.Graph(), "no nodes"),
        (sp.csr_array((0, 0)), "no nodes"),
        (sp.csr_array((2, 3)), "square"),
        (sp.csr_array([[0, -1.0], [-1.0, 0]]), "negative"),
        (sp.csr_array([[0, np.nan], [np.nan, 0]]), "NaN"),
        (sp.csr_array([[0, 1j], [-1j, 0]]), "real"),
        (nx.Graph([(0, 1, {"weight": "heavy"})]), "not a number"),
        (nx.Graph([(0, 1, {"weight": np.nan})]), "NaN"),
        (EDGES.T, "transpose"),
        (np.ones((5, 5)), "csr_array"),
        ([[0.5], [1.0]], "whole numbers"),
        ([[-1], [1]], "from 0"),
        ([[0], [10**6]], "names=True"),
        (np.zeros((2, 0), dtype=int), "n_nodes"),
        (None, "networkx"),
        (7, "networkx"),
        ("missing.npz", "no file"),
    ],
    ids=str,
)
def test_what_is_no_graph_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_graph(bad)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npz", b"not a zip", "not a readable"),
        ("a.csv", b"", "no lines"),
        ("a.csv", b"1,2,3,4\n", "4 columns"),
        ("a.csv", b"a,b\nc\n", "1 columns"),
        ("a.csv", b"a,b,heavy\nb,c,light\n", "header|weights"),
        ("a.csv", b"a,b\xff\n", "UTF-8"),
        ("a.graphml", b"<graphml>", "GraphML"),
        ("a.gexf", b"", "ending"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        as_graph(tmp_path / name)


def test_an_npz_without_a_graph_says_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", features=np.ones(3))
    with pytest.raises(InputError, match="features"):
        as_graph(tmp_path / "x.npz")


def test_nothing_of_the_callers_is_changed_or_shared() -> None:
    A = sp.csr_array(dense())
    A.data[0] = A.data[A.nnz - 1] = 1.0
    before = A.toarray()
    graph = as_graph(A, weights=None)
    assert graph.adjacency.data is not A.data
    assert A.data.flags.writeable
    assert np.array_equal(A.toarray(), before)
    assert not graph.adjacency.data.flags.writeable


def test_subgraph_and_largest_component() -> None:
    graph = as_graph(networkx_graph())
    largest = graph.largest_component()
    assert list(largest.nodes) == [0, 1, 2]
    assert largest.n_edges == 3
    assert graph.subgraph([4, 3]).edges.tolist() == [[0], [1]]
    with pytest.raises(InputError, match="each once"):
        graph.subgraph([1, 1])
    with pytest.raises(InputError, match="other nodes"):
        graph.subgraph([7])


def test_a_graph_is_returned_as_it_is_or_without_its_weights() -> None:
    graph = as_graph(EDGES, weights=[1, 2, 3, 4])
    assert as_graph(graph) is graph
    assert as_graph(graph, weights=None).weights.tolist() == [1, 1, 1, 1]
    assert graph.weights.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("settings", [{"n_nodes": 9}, {"names": True}, {"weights": [1.0]}])
@pytest.mark.parametrize("source", [networkx_graph(), sp.csr_array(dense()), as_graph(EDGES)], ids=["nx", "csr", "own"])
def test_settings_that_would_change_nothing_are_refused(source: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"n_nodes|weights"):
        as_graph(source, **settings)
