"""Cycles of a map at a constant input: orbits that close after p steps and not before, each listed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np

from dynsys import seeds, stability
from dynsys.combinators import as_map
from dynsys.completeness import Completeness, accounted
from dynsys.errors import InputError, ShapeError
from dynsys.fixed_points import find_fixed_points
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, SearchBox, numbers
from dynsys.periodic.apart import divisors
from dynsys.periodic.pool import Pool
from dynsys.periodic.starts import segments, within_reach
from dynsys.read_only import read_only
from dynsys.search_box import search_box
from dynsys.search_settings import checked_settings
from dynsys.types import Array, ArrayLike, Complex, Integers, Keep


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Cycles:
    """The cycles of one minimal period p, how complete the list may be, and how it was searched.

    One entry per orbit, beginning at its least state (by the first coordinate, then the next). Rows are sorted by
    number of unstable multipliers, then residual.

    Attributes:
        period: p. states: (k, p, n), model units; states[i, t + 1] = f(states[i, t]), and the last leads to the first.
        residuals: (k,) max over the orbit of |f(x_t) - x_{t+1}|. speeds: (k,) the 2-norm of all these defects.
        errors: (k,) distance to the true orbit to first order, max norm. rounding: (k,) how much of it rounding alone
            can hide.
        multipliers: (k, n) complex eigenvalues of J_p ... J_1, dimensionless, per turn, by falling modulus.
        multiplier_errors: (k, n). right_modes, left_modes: (k, n, n) eigenvectors of the product at states[:, 0],
            left^H right = I. condition: (k, n).
        n_unstable, undecided: (k,) multipliers outside the unit circle, and within their error of it.
        kinds: (k,) "attractor", "saddle", "repeller" or "undecided".
        hits: (k,) uniform starts that ended here. found_by: (k,) where the orbit was first met.
        jacobians: (k, p, n, n) of each step.
        completeness: what may have been missed; its index test is that of f^p, so it counts all states with f^p(x) = x,
            those of shorter orbits too.
        shorter: {d: number of orbits listed} for the proper divisors d of p.
        input: (m,). box: where uniform starts were drawn. n_starts: uniform starts of this period. seed, tol: as given.
        stalled: starts that ended at no orbit. rejected: those that ended at orbits whose true position is not known.
        step_duration: seconds per step, or None.
    """

    period: int
    states: Array
    residuals: Array
    speeds: Array
    errors: Array
    rounding: Array
    multipliers: Complex
    multiplier_errors: Array
    right_modes: Complex
    left_modes: Complex
    condition: Array
    n_unstable: Integers
    undecided: Integers
    kinds: tuple[str, ...]
    hits: Integers
    found_by: tuple[str, ...]
    jacobians: Array
    completeness: Completeness
    shorter: dict[int, int]
    input: Array
    box: SearchBox
    n_starts: int
    seed: int
    tol: float
    stalled: int
    rejected: int
    map_name: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    def __len__(self) -> int:
        return len(self.states)

    @property
    def time_constants(self) -> Array:
        """(k, n) steps (of the map, not turns): -p / log|mu|; negative where the mode grows."""
        return self.period * stability.time_constants(self.multipliers)

    def to_dict(self) -> dict[str, Any]:
        """Everything that is shown, under the names above; Jacobians and modes stay out, they are large."""
        skip = ("right_modes", "left_modes", "jacobians", "map_name", "input", "step_duration", "notes", "box")
        search = ("n_starts", "seed", "tol", "method")
        out: dict[str, Any] = {"model": self.map_name, "input": self.input}
        for field in dataclasses.fields(self):
            if field.name not in skip and field.name not in search:
                out[field.name] = getattr(self, field.name)
        out["shorter"] = {str(d): count for d, count in self.shorter.items()}
        out["time_constants"] = self.time_constants
        if self.step_duration is not None:
            out["time_constants_ms"] = 1e3 * self.step_duration * self.time_constants
        out["search"] = {name: getattr(self, name) for name in search}
        out["search"]["box"] = {"low": self.box.low, "high": self.box.high, "origin": self.box.origin}
        out["notes"] = list(self.notes)
        return out

    def __str__(self) -> str:
        from dynsys.tables import cycles_text

        return cycles_text(self)

    __repr__ = __str__


@overload
def find_cycles(
    f: Any, period: int, input: ArrayLike | None = ..., starts: ArrayLike | None = ..., n_starts: int = ...,
    tol: float = ..., seed: int = ..., *, effort: float = ..., step_duration: float | None = ...,
    keep: Keep | None = ...,
) -> Cycles: ...  # fmt: skip
@overload
def find_cycles(
    f: Any, period: Iterable[int], input: ArrayLike | None = ..., starts: ArrayLike | None = ..., n_starts: int = ...,
    tol: float = ..., seed: int = ..., *, effort: float = ..., step_duration: float | None = ...,
    keep: Keep | None = ...,
) -> dict[int, Cycles]: ...  # fmt: skip
def find_cycles(
    f: Any,
    period: int | Iterable[int],
    input: ArrayLike | None = None,
    starts: ArrayLike | None = None,
    n_starts: int = 1024,
    tol: float = 1e-12,
    seed: int = 0,
    *,
    effort: float = 1.0,
    step_duration: float | None = None,
    keep: Keep | None = None,
) -> Cycles | dict[int, Cycles]:
    """Cycles of `f` at a constant input: orbits of exactly that minimal period, with stability, each listed once.

    The cyclic equations f(x_t) = x_{t+1} are solved for all states of an orbit at once (multiple shooting), never by
    Newton on f composed p times. Starts: `n_starts` independent draws from the box (their hits feed the completeness
    estimate), the ends and close returns of orbits, ripples along the modes of shorter orbits where these pass roots
    of unity, points of other periods, and mixtures of what was found. Shorter orbits whose period divides p are
    searched too: the index test needs them. A piecewise-linear network (ReLU) of few units is searched exactly, over
    its activation patterns.

    Args:
        f: the map (anything `as_map` reads).
        period: p, or several periods, e.g. range(1, 9). Period 1 is the fixed points.
        input: (m,) constant input; None is the zero vector.
        starts: further starts: states (k, n), followed for p steps, or whole orbits (k, p, n) for a single period.
        n_starts: uniform starts of each period; 0 uses only `starts` and runs no later stage. Fewer are drawn where a
            start costs much (period times state variables cubed); the result's `n_starts` and `notes` say so.
        tol: an orbit counts if every |f(x_t) - x_{t+1}| <= tol (1 + max|x|) and its error <= 1e-6 (1 + max|x|).
        seed: of the uniform starts. step_duration: seconds per step, adds times in ms.
        effort: how much work the search of each period may take, relative to the default, beyond 64 state variables
            (some seconds); where it ran out, `notes` say so. keep: as in `find_fixed_points`.

    Returns: Cycles; for several periods a dict period -> Cycles.
    Raises: InputError for a time-varying input, wrong shapes, or nothing to start from.
    """
    f = as_map(f)
    periods = _periods(period)
    vector = f.input_vector(input)
    given = _starts(f, starts, periods)
    n_starts = checked_settings(n_starts, len(given), tol, effort, step_duration)
    with one_blas_thread(), np.errstate(all="ignore"):
        flat = given.reshape(-1, f.state_size)
        box = search_box(f, vector, flat, seed)
        pool = Pool(f, vector, box, tol, n_starts, seeds.generator(seed), effort, keep)
        wanted = sorted({d for p in periods for d in (divisors(p) if n_starts else [p])})
        fixed = None
        for p in wanted:
            if p == 1:
                states = flat if len(flat) else None
                fixed = find_fixed_points(f, vector, states, n_starts, tol, seed, effort=effort, keep=keep)
                pool.of(1).merge(fixed.states[:, np.newaxis], fixed.hits, ["fixed-point search"] * len(fixed))
                if n_starts:
                    pool.search_patterns(1)
            else:
                orbits = given if given.ndim == 3 else segments(f, given, vector, p)
                pool.search(p, orbits[within_reach(orbits)] if given.ndim == 2 else orbits)
        results = {p: _result(pool, p, seed, step_duration, fixed) for p in periods}
    return results[periods[0]] if isinstance(period, (int, np.integer)) else results


def _periods(period: Any) -> list[int]:
    """The periods asked for, in rising order."""
    several = not isinstance(period, (int, float, np.number))
    try:
        asked = list(period) if several else [period]
        whole = [int(p) for p in asked if not isinstance(p, (bool, str)) and int(p) == p and p >= 1]
    except (TypeError, ValueError):
        asked, whole = [period], []
    if not asked or len(whole) != len(asked):
        raise InputError(f"`period` must be a whole number >= 1, or several of them, e.g. range(1, 9); got {period!r}.")
    return sorted(set(whole))


def _starts(f: Map, starts: ArrayLike | None, periods: list[int]) -> Array:
    """States (k, n) or orbits (k, p, n), checked."""
    if starts is None:
        return np.zeros((0, f.state_size))
    array = numbers(starts, "starts")
    array = array[np.newaxis] if array.ndim == 1 else array
    n = f.state_size
    whole = array.ndim == 3 and len(periods) == 1 and array.shape[1] == periods[0] and array.shape[2] == n
    if not whole and (array.ndim != 2 or array.shape[1] != n):
        orbits = f", or orbits (k, {periods[0]}, {n})" if len(periods) == 1 else ""
        raise ShapeError(f"`starts` must be states (k, {n}){orbits}; got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError("`starts` has values that are not finite.")
    return array


def _result(pool: Pool, p: int, seed: int, step_duration: float | None, fixed: Any) -> Cycles:
    f, found = pool.f, pool.of(p)
    seen, turn = pool.measured(p), pool.turns(p)
    unstable, undecided = stability.count_unstable(turn.multipliers, turn.errors)
    names = stability.kinds(unstable, undecided, f.state_size)
    order = np.lexsort((seen.residuals, unstable))
    count = pool.drawn.get(p, 0) if p > 1 or fixed is None else fixed.n_starts
    notes = f.notes
    if p in pool.exact:
        notes += (pool.exact[p],)
    if count < pool.n_starts:
        notes += (f"{count} of the {pool.n_starts} uniform starts asked for were drawn: each costs much",)
    if p in pool.spent_out:
        notes += (f"the search ended at its work limit; effort={2 * pool.effort:g} doubles it",)
    return Cycles(
        period=p,
        states=found.orbits[order],
        residuals=seen.residuals[order],
        speeds=seen.speeds[order],
        errors=seen.errors[order],
        rounding=seen.rounding[order],
        multipliers=turn.multipliers[order],
        multiplier_errors=turn.errors[order],
        right_modes=turn.right_modes[order],
        left_modes=turn.left_modes[order],
        condition=turn.condition[order],
        n_unstable=unstable[order],
        undecided=undecided[order],
        kinds=tuple(names[i] for i in order),
        hits=found.hits[order],
        found_by=tuple(found.found_by[i] for i in order),
        jacobians=seen.jacobians[order],
        completeness=_completeness(pool, p, count),
        shorter={d: len(pool.of(d).orbits) for d in divisors(p)[:-1]} if pool.n_starts else {},
        input=pool.input,
        box=pool.box,
        n_starts=count,
        seed=seed,
        tol=pool.tol,
        stalled=pool.stalled.get(p, 0) if p > 1 or fixed is None else fixed.stalled,
        rejected=pool.rejected.get(p, 0) if p > 1 or fixed is None else fixed.rejected,
        map_name=f.name,
        method=_method(pool, count) if p > 1 or fixed is None else fixed.method,
        notes=notes,
        step_duration=step_duration,
    )


def _completeness(pool: Pool, p: int, count: int) -> Completeness:
    found = pool.of(p)
    total, note = pool.index(p) if pool.n_starts else (None, "not applied: only the given starts were searched")
    return accounted(len(found.orbits), found.hits, count, total, valid=total is not None, note=note)


def _method(pool: Pool, count: int) -> str:
    return (
        f"Levenberg-Marquardt on the cyclic equations f(x_t) = x_(t+1) from {count} uniform starts in the box "
        f"({pool.box.origin}), from orbits and their close returns, from ripples on shorter orbits, from points of "
        "other periods, and from mixtures of the orbits found; Newton in float64 by orthogonal elimination; "
        "residual, error and multipliers re-measured"
    )
