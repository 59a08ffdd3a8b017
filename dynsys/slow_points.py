"""Whether a state where a search came to rest is a minimum of the speed, or only a place where it got stuck."""

from __future__ import annotations

import numpy as np

from dynsys.maps import Map
from dynsys.types import Array, Booleans

STEP = 1e-4  # of the differences that give the second derivatives, model units
NEGATIVE = 1e-3  # curvature below minus this, relative to the largest, points downhill
PROBES = 256  # state variables beyond which random directions are tried instead of all


def are_minima(f: Map, states: Array, input: Array) -> Booleans:
    """Whether |F|^2 / 2, F = f(x) - x, curves upwards or not at all around each critical point (k, n) of it.

    The Hessian is J^T J + sum_i F_i H_i; its columns are differences of the gradient J^T F. A direction in which the
    speed falls makes the state a saddle of the speed. Along a line of slow points the curvature is zero, and they stay.
    """
    k, n = states.shape
    some = np.random.default_rng(0).standard_normal((n, 32))
    directions = np.eye(n) if n <= PROBES else np.linalg.qr(some)[0]
    out = np.ones(k, dtype=bool)
    for i, state in enumerate(states):
        ahead = state[:, np.newaxis] + STEP * directions
        behind = state[:, np.newaxis] - STEP * directions
        change = _gradient(f, ahead, input) - _gradient(f, behind, input)
        hessian = directions.T @ change / (2.0 * STEP)
        if not np.isfinite(hessian).all():
            continue
        curvature = np.linalg.eigvalsh((hessian + hessian.T) / 2.0)
        out[i] = curvature[0] >= -NEGATIVE * max(abs(curvature[-1]), abs(curvature[0]), 1e-300)
    return out


def _gradient(f: Map, x: Array, input: Array) -> Array:
    """(J - I)^T F at columns x (n, b): the gradient of |F|^2 / 2."""
    link = f.linearize_columns(x, input[:, np.newaxis])
    F = link.next_state - x
    return np.asarray(link.pull(F[..., np.newaxis], input=False).state[..., 0] - F)
