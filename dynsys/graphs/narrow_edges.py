"""The edges that many messages have to pass through, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError
from dynsys.graphs.curvatures import curvature
from dynsys.graphs.cuts import cheeger
from dynsys.graphs.reading import as_graph
from dynsys.graphs.resistances import effective_resistance
from dynsys.read_only import read_only
from dynsys.types import Array, Booleans, Integers

MANY = 100_000  # nodes beyond which resistances are not computed to many digits


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Bottlenecks:
    """The most negatively curved edges of a graph, lowest first.

    Attributes:
        edges: (2, k) node indices. curvature: (k,) balanced Forman. resistance, resistance_errors: (k,) effective
            resistance of each; 1 over the weight means that the edge is a bridge.
        in_cut: (k,) whether the best sweep cut goes through the edge. conductance: of that cut.
    """

    edges: Integers
    curvature: Array
    resistance: Array
    resistance_errors: Array
    in_cut: Booleans
    conductance: float

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        from dynsys.tables import aligned

        columns = zip(*self.edges.tolist(), self.curvature, self.resistance, self.in_cut, strict=True)
        rows = [[f"{u}-{v}", f"{c:.4f}", f"{r:.4f}", "yes" if cut else ""] for u, v, c, r, cut in columns]
        return aligned(["edge", "curvature", "resistance", "in the cut"], rows)

    __repr__ = __str__


def bottlenecks(graph: Any, count: int = 10, *, seed: int = 0, directed: str = "refuse") -> Bottlenecks:
    """The `count` most negatively curved edges, with their effective resistance, and whether the best cut takes them.

    Args:
        graph: anything `as_graph` reads; directed: as there. seed: of random starts.
    """
    graph = as_graph(graph, directed=directed)
    if count < 1:
        raise InputError(f"`count` must be at least 1, got {count}.")
    curved = curvature(graph)
    lowest = curved.lowest(count)
    edges = curved.edges[:, lowest]
    # On large grids a solve takes thousands of steps; its error is of second order in the residual, and is stated.
    resistance = effective_resistance(graph, edges, tol=1e-6 if graph.n_nodes <= MANY else 1e-4, seed=seed)
    cut = cheeger(graph, seed=seed)
    return Bottlenecks(
        edges=edges,
        curvature=curved.values[lowest],
        resistance=resistance.values,
        resistance_errors=resistance.errors,
        in_cut=np.asarray(cut.cut[edges[0]] != cut.cut[edges[1]]),
        conductance=cut.conductance,
    )
