"""Graded triangles: exp(L) X with X unit upper triangular, far beyond what one floating-point matrix can hold."""

from __future__ import annotations

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.frames import signed_qr
from dynsys.types import Array, Integers

EPS = float(np.finfo(np.float64).eps)
SPAN = 600.0  # nats that one floating-point matrix can hold
OVERLAP = 45.0  # nats by which windows overlap
SPLIT = 1e-12
FLIPS = 40
TURNS = 24  # for vectors; even, so that left stays left
STRIP = 64  # rows of the graded triangle updated at a time
ABOVE = np.triu(np.ones((STRIP, STRIP)), 1)
NEGLIGIBLE = 90.0  # nats below a row's own size from which on what is added to it is far below rounding
APART = 1.0  # nats between values that TURNS turns separate to exp(-2 TURNS APART)


def log_singular_values(x: Array, log: Array) -> Array:
    """Logarithms of the singular values of exp(log) x, nats, largest first: (r,) for log (r,) and x (r, n)."""
    if not len(log):
        return log.copy()
    for flip in range(FLIPS):
        if np.ptp(log) <= SPAN or (flip > 0 and _split_at(x, log) is not None):
            break
        # exp(L) X and its transpose have the same singular values, and one QR sharpens the grading.
        _, _, x, log = _turned(x, log)
    return -np.sort(-_of_blocks(x, log))


def singular_vectors(x: Array, log: Array) -> tuple[Array, Array, Array]:
    """exp(log) x = left diag(exp(values)) right^T: values (r,) in no order, left (r, r) and right (n, r).

    The triangle is turned over and over: X tends to the identity, block by block where values are close.
    """
    left, right = np.eye(len(log)), np.eye(x.shape[1])
    for _ in range(TURNS):
        order, turned, x, log = _turned(x, log)
        left, right = right @ turned, left[:, order]
    return _block_by_block(x, log, left, right)


def _turned(x: Array, log: Array) -> tuple[Integers, Array, Array, Array]:
    """The transpose of exp(log) x as Q exp(L) X S, S taking its rows in the order of their size: S, Q, X and L.

    Where the rows fall, X is near the identity above its diagonal too, and nearer with every turn.
    """
    order = np.argsort(-(log + np.log(np.abs(x).max(axis=1))), kind="stable")
    turned, r = signed_qr(x[order].T)
    return order, turned, *absorbed(r, np.arange(len(log)), log[order], np.eye(len(log)))


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


def positive(d: Array, norm: float) -> Array:
    """Pivots of a triangle. One that rounding made zero is below rounding, not lost: any tiny stand-in will do."""
    return np.where(d > 0, d, EPS * max(norm, float(np.finfo(np.float64).tiny)))


def absorbed(r: Array, pivots: Integers, log: Array, x: Array) -> tuple[Array, Array]:
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
    """log of the singular values of exp(log) x over no more than SPAN nats, by one-sided Jacobi rotations.

    Their relative error is eps times the condition of x, whatever the rows' sizes and their order; a bidiagonalisation
    may lose what is e^-36 of another row, even where the rows fall, if the couplings between them are tiny.
    Source: Z. Drmac & K. Veselic, SIAM Journal on Matrix Analysis and Applications 29 (2008) 1322-1342.
    """
    from scipy.linalg.lapack import dgejsv

    top = log.max()
    graded = np.exp(log - top)[:, np.newaxis] * x
    sizes, _, _, scale, _, info = dgejsv(graded.T, joba=0, jobu=3, jobv=3, jobr=0, jobt=1, jobp=1)
    if info:
        raise AnalysisError("the singular values of a transfer did not converge.")
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(sizes) + np.log(scale[0] / scale[1]) + top)


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
