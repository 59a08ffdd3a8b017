"""A path that cannot fail to arrive: from any state to a fixed point, by continuation.

Where a map carries a box into its interior, x = s f(x) + (1 - s) x0 has for almost every x0 in the box a curve of
solutions that begins at (x0, s = 0) and ends at a fixed point of f (s = 1). It is followed by pseudo-arclength
continuation, folds included. Random starts may all stall in a large network; this does not.
Source: S. N. Chow, J. Mallet-Paret and J. A. Yorke, Mathematics of Computation 32 (1978) 887-899.
"""

from __future__ import annotations

import numpy as np

from dynsys.maps import Map
from dynsys.types import Array

CORRECTIONS = 8
CLOSE = 1e-9
SMALLEST, LARGEST = 1e-7, 2.0  # arclength of a step, model units


def fixed_points_on_path(f: Map, x0: Array, input: Array, max_steps: int = 1000, beyond: int = 150) -> Array:
    """States (k, n) where the curve from x0 (n,) crosses s = 1, near enough for Newton.

    The curve is followed for `max_steps` steps until it first crosses, and then `beyond` steps more: it may turn and
    cross again. None of this is promised for maps that carry no box into itself; the answer may then be empty.
    """
    column = input[:, np.newaxis]
    n = len(x0)
    point = np.append(x0, 0.0)
    tangent = np.zeros(n + 1)
    tangent[-1] = 1.0
    step = 0.05
    crossings: list[Array] = []
    left = max_steps
    while left > 0:
        left -= 1
        tangent = _tangent(f, point, x0, column, tangent)
        ahead = _corrected(f, point + step * tangent, tangent, x0, column)
        # A step that lands far off, or turns sharply, may have jumped to another branch.
        if ahead is None or np.linalg.norm(ahead[0] - point) > 2.0 * step:
            step /= 3.0
            if step < SMALLEST:
                break
            continue
        arrived, effort = ahead
        if (point[-1] - 1.0) * (arrived[-1] - 1.0) <= 0.0 and arrived[-1] != point[-1]:
            share = (1.0 - point[-1]) / (arrived[-1] - point[-1])
            left = beyond if not crossings else left
            crossings.append(point[:-1] + share * (arrived[:-1] - point[:-1]))
        point = arrived
        if not -0.1 <= point[-1] <= 3.0 or np.abs(point).max() > 1e6:
            break
        step = min(LARGEST, step * (2.0 if effort <= 2 else 1.3 if effort <= 4 else 0.7))
    return np.array(crossings).reshape(-1, len(x0))


def _system(f: Map, point: Array, x0: Array, column: Array) -> tuple[Array, Array]:
    """G(x, s) = x - s f(x) - (1 - s) x0, (n,), and its derivative (n, n + 1)."""
    x, s = point[:-1], point[-1]
    link = f.linearize_columns(x[:, np.newaxis], column)
    image = link.next_state[:, 0]
    whole = np.empty((len(x), len(x) + 1))
    whole[:, :-1] = np.eye(len(x)) - s * link.dense()[0]
    whole[:, -1] = x0 - image
    return x - s * image - (1.0 - s) * x0, whole


def _tangent(f: Map, point: Array, x0: Array, column: Array, before: Array) -> Array:
    """The unit tangent of the curve that points on, as `before` did."""
    _, derivative = _system(f, point, x0, column)
    right = np.zeros(len(point))
    right[-1] = 1.0
    try:
        tangent = np.linalg.solve(np.vstack([derivative, before]), right)
    except np.linalg.LinAlgError:
        return before
    return np.asarray(tangent / np.linalg.norm(tangent))


def _corrected(f: Map, guess: Array, tangent: Array, x0: Array, column: Array) -> tuple[Array, int] | None:
    """Newton back to the curve, within the plane across the tangent; the point and the number of corrections."""
    point = guess.copy()
    for effort in range(1, CORRECTIONS + 1):
        residual, derivative = _system(f, point, x0, column)
        if not np.isfinite(residual).all():
            return None
        try:
            move = np.linalg.solve(np.vstack([derivative, tangent]), -np.append(residual, tangent @ (point - guess)))
        except np.linalg.LinAlgError:
            return None
        point = point + move
        if np.abs(move).max() <= CLOSE * (1.0 + np.abs(point).max()):
            return point, effort
    return None
