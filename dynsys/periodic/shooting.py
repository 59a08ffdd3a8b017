"""Linear algebra of the cyclic equations, in batches, never as one dense matrix over the whole orbit.

An orbit of p states solves G_k = f(x_k) - x_{k+1} = 0 for k = 0 .. p-1, with x_p = x_0. Newton's step d solves
J_k d_k - d_{k+1} = -G_k. Unlike Newton on f composed p times, its conditioning does not grow with the product of the
Jacobians. Arrays are (p, B, n) and (p, B, n, n): step of the orbit first, then the orbit.
"""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.batched_solves import inverse_of_each, solve_each
from dynsys.maps import Map
from dynsys.types import Array

FEW = 64  # orbits up to which that pays when a step is solved for
WHOLE = 48  # unknowns of an orbit up to which its system is written out as one matrix


def defects(f: Map, orbits: Array, input: Array) -> tuple[Array, Array]:
    """G_k = f(x_k) - x_{k+1}, (p, B, n), and the Jacobians J_k, (p, B, n, n), of orbits (p, B, n) at the input (m,)."""
    p, count, n = orbits.shape
    step = f.linearize_columns(np.ascontiguousarray(orbits.reshape(p * count, n).T), input[:, np.newaxis])
    G = step.next_state.T.reshape(p, count, n) - np.roll(orbits, -1, axis=0)
    return G, np.asarray(step.dense()).reshape(p, count, n, n)


@final
class CyclicFactors:
    """The cyclic system J_k d_k - d_{k+1} = right_k, (p, B, n, n), factored once for any number of right sides.

    One unknown after the other is eliminated by an orthogonal transformation of the two equations it occurs in. No
    product of Jacobians is formed, and the result is backward stable for any growth along the orbit.
    Source: S. J. Wright, Stable parallel algorithms for two-point boundary value problems, SIAM Journal on Scientific
    and Statistical Computing 13 (1992) 742-764.
    """

    def __init__(self, J: Array) -> None:
        p, count, n, _ = J.shape
        self._steps: list[tuple[Array, Array, Array]] = []  # Q^T, R, and what R stands beside: the columns d_0, d_{k+1}
        self._finite = bool(np.isfinite(J).all())
        # The equation carried along: first d_0 + last d_{k+1} = r.
        first, last = J[0], np.broadcast_to(-np.eye(n), (count, n, n))
        for k in range(1, p):
            self._finite = self._finite and bool(np.isfinite(last).all())
            if not self._finite:
                return
            Q, R = np.linalg.qr(np.concatenate([last, J[k]], axis=1), mode="complete")
            Q = Q.swapaxes(1, 2)
            rest = np.concatenate([Q[:, :, :n] @ first, -Q[:, :, n:]], axis=2)
            self._steps.append((Q, R[:, :n], rest[:, :n]))
            first, last = rest[:, n:, :n], rest[:, n:, n:]
        self._closing = first + last

    def solve(self, right: Array) -> Array:
        """d, (p, B, n), for right sides (p, B, n); NaN where the system is singular."""
        n = right.shape[-1]
        if not self._finite:
            return np.full(right.shape, np.nan)
        r, sides = right[0], []
        for k, (Q, _, _) in enumerate(self._steps, start=1):
            turned = (Q @ np.concatenate([r, right[k]], axis=1)[:, :, np.newaxis])[:, :, 0]
            sides.append(turned[:, :n])
            r = turned[:, n:]
        d = np.empty_like(right)
        d[0] = solve_each(self._closing, r)
        after = d[0]
        for k in range(len(right) - 1, 0, -1):
            _, R, rest = self._steps[k - 1]
            known = rest @ np.concatenate([d[0], after], axis=1)[:, :, np.newaxis]
            after = d[k] = solve_each(R, sides[k - 1] - known[:, :, 0])
        return d


def solve_cyclic(J: Array, right: Array) -> Array:
    """d, (p, B, n), with J_k d_k - d_{k+1} = right_k; NaN where the system is singular."""
    return CyclicFactors(J).solve(right)


def inverse_norms(J: Array, factors: CyclicFactors | None = None, rounds: int = 4) -> Array:
    """(B,) the 2-norm of the inverse of the cyclic system; inf where it is singular.

    Of small systems from the inverse itself, else by power iteration with it and with its transpose, J_k^T d_k -
    d_{k-1}: the same kind of system, read backwards. `factors` are those of J, where they are at hand.
    """
    p, count, n, _ = J.shape
    with np.errstate(all="ignore"):
        if p * n <= WHOLE:
            finite = np.asarray(np.isfinite(J).all(axis=(0, 2, 3)))
            inverses = inverse_of_each(np.where(finite[:, np.newaxis, np.newaxis], _whole(J), 0.0))
            good = np.isfinite(inverses).all(axis=(1, 2))
            norms = np.full(count, np.inf)
            norms[good] = np.linalg.norm(inverses[good], ord=2, axis=(1, 2))
            return norms
        ahead = CyclicFactors(J) if factors is None else factors
        back = (-np.arange(p)) % p
        transposed = CyclicFactors(J[back].swapaxes(2, 3))
        v = np.random.default_rng(0).standard_normal((p, count, n))  # any start does; fixed, so that results repeat
        norms = np.zeros(count)
        for _ in range(rounds):
            v = v / np.sqrt(np.square(v).sum(axis=(0, 2)))[:, np.newaxis]
            u = ahead.solve(v)
            norms = np.sqrt(np.square(u).sum(axis=(0, 2)))
            v = transposed.solve((u / norms[:, np.newaxis])[back])[back]
    return np.where(np.isfinite(norms), norms, np.inf)


def _whole(J: Array) -> Array:
    """The cyclic system as one matrix for each orbit, (B, p n, p n)."""
    p, count, n, _ = J.shape
    out = np.zeros((count, p, n, p, n))
    diagonal = np.arange(n)
    for k in range(p):
        out[:, k, :, k] += J[k]
        out[:, k, diagonal, (k + 1) % p, diagonal] -= 1.0
    return out.reshape(count, p * n, p * n)


def gradient_of(G: Array, J: Array) -> Array:
    """Half the gradient of |G|^2 by the states, (p, B, n): J_k^T G_k - G_{k-1}."""
    return np.asarray((J.swapaxes(2, 3) @ G[..., np.newaxis])[..., 0] - np.roll(G, 1, axis=0))


def solve_damped(J: Array, gradient: Array, damping: Array) -> Array:
    """d, (p, B, n), with (A^T A + damping I) d = gradient for the cyclic matrix A and damping (B,).

    A^T A is block tridiagonal up to its corners, and positive definite: block elimination needs no pivoting. A few
    small systems are written out, which takes one call where elimination takes one for every state.
    """
    p, count, n, _ = J.shape
    if p * n <= WHOLE and count <= FEW:
        A = _whole(J)
        normal = A.swapaxes(1, 2) @ A
        normal[:, np.arange(p * n), np.arange(p * n)] += damping[:, np.newaxis]
        solved = solve_each(normal, np.ascontiguousarray(gradient.swapaxes(0, 1)).reshape(count, p * n))
        return np.ascontiguousarray(solved.reshape(count, p, n).swapaxes(0, 1))
    transposed = J.swapaxes(2, 3)
    H = transposed @ J
    H[..., np.arange(n), np.arange(n)] += 1.0 + damping[:, np.newaxis]
    if p == 1:
        both = J[0] + transposed[0]
        return solve_each(H[0] - both, gradient[0])[np.newaxis]
    border = -J[p - 1] - (transposed[0] if p == 2 else 0.0)  # block (k, p - 1)
    pivot, corner = H[0], H[p - 1].copy()
    r, r_last = gradient[0], gradient[p - 1].copy()
    steps = []
    for k in range(p - 1):
        middle = k < p - 2
        U = -transposed[k]  # block (k, k + 1)
        rights = [border, r[:, :, np.newaxis]] + ([U] if middle else [])
        solved = _solve_many(pivot, np.concatenate(rights, axis=2))
        Y, z = solved[:, :, :n], solved[:, :, n]
        corner -= border.swapaxes(1, 2) @ Y
        r_last -= (border.swapaxes(1, 2) @ z[:, :, np.newaxis])[:, :, 0]
        X = solved[:, :, n + 1 :]
        steps.append((Y, z, X))
        if middle:
            below = U.swapaxes(1, 2)
            pivot = H[k + 1] - below @ X
            r = gradient[k + 1] - (below @ z[:, :, np.newaxis])[:, :, 0]
            border = -(below @ Y) - (transposed[k + 1] if k + 1 == p - 2 else 0.0)
    d = np.empty_like(gradient)
    d[p - 1] = solve_each(corner, r_last)
    for k in range(p - 2, -1, -1):
        Y, z, X = steps[k]
        d[k] = z - (Y @ d[p - 1][:, :, np.newaxis])[:, :, 0]
        if k < p - 2:
            d[k] -= (X @ d[k + 1][:, :, np.newaxis])[:, :, 0]
    return d


def _solve_many(matrices: Array, rights: Array) -> Array:
    """Solutions (B, n, c), NaN where a matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, rights))
    except np.linalg.LinAlgError:
        columns = [solve_each(matrices, rights[:, :, c]) for c in range(rights.shape[2])]
        return np.stack(columns, axis=2)
