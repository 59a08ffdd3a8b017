"""Multipliers of a whole orbit: eigenvalues of J_p ... J_1, in that order, the small ones kept beside the large.

The product itself knows an eigenvalue only to eps |J_p| ... |J_1|. Where that is too little, an orthogonal frame is
carried around the orbit until every factor is block triangular in it (a periodic Schur form, in blocks): each block's
eigenvalues then come from the product of that block alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys import stability
from dynsys.types import Array, Complex, Integers

EPS = float(np.finfo(np.float64).eps)
ENOUGH = 1e-9  # relative error of a multiplier below which the product is good enough
SWEEPS = 60


@final
@dataclass(frozen=True, eq=False)
class Monodromy:
    """The linear map once around k orbits.

    Attributes:
        matrices: (k, n, n) J_p ... J_1. multipliers: (k, n) complex, by falling modulus. errors: (k, n), of rounding.
        right_modes, left_modes: (k, n, n) eigenvectors of `matrices`. condition: (k, n).
    """

    matrices: Array
    multipliers: Complex
    errors: Array
    right_modes: Complex
    left_modes: Complex
    condition: Array


def around(J: Array, lost: Integers | None = None, drift: Array | None = None) -> Monodromy:
    """The multipliers of orbits with Jacobians J, (k, p, n, n), J[:, 0] first.

    Args:
        lost: (k,) dimensions that one turn destroys exactly: so many multipliers are exact zeros.
        drift: (k,) how much the product may change over the error of the orbit.
    """
    k, p, n, _ = J.shape
    P = np.broadcast_to(np.eye(n), (k, n, n))
    size = np.ones(k)
    for t in range(p):
        P = J[:, t] @ P
        size = size * np.linalg.norm(J[:, t], ord=2, axis=(1, 2)) if k else size
    P = np.ascontiguousarray(P)
    spectrum = stability.modes(P)
    values = spectrum.multipliers.copy()
    drift = np.zeros(k) if drift is None else drift
    errors = stability.multiplier_errors(P, spectrum.condition, drift + (p - 1) * n * EPS * size)
    if n > 1 and p > 1:
        for i in map(int, np.flatnonzero((errors > ENOUGH * np.abs(values)).any(axis=1))):
            fine, rounding = graded_eigenvalues(J[i])
            ours = rounding + spectrum.condition[i] * drift[i] * np.minimum(1.0, np.abs(fine) / max(size[i], 1e-300))
            better = ours < errors[i]
            values[i], errors[i] = np.where(better, fine, values[i]), np.where(better, ours, errors[i])
    if lost is not None:
        for row, count in enumerate(lost):
            if count:
                values[row, n - count :], errors[row, n - count :] = 0.0, 0.0
    return Monodromy(P, values, errors, spectrum.right_modes, spectrum.left_modes, spectrum.condition)


def graded_eigenvalues(J: Array) -> tuple[Complex, Array]:
    """Eigenvalues of J_p ... J_1 from the factors (p, n, n), by falling modulus, and their rounding errors, (n,).

    Orthogonal iteration around the orbit: its frame turns every factor into block upper triangular form, where blocks
    separate eigenvalues of different size. The errors are eps times the norms of a block's factors, times the
    condition of the eigenvalue in its block.
    Source: A. Bojanczyk, G. Golub and P. Van Dooren, The periodic Schur decomposition, SPIE 1770 (1992) 31-42.
    """
    p, n, _ = J.shape
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    factors = np.empty_like(J)
    ends = [n]
    for _ in range(SWEEPS):
        start = Q
        for t in range(p - 1):
            Q, factors[t] = np.linalg.qr(J[t] @ Q)
        last = J[p - 1] @ Q
        factors[p - 1] = start.T @ last
        Q = np.linalg.qr(last)[0]
        ends = _split(factors[p - 1])
        if len(ends) == n:
            break
    norms = [float(np.linalg.norm(matrix, 2)) for matrix in J]
    values, errors = np.zeros(n, dtype=np.complex128), np.zeros(n)
    begin = 0
    for end in ends:
        block = slice(begin, end)
        product, sizes = np.eye(end - begin), []
        for factor in factors:
            product = factor[block, block] @ product
            sizes.append(float(np.linalg.norm(factor[block, block], 2)))
        # Every factor is known to eps times its own norm, however small this block of it.
        lost = (
            EPS
            * n
            * float(np.prod(sizes))
            * sum(whole / max(own, 1e-300) for whole, own in zip(norms, sizes, strict=True))
        )
        found = stability.modes(product[np.newaxis])
        values[block] = found.multipliers[0]
        errors[block] = stability.multiplier_errors(product[np.newaxis], found.condition, np.array([lost]))[0]
        begin = end
    order = stability.by_modulus(values)
    return values[order], errors[order]


def _split(last: Array) -> list[int]:
    """Where blocks may end: the part of the last factor (n, n) below the diagonal is rounding there."""
    n = len(last)
    scale = np.linalg.norm(last, 2) * n * EPS
    return [*(s for s in range(1, n) if np.linalg.norm(last[s:, :s]) <= scale), n]
