"""Which closed orbits are the same, whatever their phase, and what their minimal period is."""

from __future__ import annotations

import numpy as np

from dynsys.types import Array, Integers


def divisors(period: int) -> list[int]:
    """The divisors of `period`, itself included, in rising order."""
    return [d for d in range(1, period + 1) if period % d == 0]


def minimal_periods(orbits: Array, tolerance: Array | float) -> Integers:
    """(B,) the least d such that orbits (B, p, n) repeat after d steps, to within `tolerance` (relative to 1 + |x|)."""
    count, p, _ = orbits.shape
    reach = np.broadcast_to(tolerance, (count,)) * (1.0 + np.abs(orbits).max(axis=(1, 2), initial=0.0))
    periods = np.full(count, p)
    for d in reversed(divisors(p)[:-1]):
        periods[np.abs(np.roll(orbits, -d, axis=1) - orbits).max(axis=(1, 2), initial=0.0) <= reach] = d
    return periods


def in_phase(orbits: Array, tolerance: float = 1e-6) -> Array:
    """Each orbit (B, p, n) rotated to begin at its least state: by the first coordinate, ties by the next, and so on.

    Coordinates within `tolerance` are tied, so that rounding does not choose the phase.
    """
    out = np.empty_like(orbits)
    for b, orbit in enumerate(orbits):
        left = np.arange(len(orbit))
        for values in orbit.T:
            column = values[left]
            left = left[column <= column.min() + tolerance * (1.0 + np.abs(column).max())]
            if len(left) == 1:
                break
        out[b] = np.roll(orbit, -int(left[0]), axis=0)
    return out


def distinct_orbits(orbits: Array, tolerance: float) -> tuple[Integers, Integers]:
    """Which of the orbits (B, p, n) are the same up to their phase, to within `tolerance` (relative to 1 + |x|).

    Returns: the index of each group's first orbit, and the group of every orbit. Earlier orbits lead their groups.
    """
    count, p, _ = orbits.shape
    group = np.full(count, -1, dtype=np.int64)
    reach = tolerance * (1.0 + np.abs(orbits).max(axis=(1, 2), initial=0.0))
    means = orbits.mean(axis=1)
    shifts = (np.arange(p)[:, np.newaxis] + np.arange(p)) % p
    leaders: list[int] = []
    left = np.arange(count)
    while len(left):
        lead = int(left[0])
        near = np.maximum(reach[left], reach[lead])
        # The mean does not depend on the phase: few orbits remain to be compared phase by phase.
        alike = np.abs(means[left] - means[lead]).max(axis=1) <= near
        some = left[alike]
        far = np.abs(orbits[some][:, np.newaxis] - orbits[lead][shifts][np.newaxis]).max(axis=(2, 3)).min(axis=1)
        alike[alike] = far <= near[alike]
        alike[0] = True
        group[left[alike]] = len(leaders)
        leaders.append(lead)
        left = left[~alike]
    return np.array(leaders, dtype=np.int64), group
