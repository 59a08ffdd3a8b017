"""From whatever holds a graph to a `Graph`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from dynsys.errors import InputError
from dynsys.graphs.edge_lists import as_columns, graph_of_edges
from dynsys.graphs.graph import Graph

WAYS = (
    "a networkx graph, a scipy sparse matrix, an edge list (2, m), a PyTorch Geometric `Data`, or the path of a .npz, "
    ".csv or .graphml file"
)


def as_graph(
    graph: Any,
    *,
    weights: Any = "weight",
    directed: str = "refuse",
    n_nodes: int | None = None,
    names: bool = False,
) -> Graph:
    """Reads anything as a graph.

    Args:
        graph: a networkx graph; a scipy sparse matrix or array (n, n), stored in full; an edge list (2, m) of node
            numbers or names, NumPy or torch, each edge once or in both directions (PyTorch Geometric's `edge_index`),
            or a list of tuples (u, v);
            an object with an `edge_index`; the path of a file (.npz with a scipy sparse matrix or with `edges` or
            `edge_index`, .csv with two or three columns, .graphml). A `Graph` is returned as it is.
        weights: (m,) weights of an edge list, or the name of the edge attribute of a networkx or GraphML graph (1 where
            an edge has none). None: every edge counts 1, also of a `Graph`.
        directed: "refuse", or "symmetrise": a directed graph is read as A_uv = max(A_uv, A_vu), and `notes` says so.
        n_nodes: of an edge list of numbers, where nodes beyond the largest number are isolated.
        names: take the numbers in an edge list as names, in the order of their first appearance.

    Several edges between the same two nodes: in an edge list they are one edge, and must agree in weight; in a networkx
    multigraph and a scipy matrix their weights add up, as they do there.

    Raises: InputError for what is no undirected graph with finite weights >= 0 and at least one node.
    """
    if directed not in ("refuse", "symmetrise"):
        raise InputError(f"`directed` is 'refuse' or 'symmetrise', got {directed!r}.")
    if isinstance(graph, Graph):
        _only_edge_lists(n_nodes, names)
        return _reweighted(graph, weights)
    edge_settings: dict[str, Any] = {"directed": directed, "n_nodes": n_nodes, "names": names}
    if isinstance(graph, (str, os.PathLike)):
        from dynsys.graphs.files import graph_of_file

        return graph_of_file(Path(graph), weights=weights, **edge_settings)
    if _is_networkx(graph):
        _only_edge_lists(n_nodes, names)
        return _of_networkx(graph, weights, directed)
    if scipy.sparse.issparse(graph):
        _only_edge_lists(n_nodes, names)
        _only_name_or_none(weights)
        return graph_of_matrix(graph, weights is not None, directed)
    if hasattr(graph, "edge_index"):
        return _of_edge_index(graph, weights, edge_settings)
    if getattr(graph, "is_sparse", False) or "csr" in str(getattr(graph, "layout", "")):
        return graph_of_matrix(_torch_sparse(graph), weights is not None, directed)
    return graph_of_edges(_array(graph), None if isinstance(weights, str) else weights, **edge_settings)


def _only_edge_lists(n_nodes: int | None, names: bool) -> None:
    if n_nodes is not None or names:
        raise InputError("`n_nodes` and `names` are about edge lists; this graph has its own nodes.")


def _only_name_or_none(weights: Any) -> None:
    if weights is not None and not isinstance(weights, str):
        raise InputError("`weights` as an array goes with an edge list; this graph has its own: None leaves them out.")


def _reweighted(graph: Graph, weights: Any) -> Graph:
    """A graph that was read already, without its weights if they are not wanted."""
    _only_name_or_none(weights)
    if weights is not None or not graph.weighted:
        return graph
    A = graph.adjacency
    ones = scipy.sparse.csr_array((np.ones(A.nnz), A.indices, A.indptr), shape=A.shape)
    return Graph(adjacency=ones, nodes=graph.nodes, notes=graph.notes)


def graph_of_matrix(matrix: Any, weighted: bool, directed: str, nodes: Any = None) -> Graph:
    """The graph of a scipy sparse adjacency matrix."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"an adjacency matrix is square, got shape {matrix.shape}.")
    if not matrix.shape[0]:
        raise InputError("the graph has no nodes; there is nothing to analyse.")
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"an adjacency matrix has real entries, got {matrix.dtype}.")
    A = scipy.sparse.csr_array(matrix, dtype=np.float64, copy=True)
    A.sum_duplicates()
    if A.indices.dtype != np.int32 and max(A.nnz, A.shape[0]) < 2**31:
        A = scipy.sparse.csr_array((A.data, A.indices.astype(np.int32), A.indptr.astype(np.int32)), shape=A.shape)
    check_weights(A.data)
    notes = []
    if (A.data == 0).any():
        notes.append(f"{int((A.data == 0).sum())} stored zeros are no edges")
        A.eliminate_zeros()
    if not weighted:
        A.data[:] = 1.0
    A, note = symmetric(A, directed)
    return Graph(
        adjacency=A, nodes=range(A.shape[0]) if nodes is None else nodes, notes=(*notes, *([note] if note else []))
    )


def symmetric(A: Any, directed: str) -> tuple[Any, str | None]:
    """A itself if it is symmetric; else what `directed` says, with a note."""
    back = A.T.tocsr()
    same = np.array_equal(A.indptr, back.indptr) and np.array_equal(A.indices, back.indices)
    if same and np.array_equal(A.data, back.data):
        return A, None
    # Weights that were computed in another order may differ in their last digits.
    if same and np.allclose(A.data, back.data, rtol=1e-12, atol=0.0):
        A.data = np.minimum(A.data, back.data)
        return A, "weights of the two directions differ by rounding; the smaller is taken"
    one_way = scipy.sparse.csr_array(back != A)
    if directed == "refuse":
        i, j = (int(k[0]) for k in one_way.nonzero())
        raise InputError(
            f"the graph is directed: entry ({i}, {j}) is {A[i, j]:g}, but ({j}, {i}) is {A[j, i]:g} "
            f"({one_way.nnz} entries differ from their mirror image). Every quantity here is about undirected graphs: "
            "pass directed='symmetrise' (on the command line --symmetrise) to join two nodes that are joined in either "
            "direction."
        )
    out = scipy.sparse.csr_array(A.maximum(back))
    out.sort_indices()
    changed = one_way.nnz // 2
    return out, f"directed, symmetrised: the larger weight of the two directions is taken ({changed} pairs differed)"


def check_weights(values: Any) -> None:
    """Weights must be finite and >= 0."""
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} edge weights are NaN or infinite; edges need finite weights >= 0."
        )
    with np.errstate(over="ignore"):
        together = float(np.sum(np.abs(values), dtype=np.float64))
    if not np.isfinite(together):
        raise InputError("the edge weights add up to more than a float can hold: divide them by the largest.")
    if (values < 0).any():
        raise InputError(
            f"{int((values < 0).sum())} edge weights are negative (least {values.min():g}): the normalisations divide "
            "by root degrees, which need weights >= 0. Take absolute values, or drop these edges."
        )


def _is_networkx(graph: Any) -> bool:
    networkx = sys.modules.get("networkx")  # whoever has such a graph has imported it
    return networkx is not None and isinstance(graph, networkx.Graph)


def _of_networkx(graph: Any, weights: Any, directed: str) -> Graph:
    import networkx

    if weights is not None and not isinstance(weights, str):
        raise InputError("the weights of a networkx graph are an edge attribute: pass its name, or None.")
    nodes = tuple(graph)
    if not nodes:
        raise InputError("the graph has no nodes; there is nothing to analyse.")
    if graph.is_directed() and directed == "refuse":
        raise InputError(
            f"the graph is directed ({type(graph).__name__}). Every quantity here is about undirected graphs: pass "
            "directed='symmetrise' (on the command line --symmetrise) to join two nodes that are joined in either "
            "direction."
        )
    try:
        matrix = networkx.to_scipy_sparse_array(graph, weight=weights, dtype=np.float64, format="csr")
    except (TypeError, ValueError) as error:
        raise InputError(f"the edge attribute {weights!r} is not a number on every edge: {error}.") from None
    known = range(len(nodes)) if nodes == tuple(range(len(nodes))) else nodes
    read = graph_of_matrix(matrix, weights is not None, directed, known)
    notes = list(read.notes)
    if graph.is_directed() and not notes:
        notes.append("directed, with every edge in both directions")
    if graph.is_multigraph():
        notes.append("parallel edges of the multigraph add up" if weights else "parallel edges count as one")
    if read.weighted and any(weights in data for _, _, data in graph.edges(data=True)):
        notes.append(f"edges are weighted by their attribute {weights!r}; weights=None counts each as 1")
    return Graph(adjacency=read.adjacency, nodes=known, notes=tuple(notes))


def _of_edge_index(data: Any, weights: Any, settings: dict[str, Any]) -> Graph:
    """A PyTorch Geometric `Data`, or anything with its fields."""
    edges = _array(data.edge_index)
    if isinstance(weights, str):
        weights = getattr(data, "edge_weight", None)
        weights = None if weights is None else _array(weights)
    count = getattr(data, "num_nodes", None)
    return graph_of_edges(edges, weights, **{**settings, "n_nodes": settings["n_nodes"] or count})


def _torch_sparse(tensor: Any) -> Any:
    entries = tensor.detach().cpu().to_sparse_coo().coalesce()
    rows, columns = entries.indices().numpy()
    return scipy.sparse.coo_array((entries.values().numpy(), (rows, columns)), shape=tuple(tensor.shape))


def _array(value: Any) -> Any:
    """A NumPy array of a torch tensor, a list, or an array."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    try:
        array = np.asarray(as_columns(value))
    except (ValueError, TypeError):
        array = np.asarray(None)
    if array.dtype.kind == "O" or array.ndim == 0:
        raise InputError(f"a graph is {WAYS}; got {type(value).__name__}.")
    return array
