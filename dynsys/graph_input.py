"""Graphs as the caller has them, as a propagation matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.loaders.recurrent import cells_package
from dynsys.maps import numbers, require_finite


def adjacency(graph: Any, normalization: str) -> tuple[Any, Sequence[Any]]:
    """The propagation matrix A (N, N) of a graph, dense or scipy sparse, and its nodes in order."""
    matrix, nodes = _matrix(graph)
    cells = cells_package()
    try:
        return cells.propagation_matrix(matrix, normalization), nodes
    except cells.ParameterError as error:
        raise InputError(str(error)) from None


def _matrix(graph: Any) -> tuple[Any, Sequence[Any]]:
    if hasattr(graph, "adjacency") and hasattr(graph, "nodes"):
        import networkx

        if not len(graph):
            raise InputError("the graph has no nodes.")
        # Row i hears: an edge j -> i of a directed graph brings j's message to i.
        matrix = networkx.to_scipy_sparse_array(graph, dtype=np.float64, format="csr")
        return (matrix.T.tocsr() if graph.is_directed() else matrix), list(graph.nodes)
    if hasattr(graph, "tocsr"):
        require_finite(graph.tocsr().data, "graph")
        return graph.tocsr(), range(graph.shape[0])
    array = numbers(graph, "graph")
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        require_finite(array, "graph")
        return array, range(len(array))
    if array.ndim == 2 and array.shape[0] == 2:
        return _of_edges(array)
    raise ShapeError(
        f"a graph is a networkx graph, an adjacency matrix (N, N), or an edge list (2, edges); got shape {array.shape}."
    )


def _of_edges(edges: Any) -> tuple[Any, Sequence[Any]]:
    import scipy.sparse

    if not edges.size or (edges != np.floor(edges)).any() or edges.min() < 0:
        raise InputError("an edge list (2, edges) holds the numbers of nodes, from 0, and at least one edge.")
    start, end = edges.astype(np.int64)
    count = int(edges.max()) + 1
    both = (np.concatenate([start, end]), np.concatenate([end, start]))
    matrix = scipy.sparse.csr_array((np.ones(2 * len(start)), both), shape=(count, count))
    matrix.data[:] = 1.0  # an edge that is listed twice, or both ways, is one edge
    return matrix, range(count)
