"""Newton-Krylov: a search that never forms a Jacobian, for systems where n^3 is out of reach.

Each Newton step solves (J - I) p = -F by GMRES, whose only use of J is its product with a vector, to an accuracy that
follows how well Newton is doing; the step is shortened until |F| falls.
Source: S. C. Eisenstat and H. F. Walker, SIAM Journal on Scientific Computing 17 (1996) 16-32 (second choice).
"""

from __future__ import annotations

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.types import Array

DENSE = 1200  # state variables beyond which a search goes without Jacobians
SUBSPACE, RESTARTS = 60, 3
LOOSEST, FIRST = 0.5, 0.1  # forcing terms: relative residual at which GMRES may stop
HALVINGS = 8
PROGRESS = 1e-4  # of the fall of |F| that the linear equation promises, for a step to be kept


def newton_krylov(
    f: Map, start: Array, input: Array, box: SearchBox | None, max_steps: int, close: float
) -> tuple[Array, bool, int]:
    """From one start (n,): where it ended, whether the residual there is below `close` (relative), Newton steps."""
    from scipy.sparse.linalg import LinearOperator, gmres

    column = input[:, np.newaxis]
    n = len(start)
    x = start[:, np.newaxis]
    forcing, norm_before = FIRST, np.inf
    for step in range(max_steps):
        link = f.linearize_columns(x, column)
        F = link.next_state - x
        norm = float(np.linalg.norm(F))
        if not np.isfinite(norm):
            return x[:, 0], False, step
        if np.abs(F).max() <= close * (1.0 + np.abs(x).max()):
            return x[:, 0], True, step
        if np.isfinite(norm_before):
            forcing = min(LOOSEST, max(0.9 * (norm / norm_before) ** 2, 0.9 * forcing**2 * (0.9 * forcing**2 > 0.1)))
            forcing = max(forcing, 1e-8)

        def product(v: Array, link: object = link) -> Array:
            return np.asarray(link.push(v.reshape(n, 1, 1))[:, 0, 0] - v.ravel())  # type: ignore[attr-defined]

        move, _ = gmres(LinearOperator((n, n), product), -F[:, 0], rtol=forcing, restart=SUBSPACE, maxiter=RESTARTS)
        norm_before = norm
        for halving in range(HALVINGS):
            share = 0.5**halving
            trial = x + share * move[:, np.newaxis]
            if box is not None and box.invariant:
                trial = np.clip(trial, box.low[:, np.newaxis], box.high[:, np.newaxis])
            if np.linalg.norm(f.advance(trial, column) - trial) <= (1.0 - PROGRESS * share) * norm:
                break
        else:
            return x[:, 0], False, step + 1
        x = trial
    return x[:, 0], False, max_steps
