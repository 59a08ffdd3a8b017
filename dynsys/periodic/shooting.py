"""Linear algebra of the cyclic equations, in batches, never as one dense matrix over the whole orbit.

An orbit of p states solves G_k = f(x_k) - x_{k+1} = 0 for k = 0 .. p-1, with x_p = x_0. Newton's step d solves
J_k d_k - d_{k+1} = -G_k. Unlike Newton on f composed p times, its conditioning does not grow with the product of the
Jacobians. Arrays are (p, B, n) and (p, B, n, n): step of the orbit first, then the orbit.
"""

from __future__ import annotations

import numpy as np

from dynsys.batched_solves import solve_each
from dynsys.maps import Map
from dynsys.types import Array


def defects(f: Map, orbits: Array, input: Array) -> tuple[Array, Array]:
    """G_k = f(x_k) - x_{k+1}, (p, B, n), and the Jacobians J_k, (p, B, n, n), of orbits (p, B, n) at the input (m,)."""
    p, count, n = orbits.shape
    step = f.linearize_columns(np.ascontiguousarray(orbits.reshape(p * count, n).T), input[:, np.newaxis])
    G = step.next_state.T.reshape(p, count, n) - np.roll(orbits, -1, axis=0)
    return G, np.asarray(step.dense()).reshape(p, count, n, n)


def solve_cyclic(J: Array, right: Array) -> Array:
    """d, (p, B, n), with J_k d_k - d_{k+1} = right_k; NaN where the system is singular.

    One unknown after the other is eliminated by an orthogonal transformation of the two equations it occurs in. No
    product of Jacobians is formed, and the result is backward stable for any growth along the orbit.
    Source: S. J. Wright, Stable parallel algorithms for two-point boundary value problems, SIAM Journal on Scientific
    and Statistical Computing 13 (1992) 742-764.
    """
    p, count, n, _ = J.shape
    # The equation carried along: first d_0 + last d_{k+1} = r.
    first, last, r = J[0], np.broadcast_to(-np.eye(n), (count, n, n)), right[0]
    steps = []
    for k in range(1, p):
        if not (np.isfinite(last).all() and np.isfinite(J[k]).all()):
            return np.full(right.shape, np.nan)
        Q, R = np.linalg.qr(np.concatenate([last, J[k]], axis=1), mode="complete")
        Q = Q.swapaxes(1, 2)
        # Columns: d_0, d_{k+1}, right side.
        rest = Q[:, :, :n] @ np.concatenate([first, np.zeros((count, n, n)), r[:, :, np.newaxis]], axis=2)
        rest[:, :, n : 2 * n] -= Q[:, :, n:]
        rest[:, :, 2 * n :] += Q[:, :, n:] @ right[k][:, :, np.newaxis]
        steps.append((R[:, :n], rest[:, :n]))
        first, last, r = rest[:, n:, :n], rest[:, n:, n : 2 * n], rest[:, n:, 2 * n]
    d = np.empty_like(right)
    d[0] = solve_each(first + last, r)
    after = d[0]
    for k in range(p - 1, 0, -1):
        R, rest = steps[k - 1]
        known = rest[:, :, :n] @ d[0][:, :, np.newaxis] + rest[:, :, n : 2 * n] @ after[:, :, np.newaxis]
        after = d[k] = solve_each(R, rest[:, :, 2 * n] - known[:, :, 0])
    return d


def solve_cyclic_transposed(J: Array, right: Array) -> Array:
    """d with J_k^T d_k - d_{k-1} = right_k: the same kind of system, read backwards."""
    back = (-np.arange(len(J))) % len(J)
    return solve_cyclic(J[back].swapaxes(2, 3), right[back])[back]


def inverse_norms(J: Array, rounds: int = 4) -> Array:
    """(B,) the 2-norm of the inverse of the cyclic system, by power iteration on it; inf where it is singular."""
    p, count, n, _ = J.shape
    v = np.random.default_rng(0).standard_normal((p, count, n))  # any start does; fixed, so that results repeat
    norms = np.zeros(count)
    with np.errstate(all="ignore"):
        for _ in range(rounds):
            v = v / np.sqrt(np.square(v).sum(axis=(0, 2)))[:, np.newaxis]
            u = solve_cyclic(J, v)
            norms = np.sqrt(np.square(u).sum(axis=(0, 2)))
            v = solve_cyclic_transposed(J, u / norms[:, np.newaxis])
    return np.where(np.isfinite(norms), norms, np.inf)


def gradient_of(G: Array, J: Array) -> Array:
    """Half the gradient of |G|^2 by the states, (p, B, n): J_k^T G_k - G_{k-1}."""
    return np.asarray((J.swapaxes(2, 3) @ G[..., np.newaxis])[..., 0] - np.roll(G, 1, axis=0))


def solve_damped(J: Array, gradient: Array, damping: Array) -> Array:
    """d, (p, B, n), with (A^T A + damping I) d = gradient for the cyclic matrix A and damping (B,).

    A^T A is block tridiagonal up to its corners, and positive definite: block elimination needs no pivoting.
    """
    p, _, n, _ = J.shape
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
