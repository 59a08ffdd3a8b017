"""The propagation matrix of a graph together with the subspace that it leaves alone, in the node order of the graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import scipy.sparse

from dynsys.errors import InputError
from dynsys.graphs.graph import Graph, checked_normalization
from dynsys.graphs.operators import SparseOperator
from dynsys.propagate.chunks import blocks, over
from dynsys.types import AnyArray, Array, Integers


@final
@dataclass(frozen=True, eq=False)
class Propagator:
    """A of H' = s(A H W), with its trivial subspace M: the exact eigenvectors of eigenvalue 1, one per component.

    Attributes:
        graph, normalization: what A was made from.
        matrix: (n, n) CSR, float64.
        trivial: (n,) u: on each component a unit vector with A u = u; proportional to sqrt(d + 1), sqrt(d) or 1.
            Zero on nodes that no such vector touches (isolated ones under "sym").
        labels: (n,) number of the trivial vector that a node belongs to, 0 where there is none.
        count: how many trivial vectors there are.
        weights: (n,) of the inner product in which A is symmetric: 1, or d + 1 under "row+loops".
    """

    graph: Graph
    normalization: str
    matrix: Any
    trivial: Array
    labels: Integers
    count: int
    weights: Array

    @property
    def n(self) -> int:
        """Nodes."""
        return int(self.matrix.shape[0])

    @property
    def symmetric(self) -> bool:
        """Whether A is a symmetric matrix; under "row+loops" it is symmetric in the `weights` only."""
        return self.normalization != "row+loops"

    @cached_property
    def regular(self) -> bool:
        """Whether u is constant on each component: then every function applied entrywise leaves M in itself."""
        biggest = np.zeros(self.count)
        smallest = np.full(self.count, np.inf)
        np.maximum.at(biggest, self.labels, self.trivial)
        np.minimum.at(smallest, self.labels, self.trivial)
        return bool((biggest <= smallest * (1 + 1e-12)).all())

    @cached_property
    def distortion(self) -> float:
        """sqrt(max weight / min weight): how much the norm of the bound may differ from the plain one."""
        return float(np.sqrt(self.weights.max() / self.weights.min()))

    @cached_property
    def transposed(self) -> Propagator:
        """A^T, with the vectors that it leaves alone."""
        if self.symmetric:
            return self
        return Propagator(
            graph=self.graph,
            normalization=self.normalization,
            matrix=scipy.sparse.csr_array(self.matrix.T),
            trivial=self.left_trivial,
            labels=self.labels,
            count=self.count,
            weights=1.0 / self.weights,
        )

    @cached_property
    def left_trivial(self) -> Array:
        """(n,) v: on each component a unit vector with A^T v = v."""
        return self.trivial if self.symmetric else _unit(self.weights, self.labels, self.count)

    def coefficients(self, H: AnyArray, basis: Array | None = None) -> Array:
        """(count, d) coefficients u_k . H of the trivial vectors (or of those in `basis`), in float64."""
        basis = self.trivial if basis is None else basis
        if self.count == 1:
            parts = over(lambda rows: basis[rows] @ H[rows].astype(np.float64), blocks(*H.shape))
            return np.asarray(np.sum(parts, axis=0))[np.newaxis]
        sums = self._sums(basis)
        # Few columns at a time: a float64 copy of all of H would be twice its size.
        columns = range(0, H.shape[1], 16)
        return np.concatenate([sums @ H[:, a : a + 16].astype(np.float64) for a in columns], axis=1)

    def spread(self, C: Array, rows: slice = slice(None)) -> Array:
        """The signal of M with coefficients C (count, d), on some rows: (rows, d)."""
        return self.trivial[rows, np.newaxis] * C[self.labels[rows]]

    def product(self, dtype: Any = np.float64) -> SparseOperator:
        """H -> A H for arrays (n, d) of this type."""
        kind = np.dtype(dtype)
        if kind not in self._products:
            self._products[kind] = SparseOperator(self.matrix, dtype=kind)
        return self._products[kind]

    @cached_property
    def _products(self) -> dict[Any, SparseOperator]:
        return {}

    def _sums(self, basis: Array) -> Any:
        """(count, n) sparse matrix of the basis vectors as rows."""
        return scipy.sparse.csr_array((basis, (self.labels, np.arange(self.n))), shape=(self.count, self.n))


def propagator(graph: Graph, normalization: str = "sym+loops") -> Propagator:
    """The propagation matrix of a graph under a normalisation by name."""
    checked_normalization(normalization)
    loops = normalization.endswith("+loops")
    degrees = graph.degrees + 1.0 if loops else graph.degrees
    weight = np.ones(graph.n_nodes) if normalization == "row+loops" else np.sqrt(degrees)
    labels = np.asarray(graph.components)
    if normalization == "sym":
        live = np.flatnonzero(degrees > 0)
        if not len(live):
            raise InputError('no node has an edge, so that "sym" propagates nothing; use "sym+loops".')
        _, compact = np.unique(labels[live], return_inverse=True)
        labels = np.zeros(graph.n_nodes, dtype=np.int64)
        labels[live] = compact
    count = int(labels.max()) + 1
    return Propagator(
        graph=graph,
        normalization=normalization,
        matrix=graph.propagation_matrix(normalization),
        trivial=_unit(weight, labels, count),
        labels=labels,
        count=count,
        weights=degrees if normalization == "row+loops" else np.ones(graph.n_nodes),
    )


def _unit(weight: Array, labels: Integers, count: int) -> Array:
    """`weight`, scaled to a unit vector on each component."""
    return np.asarray(weight / np.sqrt(np.bincount(labels, weight * weight, minlength=count))[labels])
