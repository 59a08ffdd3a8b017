"""Graphs as the caller has them, as a propagation matrix. Directed ones too: a message goes along an edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dynsys.errors import InputError
from dynsys.graphs import as_graph
from dynsys.loaders.recurrent import cells_package
from dynsys.maps import numbers, require_finite


def propagation(graph: Any, normalization: str) -> tuple[Any, Sequence[Any]]:
    """The propagation matrix A (N, N) of a graph, dense or scipy sparse, and its nodes in order."""
    matrix, nodes = _matrix(graph)
    cells = cells_package()
    try:
        return cells.propagation_matrix(matrix, normalization), nodes
    except cells.ParameterError as error:
        raise InputError(str(error)) from None


def _matrix(graph: Any) -> tuple[Any, Sequence[Any]]:
    if hasattr(graph, "is_directed") and graph.is_directed():
        import networkx

        # Row i hears: an edge j -> i brings j's message to i.
        return networkx.to_scipy_sparse_array(graph, dtype=np.float64).T.tocsr(), list(graph.nodes)
    if hasattr(graph, "tocsr"):
        require_finite(graph.tocsr().data, "graph")
        return graph.tocsr(), range(graph.shape[0])
    shape = np.shape(graph) if isinstance(graph, (np.ndarray, list, tuple)) else ()
    if len(shape) == 2 and shape[0] == shape[1]:
        array = numbers(graph, "graph")
        require_finite(array, "graph")
        return array, range(len(array))
    read = as_graph(graph)
    return read.adjacency, read.nodes
