"""Fixed points of a map at a constant input: found from many starts, re-measured, and counted honestly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.combinators import as_map
from dynsys.completeness import Completeness, chao1, index_signs
from dynsys.errors import InputError, ShapeError
from dynsys.homotopy import fixed_points_on_path
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, SearchBox, numbers, require_one_step
from dynsys.orbits import orbit_columns
from dynsys.points import LARGEST_ERROR, Points, measure, points_at
from dynsys.root_search import distinct, polish, search
from dynsys.search_box import FAR, search_box
from dynsys.types import Array, ArrayLike, Booleans, Integers

SAME = 1e-7  # polished states closer than this (relative to 1 + |x|) are one point
LARGE = 256  # state variables beyond which later stages get one round each
MIXING_ROUNDS = 4
BUDGET = 1024 * 256**3  # uniform starts times state variables cubed
PATH_ROUNDS = 3  # rounds of continuation paths, while they give new points and the index test asks for more


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class FixedPoints:
    """The fixed points found, how complete the list may be, and how it was searched.

    All the fields of `Points` can be read here directly (`result.states`, `result.multipliers`, ...).

    Attributes:
        points: the fixed points. slow: slow points (local minima of the speed that are not zero), another kind of
            answer. completeness: what may have been missed.
        input: (m,) the constant input. box: where uniform starts were drawn. reach: the box that the map carries into
            itself, which the index test is about; where none is known, the same. n_starts, seed: of the search.
        stalled: starts that ended at neither. rejected: converged states whose true position is not known to
            `LARGEST_ERROR`, or that lie outside the reachable box.
        step_duration: seconds per step, or None.
    """

    points: Points
    slow: Points
    completeness: Completeness
    input: Array
    box: SearchBox
    reach: SearchBox
    n_starts: int
    seed: int
    tol: float
    stalled: int
    rejected: int
    map_name: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "points":
            raise AttributeError(name)
        return getattr(self.points, name)

    def __len__(self) -> int:
        return len(self.points)

    def to_dict(self) -> dict[str, Any]:
        """Everything that is shown, under the names above; Jacobians and modes stay out, they are large."""
        out: dict[str, Any] = {"model": self.map_name, "input": self.input}
        out |= _table(self.points)
        out["completeness"] = self.completeness
        out["slow"] = _table(self.slow)
        out["stalled"], out["rejected"] = self.stalled, self.rejected
        out["search"] = {
            "n_starts": self.n_starts,
            "seed": self.seed,
            "tol": self.tol,
            "box": {"low": self.box.low, "high": self.box.high, "origin": self.box.origin},
            "method": self.method,
        }
        if self.step_duration is not None:
            out["time_constants_ms"] = 1e3 * self.step_duration * self.points.time_constants
        out["notes"] = list(self.notes)
        return out

    def __str__(self) -> str:
        from dynsys.tables import fixed_points_text

        return fixed_points_text(self)

    __repr__ = __str__


def _table(points: Points) -> dict[str, Any]:
    skip = ("right_modes", "left_modes", "jacobians", "input_jacobians")
    out = {f.name: getattr(points, f.name) for f in dataclasses.fields(points) if f.name not in skip}
    out["time_constants"] = points.time_constants
    out["rotation_periods"] = points.rotation_periods
    return out


def find_fixed_points(
    f: Any,
    input: ArrayLike | None = None,
    starts: ArrayLike | None = None,
    n_starts: int = 1024,
    tol: float = 1e-12,
    seed: int = 0,
    *,
    step_duration: float | None = None,
) -> FixedPoints:
    """Fixed points of `f` at a constant input, with stability and an account of what may be missing.

    Two stages: `n_starts` uniform points of the reachable box (their hits feed the completeness estimate) and your
    `starts`; then midpoints and means of the points found, round by round, until no new one turns up. Where that finds
    nothing, or the index test says that something is missing, continuation paths from random states follow, and more
    starts. Every point is polished by Newton, and its residual, error and multipliers are measured again at the end.

    Args:
        f: the map (anything `as_map` reads).
        input: (m,) constant input; None is the zero vector.
        starts: (k, n) further starts, e.g. states the network visited; used as they are, also outside the box.
        n_starts: uniform starts; 0 uses only `starts` and runs no later stage. Beyond 256 state variables fewer are
            drawn, as many as a few minutes allow, and the result's `n_starts` and `notes` say so.
        tol: a point counts if max|F(x) - x| <= tol (1 + max|x|) and its error <= 1e-6 (1 + max|x|).
        seed: of the uniform starts. step_duration: seconds per step, adds times in ms.

    Returns: FixedPoints.
    Raises: InputError for a time-varying input, wrong shapes, or nothing to start from.
    """
    f = as_map(f)
    require_one_step(f)
    vector = f.input_vector(input)
    given = _starts(f, starts)
    if int(n_starts) != n_starts:
        raise InputError(f"`n_starts` must be a whole number, got {n_starts!r}.")
    n_starts = int(n_starts)
    if n_starts < 0 or (n_starts == 0 and not len(given)):
        raise InputError(f"nothing to start from: n_starts={n_starts} and {len(given)} starts given.")
    if step_duration is not None and not 0 < step_duration < np.inf:
        raise InputError(f"`step_duration` must be positive (seconds per step), got {step_duration}.")
    if not 0 < tol < np.inf:
        raise InputError(f"`tol` must be positive, got {tol}.")
    # Starts may meet infinite slopes or run off; what is then not finite is judged, not warned of.
    with one_blas_thread(), np.errstate(all="ignore"):
        box = search_box(f, vector, given, seed)
        found = _Collection(f, vector, box, f.box(vector, vector) or box, tol)
        generator = seeds.generator(seed)
        asked, n_starts = n_starts, min(n_starts, max(16, int(BUDGET / f.state_size**3)))
        uniform = generator.uniform(box.low, box.high, (n_starts, f.state_size))
        found.add(uniform, "uniform start", count_hits=True)
        found.add(given, "given start")
        if n_starts:
            _second_stage(found, n_starts, generator)
            large = f.state_size > LARGE
            for _ in range(1 if large else PATH_ROUNDS):
                if len(found.roots) and _index(found)[0] in (None, 1):
                    break
                # Nothing found, or the signs say that something is missing: search on before reporting it.
                new = found.add(_orbit_ends(found, generator), "orbit end")
                if not new + found.follow_paths(generator, 12 if n_starts >= 256 and not large else 4):
                    break
                _second_stage(found, n_starts, generator)
            if not large and _index(found)[0] not in (None, 1):
                more = generator.uniform(box.low, box.high, (_affordable(4 * n_starts, f.state_size), f.state_size))
                found.add(more, "further uniform start")
                _second_stage(found, n_starts, generator)
        notes = f.notes
        if n_starts < asked:
            notes += (f"{n_starts} of the {asked} uniform starts asked for were drawn: each costs {f.state_size}^3",)
        return _result(f, found, n_starts, seed, step_duration, notes)


def _orbit_ends(found: _Collection, generator: np.random.Generator, count: int = 48, steps: int = 500) -> Array:
    """Where orbits from uniform starts are after `steps`: near what the network does, and never off its range."""
    first = generator.uniform(found.box.low, found.box.high, (count, found.f.state_size)).T
    driving = np.broadcast_to(found.input, (steps, 1, len(found.input)))
    ends = orbit_columns(found.f, first, driving, steps)[-1].T
    return np.ascontiguousarray(ends[np.isfinite(ends).all(axis=1) & (np.abs(ends).max(axis=1) < FAR)])


def _affordable(n_starts: int, n: int) -> int:
    """Fewer further starts where each costs n^3: as much work as n_starts of them cost at 32 state variables."""
    return max(16, int(n_starts * min(1.0, (32.0 / n) ** 3)))


def _starts(f: Map, starts: ArrayLike | None) -> Array:
    if starts is None:
        return np.zeros((0, f.state_size))
    array = np.atleast_2d(numbers(starts, "starts"))
    if not array.size:
        return np.zeros((0, f.state_size))
    if array.shape[-1] != f.state_size:
        raise ShapeError(f"`starts` must be (k, {f.state_size}), got {array.shape}.")
    array = array.reshape(-1, f.state_size)
    if not np.isfinite(array).all():
        raise InputError("`starts` has values that are not finite.")
    return array


class _Collection:
    """The distinct roots and slow points met so far."""

    def __init__(self, f: Map, input: Array, box: SearchBox, reach: SearchBox, tol: float) -> None:
        self.f, self.input, self.box, self.reach, self.tol = f, input, box, reach, tol
        self.roots = np.zeros((0, f.state_size))
        self.hits = np.zeros(0, dtype=np.int64)
        self.found_by: list[str] = []
        self.slow = np.zeros((0, f.state_size))
        self.stalled = 0
        self.rejected = 0

    def add(self, starts: Array, origin: str, count_hits: bool = False) -> int:
        """Search from `starts` (k, n); returns how many new points that gave."""
        if not len(starts):
            return 0
        ended = search(self.f, starts, self.input, self.reach)
        met = ended.states[ended.met_root]
        self.stalled += int((~ended.met_root & ~ended.met_slow).sum())
        slow = ended.states[ended.met_slow]
        self.slow = np.concatenate([self.slow, slow])[distinct(np.concatenate([self.slow, slow]), 1e-4)[0]]
        before = len(self.roots)
        if not len(met):
            return 0
        leaders, group = distinct(met, 10 * SAME)
        counts = np.bincount(group, minlength=len(leaders))
        self._take(met[leaders], counts if count_hits else 0 * counts, origin)
        return len(self.roots) - before

    def _take(self, states: Array, counts: Integers, origin: str) -> None:
        """Polish states near roots, keep those that hold up, and count how often each was met."""
        polished = polish(self.f, states, self.input)
        good = self._known_well(polished)
        self.rejected += int(np.maximum(counts, 1)[~good].sum())
        self._merge(polished[good], counts[good], origin)

    def follow_paths(self, generator: np.random.Generator, count: int) -> int:
        """Continuation from random states to fixed points: arrives where random starts stall. New points found."""
        before = len(self.roots)
        count, steps = (count, 1000) if self.reach.invariant else (3, 200)
        low, high = np.maximum(self.box.low, -1.0), np.minimum(self.box.high, 1.0)
        low, high = np.where(low < high, low, self.box.low), np.where(low < high, high, self.box.high)
        ends = [
            fixed_points_on_path(self.f, x, self.input, steps) for x in generator.uniform(low, high, (count, len(low)))
        ]
        states = np.concatenate(ends)
        if len(states):
            self._take(states, np.zeros(len(states), dtype=np.int64), "continuation path")
        return len(self.roots) - before

    def _merge(self, states: Array, counts: Integers, origin: str) -> None:
        everything = np.concatenate([self.roots, states])
        leaders, group = distinct(everything, SAME)
        hits = np.zeros(len(leaders), dtype=np.int64)
        np.add.at(hits, group, np.concatenate([self.hits, counts]))
        self.found_by += [origin] * (len(leaders) - len(self.roots))
        self.roots, self.hits = everything[leaders], hits

    def _known_well(self, states: Array) -> Booleans:
        """Which states satisfy the equation, are located well enough, and are reachable."""
        size = 1.0 + np.abs(states).max(axis=1)
        _, residuals, errors, rounding, _ = measure(self.f, states, self.input)
        good = (residuals <= self.tol * size) & (errors + rounding <= LARGEST_ERROR * size)
        if self.reach.invariant:
            slack = LARGEST_ERROR * size[:, np.newaxis]
            good &= ((states >= self.reach.low - slack) & (states <= self.reach.high + slack)).all(axis=1)
        return np.asarray(good)


def _second_stage(found: _Collection, n_starts: int, generator: np.random.Generator) -> None:
    """Midpoints of pairs, and means of random triples, of the points found so far; while that gives new ones."""
    for _ in range(1 if found.f.state_size > LARGE else MIXING_ROUNDS):
        k = len(found.roots)
        if k < 2:
            return
        if k * (k - 1) // 2 <= n_starts:
            first, second = np.triu_indices(k, 1)
        else:
            first, second = generator.integers(0, k, (2, n_starts))
        midpoints = (found.roots[first] + found.roots[second]) / 2.0
        triples = found.roots[generator.integers(0, k, (min(n_starts // 4, 4 * k), 3))].mean(axis=1)
        if not found.add(np.concatenate([midpoints, triples]), "mixture of found points"):
            return


def _index(found: _Collection) -> tuple[int | None, str]:
    """The sum of sign det(I - J), or None with the reason why the index test does not apply."""
    if not found.reach.invariant:
        return None, "not applied: the map is not known to carry the box into its interior"
    if not len(found.roots):
        return 0, "a map of a box into its interior has at least one fixed point"
    signs, clear = index_signs(found.f.jacobian(found.roots, found.input))
    if not clear.all():
        return None, f"not applied: det(I - J) is zero within rounding at {int((~clear).sum())} points"
    inside = ((found.roots > found.reach.low) & (found.roots < found.reach.high)).all(axis=1)
    if not inside.all():
        return None, "not applied: a point lies on the boundary of the box"
    return int(signs.sum()), "valid: the box is carried into its interior and det(I - J) is not zero at any point"


def _result(
    f: Map, found: _Collection, n_starts: int, seed: int, step_duration: float | None, notes: tuple[str, ...]
) -> FixedPoints:
    points = points_at(f, found.roots, found.input, found.hits, found.found_by)
    slow = points_at(
        f, found.slow, found.input, np.zeros(len(found.slow), dtype=np.int64), ["search"] * len(found.slow)
    )
    index_sum, note = _index(found)
    arrived = bool(found.hits.any())  # where no uniform start arrived anywhere, hits say nothing
    estimate, interval = chao1(found.hits) if arrived else (None, None)
    singletons = int((found.hits == 1).sum()) if arrived else None
    total = int(index_signs(points.jacobians)[0].sum())
    return FixedPoints(
        points=points,
        slow=slow,
        completeness=Completeness(
            found=len(points),
            estimate=estimate,
            interval=interval,
            singletons=singletons,
            unseen_mass_bound=3.0 / n_starts if singletons == 0 else None,
            index_sum=total,
            index_expected=None if index_sum is None else 1,
            index_note=note,
        ),
        input=found.input,
        box=found.box,
        reach=found.reach,
        n_starts=n_starts,
        seed=seed,
        tol=found.tol,
        stalled=found.stalled,
        rejected=found.rejected,
        map_name=f.name,
        method=(
            f"Levenberg-Marquardt on |F(x) - x|^2 from {n_starts} uniform starts in the box ({found.box.origin}), "
            "then from mixtures of the points found"
            + (", and along continuation paths" if "continuation path" in found.found_by else "")
            + "; Newton in float64; residual, error and multipliers re-measured"
        ),
        notes=notes,
        step_duration=step_duration,
    )
