"""Singular values of a long product of matrices, in logarithms, all of them.

The SVD of the formed product is wrong for every singular value more than 36 nats below the largest. Here the product
is kept as P = Q exp(diag L) X Q0^T with X unit upper triangular, which loses nothing, and only the graded triangle
is decomposed.
"""

from __future__ import annotations

import numpy as np

from dynsys.frames import signed_qr
from dynsys.growth_order import GrowthOrder
from dynsys.qr_interval import QRInterval
from dynsys.reflectors import Reflectors
from dynsys.types import Array, Integers

EPS = float(np.finfo(np.float64).eps)
SPAN = 600.0  # nats that one floating-point matrix can hold
OVERLAP = 45.0  # nats by which windows overlap
SPLIT = 1e-12
FLIPS = 40
TURNS = 24  # for vectors; even, so that left stays left
SPAN_OF_A_QR = 10.0  # nats
UNFORMED = 48  # state size from which the frame is left as reflectors
STRIP = 64  # rows of the graded triangle updated at a time
ABOVE = np.triu(np.ones((STRIP, STRIP)), 1)
NEGLIGIBLE = 90.0  # nats below a row's own size from which on what is added to it is far below rounding
APART = 1.0  # nats between values that TURNS turns separate to exp(-2 TURNS APART)


class GradedProduct:
    """A product J_t ... J_1 Q0, extended one factor at a time in O(n^2) memory.

    While the product has full rank X is unit upper triangular. Each lost dimension takes a row of X, a column of Q and
    an entry of L with it.

    With `shaken` the frame is perturbed by one rounding error per step, within the pattern of the start frame. A
    second, shaken product shows which values the arithmetic determines: two like copies would agree on their errors.
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

        `span`: nats that the growth between two QRs may span. `order` is told of every QR of a large coupled product.
        """
        self.order = order
        self._q: Array | None = frame.copy(order="F")
        self._start = frame
        # Q as reflectors, and the signs that make the diagonal of R positive: Q diag(signs) is the frame.
        self._factor: Reflectors | None = None
        self._signs = np.ones(len(frame))
        self._moved: Array | None = None  # a product with the frame that no QR has been made of yet
        self._since = 0
        # A group of units that touch no others keeps its own rows and columns of the frame: so does the shaking.
        self._pattern = (frame != 0).astype(np.float64)
        self._shake = None if shaken is None else EPS * shaken.standard_normal(frame.shape)
        self._n = frame.shape[0]
        self._unformed = self._n >= UNFORMED and bool(self._pattern.all())
        self._interval = QRInterval(span, span + 4.0)
        self._room = np.empty((2, *frame.shape)).swapaxes(1, 2) if self._unformed else frame[:0]
        self._log = np.zeros(self._n)
        self._x = np.eye(self._n)

    def extend(self, jacobian: Array, rank: int | None = None) -> None:
        """P <- jacobian P, whose rank is known to be at most `rank`."""
        full = rank is None or rank >= self._n
        if self._unformed and full:
            self._extend_unformed(jacobian)
            return
        self._settle()
        self._unformed, self.order = False, None
        self._extend_formed(jacobian, rank)

    def _extend_unformed(self, jacobian: Array) -> None:
        """The same for large coupled frames of full rank, whose Q is never formed."""
        if self._moved is None:
            if self._factor is None:
                self._moved, self._spare = np.matmul(jacobian, self._columns(), out=self._room[0]), self._room[1]
            else:
                self._spare[...] = jacobian
                self._moved, self._spare = self._factor.times(self._spare), self._factor.packed
            if self._shake is not None:
                self._shake = np.roll(self._shake, 1, axis=0)
                self._moved += np.linalg.norm(jacobian, axis=1, keepdims=True) * self._shake
        else:
            self._moved, self._spare = np.matmul(jacobian, self._moved, out=self._spare), self._moved
        self._since += 1
        if self._since >= self._interval.steps:
            self._settle()

    def _settle(self) -> None:
        """A QR of what has been multiplied since the last one."""
        if self._moved is None:
            return
        self._factor, self._q, self._moved = Reflectors(self._moved), None, None
        signs = np.where(self._factor.diagonal * self._signs < 0, -1.0, 1.0)
        d = _positive(np.abs(self._factor.diagonal), self._factor.norm)
        absorb(self._factor.packed, signs / d, self._signs, self._log, self._x)
        self._log += np.log(d)
        self._signs = signs
        self._interval.learn(np.log(d), self._since)
        self._since = 0
        if self.order is not None:
            self.order.see(self._log)

    def _extend_formed(self, jacobian: Array, rank: int | None) -> None:
        moved = jacobian @ self._columns()
        self._q, r = signed_qr(moved)
        self._factor = None
        pivots = np.arange(len(self._log))
        if rank is not None and rank < len(pivots):
            pivots = _independent(r, rank)
            self._q, kept = signed_qr(moved[:, pivots])
            # Row by row a staircase: what lies left of a row's pivot depends on the rows above alone.
            r = np.where(np.arange(len(self._log)) >= pivots[:, np.newaxis], self._q.T @ moved, 0.0)
            r[:, pivots] = kept
        self._x, self._log = _absorbed(r, pivots, self._log, self._x)
        if self._shake is not None:
            self._shake = np.roll(self._shake, 1, axis=0)
            self._pattern = self._pattern[:, pivots]
            self._q += self._shake[:, : len(pivots)] * self._pattern

    def _columns(self) -> Array:
        """The frame Q, formed."""
        if self._q is None:
            assert self._factor is not None
            self._q = self._factor.orthogonal() * self._signs
        return self._q

    def log_singular_values(self) -> Array:
        """(n,) nats, largest first; -inf for lost dimensions."""
        self._settle()
        x, log = self._x, self._log
        if not len(log):
            return np.full(self._n, -np.inf)
        for flip in range(FLIPS):
            square = x.shape[0] == x.shape[1]
            if square and (np.ptp(log) <= SPAN or (flip > 0 and _split_at(x, log) is not None)):
                break
            # X^T has the same singular values behind it, and one QR sorts and sharpens the grading.
            _, r = signed_qr(x.T)
            x, log = _absorbed(r, np.arange(len(log)), log, np.eye(len(log)))
        values = -np.sort(-_of_blocks(x, log))
        return np.concatenate([values, np.full(self._n - len(values), -np.inf)])

    def leading(self, k: int) -> tuple[Array, Array, Array]:
        """Log singular values (k,), left (n, k) and right (n, k) vectors: P = sum_i exp(l_i) left_i right_i^T.

        The graded triangle is turned over and over: X tends to the identity, block by block where values are close.
        What is lost exactly has no vectors: its columns are NaN, its values -inf.
        """
        self._settle()
        x, log = self._x, self._log
        left, right = np.eye(len(log)), np.eye(self._n)
        for _ in range(TURNS):
            turned, r = signed_qr(x.T)
            x, log = _absorbed(r, np.arange(len(log)), log, np.eye(len(log)))
            left, right = right @ turned, left
        values, left, right = _block_by_block(x, log, left, right)
        order = np.argsort(-values, kind="stable")[:k]
        missing = k - len(order)
        whole_left = np.pad(self._columns() @ left[:, order], ((0, 0), (0, missing)), constant_values=np.nan)
        whole_right = np.pad(self._start @ right[:, order], ((0, 0), (0, missing)), constant_values=np.nan)
        return np.pad(values[order], (0, missing), constant_values=-np.inf), whole_left, whole_right


def _block_by_block(x: Array, log: Array, left: Array, right: Array) -> tuple[Array, Array, Array]:
    """The SVD of left exp(log) X right^T, X being block diagonal: blocks end where the grading drops by APART."""
    values = np.empty(len(log))
    left, right = left.copy(), right.copy()
    ends = [*(np.flatnonzero(log[:-1] - log[1:] > APART) + 1).tolist(), len(log)] if len(log) else []
    begin = 0
    for end in ends:
        at, top = slice(begin, end), float(log[begin:end].max())
        u, s, vt = np.linalg.svd(np.exp(log[at] - top)[:, np.newaxis] * x[at, at])
        with np.errstate(divide="ignore"):
            values[at] = np.log(s) + top
        left[:, at], right[:, at] = left[:, at] @ u, right[:, at] @ vt.T
        begin = end
    return values, left, right


def _independent(r: Array, rank: int) -> Integers:
    """The `rank` columns of a triangle R that depend least on the columns before them, in their order."""
    size = np.linalg.norm(r, axis=0)
    apart = np.where(size > 0, np.diagonal(r) / np.where(size > 0, size, 1.0), -1.0)
    return np.sort(np.argsort(-apart, kind="stable")[:rank])


def _absorbed(r: Array, pivots: Integers, log: Array, x: Array) -> tuple[Array, Array]:
    """R exp(L) X as exp(L') X', where row i of the staircase R begins at column pivots[i]."""
    rows = np.arange(len(pivots))
    d = r[rows, pivots].copy()
    # A pivot that rounding made exactly zero is below rounding, not lost: any tiny stand-in will do.
    least = np.finfo(np.float64).eps * max(float(np.abs(r).max(initial=0.0)), np.finfo(np.float64).tiny)
    d = np.where(d > 0, d, least)
    factors = r / d[:, np.newaxis]
    i, j = np.nonzero(factors)
    factors[i, j] *= np.exp(np.minimum(log[j] - log[pivots[i]], 700.0))
    factors[rows, pivots] = 1.0
    return factors @ x, log[pivots] + np.log(d)


def absorb(r: Array, rows: Array, columns: Array, log: Array, x: Array) -> None:
    """x <- diag(rows) exp(-log) R exp(log) diag(columns) x, in place, for triangles R and x (n, n).

    What lies below the diagonal of `r` is not looked at. In strips of rows: a strip meets only what is below it in x,
    and of that only what its grading leaves above rounding.
    """
    n = len(log)
    reach = np.maximum.accumulate(log[::-1])[::-1]  # the largest entry of log from here on
    for begin in range(0, n, STRIP):
        end = min(begin + STRIP, n)
        own = log[begin:end]
        last = max(end, int(np.searchsorted(-reach, NEGLIGIBLE - float(own.min()))))
        if last == end and float((np.maximum.accumulate(own[::-1])[::-1][1:] - own[:-1]).max()) < -NEGLIGIBLE:
            continue  # so steep that every row keeps to itself
        factors = r[begin:end, begin:last] * rows[begin:end, np.newaxis]
        factors *= columns[begin:last]
        top = float(own.max())
        if top - float(own.min()) <= SPAN / 2:
            factors *= np.exp(top - own)[:, np.newaxis]
            factors *= np.exp(np.minimum(log[begin:last] - top, SPAN))
        else:
            factors *= np.exp(np.minimum(log[begin:last] - own[:, np.newaxis], SPAN))
        factors[:, : end - begin] *= ABOVE[: end - begin, : end - begin]
        np.fill_diagonal(factors, 1.0)
        x[begin:end, begin:] = factors @ x[begin:last, begin:]


def _positive(d: Array, norm: float) -> Array:
    """Pivots of a triangle. One that rounding made zero is below rounding, not lost: any tiny stand-in will do."""
    return np.where(d > 0, d, EPS * max(norm, float(np.finfo(np.float64).tiny)))


def _split_at(x: Array, log: Array) -> int | None:
    """Where the graded triangle falls apart into two independent ones, or None; the most even of the places."""
    before, after = np.minimum.accumulate(log)[:-1], np.maximum.accumulate(log[::-1])[::-1][1:]
    gaps = before - after
    places = np.flatnonzero(gaps > 0) + 1
    middle = len(log) / 2
    for p in sorted(places, key=lambda p: (-min(gaps[p - 1], 40.0), abs(p - middle)))[:8]:
        coupling = np.linalg.solve(x[:p, :p], x[:p, p:])
        if np.abs(coupling).max(initial=0.0) <= SPLIT:
            return int(p)
    return None


def _of_blocks(x: Array, log: Array) -> Array:
    if np.ptp(log) <= SPAN:
        return _graded_svd(x, log)
    p = _split_at(x, log)
    if p is None:
        return _windows(x, log)
    return np.concatenate([_of_blocks(x[:p, :p], log[:p]), _of_blocks(x[p:, p:], log[p:])])


def _graded_svd(x: Array, log: Array) -> Array:
    from scipy.linalg import svdvals

    top = log.max()
    graded = np.exp(log - top)[:, np.newaxis] * x
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(svdvals(graded)) + top)


def _windows(x: Array, log: Array) -> Array:
    """Overlapping diagonal windows: far from a window's edges its singular values are those of the whole."""
    order = np.argsort(-log, kind="stable")
    if not np.array_equal(order, np.arange(len(log))):
        x = x.copy()
    values = np.full(len(log), -np.inf)
    begin = 0
    while begin < len(log):
        inside = np.flatnonzero(log[begin:] >= log[begin] - SPAN)
        end = begin + int(inside[-1]) + 1
        own = -np.sort(-_graded_svd(x[begin:end, begin:end], log[begin:end]))
        settled = 0 if begin == 0 else int((log[begin:end] > log[begin] - OVERLAP).sum())
        values[begin + settled : end] = own[settled:]
        if end == len(log):
            break
        begin = max(begin + 1, end - int((log[begin:end] < log[end - 1] + 2 * OVERLAP).sum()))
    return values


def coupled_frame(coupled: Array, generator: np.random.Generator) -> Array:
    """An orthonormal n x n frame, random within groups of coupled units only.

    A random frame over units that never touch would mix what is exactly separate, and rounding would then couple them.

    Args:
        coupled: (n, n) bool, which entries of the Jacobians are ever nonzero.
    """
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(coupled, directed=False)
    frame = np.zeros(coupled.shape)
    for group in np.unique(label):
        units = np.flatnonzero(label == group)
        frame[np.ix_(units, units)] = signed_qr(generator.standard_normal((len(units), len(units))))[0]
    return frame
