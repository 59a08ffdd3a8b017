"""Nodes that ReLU has switched off with all their neighbours: zero exactly, though kept in two parts."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import dynsys
from dynsys.propagate import Layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_zero_has_no_slope(dtype: str) -> None:
    """On a path, nodes 0 to 3 are off after the first layer: at the second, nodes 0 to 2 see nothing but zeros."""
    X = np.array([-1.0, -1, -1, -1, 1, 2, 3, 4])[:, np.newaxis]
    graph = dynsys.graphs.as_graph(nx.path_graph(8))
    A = graph.propagation_matrix().toarray()
    run = dynsys.propagation(Layer(activation="relu"), graph, X, 2, dtype=dtype)
    H = np.maximum(A @ X, 0)
    on = (A @ H > 0).astype(float)
    assert on.sum() == 5
    exact = np.linalg.norm(on * A) / np.sqrt(8)
    assert run.jacobian_rms[2] == pytest.approx(exact, rel=1e-6 if dtype == "float32" else 1e-13)
