"""Bipartite components: there D^-1/2 A D^-1/2 has the eigenvalue -1, exactly, and its vector is known."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from dynsys.graphs.graph import Graph
from dynsys.types import Array


def alternating_vector(graph: Graph) -> Array | None:
    """(n,) unit eigenvector of the eigenvalue -1 of "sym": plus or minus the root of the degree on the first component
    that is bipartite and has an edge; None without one.

    A component is bipartite if it falls into two in the double cover of the graph (v, 0) - (w, 1) for every edge v - w.
    """
    n = graph.n_nodes
    A = graph.adjacency
    cover = scipy.sparse.block_array([[None, A], [A, None]], format="csr")
    _, labels = scipy.sparse.csgraph.connected_components(cover, directed=False)
    halves = labels[:n], labels[n:]
    split = (halves[0] != halves[1]) & (graph.degrees > 0)
    if not split.any():
        return None
    first = int(np.argmax(split))
    v = np.zeros(n)
    for sign, label in ((1.0, halves[0][first]), (-1.0, halves[1][first])):
        side = halves[0] == label
        v[side] = sign * np.sqrt(graph.degrees[side])
    return np.asarray(v / np.linalg.norm(v))
