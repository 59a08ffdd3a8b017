"""The search for edges to add: by the gap, by resistance, by curvature."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.graphs.curvatures import curvature
from dynsys.graphs.extremes import spectrum
from dynsys.graphs.graph import Graph
from dynsys.graphs.laplacian import DENSE, Laplacian
from dynsys.limits import one_blas_thread
from dynsys.types import Array, Integers, Progress

EXTREMES = 64  # nodes at each end of an eigenvector, among which the best pair is looked for
TRIED = 12  # pairs whose gap is computed, where that is cheap
ALL_TRIED = 300  # pairs of which all are
CHEAP = 400  # nodes up to which it is
CANDIDATES = 400  # pairs around an edge of which the curvature is computed
SKETCH = 48  # random projections to look for far pairs


@final
@dataclass(frozen=True, eq=False)
class Choice:
    """added (2, a) and removed (2, r) in order; predicted (a,); notes."""

    added: Integers
    removed: Integers
    predicted: Array
    notes: tuple[str, ...] = ()


def by_gap(graph: Graph, edges: int, weight: float, normalization: str, seed: int, progress: Progress | None) -> Choice:
    """Edges that move the eigenvalue that decides the gap towards zero.

    With A y = lambda D y and y^T D y = 1, an edge of weight w moves lambda by w (2 y_u y_v - lambda (y_u^2 + y_v^2)).
    """
    from dynsys.graphs.rewiring import changed

    loops = 0.0 if normalization == "sym" else 1.0
    # An eigenvector costs minutes on the largest graphs: there it serves for several edges.
    rounds = edges if graph.n_nodes <= 20_000 else min(edges, 3)
    added: list[tuple[int, int]] = []
    predicted: list[float] = []
    nothing = np.zeros((2, 0), dtype=np.int64)
    now = graph
    for turn in range(rounds):
        found = spectrum(now, normalization, seed=seed)
        if not found.lambda_star > 0:
            break
        end = 0 if abs(found.lambda_2) >= abs(found.lambda_min) else 1
        value = (found.lambda_2, found.lambda_min)[end]
        degrees = now.degrees + loops
        y = found.vectors[end] * np.where(degrees > 0, np.maximum(degrees, 1e-300) ** -0.5, 0.0)
        pairs, change = _moving(now, y, value, weight)
        if len(change) and graph.n_nodes <= CHEAP:
            tried = len(change) if len(change) <= ALL_TRIED else TRIED
            pairs, change = _measured(now, pairs[:, :tried], weight, normalization, found.lambda_star)
        wanted = math.ceil((edges - len(added)) / (rounds - turn))
        taken: set[int] = set()
        for (u, v), fall in zip(pairs.T.tolist(), change.tolist(), strict=True):
            if fall <= -1e-13 or len(taken) >= 2 * wanted:
                break
            if u not in taken and v not in taken:
                taken |= {u, v}
                added.append((u, v))
                predicted.append(fall)
        if not taken:
            break
        now = changed(graph, _pairs(added), nothing, weight)
        if progress:
            progress(len(added), edges, "edges that raise the gap")
    notes = () if len(added) == edges else (f"no further edge raises the gap: {len(added)} of {edges} were found",)
    return Choice(_pairs(added), nothing, np.array(predicted), notes)


def _pairs(edges: list[tuple[int, int]]) -> Integers:
    return np.array(edges, dtype=np.int64).reshape(-1, 2).T


def _moving(graph: Graph, y: Array, value: float, weight: float) -> tuple[Integers, Array]:
    """Pairs that are not joined, and by how much joining them lowers |value|, best first."""
    order = np.argsort(y, kind="stable")
    nodes = np.unique(np.concatenate([order[:EXTREMES], order[-EXTREMES:]]))
    u, v = (nodes[k] for k in np.triu_indices(len(nodes), 1))
    change = weight * (2 * y[u] * y[v] - value * (np.square(y[u]) + np.square(y[v])))
    fall = -np.sign(value) * change
    best = np.argsort(-fall, kind="stable")
    best = best[_apart(graph, u[best], v[best])]
    return np.stack([u[best], v[best]]), fall[best]


def _apart(graph: Graph, u: Integers, v: Integers) -> Any:
    """(p,) whether nodes are different and not joined."""
    if not len(u):
        return np.zeros(0, dtype=bool)
    return (np.asarray(graph.adjacency[u, v]).ravel() == 0) & (u != v)


def _measured(graph: Graph, pairs: Integers, weight: float, normalization: str, star: float) -> tuple[Integers, Array]:
    """The same pairs by the fall of lambda_star that they bring, computed; ties in the order that they came in.

    Where the eigenvalue is a multiple one no single edge lowers it: then the best by first order is taken, which leaves
    fewer copies to the next edges.
    """
    from dynsys.graphs.rewiring import changed

    nothing = np.zeros((2, 0), dtype=np.int64)
    falls = [
        star - spectrum(changed(graph, pair[:, np.newaxis], nothing, weight), normalization).lambda_star
        for pair in pairs.T
    ]
    order = np.argsort(-np.round(falls, 12), kind="stable")
    return pairs[:, order], np.array(falls)[order]


def by_resistance(graph: Graph, edges: int, weight: float, seed: int, progress: Progress | None) -> Choice:
    """Edges that lower the Kirchhoff index: n w |L^+ b|^2 / (1 + w R) for b = e_u - e_v (Sherman and Morrison)."""
    notes: tuple[str, ...] = ()
    part, place = graph, np.arange(graph.n_nodes)
    if graph.n_components > 1:
        sizes = np.bincount(graph.components)
        place = np.flatnonzero(graph.components == int(np.argmax(sizes)))
        part = graph.subgraph(place)
        notes = ("edges are looked for in the largest component; resistance between components is infinite",)
    search = _dense_falls if part.n_nodes <= DENSE else _sketched_falls
    added, predicted = [], []
    for u, v, fall in search(part, weight, seed):
        added.append((int(place[u]), int(place[v])))
        predicted.append(fall)
        if progress:
            progress(len(added), edges, "edges that lower resistance")
        if len(added) == edges:
            break
    if len(added) < edges:
        notes += (f"all pairs are joined: {len(added)} of {edges} edges were found",)
    return Choice(_pairs(added), np.zeros((2, 0), dtype=np.int64), np.array(predicted), notes)


def _dense_falls(graph: Graph, weight: float, seed: int) -> Iterator[tuple[int, int, float]]:
    """The best pair of all, again and again; L^+ and its square follow by updates of rank one and two."""
    n = graph.n_nodes
    with one_blas_thread():
        G = np.linalg.pinv(Laplacian(graph).matrix.toarray(), hermitian=True) if n < 50 else _pseudo_inverse(graph)
        square = G @ G
    free = np.ones((n, n), dtype=bool)
    free[np.tril_indices(n)] = False
    free[graph.simple.nonzero()] = False
    while free.any():
        r, s = np.diag(G), np.diag(square)
        R = r[:, np.newaxis] + r - 2 * G
        fall = n * weight * (s[:, np.newaxis] + s - 2 * square) / (1 + weight * R)
        at = int(np.argmax(np.where(free, fall, -np.inf)))
        u, v = divmod(at, n)
        yield u, v, float(fall[u, v])
        free[u, v] = False
        z, c = G[:, u] - G[:, v], weight / (1 + weight * R[u, v])
        Gz = G @ z
        square += -c * (np.outer(Gz, z) + np.outer(z, Gz)) + c * c * (z @ z) * np.outer(z, z)
        G -= c * np.outer(z, z)


def _pseudo_inverse(graph: Graph) -> Array:
    """L^+ of a connected graph: (L + 11^T/n)^-1 - 11^T/n."""
    n = graph.n_nodes
    dense = Laplacian(graph).matrix.toarray()
    return np.asarray(np.linalg.inv(dense + 1.0 / n) - 1.0 / n)


def _sketched_falls(graph: Graph, weight: float, seed: int) -> Iterator[tuple[int, int, float]]:
    """Far pairs from random projections of L^+, the best of which is then computed with its own solve."""
    n, rng = graph.n_nodes, seeds.generator(seed)
    laplacian = Laplacian(graph)
    q = laplacian.centred(rng.standard_normal((n, SKETCH)))
    Y = laplacian.solve(q, 1e-6).x / math.sqrt(SKETCH)
    now = graph
    chosen: list[tuple[int, int]] = []
    while True:
        nodes = np.unique(np.concatenate([Y.argmin(axis=0), Y.argmax(axis=0)]))
        u, v = (nodes[k] for k in np.triu_indices(len(nodes), 1))
        far = np.square(Y[u] - Y[v]).sum(axis=1)
        ranked = np.argsort(-far, kind="stable")
        ranked = ranked[_apart(now, u[ranked], v[ranked])]
        order = ranked[:8].tolist()
        if not order:
            return
        b = np.zeros((n, len(order)))
        b[u[order], np.arange(len(order))] += 1
        b[v[order], np.arange(len(order))] -= 1
        Z = Laplacian(now).solve(b, 1e-8).x
        R = np.einsum("ij,ij->j", b, Z)
        falls = n * weight * np.square(Z).sum(axis=0) / (1 + weight * R)
        best = int(np.argmax(falls))
        k, z = order[best], Z[:, best]
        chosen.append((int(u[k]), int(v[k])))
        yield int(u[k]), int(v[k]), float(falls[best])
        # L^+ loses c z z^T; the projections follow.
        Y -= weight / (1 + weight * R[best]) * np.outer(z, Y[u[k]] - Y[v[k]])
        from dynsys.graphs.rewiring import changed

        now = changed(graph, _pairs(chosen), np.zeros((2, 0), dtype=np.int64), weight)


class _Neighbours:
    """Sets of neighbours, taken from the graph when asked for, that can be changed."""

    def __init__(self, graph: Graph) -> None:
        self._simple = graph.simple
        self._sets: dict[int, set[int]] = {}

    def __getitem__(self, node: int) -> set[int]:
        if node not in self._sets:
            first, last = self._simple.indptr[node], self._simple.indptr[node + 1]
            self._sets[node] = set(self._simple.indices[first:last].tolist())
        return self._sets[node]

    def join(self, u: int, v: int) -> None:
        self[u].add(v)
        self[v].add(u)

    def part(self, u: int, v: int) -> None:
        self[u].discard(v)
        self[v].discard(u)


def balanced_forman(near: Any, i: int, j: int) -> float:
    """Balanced Forman curvature of one edge from sets of neighbours (Topping et al. 2022, definition 1)."""
    of_i, of_j = near[i], near[j]
    d_i, d_j = len(of_i), len(of_j)
    if min(d_i, d_j) <= 1:
        return 0.0
    triangles = len(of_i & of_j)
    beside_i, beside_j = of_i - of_j - {j}, of_j - of_i - {i}
    value = 2 / d_i + 2 / d_j - 2 + 2 * triangles / max(d_i, d_j) + triangles / min(d_i, d_j)
    through = [[len(near[k] & beside_j) for k in beside_i], [len(near[k] & beside_i) for k in beside_j]]
    most = max(max(through[0], default=0), max(through[1], default=0))
    if most:
        value += sum(count > 0 for side in through for count in side) / (most * max(d_i, d_j))
    return value


def by_curvature(graph: Graph, edges: int, remove_above: float | None, progress: Progress | None) -> Choice:
    """Stochastic discrete Ricci flow at temperature zero: the most negatively curved edge gets the best support."""
    near = _Neighbours(graph)
    found = curvature(graph)
    values = dict(zip(map(tuple, found.edges.T.tolist()), found.values.tolist(), strict=True))
    added: list[tuple[int, int]] = []
    removed: list[tuple[int, int]] = []
    predicted: list[float] = []
    closed: set[tuple[int, int]] = set()  # edges that no new edge supports
    for _ in range(2 * edges + len(values)):  # an edge that is removed again as soon as it was added is no progress
        still = [item for item in values.items() if item[0] not in closed]
        if len(added) >= edges or not still:
            break
        (u, v), low = min(still, key=lambda item: item[1])
        best = _support(near, u, v, low)
        if best is None:
            closed.add((u, v))
            continue
        a, b, rise = best
        near.join(a, b)
        added.append((a, b))
        predicted.append(rise)
        _refresh(near, values, a, b)
        if remove_above is not None:
            top, high = max(values.items(), key=lambda item: item[1])
            if high > remove_above:
                near.part(*top)
                del values[top]
                if top in added:
                    at = added.index(top)
                    del added[at], predicted[at]
                else:
                    removed.append(top)
                _refresh(near, values, *top)
        if progress:
            progress(len(added), edges, "edges that raise the lowest curvature")
    notes = () if len(added) == edges else (f"no further edge can be supported: {len(added)} of {edges} were found",)
    return Choice(_pairs(added), _pairs(removed), np.array(predicted), notes)


def _support(near: _Neighbours, u: int, v: int, low: float) -> tuple[int, int, float] | None:
    """The new edge between the surroundings of u and of v that raises the curvature of (u, v) most."""
    best: tuple[int, int, float] | None = None
    tried = 0
    beside_v = sorted(near[v] | {v}, key=lambda node: (len(near[node]), node))
    for a in sorted(near[u] | {u}, key=lambda node: (len(near[node]), node)):
        for b in beside_v:
            if a == b or b in near[a]:
                continue
            near.join(a, b)
            rise = balanced_forman(near, u, v) - low
            near.part(a, b)
            tried += 1
            if rise > (best[2] if best else 1e-12):
                best = (min(a, b), max(a, b), rise)
            if tried >= CANDIDATES:
                return best
    return best


def _refresh(near: _Neighbours, values: dict[tuple[int, int], float], u: int, v: int) -> None:
    """Curvatures that depend on whether u and v are joined: edges at either, and between their neighbours."""
    touched = {(min(a, b), max(a, b)) for a in (u, v) for b in near[a]}
    touched |= {(min(a, b), max(a, b)) for a in near[u] for b in near[a] & near[v]}
    for a, b in touched:
        values[a, b] = balanced_forman(near, a, b)
