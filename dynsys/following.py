"""Orbits followed until they arrive at a known stable orbit, and Newton onto the orbits that were not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.composed_maps import Iterated
from dynsys.maps import Map
from dynsys.points import LARGEST_ERROR, Points, measure, points_at
from dynsys.root_search import polish
from dynsys.types import Array, Booleans, Integers, Progress

ARRIVED = 1e-6  # distance (relative to 1 + |x|) at which an orbit counts as having reached a stable state
FAR = 1e8  # beyond this an orbit has run off
LOOK = 25  # steps between two looks at whether orbits have arrived
CREEP = 1e-3  # step, relative to 1 + |x|, below which an orbit is settling slowly
GOING, AWAY = -1, -2  # ends that are not the index of a target
LONGEST_PERIOD = 256
NEARBY = 0.05  # how far (relative to 1 + |x|) a slowly approaching orbit may still be from where Newton takes it


@final
@dataclass(frozen=True, eq=False)
class Ends:
    """How orbits ended. `states`: (n, B) last states. `targets`: (B,) index of the target reached, GOING, or AWAY."""

    states: Array
    targets: Integers
    steps: Integers


def follow(
    f: Map, states: Array, column: Array, targets: list[Array], steps: int, progress: Progress | None = None
) -> Ends:
    """Follow columns (n, B) for up to `steps` steps, until each is at one of the stable orbits `targets`, (p, n) each.

    Orbits that arrive, and those that run off, leave the working set.
    """
    where = np.full(states.shape[1], GOING)
    taken = np.full(states.shape[1], steps)
    final, x, going = states.copy(), states, np.arange(states.shape[1])
    marks = np.concatenate(targets) if targets else np.zeros((0, len(states)))
    owner = np.repeat(np.arange(len(targets)), [len(target) for target in targets])
    with np.errstate(all="ignore"):
        for t in range(steps):
            if not len(going):
                break
            x = f.advance(x, column)
            if t % LOOK != LOOK - 1 and t != steps - 1:
                continue
            near = nearest(x.T, marks)
            away = ~(np.abs(x) < FAR).all(axis=0)
            done = (near >= 0) | away
            if done.any():
                where[going[near >= 0]] = owner[near[near >= 0]]
                where[going[away]] = AWAY
                taken[going[done]], final[:, going[done]] = t + 1, x[:, done]
                going, x = going[~done], x[:, ~done]
            if progress is not None:
                progress(t + 1, steps, f"following orbits, {len(going)} on their way")
    final[:, going] = x
    return Ends(final, where, taken)


def nearest(states: Array, marks: Array) -> Integers:
    """For each state (B, n) the index of the mark (k, n) it has arrived at, or -1."""
    out = np.full(len(states), -1)
    for i, mark in enumerate(marks):
        out[np.abs(states - mark).max(axis=1, initial=0.0) <= ARRIVED * (1.0 + np.abs(mark).max(initial=0.0))] = i
    return out


def periods(f: Map, states: Array, column: Array, longest: int = LONGEST_PERIOD) -> Integers:
    """The minimal period, 1 to `longest`, with which each column's orbit returns to `ARRIVED`; 0 where it has none."""
    found = np.zeros(states.shape[1], dtype=np.int64)
    y, open_ = states, np.arange(states.shape[1])
    with np.errstate(all="ignore"):
        for p in range(1, longest + 1):
            if not len(open_):
                break
            y = f.advance(y, column)
            x = states[:, open_]
            back = np.abs(y - x).max(axis=0, initial=0.0) <= ARRIVED * (1.0 + np.abs(x).max(axis=0, initial=0.0))
            found[open_[back]] = p
            open_, y = open_[~back], y[:, ~back]
    return found


@final
@dataclass(frozen=True, eq=False)
class PeriodicOrbit:
    """A stable periodic orbit, polished. `states`: (p, n). `measured`: what is known at its first state, of f^p."""

    states: Array
    measured: Points

    @property
    def period(self) -> int:
        """Steps per turn."""
        return len(self.states)


def polished_orbits(f: Map, states: Array, input: Array, period: int) -> list[PeriodicOrbit | None]:
    """The stable orbits of this minimal period on which orbits at `states` (k, n) are settling, by Newton on f^period.

    None where Newton leads elsewhere, where the position is not determined (a continuum), or where the orbit is
    not known to be stable: what orbits settle on is stable, so Newton on the iterate is as well conditioned as the
    orbit itself.
    """
    turn = f if period == 1 else Iterated([f] * period, f.name)
    x = polish(turn, states, input)
    size = 1.0 + np.abs(x).max(axis=1, initial=0.0)
    close = np.abs(x - states).max(axis=1, initial=0.0) <= NEARBY * size
    measured = measure(turn, x, input)
    good = close & (measured.residuals <= 1e-9 * size) & (measured.errors + measured.rounding <= LARGEST_ERROR * size)
    return [_orbit(f, turn, x[i], input, period) if good[i] else None for i in range(len(x))]


def _orbit(f: Map, turn: Map, x: Array, input: Array, period: int) -> PeriodicOrbit | None:
    measured = points_at(turn, x[np.newaxis], input, np.zeros(1, dtype=np.int64), ["orbit"])
    if measured.kinds[0] != "attractor":
        return None
    orbit = [x]
    for _ in range(period - 1):
        orbit.append(f.advance(orbit[-1][:, np.newaxis], input[:, np.newaxis])[:, 0])
    states = np.array(orbit)
    apart = np.abs(states[1:] - x).max(axis=1, initial=0.0)
    if period > 1 and apart.min() <= ARRIVED * (1.0 + np.abs(x).max(initial=0.0)):
        return None  # Newton went to an orbit of a shorter period
    return PeriodicOrbit(states, measured)


def same_orbit(one: Array, other: Array) -> bool:
    """Whether two periodic orbits (p, n) are the same set."""
    if len(one) != len(other):
        return False
    size = 1.0 + float(np.abs(other).max(initial=0.0))
    return bool((np.abs(other - one[0]).max(axis=1, initial=0.0) <= 10 * ARRIVED * size).any())


def creeping(f: Map, states: Array, column: Array) -> Booleans:
    """(B,) whether columns (n, B) move by less than `CREEP` a step: settling slowly, rather than going round."""
    with np.errstate(all="ignore"):
        moved = np.abs(f.advance(states, column) - states).max(axis=0, initial=0.0)
    return np.asarray(moved <= CREEP * (1.0 + np.abs(states).max(axis=0, initial=0.0)))
