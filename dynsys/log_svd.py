"""Singular values of a long product of matrices, in logarithms, all of them.

The SVD of the formed product is wrong for every singular value more than 36 nats below the largest. Here the product
is kept as P = Q exp(diag L) X Q0^T with X unit upper triangular, which loses nothing, and only the graded triangle
is decomposed.
"""

from __future__ import annotations

import numpy as np

from dynsys.elimination import Elimination
from dynsys.frames import signed_qr
from dynsys.graded_triangle import EPS, absorbed, log_singular_values, singular_vectors
from dynsys.grading import Grading
from dynsys.growth_order import GrowthOrder
from dynsys.reflectors import Reflectors
from dynsys.types import Array, Integers

SPAN_OF_A_QR = 10.0  # nats
UNFORMED = 48  # state size from which the frame is left as reflectors


class GradedProduct:
    """A product J_t ... J_1 Q0, extended one factor at a time in O(n^2) memory.

    While the product has full rank X is unit upper triangular. Each lost dimension takes a row of X, a column of Q and
    an entry of L with it.

    With `shaken` the frame is perturbed by one rounding error per step. A second, shaken product shows which values the
    arithmetic determines: two like copies would agree on their errors.
    """

    def __init__(
        self,
        frame: Array,
        shaken: np.random.Generator | None = None,
        *,
        span: float = SPAN_OF_A_QR,
        order: GrowthOrder | None = None,
    ) -> None:
        """Starts with P = Q0, the square `frame`.

        `span`: nats that the growth between two QRs may span. `order` is told of every QR of a large product.
        """
        self._q: Array | None = frame.copy(order="F")
        self._start = frame
        self._factor: Reflectors | Elimination | None = None  # of the frame, but for signs: Q as reflectors, or F
        self._moved: Array | None = None  # a product with the frame that no QR has been made of yet
        self._since = 0
        self._shake = None if shaken is None else EPS * shaken.standard_normal(frame.shape)
        self._n: int = frame.shape[0]
        self._unformed: bool = self._n >= UNFORMED
        self._grading = Grading(self._n, span, order)
        self._room = np.empty((2, *frame.shape)).swapaxes(1, 2) if self._unformed else frame[:0]

    @property
    def regular(self) -> bool:
        """Whether every step so far went the way of large products of full rank, whose growth is watched."""
        return self._unformed

    def extend(self, jacobian: Array, rank: int | None = None) -> None:
        """P <- jacobian P, whose rank is known to be at most `rank`."""
        full = rank is None or rank >= self._n
        if self._unformed and full:
            self._extend_unformed(jacobian)
            return
        self._settle()
        self._unformed = False
        self._extend_formed(jacobian, rank)

    def _extend_unformed(self, jacobian: Array) -> None:
        """The same for large frames of full rank, whose Q is never formed."""
        if self._moved is None:
            if self._factor is None:
                self._moved, self._spare = np.matmul(jacobian, self._columns(), out=self._room[0]), self._room[1]
            else:
                self._spare[...] = jacobian
                self._moved, self._spare = self._factor.times(self._spare, overwrite=True), self._factor.packed
            if self._shake is not None:
                self._shake = np.roll(self._shake, 1, axis=0)
                self._moved += np.linalg.norm(jacobian, axis=1, keepdims=True) * self._shake
        else:
            self._moved, self._spare = np.matmul(jacobian, self._moved, out=self._spare), self._moved
        self._since += 1
        if self._since >= self._grading.interval.steps:
            self._settle(exact=False)

    def _settle(self, exact: bool = True) -> None:
        """A decomposition of what was multiplied since the last one; an `exact` one leaves an orthonormal frame."""
        moved, since = self._moved, self._since
        if moved is None:
            if not exact or not isinstance(self._factor, Elimination):
                return
            moved, since = self._factor.times(np.eye(self._n, order="F")), 0
        self._factor, self._q, self._moved = Reflectors(moved) if exact else Elimination(moved), None, None
        self._grading.take(self._factor, since, signed=False)
        self._since = 0

    def _extend_formed(self, jacobian: Array, rank: int | None) -> None:
        moved = jacobian @ self._columns()
        self._q, r = signed_qr(moved)
        self._factor = None
        size = len(self._grading.log)
        pivots = np.arange(size)
        if rank is not None and rank < size:
            pivots = independent(r, rank)
            self._q, kept = signed_qr(moved[:, pivots])
            # Row by row a staircase: what lies left of a row's pivot depends on the rows above alone.
            r = np.where(np.arange(size) >= pivots[:, np.newaxis], self._q.T @ moved, 0.0)
            r[:, pivots] = kept
        grading = self._grading
        grading.x, grading.log = absorbed(r, pivots, grading.log, grading.x)
        if self._shake is not None:
            self._shake = np.roll(self._shake, 1, axis=0)
            self._q += self._shake[:, : len(pivots)]

    def _columns(self) -> Array:
        """The frame Q, formed."""
        if self._q is None:
            assert isinstance(self._factor, Reflectors)
            self._q = self._factor.orthogonal() * self._grading.signs
        return self._q

    def log_singular_values(self) -> Array:
        """(n,) nats, largest first; -inf for lost dimensions."""
        self._settle()
        values = log_singular_values(self._grading.x, self._grading.log)
        return np.concatenate([values, np.full(self._n - len(values), -np.inf)])

    def leading(self, k: int) -> tuple[Array, Array, Array]:
        """Log singular values (k,), left (n, k) and right (n, k) vectors: P = sum_i exp(l_i) left_i right_i^T.

        The graded triangle is turned over and over: X tends to the identity, block by block where values are close.
        What is lost exactly has no vectors: its columns are NaN, its values -inf.
        """
        self._settle()
        values, left, right = singular_vectors(self._grading.x, self._grading.log)
        order = np.argsort(-values, kind="stable")[:k]
        missing = k - len(order)
        whole_left = np.pad(self._columns() @ left[:, order], ((0, 0), (0, missing)), constant_values=np.nan)
        whole_right = np.pad(self._start @ right[:, order], ((0, 0), (0, missing)), constant_values=np.nan)
        return np.pad(values[order], (0, missing), constant_values=-np.inf), whole_left, whole_right


def independent(r: Array, rank: int) -> Integers:
    """The `rank` columns of a triangle R that depend least on the columns before them, in their order."""
    size = np.linalg.norm(r, axis=0)
    apart = np.where(size > 0, np.diagonal(r) / np.where(size > 0, size, 1.0), -1.0)
    return np.sort(np.argsort(-apart, kind="stable")[:rank])
