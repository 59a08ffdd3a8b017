"""Curvature of edges: where a graph branches like a tree, messages of many nodes have to pass through few."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.edge_work import local_counts, transport_costs
from dynsys.graphs.graph import Graph
from dynsys.graphs.reading import as_graph
from dynsys.graphs.resistances import pair_indices
from dynsys.read_only import read_only
from dynsys.types import Array, Integers, Progress

KINDS = ("forman", "augmented-forman", "balanced-forman", "ollivier", "lin-lu-yau")
EXACT_UP_TO = 100_000  # edges, beyond which transport problems are solved for a sample only


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Curvature:
    """Curvature of edges, dimensionless; on hops: weights and self-loops of the graph play no part.

    Attributes:
        kind, alpha: which curvature; alpha, of "ollivier" only, is the share of the walker that stays.
        edges: (2, k) node indices, edges[0] < edges[1]. values: (k,), exact but for one rounding.
        triangles: (k,) triangles on each edge.
        n_edges: of the graph; more than k where a sample was drawn. notes: remarks.
    """

    kind: str
    alpha: float | None
    edges: Integers
    values: Array
    triangles: Integers
    n_edges: int
    notes: tuple[str, ...]

    def lowest(self, count: int = 10) -> Integers:
        """Positions in `values` of the most negatively curved edges, lowest first."""
        return np.argsort(self.values, kind="stable")[:count].astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        name = self.kind if self.alpha is None else f"{self.kind} (alpha = {self.alpha:g})"
        head = f"{name} curvature of {len(self.values)} of {self.n_edges} edges"
        if len(self.values):
            negative = 100 * float((self.values < 0).mean())
            middle = float(np.median(self.values))
            head += f": lowest {self.values.min():.6g}, median {middle:.6g}, {negative:.3g} % negative"
        return "\n".join([head, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def curvature(
    graph: Any,
    kind: str = "balanced-forman",
    *,
    alpha: float | None = None,
    edges: Any = None,
    sample: int | None = None,
    seed: int = 0,
    directed: str = "refuse",
    progress: Progress | None = None,
) -> Curvature:
    """Curvature of the edges of a graph.

    Args:
        graph: anything `as_graph` reads; directed: as there. Weights and self-loops are left aside.
        kind: "forman", 4 - d_u - d_v; "augmented-forman", plus 3 for each triangle; "balanced-forman", definition 1 of
            Topping et al. 2022, zero on pendant edges; "ollivier", 1 - W1 of the lazy walks from the two ends;
            "lin-lu-yau", its limit (1 - W1) / (1 - alpha) for alpha towards 1.
        alpha: of "ollivier", in [0, 1); None is 0.
        edges: (2, k) node indices or names of the edges wanted, or a list of tuples (u, v); None: all.
        sample: so many edges drawn at random; None: all, but for "ollivier" and "lin-lu-yau" 2,000 of more than
            100,000. seed: of the sample. progress: called with (edges done, edges, message).

    Returns: Curvature, in the order of `Graph.edges`, or of `edges`.
    Cost: O(sum of degrees) per edge for the Forman kinds (four-cycles: neighbours of neighbours), an exact transport
        problem of d_u by d_v nodes for the others.
    Sources: R. Forman, Discrete and Computational Geometry 29 (2003) 323-374; J. Topping, F. Di Giovanni,
        B. Chamberlain, X. Dong and M. Bronstein, ICLR 2022 (arXiv:2111.14522); Y. Ollivier, Journal of Functional
        Analysis 256 (2009) 810-864; Y. Lin, L. Lu and S.-T. Yau, Tohoku Mathematical Journal 63 (2011) 605-627.
    """
    graph = as_graph(graph, directed=directed)
    if kind not in KINDS:
        raise InputError(f"`kind` is one of {', '.join(KINDS)}; got {kind!r}.")
    if alpha is not None and kind != "ollivier":
        raise InputError(f"`alpha` belongs to kind='ollivier'; {kind!r} has none.")
    if alpha is not None and not 0 <= alpha < 1:
        raise InputError(f"`alpha` is the share of the walker that stays, in [0, 1); got {alpha}.")
    if sample is not None and (edges is not None or sample < 1):
        raise InputError(f"`sample` is a number of edges, and goes without `edges`; got {sample}.")
    by_transport = kind in ("ollivier", "lin-lu-yau")
    notes = ["weights play no part: distances are hops"] if graph.weighted else []
    chosen = graph.edges if edges is None else _checked(graph, pair_indices(graph, edges))
    if edges is None:
        if by_transport and sample is None and graph.n_edges > EXACT_UP_TO:
            sample = 2_000
        if sample is not None and sample < graph.n_edges:
            some = np.sort(seeds.generator(seed).choice(graph.n_edges, sample, replace=False))
            chosen = chosen[:, some]
            notes.append(f"a random sample of {sample} edges")
    triangles, squares = local_counts(graph.simple, chosen, squares=kind == "balanced-forman", progress=progress)
    d = graph.neighbour_counts[chosen].astype(np.float64)
    if by_transport:
        stays = Fraction(1, 2) if kind == "lin-lu-yau" else Fraction(alpha or 0).limit_denominator(1_000_000)
        values = _by_transport(graph, chosen, stays, progress)
        # kappa / (1 - alpha) is constant from alpha = 1 / (largest degree + 1) on (Bourne et al. 2018, theorem 4.4).
        values = 2.0 * values if kind == "lin-lu-yau" else values
    elif kind == "balanced-forman":
        values = _balanced(d, triangles, squares)
    else:
        values = 4.0 - d[0] - d[1] + (3.0 * triangles if kind == "augmented-forman" else 0.0)
    return Curvature(
        kind=kind,
        alpha=float(alpha or 0.0) if kind == "ollivier" else None,
        edges=chosen,
        values=values,
        triangles=triangles,
        n_edges=graph.n_edges,
        notes=tuple(notes),
    )


def _checked(graph: Graph, ends: Integers) -> Integers:
    ends = np.sort(ends, axis=0)
    present = np.asarray(graph.simple[ends[0], ends[1]]).ravel() > 0 if ends.shape[1] else np.zeros(0, dtype=bool)
    if not present.all():
        u, v = ends[:, int(np.flatnonzero(~present)[0])]
        raise InputError(f"nodes number {u} and {v} are not joined: curvature is about edges.")
    return ends


def _balanced(d: Array, triangles: Integers, squares: Integers) -> Array:
    """Topping et al. 2022, definition 1. squares: (3, k), nodes beside u and beside v on a 4-cycle, and gamma_max."""
    low, high = d.min(axis=0), d.max(axis=0)
    value = 2 / d[0] + 2 / d[1] - 2 + 2 * triangles / high + triangles / low
    beside, most = squares[0] + squares[1], squares[2]
    value = value + np.divide(beside, most * high, out=np.zeros_like(value), where=most > 0)
    return np.where(low <= 1, 0.0, value)


def _by_transport(graph: Graph, edges: Integers, stays: Fraction, progress: Progress | None) -> Array:
    """1 - W1. Masses are whole numbers, in units of 1 / (denominator d_u d_v): so W1 is exact."""
    whole = transport_costs(graph.simple, edges, stays.numerator, stays.denominator, progress)
    d = graph.neighbour_counts[edges].astype(np.float64)
    unit = stays.denominator * d[0] * d[1]
    return np.asarray((unit - whole) / unit)
