"""Where the multipliers lie, for every matrix of an interval matrix: discs, and a count without diagonalising.

Discs: with J V = V D + Q for an approximate eigenbasis V and W close to its inverse, V^-1 J V = D + V^-1 Q, whose
Gershgorin discs contain all multipliers, and as many in each connected part as it has discs (Bauer and Fike, Numerische
Mathematik 2 (1960) 137-141). Index: if P - J^T P J is positive definite, J has as many multipliers inside the unit
circle as P has positive eigenvalues, and none on it (by the Cayley transform this is the inertia theorem of Ostrowski
and Schneider, J. Math. Anal. Appl. 4 (1962) 72-84); it also decides where J is defective, or nearly so.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.readings.intervals import EPS, Intervals, up
from dynsys.types import Array, Complex


@final
@dataclass(frozen=True, eq=False)
class Discs:
    """Discs in the complex plane: `centres` (n,) sorted by modulus, `radii` (n,); see the module's first lines."""

    centres: Complex
    radii: Array

    def n_unstable(self) -> int | None:
        """How many multipliers lie outside the unit circle; None where a disc meets it."""
        size = np.abs(self.centres)
        outside = size * (1 - 4 * EPS) - self.radii > 1 + 4 * EPS
        inside = size * (1 + 4 * EPS) + self.radii < 1 - 4 * EPS
        return int(outside.sum()) if (outside | inside).all() else None


def discs(J: Intervals) -> Discs:
    """Discs that contain the multipliers of every matrix in J (n, n)."""
    n = J.shape[0]
    middle, _ = J.ball()
    everything = Discs(np.zeros(n, dtype=np.complex128), np.full(n, _norm_bound(J)))
    if not np.isfinite(J.magnitude()).all():
        return everything
    try:
        values, vectors = np.linalg.eig(middle)
        inverse = np.linalg.inv(vectors)
    except np.linalg.LinAlgError:
        return everything
    if not np.isfinite(inverse).all():
        return everything
    V, W = (vectors.real, vectors.imag), (inverse.real, inverse.imag)
    a, b = values.real, values.imag
    columns = [Intervals.point(part) for part in V]
    Q = (
        _right(J, V[0]) - (columns[0] * a - columns[1] * b),
        _right(J, V[1]) - (columns[0] * b + columns[1] * a),
    )
    moved = _size(_left(W, Q))
    apart = _left(W, (columns[0], columns[1]))
    mismatch = _row_sum(_size((Intervals.point(np.eye(n)) - apart[0], apart[1])))
    if not mismatch < 1 or not np.isfinite(moved).all():
        return everything
    factor = up(up(mismatch / np.nextafter(1 - mismatch, 0)))
    spread = up(moved + up(factor * moved.max(axis=0)))
    radii = up(spread.sum(axis=1) * (1 + (n + 2) * EPS))
    order = np.argsort(-np.abs(values), kind="stable")
    found = Discs(values[order].astype(np.complex128), radii[order])
    return found if np.isfinite(radii).all() else everything


def index(J: Intervals, found: Discs) -> int | None:
    """How many multipliers lie outside the unit circle, for every matrix in J; None where that is not proven."""
    count = found.n_unstable()
    return count if count is not None or not np.isfinite(J.magnitude()).all() else _by_inertia(J)


def _by_inertia(J: Intervals) -> int | None:
    from scipy.linalg import solve_discrete_lyapunov

    middle, _ = J.ball()
    n = len(middle)
    try:
        with warnings.catch_warnings():  # a bad solution proves nothing, and is told by the check below
            warnings.simplefilter("ignore")
            P = solve_discrete_lyapunov(middle.T, np.eye(n))
    except (np.linalg.LinAlgError, ValueError):
        return None
    P = 0.5 * (P + P.T)
    if not np.isfinite(P).all():
        return None
    P /= np.abs(P).max()
    defect = Intervals.point(P) - _product(J.under(P).turned(), J)  # (P J)^T = J^T P
    return None if _positives(defect) != n else _negatives(P)


def _negatives(P: Array) -> int | None:
    positive = _positives(Intervals.point(P))
    return None if positive is None else len(P) - positive


def _positives(S: Intervals) -> int | None:
    """How many eigenvalues of every symmetric matrix in S are positive, if none can be zero: by congruence."""
    middle, _ = S.ball()
    if not np.isfinite(middle).all():
        return None
    values, Q = np.linalg.eigh(0.5 * (middle + middle.T))
    if (values == 0).any():
        return None
    Q = Q / np.sqrt(np.abs(values))  # so that Q^T S Q is near +-1 on the diagonal
    nearly = _right(S, Q).under(Q.T)
    sizes = nearly.magnitude()
    off = up((sizes.sum(axis=1) - sizes.diagonal()) * (1 + (len(Q) + 4) * EPS) + EPS * sizes.sum(axis=1))
    low, high = nearly.low.diagonal(), nearly.high.diagonal()
    # Strict diagonal dominance also makes Q regular, so that inertia is kept.
    positive, negative = low > off, high < -off
    return int(positive.sum()) if (positive | negative).all() else None


def _right(J: Intervals, V: Array) -> Intervals:
    """J @ V."""
    return J.turned().under(V.T).turned()


def _product(A: Intervals, B: Intervals) -> Intervals:
    """A @ B, both intervals."""
    middle, radius = A.ball()
    return B.under(middle, radius)


def _left(W: tuple[Array, Array], Q: tuple[Intervals, Intervals]) -> tuple[Intervals, Intervals]:
    """W @ Q, complex, as real and imaginary parts."""
    return Q[0].under(W[0]) - Q[1].under(W[1]), Q[1].under(W[0]) + Q[0].under(W[1])


def _size(parts: tuple[Intervals, Intervals]) -> Array:
    """Upper bounds of the moduli."""
    with np.errstate(over="ignore", invalid="ignore"):
        return up(up(np.hypot(parts[0].magnitude(), parts[1].magnitude()) * (1 + 4 * EPS)))


def _row_sum(matrix: Array) -> float:
    return float(up(matrix.sum(axis=1).max() * (1 + (matrix.shape[1] + 2) * EPS)))


def _norm_bound(J: Intervals) -> float:
    """No multiplier is larger than the largest row sum."""
    return _row_sum(J.magnitude())


def orbit_jacobian(links: list[Intervals]) -> Intervals:
    """J_p ... J_1 from the steps' Jacobians in order."""
    product = links[0]
    for link in links[1:]:
        product = _product(link, product)
    return product
