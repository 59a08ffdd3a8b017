"""The stages of a search for fixed points, and what they have met so far.

Independent uniform starts come first, since only their hits may be counted. What follows takes what is known as its
guide: mixtures of found points, ends of orbits, and continuation paths; more of it where the start was hard going, or
where the index test says that something is missing.
"""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.completeness import chao1
from dynsys.homotopy import from_fixed_point, from_states
from dynsys.maps import Map, SearchBox
from dynsys.points import LARGEST_ERROR, measure
from dynsys.root_search import NEARBY, distinct, polish, search
from dynsys.search_box import FAR
from dynsys.slow_points import are_minima
from dynsys.types import Array, Booleans, Integers

SAME = 1e-7  # polished states closer than this (relative to 1 + |x|) are one point
GAP, MERGED = 1e-3, 1e-6  # ends of a search closer than this are polished once: first the one, for the rest the other
VICINITY, LINEAR = 1e-2, 0.1  # an end this near to a root is at it if the equation is linear between them to this share
SLOW_SAME = 1e-4  # slow points closer than this are one
MIXING_ROUNDS, DEEPER_ROUNDS = 4, 3
LARGE = 64  # state variables beyond which uniform starts are drawn in growing shares, as long as they arrive
UNIFORM_WORK = 6e10  # Jacobians that uniform starts may take, times state variables cubed
PATH_WORK, FEWEST_STEPS, MOST_STEPS = 2e10, 120, 6000  # the same for steps along paths, and its bounds
STALLED = 0.3  # share of uniform starts that stall beyond which the search goes deeper whatever the index test says
PATHS = 12
ORBITS, ORBIT_STEPS = 48, 500


@final
class Collection:
    """The distinct roots and slow points met so far, with what has been measured at the roots."""

    def __init__(self, f: Map, input: Array, box: SearchBox, reach: SearchBox, tol: float) -> None:
        self.f, self.input, self.box, self.reach, self.tol = f, input, box, reach, tol
        n = f.state_size
        self.roots, self.jacobians = np.zeros((0, n)), np.zeros((0, n, n))
        self.signs, self.clear = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        self.hits = np.zeros(0, dtype=np.int64)
        self.found_by: list[str] = []
        self.slow = np.zeros((0, n))
        self.stalled = 0
        self.rejected = 0
        self.branched = 0  # roots whose branches have been followed
        self.path_steps = int(np.clip(PATH_WORK / n**3, FEWEST_STEPS, MOST_STEPS))  # that may still be taken

    def __len__(self) -> int:
        return len(self.roots)

    def add(self, starts: Array, origin: str, count_hits: bool = False) -> int:
        """Search from `starts` (k, n); returns the number of Jacobians that took."""
        if not len(starts):
            return 0
        ended = search(self.f, starts, self.input, self.reach, close=NEARBY)
        self._note_slow(ended.states[ended.met_slow])
        self.stalled += int((~ended.met_root & ~ended.met_slow).sum())
        self._sort(ended.states[ended.met_root], origin, count_hits)
        return ended.steps

    def _note_slow(self, states: Array) -> None:
        """Keep the ends that are minima of the speed; what is not has only stalled."""
        if not len(states):
            return
        leaders, group = distinct(states, SLOW_SAME)
        minimum = are_minima(self.f, states[leaders], self.input)
        self.stalled += int(np.bincount(group)[~minimum].sum())
        everything = np.concatenate([self.slow, states[leaders][minimum]])
        self.slow = everything[distinct(everything, SLOW_SAME)[0]]

    def _sort(self, ends: Array, origin: str, count_hits: bool) -> None:
        """Tell for each end near a root which one it is; polish one of each group of ends at a root not yet known."""
        gap = GAP
        at = self._which(ends, np.arange(len(self)))
        while True:
            if count_hits:
                np.add.at(self.hits, at[at >= 0], 1)
            ends = ends[at < 0]
            if not len(ends):
                return
            leaders, group = distinct(ends, gap)
            counts = np.bincount(group, minlength=len(leaders))
            known = len(self)
            self._take(ends[leaders], origin, count_hits, counts if gap <= MERGED else np.ones_like(counts))
            if gap <= MERGED:
                return
            rest = np.ones(len(ends), dtype=bool)
            rest[leaders] = False
            # Those left that are at none of the new roots are told apart to the last digits.
            ends, gap = ends[rest], MERGED
            at = self._which(ends, np.arange(known, len(self)))

    def _which(self, ends: Array, roots: Integers) -> Integers:
        """Which of these roots each end (k, n) is at, -1 for none.

        An end y is at root r if Newton with the Jacobian of r, (J - I)^-1 F(y), leads from y to r. Nearness alone does
        not tell: next to a fold there are two.
        """
        at = np.full(len(ends), -1, dtype=np.int64)
        if not len(ends) or not len(roots):
            return at
        F = self.f.advance(ends.T, self.input[:, np.newaxis]).T - ends
        for r in roots[self.clear[roots]]:
            away = ends - self.roots[r]
            distance = np.abs(away).max(axis=1)
            near = np.flatnonzero((at < 0) & (distance <= VICINITY * (1.0 + np.abs(self.roots[r]).max())))
            if len(near):
                step = np.linalg.solve(self.jacobians[r] - np.eye(len(away[0])), F[near].T).T
                miss = np.abs(step - away[near]).max(axis=1)
                at[near[miss <= LINEAR * distance[near] + SAME]] = r
        return at

    def _take(self, states: Array, origin: str, count_hits: bool, counts: Integers) -> None:
        """Polish states near roots, keep those that hold up, and count how often each was met."""
        states = polish(self.f, states, self.input)
        good, jacobians, signs, clear = self._measured(states)
        self.rejected += int(counts[~good].sum())
        everything = np.concatenate([self.roots, states[good]])
        leaders, group = distinct(everything, SAME)
        new = leaders[len(self.roots) :]
        self.found_by += [origin] * len(new)
        everyone = np.concatenate([self.hits, counts[good] if count_hits else 0 * counts[good]])
        self.hits = np.zeros(len(leaders), dtype=np.int64)
        np.add.at(self.hits, group, everyone)
        at = np.flatnonzero(good)[new - len(self.roots)]
        self.roots = everything[leaders]
        self.jacobians = np.concatenate([self.jacobians, jacobians[at]])
        self.signs, self.clear = np.concatenate([self.signs, signs[at]]), np.concatenate([self.clear, clear[at]])

    def _measured(self, states: Array) -> tuple[Booleans, Array, Integers, Booleans]:
        """Which states satisfy the equation, are located well enough, and are reachable; J; sign det(I - J)."""
        size = 1.0 + np.abs(states).max(axis=1)
        there = measure(self.f, states, self.input)
        good = (there.residuals <= self.tol * size) & (there.errors + there.rounding <= LARGEST_ERROR * size)
        if self.reach.invariant:
            slack = LARGEST_ERROR * size[:, np.newaxis]
            good &= ((states >= self.reach.low - slack) & (states <= self.reach.high + slack)).all(axis=1)
        return good, there.jacobians, there.signs, there.clear

    def index(self) -> tuple[int | None, str]:
        """The sum of sign det(I - J), or None with the reason why the index test does not apply."""
        if not self.reach.invariant:
            return None, "not applied: the map is not known to carry the box into its interior"
        if not len(self):
            return 0, "a map of a box into its interior has at least one fixed point"
        if not self.clear.all():
            return None, f"not applied: det(I - J) is zero within rounding at {int((~self.clear).sum())} points"
        inside = ((self.roots > self.reach.low) & (self.roots < self.reach.high)).all(axis=1)
        if not inside.all():
            return None, "not applied: a point lies on the boundary of the box"
        note = "valid: the box is carried into its interior and det(I - J) is not zero at any point"
        return int(self.signs.sum()), note

    def index_fails(self) -> bool:
        """Whether the index test says that something is missing; nothing found at all counts as that.

        Not where searches did end at fixed points, but at none that is isolated: of a continuum no more can be found.
        """
        if not len(self):
            return not self.rejected
        return self.index()[0] not in (None, 1)


def uniform_starts(found: Collection, n_starts: int, generator: np.random.Generator) -> int:
    """Independent uniform starts, their hits counted; returns how many were drawn.

    In larger systems, where each costs n^3, first a few: none are added where none arrive, nor beyond the work allowed.
    """
    n = found.f.state_size
    allowed = UNIFORM_WORK / n**3
    share = n_starts if n <= LARGE else int(np.clip(allowed / 25, 4, 64))
    drawn = steps = 0
    while drawn < n_starts and (not drawn or steps < allowed):
        share = min(share, n_starts - drawn)
        starts = generator.uniform(found.box.low, found.box.high, (share, n))
        steps += found.add(starts, "uniform start", count_hits=True)
        drawn += share
        if not found.hits.any():
            break
        share = max(1, min(4 * share, int((allowed - steps) * drawn / max(1, steps))))
    return drawn if n > LARGE else n_starts


def mixtures(found: Collection, most: int, generator: np.random.Generator) -> None:
    """Midpoints of pairs, and means of random triples, of the points found so far; while that gives new ones.

    `most` is the number of pairs beyond which as many random ones are taken.
    """
    for _ in range(1 if found.f.state_size > LARGE else MIXING_ROUNDS):
        k = len(found)
        if k < 2:
            return
        if k * (k - 1) // 2 <= most:
            first, second = np.triu_indices(k, 1)
        else:
            first, second = generator.integers(0, k, (2, most))
        midpoints = (found.roots[first] + found.roots[second]) / 2.0
        triples = found.roots[generator.integers(0, k, (min(most // 4, 4 * k), 3))].mean(axis=1)
        found.add(np.concatenate([midpoints, triples]), "mixture of found points")
        if len(found) == k:
            return


def go_deeper(found: Collection, most: int, generator: np.random.Generator) -> None:
    """Orbit ends, then branches from every point found and paths from random states, while that gives new points."""
    found.add(_orbit_ends(found, generator), "orbit end")
    for _ in range(DEEPER_ROUNDS):
        before = len(found)
        _follow_branches(found)
        _follow_paths(found, generator)
        _follow_branches(found)
        if len(found) == before or found.path_steps <= 0:
            break
        mixtures(found, most, generator)
        if not found.index_fails() and found.branched == len(found):
            break


def _follow_branches(found: Collection) -> None:
    """The branches that leave the points found, those found on the way included."""
    n = found.f.state_size
    while found.branched < len(found) and found.path_steps > 0:
        i = found.branched
        found.branched += 1
        most = max(1, min(8, found.path_steps // 60))
        ends, steps = from_fixed_point(
            found.f, found.roots[i], found.jacobians[i], found.input, most, min(300, found.path_steps), _beyond(n)
        )
        found.path_steps -= steps
        found.add(_within(found, ends), "branch of a found point")


def _follow_paths(found: Collection, generator: np.random.Generator) -> None:
    """Continuation from random states to fixed points: arrives where random starts stall."""
    n = found.f.state_size
    count, steps = (PATHS, 1000) if found.reach.invariant else (4, 200)
    count = min(count, found.path_steps // 150 + (0 if len(found) else 1))
    if count < 1:
        return
    low, high = np.maximum(found.box.low, -1.0), np.minimum(found.box.high, 1.0)
    low, high = np.where(low < high, low, found.box.low), np.where(low < high, high, found.box.high)
    ends, steps = from_states(found.f, generator.uniform(low, high, (count, n)), found.input, steps, _beyond(n))
    found.path_steps -= steps
    found.add(_within(found, ends), "continuation path")


def _beyond(n: int) -> int:
    """Steps that a path is followed after its first fixed point."""
    return 150 if n <= LARGE else 40


def _within(found: Collection, states: Array) -> Array:
    """The states (k, n), those outside the box that the map carries into itself moved to its wall."""
    return np.clip(states, found.reach.low, found.reach.high) if found.reach.invariant else states


def _orbit_ends(found: Collection, generator: np.random.Generator) -> Array:
    """Where orbits from uniform starts are at last: near what the network does, and never off its range."""
    column = found.input[:, np.newaxis]
    state = generator.uniform(found.box.low, found.box.high, (ORBITS, found.f.state_size)).T
    for _ in range(ORBIT_STEPS):
        state = found.f.advance(state, column)
    ends = state.T
    return np.ascontiguousarray(ends[np.isfinite(ends).all(axis=1) & (np.abs(ends).max(axis=1) < FAR)])


def seems_incomplete(found: Collection, n_starts: int) -> bool:
    """Whether uniform starts mostly stalled, or their hits say that points were left unseen."""
    arrived = int(found.hits.sum())
    if not arrived and found.rejected:
        return False  # a continuum, or nearly one
    if arrived < (1.0 - STALLED) * n_starts:
        return True
    return chao1(found.hits)[0] > len(found) + 0.5
