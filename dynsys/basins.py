"""Where orbits end: the share of the reachable box that each attractor draws in, and what does not come to rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys import seeds
from dynsys.fixed_points import FixedPoints
from dynsys.limits import one_blas_thread
from dynsys.maps import Map
from dynsys.types import Array, Integers

ARRIVED = 1e-6  # distance (relative to 1 + |x|) at which an orbit counts as having reached an attractor
LONGEST_CYCLE = 16


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Basins:
    """The ends of orbits from uniform starts in the search box, at the fixed points' constant input.

    Attributes:
        fractions: (k,) share of starts that came to each fixed point, in the order of the list. intervals: (k, 2) its
            Wilson 95 % interval. at_rest: share at any listed fixed point.
        cycles: {period: share} of orbits that ended on a cycle of that (minimal) period, 2 to 16.
        resting: share that came to rest (moving less than 1e-6 a step) at no listed point: on a continuum of fixed
            points, or near one that is approached slowly.
        elsewhere: share that neither came to a listed point nor to such a cycle within `steps`.
    """

    fractions: Array
    intervals: Array
    at_rest: float
    cycles: dict[int, float]
    resting: float
    elsewhere: float
    n_starts: int
    steps: int
    seed: int


def wilson(successes: Integers, trials: int) -> Array:
    """The Wilson 95 % interval (..., 2) of a proportion. Source: E. B. Wilson, JASA 22 (1927) 209-212."""
    z2 = 1.96**2
    p = np.asarray(successes) / trials
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2) * np.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return np.stack([np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)], axis=-1)


def basin_fractions(f: Map, found: FixedPoints, n_starts: int = 512, steps: int = 3000, seed: int = 1) -> Basins:
    """Follow uniform starts until each rests at a listed fixed point, or `steps` are over."""
    generator = seeds.generator(seed)
    x = generator.uniform(found.box.low, found.box.high, (n_starts, f.state_size)).T
    column = found.input[:, np.newaxis]
    ends = np.full(n_starts, -1)
    going = np.arange(n_starts)
    targets = np.flatnonzero(np.asarray(found.points.n_unstable) == 0)
    with one_blas_thread(), np.errstate(all="ignore"):
        for t in range(steps):
            x = f.advance(x, column)
            if t % 25 == 24 or t == steps - 1:
                near = _nearest(x.T, found.points.states[targets])
                arrived = near >= 0
                ends[going[arrived]] = targets[near[arrived]]
                keep = ~arrived & np.isfinite(x).all(axis=0)
                going, x = going[keep], x[:, keep]
                if not len(going):
                    break
        periods = _periods(f, x, column)
    counts = np.bincount(ends[ends >= 0], minlength=len(found))
    cycles = {int(p): float((periods == p).sum() / n_starts) for p in np.unique(periods[periods > 1])}
    resting = float((periods == 1).sum() / n_starts)
    rest = float(counts.sum() / n_starts)
    return Basins(
        fractions=counts / n_starts,
        intervals=wilson(counts, n_starts),
        at_rest=rest,
        cycles=cycles,
        resting=resting,
        elsewhere=max(0.0, 1.0 - rest - resting - sum(cycles.values())),
        n_starts=n_starts,
        steps=steps,
        seed=seed,
    )


def _nearest(states: Array, targets: Array) -> Integers:
    """For each state (B, n) the index of the target it has arrived at, or -1."""
    out = np.full(len(states), -1)
    for i, target in enumerate(targets):
        out[np.abs(states - target).max(axis=1) <= ARRIVED * (1.0 + np.abs(target).max())] = i
    return out


def _periods(f: Map, x: Array, column: Array) -> Integers:
    """The minimal period (1 to LONGEST_CYCLE) of each column's orbit, 0 where it has none."""
    periods = np.zeros(x.shape[1], dtype=np.int64)
    y = x
    for p in range(1, LONGEST_CYCLE + 1):
        y = f.advance(y, column)
        back = np.abs(y - x).max(axis=0, initial=0.0) <= ARRIVED * (1.0 + np.abs(x).max(axis=0, initial=0.0))
        periods[back & (periods == 0)] = p
    return periods
