"""Basins of a list of fixed points: the share of the reachable box that each draws in, and what ends elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from dynsys.read_only import read_only
from dynsys.types import Array, Integers

if TYPE_CHECKING:
    from dynsys.attractors import Attractors


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Basins:
    """The ends of orbits from uniform starts in the search box, as shares, in the order of a list of fixed points.

    Attributes:
        fractions: (k,) share of starts that came to each fixed point of the list. intervals: (k, 2) its Wilson 95 %
            interval. at_rest: share at any fixed point, listed or not.
        cycles: {period: share} of orbits that ended on a cycle of that (minimal) period.
        circles, tori, chaos: share that ended on sets of these kinds.
        resting: share that came to rest on a continuum of fixed points or cycles.
        elsewhere: share whose end is unresolved, or that ran off.
    """

    fractions: Array
    intervals: Array
    at_rest: float
    cycles: dict[int, float]
    circles: float
    tori: float
    chaos: float
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


def basins_of(attractors: Attractors, count: int) -> Basins:
    """The shares of `attractors` by row of the list of `count` fixed points that they were matched with."""
    counts = np.zeros(count, dtype=np.int64)
    cycles: dict[int, float] = {}
    for a in attractors.attractors:
        if a.period == 1 and a.listed is not None:
            counts[a.listed] = a.n_starts
        elif a.kind == "cycle" and a.period is not None:
            cycles[a.period] = cycles.get(a.period, 0.0) + a.fraction
    return Basins(
        fractions=counts / attractors.n_starts,
        intervals=wilson(counts, attractors.n_starts),
        at_rest=attractors.share("fixed point"),
        cycles=dict(sorted(cycles.items())),
        circles=attractors.share("invariant circle"),
        tori=attractors.share("invariant torus"),
        chaos=attractors.share("chaos"),
        resting=attractors.share("continuum"),
        elsewhere=attractors.share("unresolved") + attractors.unbounded,
        n_starts=attractors.n_starts,
        steps=attractors.steps,
        seed=attractors.seed,
    )
