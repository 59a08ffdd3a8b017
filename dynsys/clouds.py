"""Limit sets that are not periodic, as clouds of states: is a cloud whole, and does another orbit lie on it?

Both are answered by orbits that were kicked off the set and have come back to it, at a phase of their own: by how far
they are from the nearest state of the cloud, and by when that state was visited. Nothing is assumed about the shape or
the dimension of the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.following import FAR
from dynsys.maps import Map
from dynsys.types import Array, Integers

POINTS = 1024  # states kept of one cloud
SAMPLE = 64  # states of another orbit that are compared with it
MEAN_GAPS = (4, 32)  # mean steps between kept states, tried until the cloud is whole
KICKS, KICK, RETURN = 16, 0.05, 1000  # orbits kicked, by how much of the set's width, and the steps they have to return
FAIR = 0.85  # quantile over kicked orbits that another orbit's median distance is held against (some may be lost)
SLACK = 2.0  # ratio to that quantile up to which the other orbit lies on the cloud
RECENT = 0.6  # share of nearest states in the last quarter of the cloud above which the orbit is still on its way


@final
@dataclass(frozen=True, eq=False)
class Cloud:
    """One orbit on its limit set.

    Attributes:
        states: (N, n). spacing: median distance to the nearest state of the cloud, of a kicked orbit that came back at
            an unfavourable phase: orbits on a circle keep their phase, so some stay in the widest gaps.
        whole: whether those nearest states were visited at any time, not only of late: the orbit keeps coming back.
        last: (n,) the orbit's last state.
    """

    states: Array
    spacing: float
    whole: bool
    last: Array

    def holds(self, sample: Array) -> bool:
        """Whether the states (k, n) of another orbit lie on this cloud, as far as its spacing can tell."""
        return self.distance(sample) <= SLACK * self.spacing

    def distance(self, sample: Array) -> float:
        """Median distance of the states (k, n) of another orbit to the nearest state of this cloud."""
        return float(np.median(nearest_in(self.states, sample)[0]))


def cloud_of(f: Map, state: Array, column: Array, generator: np.random.Generator) -> Cloud:
    """The cloud of the orbit from `state` (n,), sampled at random gaps, for longer until it is whole."""
    cloud = None
    for mean in MEAN_GAPS:
        states = sampled(f, state[:, np.newaxis], column, gaps(generator, POINTS, mean))[:, :, 0]
        if not np.isfinite(states).all():
            return Cloud(states, 0.0, False, states[-1])
        width = np.ptp(states, axis=0)
        sizes = KICK * np.geomspace(0.05, 1.0, KICKS)[:, np.newaxis]
        away = sizes * width * generator.uniform(-1.0, 1.0, (KICKS, len(width)))
        wait = np.concatenate([[RETURN], gaps(generator, SAMPLE - 1, mean)])
        back = sampled(f, (states[-1] + away).T, column, wait)  # (SAMPLE, n, KICKS)
        back = back[:, :, (np.abs(back) < FAR).all(axis=(0, 1))]  # less those that were kicked out of the basin
        distances, when = nearest_in(states, back.swapaxes(1, 2).reshape(-1, len(width)))
        if not len(distances):
            return Cloud(states, 0.0, False, states[-1])
        spacing = float(np.quantile(np.median(distances.reshape(len(wait), -1), axis=0), FAIR))
        cloud = Cloud(states, spacing, bool((when >= 0.75 * POINTS).mean() <= RECENT), states[-1])
        if cloud.whole:
            break
    assert cloud is not None
    return cloud


def gaps(generator: np.random.Generator, count: int, mean: int) -> Integers:
    """Random gaps (count,) of 1 to 2 mean - 1 steps: none that could keep step with the orbit."""
    return generator.integers(1, 2 * mean, count)


def sampled(f: Map, states: Array, column: Array, gaps: Integers) -> Array:
    """(count, n, B): the orbits of columns (n, B) after each of the `gaps` (count,), one after the other."""
    kept = np.empty((len(gaps), *states.shape))
    with np.errstate(all="ignore"):
        for k, gap in enumerate(gaps):
            for _ in range(int(gap)):
                states = f.advance(states, column)
            kept[k] = states
    return kept


def nearest_in(cloud: Array, states: Array) -> tuple[Array, Integers]:
    """(k,) distances of states (k, n) to the nearest state of the cloud (N, n), and its index."""
    from scipy.spatial.distance import cdist

    apart = cdist(states, cloud)
    apart = np.where(np.isfinite(apart), apart, np.inf)
    return apart.min(axis=1, initial=np.inf), apart.argmin(axis=1)
