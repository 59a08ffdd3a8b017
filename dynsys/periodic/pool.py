"""The closed orbits met so far, by minimal period, and the stages of the search that fills the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.periodic import starts as from_where
from dynsys.periodic.apart import distinct_orbits, divisors, in_phase, minimal_periods
from dynsys.periodic.multipliers import Monodromy, around
from dynsys.periodic.newton import polish, shoot
from dynsys.periodic.pieces import exact_orbits, piecewise_form
from dynsys.periodic.shooting import defects, inverse_norms, solve_cyclic
from dynsys.points import LARGEST_ERROR
from dynsys.types import Array, Booleans, Integers

SAME = 1e-7  # polished orbits closer than this (relative to 1 + |x|) are one orbit
NEARLY = 1e-4  # an orbit whose position is not known may be a shorter one in disguise only within this
BUDGET = 1 << 28  # uniform starts times period times state variables cubed
ORBITS, SETTLE, WINDOW = 128, 1000, 100  # orbits followed, steps until they are looked at, and steps looked at
MIXING_ROUNDS = 4
PHASES = 64  # orbits of each other period whose points are starts


@final
@dataclass(frozen=True)
class Measured:
    """Orbits (k, p, n) with what the cyclic equations say there; all (k,) but the Jacobians (k, p, n, n)."""

    residuals: Array
    speeds: Array
    errors: Array
    rounding: Array
    jacobians: Array
    moves: Array


def measure(f: Map, orbits: Array, input: Array) -> Measured:
    """Defects, distance to the true orbit to first order, and how much of it rounding alone can hide."""
    x = np.ascontiguousarray(orbits.swapaxes(0, 1))
    G, J = defects(f, x, input)
    J = np.array(J)
    lost = ~np.isfinite(J).all(axis=(0, 2, 3))
    J[:, lost] = np.eye(f.state_size)  # no distance can be measured where the slope is infinite
    move = -solve_cyclic(J, G) if len(orbits) else G
    errors = np.abs(move).max(axis=(0, 2), initial=0.0)
    eps = np.finfo(np.float64).eps
    rounding = eps * np.abs(x).max(axis=(0, 2), initial=0.0) * inverse_norms(J) if len(orbits) else errors
    return Measured(
        residuals=np.abs(G).max(axis=(0, 2), initial=0.0),
        speeds=np.sqrt(np.square(G).sum(axis=(0, 2))),
        errors=np.where(np.isfinite(errors) & ~lost, errors, np.inf),
        rounding=np.where(np.isfinite(rounding), rounding, np.inf),
        jacobians=J.swapaxes(0, 1),
        moves=move.swapaxes(0, 1),
    )


@final
class Found:
    """Distinct orbits of one minimal period: states (k, p, n), hits (k,), and where each was first met."""

    def __init__(self, period: int, n: int) -> None:
        self.orbits = np.zeros((0, period, n))
        self.hits = np.zeros(0, dtype=np.int64)
        self.found_by: list[str] = []

    def merge(self, orbits: Array, counts: Integers, origin: str) -> int:
        """Add those not yet listed; returns how many that were."""
        everything = np.concatenate([self.orbits, orbits])
        leaders, group = distinct_orbits(everything, SAME)
        hits = np.zeros(len(leaders), dtype=np.int64)
        np.add.at(hits, group, np.concatenate([self.hits, counts]))
        new = len(leaders) - len(self.orbits)
        self.found_by += [origin] * new
        self.orbits = np.concatenate([self.orbits, in_phase(everything[leaders[len(self.orbits) :]])])
        self.hits = hits
        return new


@final
class Pool:
    """All orbits met so far, whatever their period, with what the search needs to know."""

    def __init__(self, f: Map, input: Array, box: SearchBox, tol: float, n_starts: int, rng: np.random.Generator):
        self.f, self.input, self.box, self.tol = f, input, box, tol
        self.reach = f.box(input, input) or box
        self.n_starts, self.rng = n_starts, rng
        self.by_period: dict[int, Found] = {}
        self.stalled: dict[int, int] = {}
        self.rejected: dict[int, int] = {}
        self.exact: dict[int, str] = {}
        self._ends: Array | None = None

    def of(self, period: int) -> Found:
        """The list of that minimal period, begun where there is none yet."""
        return self.by_period.setdefault(period, Found(period, self.f.state_size))

    def affordable(self, period: int, count: int) -> int:
        """At most `count` starts, fewer where each costs much."""
        return min(count, max(16, BUDGET // (period * (self.f.state_size + 3) ** 3)))

    def search(self, p: int, given: Array) -> None:
        """Fill the list of minimal period p (at least 2), and what turns up of its divisors."""
        f, box, rng = self.f, self.box, self.rng
        count = self.affordable(p, self.n_starts)
        if count:
            self.add(p, from_where.uniform(f, box, self.input, p, count, rng), "uniform start", count_hits=True)
        self.add(p, given, "given start")
        if not count:
            return
        self.add(
            p,
            from_where.trajectories(f, self._settled()[: max(8, count)], self.input, p, WINDOW, count // 4),
            "trajectory",
        )
        for d in divisors(p)[:-1]:
            self.add(p, self._ripples(d, p, count), "ripple on a shorter orbit")
        others = [found.orbits[:PHASES].reshape(-1, f.state_size) for d, found in self.by_period.items() if d != p]
        if others:
            points = np.concatenate(others)
            chosen = points[rng.permutation(len(points))[:count]]
            segments = from_where.segments(f, chosen, self.input, p)
            self.add(p, segments[from_where.within_reach(segments)], "points of another period")
        self._mix(p, count)
        self.search_patterns(p)
        if self.index(p)[0] not in (None, 1):
            # The signs say that something is missing: search on before reporting it.
            more = from_where.uniform(f, box, self.input, p, self.affordable(p, 4 * count), rng)
            self.add(p, more, "further uniform start")
            self._mix(p, count)

    def search_patterns(self, p: int) -> None:
        """For a piecewise-linear network of few units: all its orbits, by their activation patterns."""
        form = piecewise_form(self.f, self.input)
        if form is None:
            return
        exact = exact_orbits(form, p)
        if exact is None:
            self.exact[p] = (
                "piecewise linear, but with too many activation patterns to go through: the list may be incomplete"
            )
            return
        self.take(p, exact.orbits, np.zeros(len(exact.orbits), dtype=np.int64), "activation patterns")
        singular = f"; {exact.singular} of them are singular and may hold a continuum" if exact.singular else ""
        self.exact[p] = (
            f"piecewise linear: all {exact.sequences} possible sequences of activation patterns were solved, so that "
            f"no isolated orbit is missing but by rounding{singular}"
        )

    def add(self, p: int, starts: Array, origin: str, count_hits: bool = False) -> int:
        """Search from `starts` (B, p, n); returns how many new orbits of minimal period p that gave."""
        if not len(starts):
            return 0
        ended = shoot(self.f, starts, self.input, self.reach, 60 if p * self.f.state_size <= 512 else 30)
        self.stalled[p] = self.stalled.get(p, 0) + int((~ended.met).sum())
        met = ended.orbits[ended.met]
        leaders, group = distinct_orbits(met, 10 * SAME)
        counts = np.bincount(group, minlength=len(leaders))
        return self.take(p, met[leaders], counts if count_hits else 0 * counts, origin)

    def take(self, p: int, orbits: Array, counts: Integers, origin: str) -> int:
        """Polish orbits (k, p, n) that almost close, find their minimal periods, and keep those that hold up."""
        orbits = polish(self.f, orbits, self.input)
        seen = measure(self.f, orbits, self.input)
        unsure = 10.0 * (seen.errors + seen.rounding)
        periods = minimal_periods(orbits, np.clip(unsure, 10 * SAME, NEARLY))
        new = 0
        for d in np.unique(periods):
            those = periods == d
            shorter = orbits[those] if d == p else polish(self.f, orbits[those][:, :d], self.input)
            good = self._known_well(shorter)
            self.rejected[p] = self.rejected.get(p, 0) + int(np.maximum(counts[those], 1)[~good].sum())
            hits = counts[those][good]
            merged = self.of(int(d)).merge(shorter[good], hits if d == p else 0 * hits, origin)
            new += merged if d == p else 0
        return new

    def _known_well(self, orbits: Array) -> Booleans:
        """Which orbits satisfy the equations, are located well enough, are reachable, and do not close earlier."""
        size = 1.0 + np.abs(orbits).max(axis=(1, 2), initial=0.0)
        seen = measure(self.f, orbits, self.input)
        good = (seen.residuals <= self.tol * size) & (seen.errors + seen.rounding <= LARGEST_ERROR * size)
        good &= minimal_periods(orbits, 10 * SAME) == orbits.shape[1]
        if self.reach.invariant:
            slack = LARGEST_ERROR * size[:, np.newaxis, np.newaxis]
            good &= ((orbits >= self.reach.low - slack) & (orbits <= self.reach.high + slack)).all(axis=(1, 2))
        return np.asarray(good)

    def _settled(self) -> Array:
        if self._ends is None:
            first = self.rng.uniform(self.box.low, self.box.high, (ORBITS, self.f.state_size))
            self._ends = from_where.settled(self.f, first, self.input, SETTLE)
        return self._ends

    def _ripples(self, d: int, p: int, most: int) -> Array:
        found = self.of(d).orbits[:most]
        if not len(found):
            return np.zeros((0, p, self.f.state_size))
        turn = self.monodromy(found)
        scale = float((self.box.high - self.box.low).max()) / 2.0
        J = measure(self.f, found, self.input).jacobians
        return from_where.ripples(found, turn.multipliers, turn.right_modes, J, p, scale, most)

    def _mix(self, p: int, most: int) -> None:
        for _ in range(MIXING_ROUNDS):
            known = [np.tile(self.of(d).orbits, (1, p // d, 1)) for d in divisors(p)]
            if not len(known[-1]) or not self.add(
                p, from_where.mixtures(np.concatenate(known), most, self.rng), "mixture of found orbits"
            ):
                return

    def monodromy(self, orbits: Array) -> Monodromy:
        """The linear map once around each of the orbits (k, p, n), with how far its multipliers may be off."""
        k, p, n = orbits.shape
        seen = measure(self.f, orbits, self.input)
        J = seen.jacobians
        move = np.where(np.isfinite(seen.moves), seen.moves, 0.0)
        move = (
            move
            * np.minimum(1.0, LARGEST_ERROR / np.maximum(np.abs(move).max(axis=(1, 2), initial=0.0), 1e-300))[
                :, np.newaxis, np.newaxis
            ]
        )
        moved = measure(self.f, orbits + move, self.input).jacobians
        here, there = np.broadcast_to(np.eye(n), (k, n, n)), np.broadcast_to(np.eye(n), (k, n, n))
        for t in range(p):
            here, there = J[:, t] @ here, moved[:, t] @ there
        drift = np.linalg.norm(there - here, ord=2, axis=(1, 2)) if k else np.zeros(0)
        return around(J, self._lost(orbits, J), drift)

    def _lost(self, orbits: Array, J: Array) -> Integers:
        """(k,) dimensions that some step of the orbit destroys exactly: so many multipliers are zero."""
        k, p, n = orbits.shape
        columns = np.ascontiguousarray(orbits.reshape(k * p, n).T)
        lost = self.f.lost_rank(columns, self.input[:, np.newaxis]) if k else None
        by_state = np.zeros((k, p), dtype=np.int64) if lost is None else np.asarray(lost).reshape(k, p)
        rows, cols = ((J == 0.0).all(axis=axis).sum(axis=-1) for axis in (-1, -2))
        return np.asarray(np.maximum(by_state, np.maximum(rows, cols)).max(axis=1, initial=0))

    def index(self, p: int) -> tuple[int | None, str]:
        """The sum of sign det(I - D(f^p)) over all listed states with f^p(x) = x, or None where it says nothing."""
        if not self.reach.invariant:
            return None, "not applied: the map is not known to carry the box into its interior"
        total = 0
        for d in divisors(p):
            found = self.of(d).orbits
            if not len(found):
                continue
            if not ((found > self.reach.low) & (found < self.reach.high)).all():
                return None, "not applied: an orbit touches the boundary of the box"
            signs, clear = index_signs_around(self.monodromy(found), p // d)
            if not clear.all():
                return None, f"not applied: det(I - P) is zero within rounding at {int((~clear).sum())} orbits"
            total += d * int(signs.sum())
        return total, "valid: the box is carried into its interior and det(I - P) is not zero at any orbit"


def index_signs_around(turn: Monodromy, turns: int) -> tuple[Integers, Booleans]:
    """sign det(I - P^turns) of each orbit from its multipliers (pairs count +1), and whether it clears their errors."""
    mu = turn.multipliers
    power = mu**turns
    error = turns * np.maximum(np.abs(mu), 1e-300) ** (turns - 1) * turn.errors
    clear = (np.abs(1.0 - power) > 2.0 * error).all(axis=1)
    real = np.abs(mu.imag) == 0.0
    negative = (real & (power.real > 1.0)).sum(axis=1)
    return np.where(negative % 2 == 0, 1, -1).astype(np.int64), np.asarray(clear)
