"""Solving with the graph Laplacian L = D - A, whose kernel is the constants on each component."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from scipy.linalg import lapack

from dynsys.errors import AnalysisError
from dynsys.graphs.graph import Graph
from dynsys.graphs.operators import SparseOperator
from dynsys.limits import one_blas_thread
from dynsys.types import Array, Integers, Progress

DENSE = 3000  # nodes of a component up to which dense inverses are formed
DIRECT = 20_000  # nodes up to which a sparse factor is made where conjugate gradients are slow
TOGETHER_UP_TO = 300  # nodes of small components whose dense inverses are formed at once
PATIENCE = 400  # steps after which they are
CORE = 2_000  # branching nodes up to which a factor stays small however many nodes there are
TOGETHER = 16  # right-hand sides solved at once


@final
@dataclass(frozen=True, eq=False)
class Solved:
    """x: (n, k) with L x = b. residual: largest |b - L x| / |b|. iterations: of the slowest; 0 for a direct solve."""

    x: Array
    residual: float
    iterations: int


class Laplacian:
    """L of a graph, and the quickest way to solve with it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._slow = False

    @cached_property
    def degrees(self) -> Array:
        """(n,) the diagonal of L: self-loops cancel in it."""
        return np.asarray(self.graph.degrees - self.graph.adjacency.diagonal())

    @cached_property
    def matrix(self) -> Any:
        """L, (n, n) CSR array."""
        diagonal = scipy.sparse.diags_array(self.graph.degrees, format="csr")
        return scipy.sparse.csr_array(diagonal - self.graph.adjacency)

    @cached_property
    def product(self) -> SparseOperator:
        """x -> L x."""
        return SparseOperator(self.matrix)

    @cached_property
    def sizes(self) -> Integers:
        """Nodes of each component."""
        return np.bincount(self.graph.components)

    def dense_inverses(self, wanted: Any) -> Iterator[tuple[Integers, DenseInverse]]:
        """(nodes, inverse) for the components in which a node is `wanted`, (n,) bool, small components together."""
        labels = self.graph.components
        chosen = np.unique(labels[wanted])
        if not len(chosen):
            return
        order = np.argsort(labels, kind="stable").astype(np.int64)
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        # A new chunk where the nodes before it fill one; a large component is one by itself.
        large = self.sizes[chosen] >= TOGETHER_UP_TO
        chunk = np.cumsum(np.where(large, 0, self.sizes[chosen])) // TOGETHER_UP_TO
        for part in np.split(chosen, np.flatnonzero((np.diff(chunk) > 0) | large[1:] | large[:-1]) + 1):
            nodes = np.concatenate([order[ends[label] : ends[label + 1]] for label in part.tolist()])
            yield nodes, DenseInverse.of(self.matrix[nodes][:, nodes], self.kept[nodes])

    def centred(self, X: Array) -> Array:
        """X (n, k) without its mean over each component."""
        labels, count = self.graph.components, self.graph.n_components
        means = np.stack([np.bincount(labels, weights=x, minlength=count) for x in X.T], axis=1)
        return np.asarray(X - (means / self.sizes[:, np.newaxis])[labels])

    @cached_property
    def thin(self) -> bool:
        """Whether a sparse factor is small for certain: trees, cycles, and what has few nodes with three ways on."""
        return bool(self.kept.any()) and branching_nodes(self.graph.simple) <= CORE

    @cached_property
    def factor(self) -> Any:
        """A sparse factor of L without one node of each component."""
        kept = np.flatnonzero(self.kept)
        inner = scipy.sparse.csc_matrix(self.matrix[kept][:, kept])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.sparse.SparseEfficiencyWarning)
            return scipy.sparse.linalg.splu(
                inner, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )

    @cached_property
    def kept(self) -> Any:
        """(n,) bool: all nodes but the first of each component, which is held at zero."""
        kept = np.ones(self.graph.n_nodes, dtype=bool)
        kept[np.unique(self.graph.components, return_index=True)[1]] = False
        return kept

    def solve(self, b: Array, tol: float, progress: Progress | None = None) -> Solved:
        """L x = b for b (n, k) whose sum over each component is zero; x has mean zero there."""
        x, worst, most = np.empty_like(b), 0.0, 0
        with one_blas_thread():
            for first in range(0, b.shape[1], TOGETHER):
                columns = slice(first, first + TOGETHER)
                part = self._solved(b[:, columns], tol)
                x[:, columns] = part.x
                worst, most = max(worst, part.residual), max(most, part.iterations)
                if progress:
                    progress(min(first + TOGETHER, b.shape[1]), b.shape[1], "solves with the Laplacian")
        return Solved(x, worst, most)

    def _solved(self, b: Array, tol: float) -> Solved:
        """Where conjugate gradients are slow there are few ways across, and a factor has little to fill in."""
        if self.thin or self._slow:
            return self._direct(b)
        small = len(b) <= DIRECT
        tried = self._iterated(b, tol, PATIENCE if small else 20 * math.isqrt(len(b)) + 1000)
        if small and tried.iterations == PATIENCE:
            self._slow = True
            return self._direct(b)
        return tried

    def _direct(self, b: Array) -> Solved:
        x = np.zeros_like(b)
        x[self.kept] = self.factor.solve(np.ascontiguousarray(b[self.kept]))
        x = self.centred(x)
        return Solved(x, _relative(b - self.product(x), b), 0)

    def _iterated(self, b: Array, tol: float, most: int) -> Solved:
        """Conjugate gradients with the degrees as preconditioner, all columns at once."""
        weight = np.where(self.degrees > 0, self.degrees, 1.0)[:, np.newaxis]
        x, r = np.zeros_like(b), np.array(b)
        z = r / weight
        p = z.copy()
        rho = np.einsum("ij,ij->j", r, z)
        goal = np.square(tol) * rho
        steps = 0
        while steps < most:
            steps += 1
            q = np.asarray(self.product(p))
            curvature = np.einsum("ij,ij->j", p, q)
            alpha = np.divide(rho, curvature, out=np.zeros_like(rho), where=curvature > 0)
            x += alpha * p
            r -= alpha * q
            z = r / weight
            new = np.einsum("ij,ij->j", r, z)
            if (new <= goal).all():
                break
            p *= np.divide(new, rho, out=np.zeros_like(rho), where=rho > 0)
            p += z
            rho = new
        x = self.centred(x)
        return Solved(x, _relative(b - self.product(x), b), steps)


def _relative(r: Any, b: Array) -> float:
    size = np.linalg.norm(b, axis=0)
    return float(
        np.max(np.divide(np.linalg.norm(r, axis=0), size, out=np.zeros_like(size), where=size > 0), initial=0.0)
    )


def branching_nodes(simple: Any) -> int:
    """Nodes with three or more neighbours once all trees that hang from the graph are taken off."""
    degrees = np.diff(simple.indptr).astype(np.int64)
    leaves = np.flatnonzero(degrees == 1)
    rounds = 0
    while len(leaves) and rounds < 200:  # a long tail only makes the count too high by what it hangs on
        degrees[leaves] = 0
        spans = [simple.indices[simple.indptr[i] : simple.indptr[i + 1]] for i in leaves.tolist()]
        np.subtract.at(degrees, np.concatenate(spans), 1)
        leaves = np.unique(np.concatenate(spans))
        leaves = leaves[degrees[leaves] == 1]
        rounds += 1
    return int((degrees >= 3).sum())


@final
@dataclass(frozen=True, eq=False)
class DenseInverse:
    """The inverse of a Laplacian with one node of each component held at zero.

    Attributes:
        G: (n, n), rows and columns of zeros for the nodes held. relative_error: an estimate for differences
            x^T G x, from the largest entry of I - L G; the entries of G themselves have rounding beside it.
    """

    G: Array
    relative_error: float

    @classmethod
    def of(cls, matrix: Any, kept: Any) -> DenseInverse:
        """By Cholesky's method. Improving it with residuals in the same precision would gain nothing.

        Args:
            matrix: (n, n) Laplacian. kept: (n,) bool, all nodes but one of each component.
        """
        G = np.zeros(matrix.shape)
        free = np.flatnonzero(kept)
        if not len(free):
            return cls(G, 0.0)
        inner = scipy.sparse.csr_array(matrix[free][:, free])
        with one_blas_thread():
            factor, failed = lapack.dpotrf(inner.toarray(), lower=1)
            inverse, failed_too = lapack.dpotri(factor, lower=1)
            if failed or failed_too:
                raise AnalysisError("the Laplacian is singular to rounding: its edge weights differ by too much.")
            inverse = np.tril(inverse) + np.tril(inverse, -1).T
            defect = inner @ inverse
        defect[np.diag_indices(len(free))] -= 1.0
        G[np.ix_(free, free)] = inverse
        return cls(G, 8.0 * float(np.abs(defect).max()))
