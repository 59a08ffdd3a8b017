"""The closed orbits met so far, by minimal period, and the stages of the search that fills the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from dynsys.completeness import chao1
from dynsys.maps import Map, SearchBox
from dynsys.periodic import starts as from_where
from dynsys.periodic.apart import distinct_orbits, divisors, in_phase, minimal_periods
from dynsys.periodic.multipliers import Monodromy, around
from dynsys.periodic.newton import Shots, polish, shoot
from dynsys.periodic.pieces import exact_orbits, piecewise_form
from dynsys.periodic.shooting import CyclicFactors, defects, inverse_norms
from dynsys.points import LARGEST_ERROR
from dynsys.types import Array, Booleans, Integers, Keep

SAME = 1e-7  # polished orbits closer than this (relative to 1 + |x|) are one orbit
FIRM = 1e4  # norm of the inverse of the cyclic system up to which an end this near to an orbit can be at no other
NEARLY = 1e-4  # an orbit whose position is not known may be a shorter one in disguise only within this
BUDGET = 1 << 28  # uniform starts times period times state variables cubed
ORBITS, FEW_ORBITS = 128, 24  # orbits followed, in small and in larger systems
SETTLE, WINDOW = 1000, 100  # steps until they are looked at, and steps looked at
MIXING_ROUNDS = 4
WORK = 1.6e10  # what the search of one period may take: states, times steps of the search, times n^3
MEASURE_WORK = 10  # what measuring a state of an orbit takes, in such steps
USUAL = 30  # steps that a start takes until it ends, at most
UNIFORM_SHARE, FIRST_SHARE = 0.33, 16  # of the work allowed, for uniform starts; how many are drawn first
STALLED = 0.3  # share of uniform starts that stall beyond which the search does not count as whole
LARGE = 64  # state variables beyond which the limit of work is felt
PHASES = 64  # orbits of each other period whose points are starts


@final
@dataclass(frozen=True)
class Measured:
    """Orbits (k, p, n) with what the cyclic equations say there; all (k,) but moves and Jacobians (k, p, n, n).

    `inverses` are the norms of the inverse of the cyclic system, inf where it is singular.
    """

    residuals: Array
    speeds: Array
    errors: Array
    rounding: Array
    inverses: Array
    jacobians: Array
    moves: Array


def measure(f: Map, orbits: Array, input: Array) -> Measured:
    """Defects, distance to the true orbit to first order, and how much of it rounding alone can hide."""
    x = np.ascontiguousarray(orbits.swapaxes(0, 1))
    G, J = defects(f, x, input)
    J = np.array(J)
    lost = ~np.isfinite(J).all(axis=(0, 2, 3))
    J[:, lost] = np.eye(f.state_size)  # no distance can be measured where the slope is infinite
    factors = CyclicFactors(J) if len(orbits) else None
    move = G if factors is None else -factors.solve(G)
    errors = np.abs(move).max(axis=(0, 2), initial=0.0)
    eps = np.finfo(np.float64).eps
    inverses = inverse_norms(J, factors) if len(orbits) else errors
    rounding = eps * np.abs(x).max(axis=(0, 2), initial=0.0) * inverses
    return Measured(
        residuals=np.abs(G).max(axis=(0, 2), initial=0.0),
        speeds=np.sqrt(np.square(G).sum(axis=(0, 2))),
        errors=np.where(np.isfinite(errors) & ~lost, errors, np.inf),
        rounding=np.where(np.isfinite(rounding), rounding, np.inf),
        inverses=inverses,
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
        self.measured: Measured | None = None  # of the orbits listed when it was last asked for
        self.turns: Monodromy | None = None

    def merge(self, orbits: Array, counts: Integers, origins: Sequence[str]) -> int:
        """Add those not yet listed; returns how many that were. `origins` are where the orbits (k, p, n) came from."""
        everything = np.concatenate([self.orbits, orbits])
        leaders, group = distinct_orbits(everything, SAME)
        hits = np.zeros(len(leaders), dtype=np.int64)
        np.add.at(hits, group, np.concatenate([self.hits, counts]))
        new = len(leaders) - len(self.orbits)
        fresh = leaders[len(self.orbits) :]
        self.found_by += [origins[i] for i in fresh - len(self.orbits)]
        self.orbits = np.concatenate([self.orbits, in_phase(everything[fresh])])
        self.hits = hits
        return new


@final
class Pool:
    """All orbits met so far, whatever their period, with what the search needs to know.

    `allowance` is the number of states, times steps of the search, that the period being searched may still take;
    `spent_out` are the periods for which starts were left out.
    """

    def __init__(
        self, f: Map, input: Array, box: SearchBox, tol: float, n_starts: int, rng: np.random.Generator,
        effort: float = 1.0, keep: Keep | None = None,
    ) -> None:  # fmt: skip
        self.keep: Keep = keep or (lambda name, starts, compute: compute())
        self.effort, self.allowance = effort, np.inf
        self.drawn: dict[int, int] = {}
        self.spent_out: set[int] = set()
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
        self.allowance = self.effort * WORK / self.f.state_size**3
        count = self._uniform(p)
        self.drawn[p] = count
        self.add(p, [(given, "given start")], all_of_them=True)
        if not count:
            return
        # Where uniform starts seem to have met everything, a few guided ones will do; all, if they meet more.
        few = max(16, count // 16)
        if self._seems_whole(p, count) and self.index(p)[0] in (None, 1) and not self._guided(p, few):
            count = few
        else:
            self._guided(p, count)
        self._mix(p, count)
        self.search_patterns(p)
        if self.index(p)[0] not in (None, 1):
            # The signs say that something is missing: search on before reporting it.
            further = self.affordable(p, 4 * self.drawn[p])
            more = from_where.uniform(self.f, self.box, self.input, p, further, self.rng)
            self.add(p, [(more, "further uniform start")])
            self._mix(p, self.drawn[p])

    def _uniform(self, p: int) -> int:
        """Independent uniform starts, their hits counted; returns how many were drawn.

        In larger systems in growing shares: none are added where none arrive, nor beyond the work allowed.
        """
        most = self.affordable(p, self.n_starts)
        allowed = UNIFORM_SHARE * self.allowance
        share = most if self.f.state_size <= LARGE else int(np.clip(allowed / (USUAL * p), 1, FIRST_SHARE))
        drawn, before, first = 0, len(self.of(p).orbits), self.allowance
        while drawn < most:
            share = min(share, most - drawn)
            starts = from_where.uniform(self.f, self.box, self.input, p, share, self.rng)
            self.add(p, [(starts, "uniform start")], count_hits=True, all_of_them=True)
            drawn += share
            spent = first - self.allowance
            share = min(4 * share, int((allowed - spent) * drawn / max(1.0, spent)))
            if len(self.of(p).orbits) == before or share < 1:
                break
        return drawn

    def _seems_whole(self, p: int, drawn: int) -> bool:
        """Whether most uniform starts arrived, and their hits do not say that orbits were left unseen."""
        found = self.of(p)
        return self.stalled.get(p, 0) <= STALLED * drawn and chao1(found.hits)[0] <= found.hits.astype(bool).sum() + 0.5

    def _guided(self, p: int, most: int) -> int:
        """Starts from orbits, from ripples on shorter orbits and from points of other periods; the new orbits met."""
        f = self.f
        ends = self._settled()[: max(8, most)]
        batches = [(from_where.trajectories(f, ends, self.input, p, WINDOW, most // 4), "trajectory")]
        batches += [(self._ripples(d, p, most), "ripple on a shorter orbit") for d in divisors(p)[:-1]]
        others = [found.orbits[:PHASES].reshape(-1, f.state_size) for d, found in self.by_period.items() if d != p]
        if others:
            points = np.concatenate(others)
            chosen = points[self.rng.permutation(len(points))[:most]]
            segments = from_where.segments(f, chosen, self.input, p)
            batches.append((segments[from_where.within_reach(segments)], "points of another period"))
        return self.add(p, batches)

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
        no_hits = np.zeros(len(exact.orbits), dtype=np.int64)
        self.take(p, exact.orbits, no_hits, ["activation patterns"] * len(no_hits))
        singular = f"; {exact.singular} of them are singular and may hold a continuum" if exact.singular else ""
        self.exact[p] = (
            f"piecewise linear: all {exact.sequences} possible sequences of activation patterns were solved, so that "
            f"no isolated orbit is missing but by rounding{singular}"
        )

    def add(
        self, p: int, batches: Sequence[tuple[Array, str]], count_hits: bool = False, all_of_them: bool = False
    ) -> int:
        """Search from batches of starts (B, p, n), each with its origin; returns how many new orbits of period p.

        In larger systems from as many as the work allowed lasts for, unless all are wanted.
        """
        starts = np.concatenate([batch for batch, _ in batches])
        names = [name for batch, name in batches for _ in batch]
        n, new = self.f.state_size, 0
        share = len(starts) if n <= LARGE or all_of_them else max(1, int(self.allowance / (USUAL * p)))
        for begin in range(0, len(starts), max(1, share)):
            if self.allowance <= 0 and not all_of_them:
                self.spent_out.add(p)
                break
            some = starts[begin : begin + share]
            steps = 60 if p * n <= 512 else 30
            ended: Shots = self.keep(f"period {p}", some, partial(shoot, self.f, some, self.input, self.reach, steps))
            self.allowance -= ended.steps
            self.stalled[p] = self.stalled.get(p, 0) + int((~ended.met).sum())
            origins = [names[begin + i] for i in np.flatnonzero(ended.met)]
            met = ended.orbits[ended.met]
            leaders, group = distinct_orbits(met, 10 * SAME)
            counts = np.bincount(group, minlength=len(leaders))
            counts = counts if count_hits else 0 * counts
            other = self._unknown(p, met[leaders], counts)
            first = [origins[i] for i in leaders[other]]
            new += self.take(p, met[leaders[other]], counts[other], first)
        return new

    def _unknown(self, p: int, ends: Array, counts: Integers) -> Booleans:
        """Which ends of a search (k, p, n) are at no orbit listed already; the hits of those that are get counted.

        An end next to an orbit is at it where the equations are far from singular there: no other can be so near.
        """
        unknown = np.ones(len(ends), dtype=bool)
        for d in divisors(p):
            found = self.of(d)
            if not len(found.orbits) or not unknown.any():
                continue
            firm = np.flatnonzero(self.measured(d).inverses <= FIRM)
            at = np.flatnonzero(unknown)
            both = np.concatenate([np.tile(found.orbits[firm], (1, p // d, 1)), ends[at]])
            leaders, group = distinct_orbits(both, 10 * SAME)
            which = leaders[group[len(firm) :]]
            here = which < len(firm)
            unknown[at[here]] = False
            if d == p:
                np.add.at(found.hits, firm[which[here]], counts[at[here]])
        return unknown

    def take(self, p: int, orbits: Array, counts: Integers, origins: Sequence[str]) -> int:
        """Polish orbits (k, p, n) that almost close, find their minimal periods, and keep those that hold up."""
        if not len(orbits):
            return 0
        orbits = polish(self.f, orbits, self.input)
        seen = measure(self.f, orbits, self.input)
        self.allowance -= MEASURE_WORK * p * len(orbits)
        unsure = 10.0 * (seen.errors + seen.rounding)
        periods = minimal_periods(orbits, np.clip(unsure, 10 * SAME, NEARLY))
        new = 0
        for d in np.unique(periods):
            those = np.flatnonzero(periods == d)
            if d == p:
                kept, errors = orbits[those], (seen.errors + seen.rounding)[those]
                residuals = seen.residuals[those]
            else:
                kept = polish(self.f, orbits[those][:, :d], self.input)
                there = measure(self.f, kept, self.input)
                errors, residuals = there.errors + there.rounding, there.residuals
            good = self._known_well(kept, residuals, errors)
            self.rejected[p] = self.rejected.get(p, 0) + int(np.maximum(counts[those], 1)[~good].sum())
            hits = counts[those][good]
            merged = self.of(int(d)).merge(kept[good], hits if d == p else 0 * hits, [origins[i] for i in those[good]])
            new += merged if d == p else 0
        return new

    def _known_well(self, orbits: Array, residuals: Array, errors: Array) -> Booleans:
        """Which orbits satisfy the equations, are located well enough, are reachable, and do not close earlier."""
        size = 1.0 + np.abs(orbits).max(axis=(1, 2), initial=0.0)
        good = (residuals <= self.tol * size) & (errors <= LARGEST_ERROR * size)
        good &= minimal_periods(orbits, 10 * SAME) == orbits.shape[1]
        if self.reach.invariant:
            slack = LARGEST_ERROR * size[:, np.newaxis, np.newaxis]
            good &= ((orbits >= self.reach.low - slack) & (orbits <= self.reach.high + slack)).all(axis=(1, 2))
        return np.asarray(good)

    def _settled(self) -> Array:
        if self._ends is None:
            n = self.f.state_size
            first = self.rng.uniform(self.box.low, self.box.high, (ORBITS if n <= LARGE else FEW_ORBITS, n))
            self._ends = from_where.settled(self.f, first, self.input, SETTLE)
        return self._ends

    def _ripples(self, d: int, p: int, most: int) -> Array:
        known = self.of(d).orbits
        if not len(known):
            return np.zeros((0, p, self.f.state_size))
        turn, J = self.turns(d), self.measured(d).jacobians
        scale = float((self.box.high - self.box.low).max()) / 2.0
        few = slice(0, most)
        return from_where.ripples(known[few], turn.multipliers[few], turn.right_modes[few], J[few], p, scale, most)

    def _mix(self, p: int, most: int) -> None:
        for _ in range(MIXING_ROUNDS):
            known = [np.tile(self.of(d).orbits, (1, p // d, 1)) for d in divisors(p)]
            if not len(known[-1]):
                return
            mixed = from_where.mixtures(np.concatenate(known), most, self.rng)
            if not self.add(p, [(mixed, "mixture of found orbits")]):
                return

    def measured(self, period: int) -> Measured:
        """What holds at the orbits listed of that period."""
        found = self.of(period)
        if found.measured is None or len(found.measured.residuals) != len(found.orbits):
            found.measured = measure(self.f, found.orbits, self.input)
        return found.measured

    def turns(self, period: int) -> Monodromy:
        """The linear map once around each of the orbits listed, with how far its multipliers may be off."""
        found = self.of(period)
        if found.turns is None or len(found.turns.multipliers) != len(found.orbits):
            found.turns = self._once_around(found.orbits, self.measured(period))
        return found.turns

    def _once_around(self, orbits: Array, seen: Measured) -> Monodromy:
        k, p, n = orbits.shape
        J = seen.jacobians
        move = np.where(np.isfinite(seen.moves), seen.moves, 0.0)
        move = (
            move
            * np.minimum(1.0, LARGEST_ERROR / np.maximum(np.abs(move).max(axis=(1, 2), initial=0.0), 1e-300))[
                :, np.newaxis, np.newaxis
            ]
        )
        moved = defects(self.f, np.ascontiguousarray((orbits + move).swapaxes(0, 1)), self.input)[1].swapaxes(0, 1)
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
            signs, clear = index_signs_around(self.turns(d), p // d)
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
