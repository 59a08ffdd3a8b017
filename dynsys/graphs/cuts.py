"""How nearly a graph falls into two parts: Cheeger's bracket, and the best cut along the second eigenvector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.graphs.extremes import second_vector
from dynsys.graphs.graph import Graph
from dynsys.graphs.reading import as_graph
from dynsys.read_only import read_only
from dynsys.types import Booleans, Integers


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class CheegerCut:
    """The conductance h of a graph (Cheeger constant), bracketed, and a cut that comes near it.

    The conductance of a set of nodes is the weight of the edges that leave it over the smaller of its volume and the
    rest's; a volume is a sum of degrees. h is the least over all sets. Dimensionless, in [0, 1].

    Attributes:
        lower: (1 - lambda_2(S)) / 2, with the residual of lambda_2 taken off; zero for a disconnected graph.
        upper: sqrt(2 (1 - lambda_2(S))), at most 1.
        conductance: of `cut`; h lies between lower and the smaller of this and upper.
        cut: (n,) bool, the nodes on the side of smaller volume.
        boundary: (2, b) the edges that are cut, as node indices.
        lambda_2: of S = D^-1/2 A D^-1/2; residual: its error at most, unless it belongs to another eigenvalue.
        normalization: "sym". notes: remarks.
    """

    lower: float
    upper: float
    conductance: float
    cut: Booleans
    boundary: Integers
    lambda_2: float
    residual: float
    normalization: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        lines = [
            f"conductance between {self.lower:.6g} and {min(self.upper, self.conductance):.6g}: the best sweep cut "
            f"separates {int(self.cut.sum())} of {len(self.cut)} nodes by {self.boundary.shape[1]} edges"
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def cheeger(graph: Any, *, tol: float = 1e-4, seed: int = 0, directed: str = "refuse") -> CheegerCut:
    """Cheeger's bracket and the best sweep cut.

    Args:
        graph: anything `as_graph` reads; directed: as there. tol, seed: of `spectrum`.

    Returns: CheegerCut. NaN where no cut has volume on both sides.
    Cost: one eigenvector, and O(m + n log n).
    Source: F. Chung, Spectral Graph Theory, AMS 1997, chapter 2.
    """
    graph = as_graph(graph, directed=directed)
    live = graph.degrees > 0
    labels = graph.components[live]
    if not len(labels) or ((labels == labels[0]).all() and live.sum() < 2):
        nothing = np.zeros(graph.n_nodes, dtype=bool)
        return _result(
            graph, math.nan, math.nan, math.nan, nothing, math.nan, 0.0, ("no cut has volume on both sides",)
        )
    if (labels != labels[0]).any():
        volumes = np.bincount(graph.components, weights=graph.degrees)
        least = int(np.argmin(np.where(volumes > 0, volumes, np.inf)))
        note = "the graph falls into parts that no edge joins: its conductance is exactly 0"
        return _result(graph, 0.0, 0.0, 0.0, graph.components == least, 1.0, 0.0, (note,))
    found, y = second_vector(graph, "sym", tol, seed)
    order = np.argsort(y, kind="stable")
    order = order[live[order]]
    cut, conductance = _sweep(graph, order)
    residual = float(found.residuals[0])
    below = 1.0 - found.lambda_2
    notes = () if found.converged else (f"lambda_2 did not reach a residual of {tol:g}",)
    lower, upper = max(0.0, 0.5 * (below - residual)), min(1.0, math.sqrt(max(0.0, 2.0 * below)))
    return _result(graph, lower, upper, conductance, cut, found.lambda_2, residual, notes)


def _sweep(graph: Graph, order: Integers) -> tuple[Booleans, float]:
    """The best of the cuts that separate the first k nodes of `order` from the others."""
    n = graph.n_nodes
    rank = np.full(n, -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    u, v = graph.edges
    first, last = np.minimum(rank[u], rank[v]), np.maximum(rank[u], rank[v])
    # An edge is cut by the sets that have its first end but not its last.
    change = np.bincount(first, weights=graph.weights, minlength=len(order))
    change -= np.bincount(last, weights=graph.weights, minlength=len(order))
    leaving = np.cumsum(change)[:-1]
    volume = np.cumsum(graph.degrees[order])
    conductance = np.maximum(leaving, 0.0) / np.minimum(volume[:-1], volume[-1] - volume[:-1])
    best = int(np.argmin(conductance))
    cut = np.zeros(n, dtype=bool)
    cut[order[: best + 1]] = True
    if volume[best] > volume[-1] - volume[best]:
        cut[:] = False
        cut[order[best + 1 :]] = True
    return cut, conductance_of(graph, cut)


def conductance_of(graph: Graph, cut: Booleans) -> float:
    """The conductance of a set of nodes, (n,) bool."""
    u, v = graph.edges
    leaving = graph.weights[cut[u] != cut[v]].sum()
    inside = graph.degrees[cut].sum()
    return float(leaving / min(inside, graph.degrees[~cut].sum()))


def _result(
    graph: Graph,
    lower: float,
    upper: float,
    conductance: float,
    cut: Booleans,
    lambda_2: float,
    residual: float,
    notes: tuple[str, ...],
) -> CheegerCut:
    u, v = graph.edges
    return CheegerCut(
        lower=lower,
        upper=upper,
        conductance=conductance,
        cut=cut,
        boundary=graph.edges[:, cut[u] != cut[v]],
        lambda_2=lambda_2,
        residual=residual,
        normalization="sym",
        notes=notes,
    )
