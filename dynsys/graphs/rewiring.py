"""Which edges to add so that a graph lets more through, and what they change, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.sparse

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.curvatures import curvature
from dynsys.graphs.edge_choices import Choice, by_curvature, by_gap, by_resistance
from dynsys.graphs.extremes import spectrum
from dynsys.graphs.graph import Graph, checked_normalization
from dynsys.graphs.kirchhoff import kirchhoff_index
from dynsys.graphs.reading import as_graph
from dynsys.read_only import read_only
from dynsys.types import Array, Integers, Progress

METHODS = ("gap", "resistance", "curvature")
RESISTANCE_UP_TO = 20_000  # nodes up to which the mean resistance is measured before and after
CURVATURE_UP_TO = 1_000_000  # edges up to which the lowest curvature is


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Rewiring:
    """Edges to add (and to take away), and the change that was measured on the graph with them.

    Attributes:
        method: "gap", "resistance" or "curvature". normalization: of the gap.
        added, removed: (2, a), (2, r) node indices, in the order of choice. weight: of the added edges.
        gap, gap_error: (2,) before and after, 1 - lambda_star, and the residual it is known to.
        mean_resistance, resistance_error: (2,) mean effective resistance over the pairs in one component; NaN beyond
            20,000 nodes, where it was not measured.
        lowest_curvature: (2,) the lowest balanced Forman curvature; NaN beyond 10^6 edges.
        predicted: (a,) what each choice promised to first order when it was made (gap: fall of the eigenvalue;
            resistance: fall of the Kirchhoff index; curvature: rise of the edge's curvature).
        graph: with the changes. notes: remarks.
    """

    method: str
    normalization: str
    added: Integers
    removed: Integers
    weight: float
    gap: Array
    gap_error: Array
    mean_resistance: Array
    resistance_error: Array
    lowest_curvature: Array
    predicted: Array
    graph: Graph
    seed: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields but the graph's edges, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        pairs = (
            ("gap", self.gap),
            ("mean resistance", self.mean_resistance),
            ("lowest curvature", self.lowest_curvature),
        )
        changes = ", ".join(f"{name} {a:.6g} -> {b:.6g}" for name, (a, b) in pairs if not np.isnan(a))
        counts = f"{self.added.shape[1]} edges added, {self.removed.shape[1]} removed (by {self.method})"
        return "\n".join([f"{counts}: {changes}", *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def rewire(
    graph: Any,
    method: str = "gap",
    *,
    edges: int = 10,
    normalization: str = "sym+loops",
    remove_above: float | None = None,
    seed: int = 0,
    directed: str = "refuse",
    progress: Progress | None = None,
) -> Rewiring:
    """Choose edges to add, one after the other, and measure what they change.

    Args:
        graph: anything `as_graph` reads; directed: as there. Added edges have the median weight of the graph's.
        method: "gap": the edges that raise the gap most, to first order in the eigenvector that decides it (as FoSR,
            with the change of the degrees taken into account); "resistance": those that lower the Kirchhoff index most,
            exact up to 3000 nodes; "curvature": those that raise the balanced Forman curvature of the most negatively
            curved edge most (SDRF).
        edges: how many. normalization: of the gap.
        remove_above: of "curvature" only: after each addition the edge of highest curvature goes if that is above this.
        seed: of random starts, sketches and ties. progress: called with (edges done, edges, message).

    Returns: Rewiring. Fewer edges where no more can be added to advantage.
    Sources: K. Karhadkar, P. Banerjee and G. Montufar, ICLR 2023 (arXiv:2210.11790, FoSR); J. Topping et al., ICLR 2022
        (arXiv:2111.14522, SDRF); A. Ghosh, S. Boyd and A. Saberi, SIAM Review 50 (2008) 37-66.
    """
    graph = as_graph(graph, directed=directed)
    if method not in METHODS:
        raise InputError(f"`method` is one of {', '.join(METHODS)}; got {method!r}.")
    if edges < 1:
        raise InputError(f"`edges` must be at least 1, got {edges}.")
    if remove_above is not None and method != "curvature":
        raise InputError("`remove_above` belongs to method='curvature'.")
    checked_normalization(normalization)
    seeds.generator(seed)
    weight = float(np.median(graph.weights)) if graph.n_edges else 1.0
    choose: dict[str, Callable[[], Choice]] = {
        "gap": lambda: by_gap(graph, edges, weight, normalization, seed, progress),
        "resistance": lambda: by_resistance(graph, edges, weight, seed, progress),
        "curvature": lambda: by_curvature(graph, edges, remove_above, progress),
    }
    choice = choose[method]()
    after = changed(graph, choice.added, choice.removed, weight)
    spectra = [spectrum(g, normalization, seed=seed) for g in (graph, after)]
    if graph.n_nodes <= RESISTANCE_UP_TO:
        totals = [kirchhoff_index(g, seed=seed) for g in (graph, after)]
        counts = [t.mean / t.within if t.within else np.nan for t in totals]
        mean, error = [t.mean for t in totals], [t.error * c for t, c in zip(totals, counts, strict=True)]
    else:
        mean, error = [np.nan, np.nan], [np.nan, np.nan]
    return Rewiring(
        method=method,
        normalization=normalization,
        added=choice.added,
        removed=choice.removed,
        weight=weight,
        gap=np.array([s.gap for s in spectra]),
        gap_error=np.array([s.gap_error for s in spectra]),
        mean_resistance=np.array(mean),
        resistance_error=np.array(error),
        lowest_curvature=np.array([_lowest(g) for g in (graph, after)]),
        predicted=choice.predicted,
        graph=after,
        seed=seed,
        notes=choice.notes,
    )


def _lowest(graph: Graph) -> float:
    return float(curvature(graph).values.min(initial=np.inf)) if graph.n_edges <= CURVATURE_UP_TO else np.nan


def changed(graph: Graph, added: Integers, removed: Integers, weight: float) -> Graph:
    """The graph with edges added at this weight, then others removed."""
    n = graph.n_nodes
    A = graph.adjacency
    if added.shape[1]:
        both = np.concatenate([added, added[::-1]], axis=1)
        A = A + scipy.sparse.coo_array((np.full(both.shape[1], weight), (both[0], both[1])), shape=(n, n)).tocsr()
    if removed.shape[1]:
        both = np.concatenate([removed, removed[::-1]], axis=1)
        gone = scipy.sparse.coo_array((np.ones(both.shape[1]), (both[0], both[1])), shape=(n, n)).tocsr()
        A = A - A.multiply(gone > 0)
    A = scipy.sparse.csr_array(A, copy=True)
    A.eliminate_zeros()
    A.sort_indices()
    return Graph(adjacency=A, nodes=graph.nodes, notes=graph.notes)
