"""One step of Krawczyk's method on many boxes at once, in float64 intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.maps import Map
from dynsys.proofs.evaluate import evaluate
from dynsys.readings.intervals import EPS, Intervals, down, up
from dynsys.types import Array, Booleans, Integers


@final
@dataclass(frozen=True, eq=False)
class Narrowed:
    """What one step says of B boxes.

    empty: (B,) no fixed point inside. single: (B,) exactly one inside. low, high: (n, B) every fixed point of the box
    is in this part of it. pull: (n, B) how much each coordinate moves F over the box: the one to halve is the largest.
    """

    empty: Booleans
    single: Booleans
    low: Array
    high: Array
    pull: Array


def narrow(f: Map, low: Array, high: Array, input: Array) -> Narrowed:
    """Test boxes [low, high], (n, B).

    A fixed point of X is in F(X); and in K(X) = m - R G(m) + (I - R G'(X)) (X - m), with G = F - x, m in X and any R.
    Where K(X) is inside the interior of X there is exactly one (Krawczyk, Computing 4 (1969) 187-201). With R = 1 the
    same says that there is none where G(m) is larger than G' can undo.
    """
    box = Intervals(low, high)
    there = evaluate(f, box, input)
    image = there.next
    new_low, new_high = np.maximum(low, image.low), np.minimum(high, image.high)
    empty = (new_low > new_high).any(axis=0)
    single = np.zeros(low.shape[1], dtype=bool)
    pull = high - low
    alive = np.flatnonzero(~empty)
    if alive.size:
        slope = _some(there.slope, alive)
        K, usable, missed = _krawczyk(f, low[:, alive], high[:, alive], slope, input)
        pull[:, alive] *= np.maximum(slope.magnitude().max(axis=0).T, 1e-3)
        inside = usable & ((K.low > low[:, alive]) & (K.high < high[:, alive])).all(axis=0)
        single[alive[inside]] = True
        for side, bound, cut in ((new_low, K.low, np.maximum), (new_high, K.high, np.minimum)):
            side[:, alive] = np.where(usable, cut(side[:, alive], bound), side[:, alive])
        new_low[:, alive[missed]] = np.inf
        empty = (new_low > new_high).any(axis=0)
    # What was proven to hold one point is not empty: its image and K(X) both contain it.
    return Narrowed(empty & ~single, single, new_low, new_high, pull)


def _some(slope: Intervals, which: Integers) -> Intervals:
    return Intervals(slope.low[:, which], slope.high[:, which])


def _krawczyk(f: Map, low: Array, high: Array, slope: Intervals, input: Array) -> tuple[Intervals, Booleans, Booleans]:
    """K(X) (n, B), where it could be formed, and where G has no zero by the mean value theorem alone."""
    n = len(low)
    middle = np.clip(0.5 * low + 0.5 * high, low, high)
    G = evaluate(f, Intervals.point(middle), input).next - middle
    shifted = slope - np.eye(n)[:, np.newaxis]
    centre, radius = (np.moveaxis(side, 1, 0) for side in shifted.ball())  # (B, n, n)
    R, usable = _inverses(centre, radius)
    grown = 1.0 + (n + 8) * EPS
    size = np.abs(R)
    wide = (size @ (radius + (n + 4) * EPS * np.abs(centre))) * grown**2
    defect = np.abs(np.eye(n) - R @ centre) + wide + (n + 4) * EPS  # |I - R (J - I)|, its rounding included
    reach = np.maximum(up(high - middle), up(middle - low)).T[..., np.newaxis]
    reached = up(((np.abs(centre) + radius) * grown @ reach) * grown**2)[..., 0].T
    missed = np.asarray(((G.low > reached) | (G.high < -reached)).any(axis=0))
    spread = up((defect * grown) @ reach * grown**2)[..., 0].T
    g_middle, g_radius = (side.T[..., np.newaxis] for side in G.ball())
    step = (R @ g_middle)[..., 0].T
    step_error = up((size @ (g_radius + (n + 4) * EPS * np.abs(g_middle)) * grown**2)[..., 0].T)
    away = up(up(spread + step_error) + 4 * EPS * (np.abs(step) + np.abs(middle)) + 1e-300)
    return Intervals(down(middle - step - away), up(middle - step + away)), usable, missed


def _inverses(centre: Array, radius: Array) -> tuple[Array, Booleans]:
    """Approximate inverses (B, n, n); the identity, and False, where there is none."""
    finite = np.asarray(np.isfinite(centre).all(axis=(1, 2)) & np.isfinite(radius).all(axis=(1, 2)))
    safe = np.where(finite[:, np.newaxis, np.newaxis], centre, np.eye(centre.shape[1]))
    try:
        R = np.linalg.inv(safe)
    except np.linalg.LinAlgError:
        R = np.array([_inverse(one) for one in safe])
    good = np.asarray(finite & np.isfinite(R).all(axis=(1, 2)))
    return np.where(good[:, np.newaxis, np.newaxis], R, np.eye(centre.shape[1])), good


def _inverse(matrix: Array) -> Array:
    try:
        return np.asarray(np.linalg.inv(matrix))
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.inf)
