"""Effective resistance: how narrow the ways between two nodes are, all of them together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.edge_lists import as_columns
from dynsys.graphs.graph import Graph
from dynsys.graphs.laplacian import DENSE, Laplacian
from dynsys.graphs.reading import as_graph
from dynsys.read_only import read_only
from dynsys.types import Array, Integers, Progress

EPS = float(np.finfo(np.float64).eps)
SOLVES = 2_000_000_000  # entries of a factor passed over, up to which each pair gets its own solve
METHODS = ("exact", "solves", "sketch")


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class EffectiveResistance:
    """Effective resistances R_uv = (e_u - e_v)^T L^+ (e_u - e_v), L = D - A, edge weights as conductances.

    Attributes:
        pairs: (2, p) node indices. values: (p,) ohm for conductances in siemens, dimensionless without weights; inf
            between components.
        errors: (p,) standard errors (sketch), or estimates of the error (exact, solves); 0 for inf.
        commute_times: (p,) expected steps of a random walk from u to v and back: R times the volume of the component.
        foster: (sum of weight times R over all edges, n - c, which it must be); None if `pairs` was given.
        sketch: random projections, 0 without. method, notes: in words.
    """

    pairs: Integers
    values: Array
    errors: Array
    commute_times: Array
    foster: tuple[float, float] | None
    sketch: int
    seed: int
    method: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        finite = self.values[np.isfinite(self.values)]
        middle = f"median {np.median(finite):.6g}, largest {finite.max():.6g}" if len(finite) else "none finite"
        return "\n".join(
            [
                f"effective resistance of {len(self.values)} pairs: {middle}; {self.method}",
                *map("Note: {}".format, self.notes),
            ]
        )

    __repr__ = __str__


def effective_resistance(
    graph: Any,
    pairs: Any = None,
    *,
    method: str | None = None,
    sketch: int | None = None,
    tol: float = 1e-6,
    seed: int = 0,
    directed: str = "refuse",
    progress: Progress | None = None,
) -> EffectiveResistance:
    """Effective resistance between pairs of nodes.

    Args:
        graph: anything `as_graph` reads; directed: as there. Weights are conductances.
        pairs: (2, p) node indices (or names, where they are texts), a list of tuples (u, v), or one pair; None: every
            edge.
        method: "exact" (dense, components up to 3000 nodes), "solves" (a linear system for each pair), "sketch"
            (random projections), or None for the best that is affordable.
        sketch: number of random projections k (200, or 64 beyond 10^5 nodes): relative standard error sqrt(2/k).
        tol: relative residual of iterative solves. seed: of the projections.
        progress: called with (solves done, solves, message).

    Returns: EffectiveResistance.
    Sources: D. Spielman and N. Srivastava, STOC 2008 (arXiv:0803.0929); A. Ghosh, S. Boyd and A. Saberi, SIAM Review
        50 (2008) 37-66.
    """
    graph = as_graph(graph, directed=directed)
    if method not in (None, *METHODS):
        raise InputError(f"`method` is one of {', '.join(METHODS)} or None, got {method!r}.")
    if sketch is not None and sketch < 2:
        raise InputError(f"`sketch` must be at least 2 projections, got {sketch}.")
    if not 0 < tol < 1:
        raise InputError(f"`tol` is a relative residual between 0 and 1, got {tol}.")
    rng = seeds.generator(seed)
    ends = graph.edges if pairs is None else pair_indices(graph, pairs)
    laplacian = Laplacian(graph)
    method = method or _best(laplacian, ends, sketch)
    same = graph.components[ends[0]] == graph.components[ends[1]]
    values, errors = np.full(ends.shape[1], np.inf), np.zeros(ends.shape[1])
    inner, k = ends[:, same], 0
    notes: list[str] = []
    if method == "exact":
        found, error = _exact(laplacian, inner)
        words = "exact, dense inverse of each component's Laplacian"
    elif method == "solves":
        found, error, words = _solves(laplacian, inner, tol, progress)
    else:
        k = sketch or (200 if graph.n_nodes <= 100_000 else 64)
        found, error, words, notes = _sketch(laplacian, inner, k, tol, rng, progress)
        if pairs is None:
            # Of the variance 2 (R^2 - sum_f a_f^4) / k, where sum_f a_f^2 = R, the edge's own term w R^2 is known.
            error = np.maximum(error * np.sqrt(np.maximum(1 - np.square(graph.weights * found), 0)), tol * found)
    values[same], errors[same] = found, error
    volumes = np.bincount(graph.components, weights=graph.degrees)
    return EffectiveResistance(
        pairs=ends,
        values=values,
        errors=errors,
        commute_times=volumes[graph.components[ends[0]]] * values,
        foster=None
        if pairs is not None
        else (float(graph.weights @ values), float(graph.n_nodes - graph.n_components)),
        sketch=k,
        seed=seed,
        method=words,
        notes=tuple(notes),
    )


def pair_indices(graph: Graph, pairs: Any) -> Integers:
    """(2, p) node indices of pairs given by index or by name."""
    given = np.asarray(as_columns(pairs))
    if given.shape == (2,):
        given = given[:, np.newaxis]
    if given.ndim != 2 or given.shape[0] != 2:
        hint = " Pass its transpose." if given.ndim == 2 and given.shape[1] == 2 else ""
        raise InputError(f"`pairs` has shape (2, p), or is a list of tuples (u, v); got shape {given.shape}.{hint}")
    if given.dtype.kind in "US":
        place = {name: i for i, name in enumerate(graph.nodes)}
        missing = [str(name) for name in given.ravel().tolist() if name not in place]
        if missing:
            raise InputError(f"`pairs` names nodes that are not in the graph: {', '.join(missing[:5])}.")
        return np.array([[place[name] for name in row] for row in given.tolist()], dtype=np.int64)
    if given.dtype.kind not in "iu":
        raise InputError(f"`pairs` are node indices or names, got {given.dtype}.")
    if given.size and not (given.min() >= 0 and given.max() < graph.n_nodes):
        raise InputError(f"`pairs` are node indices from 0 to {graph.n_nodes - 1}, got {given.min()} to {given.max()}.")
    return given.astype(np.int64)


def _best(laplacian: Laplacian, ends: Integers, sketch: int | None) -> str:
    if sketch is not None:
        return "sketch"
    if laplacian.sizes.max() <= DENSE:
        return "exact"
    if laplacian.thin:
        return "solves" if ends.shape[1] * (laplacian.factor.L.nnz + laplacian.factor.U.nnz) <= SOLVES else "sketch"
    return "solves" if ends.shape[1] <= 64 else "sketch"


def _exact(laplacian: Laplacian, ends: Integers) -> tuple[Array, Array]:
    graph = laplacian.graph
    if laplacian.sizes.max() > DENSE:
        raise InputError(
            f"method='exact' is for components of at most {DENSE} nodes, here one has {laplacian.sizes.max()}; leave "
            "`method` out."
        )
    values, errors = np.zeros(ends.shape[1]), np.zeros(ends.shape[1])
    place = np.empty(graph.n_nodes, dtype=np.int64)
    wanted = np.zeros(graph.n_nodes, dtype=bool)
    wanted[ends.ravel()] = True
    order = np.argsort(graph.components[ends[0]], kind="stable")
    labels = graph.components[ends[0, order]]
    for nodes, inverse in laplacian.dense_inverses(wanted):
        place[nodes] = np.arange(len(nodes))
        first, last = np.searchsorted(labels, [graph.components[nodes[0]], graph.components[nodes[-1]] + 1])
        at, G = order[first:last], inverse.G
        u, v = place[ends[0, at]], place[ends[1, at]]
        with np.errstate(over="ignore"):  # of weights near the smallest float
            values[at] = (G[u, u] - G[u, v]) + (G[v, v] - G[u, v])
            # The last term is what cancels.
            errors[at] = inverse.relative_error * values[at] + 4 * EPS * (G[u, u] + G[v, v])
    return values, errors


def _solves(laplacian: Laplacian, ends: Integers, tol: float, progress: Progress | None) -> tuple[Array, Array, str]:
    n, p = laplacian.graph.n_nodes, ends.shape[1]
    values, errors, iterations = np.zeros(p), np.zeros(p), 0
    width = 16
    for first in range(0, p, width):
        u, v = ends[:, first : first + width]
        at = np.arange(len(u))
        b = np.zeros((n, len(u)))
        b[u, at] += 1.0
        b[v, at] -= 1.0
        solved = laplacian.solve(b, tol)
        left = b - laplacian.product(solved.x)
        # b^T x plus the residual's part is right to second order; the residual's part itself says how far it was off.
        correction = np.einsum("ij,ij->j", left, solved.x)
        value = solved.x[u, at] - solved.x[v, at] + correction
        values[first : first + width] = value
        scale = np.abs(solved.x).max(axis=0)
        errors[first : first + width] = np.abs(correction) + solved.residual * value + 4 * EPS * (scale + value)
        iterations = max(iterations, solved.iterations)
        if progress:
            progress(min(first + width, p), p, "effective resistances")
    how = "a sparse factor" if not iterations else f"conjugate gradients, up to {iterations} steps"
    return values, errors, f"one solve for each pair by {how}"


def _sketch(
    laplacian: Laplacian, ends: Integers, k: int, tol: float, rng: np.random.Generator, progress: Progress | None
) -> tuple[Array, Array, str, list[str]]:
    """R_uv = |W^1/2 B L^+ (e_u - e_v)|^2, its length measured after k random projections."""
    graph = laplacian.graph
    u, v = graph.edges
    root = np.sqrt(graph.weights)
    values, worst, steps = np.zeros(ends.shape[1]), 0.0, 0
    for first in range(0, k, 16):
        width = min(16, k - first)
        b = np.empty((graph.n_nodes, width))
        for j in range(width):
            q = root * (2 * rng.integers(0, 2, graph.n_edges, dtype=np.int8) - 1)
            b[:, j] = np.bincount(u, weights=q, minlength=graph.n_nodes)
            b[:, j] -= np.bincount(v, weights=q, minlength=graph.n_nodes)
        solved = laplacian.solve(b, tol)
        worst, steps = max(worst, solved.residual), max(steps, solved.iterations)
        for low in range(0, ends.shape[1], 1 << 20):
            at = slice(low, low + (1 << 20))
            values[at] += np.square(solved.x[ends[0, at]] - solved.x[ends[1, at]]).sum(axis=1)
        if progress:
            progress(first + width, k, "effective resistances")
    values /= k
    how = "a sparse factor" if not steps else f"conjugate gradients, up to {steps} steps"
    notes = [f"some solves ended at a relative residual of {worst:.1e}, not {tol:g}"] if worst > 100 * tol else []
    return values, values * math.sqrt(2.0 / k), f"{k} random projections, solved by {how}", notes
