"""Singular values of a long product of matrices, in logarithms, all of them.

The SVD of the formed product is wrong for every singular value more than 36 nats below the largest. Here the product
is kept as P = Q exp(diag L) X Q0^T with X unit upper triangular, which loses nothing, and only the graded triangle
is decomposed.
"""

from __future__ import annotations

import numpy as np

from dynsys.frames import signed_qr
from dynsys.types import Array, Integers

EPS = float(np.finfo(np.float64).eps)
SPAN = 600.0  # nats that one floating-point matrix can hold
OVERLAP = 45.0  # nats by which windows overlap
SPLIT = 1e-12
FLIPS = 40
TURNS = 24  # for vectors; even, so that left stays left
APART = 1.0  # nats between values that TURNS turns separate to exp(-2 TURNS APART)


class GradedProduct:
    """A product J_t ... J_1 Q0, extended one factor at a time in O(n^2) memory.

    While the product has full rank X is unit upper triangular. Each lost dimension takes a row of X, a column of Q and
    an entry of L with it.

    With `shaken` the frame is perturbed by one rounding error per step, within the pattern of the start frame. A
    second, shaken product shows which values the arithmetic determines: two like copies would agree on their errors.
    """

    def __init__(self, frame: Array, shaken: np.random.Generator | None = None) -> None:
        self._q, self._start = frame.copy(), frame
        # A group of units that touch no others keeps its own rows and columns of the frame: so does the shaking.
        self._pattern = (frame != 0).astype(np.float64)
        self._shake = None if shaken is None else EPS * shaken.standard_normal(frame.shape)
        self._n = frame.shape[0]
        self._log = np.zeros(self._n)
        self._x = np.eye(self._n)

    def extend(self, jacobian: Array, rank: int | None = None) -> None:
        """P <- jacobian P, whose rank is known to be at most `rank`."""
        moved = jacobian @ self._q
        self._q, r = signed_qr(moved)
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

    def log_singular_values(self) -> Array:
        """(n,) nats, largest first; -inf for lost dimensions."""
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
        x, log = self._x, self._log
        left, right = np.eye(len(log)), np.eye(self._n)
        for _ in range(TURNS):
            turned, r = signed_qr(x.T)
            x, log = _absorbed(r, np.arange(len(log)), log, np.eye(len(log)))
            left, right = right @ turned, left
        values, left, right = _block_by_block(x, log, left, right)
        order = np.argsort(-values, kind="stable")[:k]
        missing = k - len(order)
        whole_left = np.pad(self._q @ left[:, order], ((0, 0), (0, missing)), constant_values=np.nan)
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
