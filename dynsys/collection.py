"""What a search for fixed points has met so far, and the work it may still take."""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.points import LARGEST_ERROR, Measured, measure
from dynsys.root_search import NEARBY, ROUGH, Search, distinct, polish, search
from dynsys.slow_points import are_minima
from dynsys.types import Array, Booleans, Complex, Integers, Keep

SAME = 1e-7  # polished states closer than this (relative to 1 + |x|) are one point
GAP, MERGED = 1e-3, 1e-6  # ends of a search closer than this are polished once: first the one, for the rest the other
VICINITY, LINEAR = 1e-2, 0.1  # an end this near to a root is at it if the equation is linear between them to this share
SLOW_SAME = 1e-4  # slow points closer than this are one
WORK = 6e10  # what a search may take: solutions of n x n systems, times n^3
EFFICIENT = 256  # state variables beyond which a solution takes less time than n^3 would have it
POLISHING = 4  # what Newton takes from the end of a path, in such solutions
POINT_WORK = 30  # what measuring one point takes in the end, multipliers included, in such solutions
PATH_WORK = 1.8e5  # steps along paths in small systems; a step costs about 1 + n / 32 times as much in larger ones
LARGE = 64  # state variables beyond which that limit is felt, and starts are taken in growing shares


@final
class Collection:
    """The distinct roots and slow points met so far, with what has been measured at the roots.

    `allowance` is the number of n x n systems that may still be solved, `path_steps` that of steps along paths;
    `spent_out` says that starts were left out.
    """

    def __init__(
        self, f: Map, input: Array, box: SearchBox, reach: SearchBox, tol: float, effort: float = 1.0,
        keep: Keep | None = None,
    ) -> None:  # fmt: skip
        self.keep: Keep = keep or (lambda name, starts, compute: compute())
        self.f, self.input, self.box, self.reach, self.tol = f, input, box, reach, tol
        n = f.state_size
        self.roots, self.jacobians = np.zeros((0, n)), np.zeros((0, n, n))
        self.signs, self.clear = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        self.blur = np.zeros(0)  # how far each root may be from the true point, relative to 1 + |x|
        self.hits = np.zeros(0, dtype=np.int64)
        self.found_by: list[str] = []
        self.slow = np.zeros((0, n))
        self.stalled = 0
        self.rejected = 0
        self.branched = 0  # roots whose branches have been followed
        self.eigen: dict[int, tuple[Complex, Complex]] = {}  # of the Jacobians, where they have been needed
        self.allowance = effort * WORK / (n**2 * min(n, (n + 2 * EFFICIENT) / 3))
        self.first_allowance = self.allowance
        self.path_steps = effort * PATH_WORK / (1.0 + n / 32.0)
        self.spent_out = False
        self.last_paths = (0, 0)  # continuation paths followed last, and how many points were first met by them

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def steps_left(self) -> float:
        """Steps along paths that may still be taken."""
        return max(0.0, min(self.path_steps, self.allowance))

    @property
    def paths_spent(self) -> bool:
        """Whether the work allowed, or the number of steps along paths, is used up."""
        return self.steps_left <= 0

    def walked(self, steps: int, work: float) -> None:
        """Steps have been taken along paths, each of so much work."""
        self.path_steps -= steps
        self.allowance -= work * steps
        self.spent_out |= self.paths_spent

    def add(self, starts: Array, origin: str, *, count_hits: bool = False, all_of_them: bool = False) -> None:
        """Search from `starts` (k, n): in large systems from as many as the allowance lasts, unless all are wanted."""
        n = self.f.state_size
        share = len(starts) if n <= LARGE or all_of_them else max(1, int(self.allowance / 30))
        while len(starts):
            if self.allowance <= 0 and not all_of_them:
                self.spent_out = True
                return
            some = starts[:share]
            ended: Search = self.keep(origin, some, partial(search, self.f, some, self.input, self.reach, close=NEARBY))
            starts = starts[share:]
            before = len(self)
            self._note_slow(ended.states[ended.met_slow])
            self.stalled += int((~ended.met_root & ~ended.met_slow).sum())
            self._sort(ended.states[ended.met_root], origin, count_hits)
            self.allowance -= ended.steps + POINT_WORK * (len(self) - before)

    def arrive(self, ends: Array, origin: str) -> None:
        """Take the ends of paths (k, n), next to roots: by Newton, or where that does not converge by a search.

        A search from there would do for most, but it may as well lead past a root nearby to where |F| falls faster.
        """
        ends = ends[self._which(ends, np.arange(len(self))) < 0]
        if not len(ends):
            return
        states = polish(self.f, ends, self.input)
        F = self.f.advance(np.ascontiguousarray(states.T), self.input[:, np.newaxis]).T - states
        with np.errstate(invalid="ignore"):
            there = np.abs(F).max(axis=1) <= ROUGH * (1.0 + np.abs(states).max(axis=1))
        before = len(self)
        self._sort(states[there], origin, count_hits=False)
        self.allowance -= POLISHING * len(ends) + POINT_WORK * (len(self) - before)
        self.add(ends[~there], origin, all_of_them=True)

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
        roots = roots[self.clear[roots]]
        if not len(roots):
            return at
        known = self.roots[roots]
        squares = np.square(known).sum(axis=1) - 2.0 * ends @ known.T
        nearest = squares.argmin(axis=1)
        away = ends - known[nearest]
        distance = np.abs(away).max(axis=1)
        F = self.f.advance(ends.T, self.input[:, np.newaxis]).T - ends
        near = distance <= VICINITY * (1.0 + np.abs(ends).max(axis=1))
        for i in np.unique(nearest[near]):
            mine = np.flatnonzero(near & (nearest == i))
            step = np.linalg.solve(self.jacobians[roots[i]] - np.eye(F.shape[1]), F[mine].T).T
            miss = np.abs(step - away[mine]).max(axis=1)
            at[mine[miss <= LINEAR * distance[mine] + SAME]] = roots[i]
        return at

    def _take(self, states: Array, origin: str, count_hits: bool, counts: Integers) -> None:
        """Polish states near roots, keep those that hold up, and count how often each was met."""
        states = polish(self.f, states, self.input)
        there = measure(self.f, states, self.input)
        good, blur = self._located(states, there)
        self.rejected += int(counts[~good].sum())
        everything = np.concatenate([self.roots, states[good]])
        blurs = np.concatenate([self.blur, blur[good]])
        # Where a point is known less well than that, two of its images may lie further apart.
        leaders, group = distinct(everything, np.maximum(SAME, 2.0 * blurs))
        everyone = np.concatenate([self.hits, counts[good] if count_hits else 0 * counts[good]])
        self.hits = np.zeros(len(leaders), dtype=np.int64)
        np.add.at(self.hits, group, everyone)
        new = leaders[leaders >= len(self)] - len(self)
        self.found_by += [origin] * len(new)
        at = np.flatnonzero(good)[new]
        self.roots, self.blur = everything[leaders], blurs[leaders]
        self.jacobians = np.concatenate([self.jacobians, there.jacobians[at]])
        self.signs = np.concatenate([self.signs, there.signs[at]])
        self.clear = np.concatenate([self.clear, there.clear[at]])

    def _located(self, states: Array, there: Measured) -> tuple[Booleans, Array]:
        """Which states satisfy the equation, are located well enough and are reachable; how far off they may be."""
        size = 1.0 + np.abs(states).max(axis=1)
        blur = (there.errors + there.rounding) / size
        good = (there.residuals <= self.tol * size) & (blur <= LARGEST_ERROR)
        if self.reach.invariant:
            slack = LARGEST_ERROR * size[:, np.newaxis]
            good &= ((states >= self.reach.low - slack) & (states <= self.reach.high + slack)).all(axis=1)
        return np.asarray(good), blur

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
