"""Attractors: where orbits from many starts end, what kind of set that is, and how much of the box it draws in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dynsys import seeds
from dynsys.basins import wilson
from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.errors import InputError
from dynsys.following import AWAY, same_orbit
from dynsys.limit_sets import LimitSet, limit_sets
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, numbers
from dynsys.read_only import read_only
from dynsys.search_box import search_box
from dynsys.types import Array, ArrayLike, Integers, Progress

if TYPE_CHECKING:
    from dynsys.fixed_points import FixedPoints


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Attractor:
    """One limit set of orbits.

    Attributes:
        kind: "fixed point", "cycle", "invariant circle", "invariant torus", "chaos", "continuum" (every nearby state
            on it comes back by itself: a line or larger set of fixed points or cycles) or "unresolved".
        period: 1 for a fixed point, the minimal period for a cycle, None where there is none.
        states: (p, n) one period; else states of one orbit on it (on a continuum: the states where orbits ended).
        exponents, exponent_errors: (k,) leading Lyapunov exponents, nats per step, and their standard errors.
        n_starts: uniform starts that ended here. fraction: their share. interval: (2,) its Wilson 95 % interval.
        listed: row of the fixed point, or of the cycle of this period, in the lists that were given; None if it is in
            neither.
        spacing: of sets without a period: how far a state of the set may be from the nearest of `states`, else None.
        note: what a reader should know.
    """

    kind: str
    period: int | None
    states: Array
    exponents: Array
    exponent_errors: Array
    n_starts: int
    fraction: float
    interval: Array
    listed: int | None
    spacing: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields, with at most 64 states."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out["states"] = self.states if self.period else self.states[:: max(1, len(self.states) // 64)]
        return out


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Attractors:
    """What orbits end on, the largest basin first.

    Attributes:
        attractors: the limit sets met. Iterate, index and count this object as a tuple of them.
        starts: (n_starts, n). ends: (n_starts,) index of the attractor each came to, -2 where the orbit ran off.
        unbounded: share of starts that ran off to infinity.
        unvisited: rows of the given list of fixed points that are attractors but drew in no start.
        input: (m,) the constant input. steps: followed at most before the search for other kinds of set began.
    """

    attractors: tuple[Attractor, ...]
    starts: Array
    ends: Integers
    unbounded: float
    unvisited: tuple[int, ...]
    input: Array
    steps: int
    seed: int
    map_name: str
    method: str

    def __len__(self) -> int:
        return len(self.attractors)

    def __getitem__(self, index: int) -> Attractor:
        return self.attractors[index]

    @property
    def n_starts(self) -> int:
        """Uniform starts followed."""
        return len(self.starts)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of each attractor."""
        return tuple(a.kind for a in self.attractors)

    @property
    def fractions(self) -> Array:
        """(k,) share of the starts that each drew in."""
        return np.array([a.fraction for a in self.attractors])

    @property
    def intervals(self) -> Array:
        """(k, 2) Wilson 95 % intervals of the fractions."""
        return np.array([a.interval for a in self.attractors]).reshape(-1, 2)

    def matched(self, listed: list[tuple[int, Array]]) -> Attractors:
        """The same, with the periodic ones matched with other lists: (row, states (p, n)) of each stable orbit."""
        attractors = tuple(
            dataclasses.replace(a, listed=next((row for row, orbit in listed if same_orbit(a.states, orbit)), None))
            if a.period is not None
            else a
            for a in self.attractors
        )
        return dataclasses.replace(self, attractors=attractors)

    def share(self, kind: str) -> float:
        """Share of the starts that ended on sets of this kind."""
        return float(sum(a.n_starts for a in self.attractors if a.kind == kind) / max(1, self.n_starts))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the attractors and the shares, without the starts."""
        skip = ("starts", "ends")
        return {n: getattr(self, n) for n in self.__dataclass_fields__ if n not in skip} | {"n_starts": self.n_starts}

    def __str__(self) -> str:
        from dynsys.tables import aligned

        rows = [
            [
                str(i), a.kind, "" if a.period is None else str(a.period), "" if a.listed is None else str(a.listed),
                f"{100 * a.fraction:.1f} % ({100 * a.interval[0]:.1f} to {100 * a.interval[1]:.1f})",
                _first_exponent(a),
            ]
            for i, a in enumerate(self.attractors)
        ]  # fmt: skip
        header = ["#", "kind", "period", "listed", "basin (95 %)", "largest exponent (nats/step)"]
        lines = [f"{self.map_name}: {len(self)} attractor{'s' * (len(self) != 1)}, {self.method}"]
        lines += [aligned(header, rows)] if rows else []
        lines += [f"{100 * self.unbounded:.1f} % of the starts ran off to infinity."] if self.unbounded else []
        lines += [f"#{i}: {a.note}." for i, a in enumerate(self.attractors) if a.note]
        if self.unvisited:
            lines.append(f"Stable fixed points that drew in no start: {', '.join(map(str, self.unvisited))}.")
        return "\n".join(lines)

    __repr__ = __str__


def _first_exponent(a: Attractor) -> str:
    """The largest exponent with its standard error, which that of a point or cycle, from its multipliers, has not."""
    if not len(a.exponents):
        return ""
    error = float(a.exponent_errors[0])
    return f"{a.exponents[0]:.4g}" + (f" +- {error:.1g}" if error > 0 else "")


def find_attractors(
    f: Any,
    input: ArrayLike | None = None,
    starts: ArrayLike | None = None,
    *,
    fixed_points: FixedPoints | None = None,
    cycles: Any = None,
    n_starts: int = 512,
    steps: int = 3000,
    exponent_steps: int = 10_000,
    seed: int = 1,
    progress: Progress | None = None,
) -> Attractors:
    """Follow orbits from many starts to their limit sets, and say what each set is and how large its basin.

    An orbit within 10^-6 of a listed stable point or cycle has arrived. One that comes to rest, or returns after up to
    256 steps, elsewhere is polished by Newton and listed as a fixed point or cycle of its own; where Newton finds no
    isolated one, as a continuum. What is left is grouped by nearest neighbours into sets, and each set is judged by
    its Lyapunov exponents: none positive and one zero is an invariant circle, more zeros a torus; "chaos" needs a
    largest exponent above three standard errors over 10^4 steps and in both halves.

    Args:
        f: the map (anything `as_map` reads).
        input: (m,) constant input; None is that of `fixed_points`, else zero.
        starts: (k, n) starts to follow instead of uniform ones; the shares are then shares of these.
        fixed_points: what `find_fixed_points` found at this input, to be matched with; also gives the box.
        cycles: what `find_cycles` found at this input: one result, or a dict from period to result.
        n_starts: uniform starts in the search box. steps: followed at most before other kinds of set are looked for.
        exponent_steps: steps of each Lyapunov spectrum. seed: of the starts. progress: called with (done, total, what).

    Returns: Attractors.
    """
    f = as_map(f)
    vector = _input_of(f, input, fixed_points)
    if steps < 1 or exponent_steps < 1:
        raise InputError(f"`steps` and `exponent_steps` must be at least 1, got {steps} and {exponent_steps}.")
    first = _starts(f, vector, starts, n_starts, seed, fixed_points)
    listed = known_orbits(fixed_points, cycles)
    with one_blas_thread():
        sets, ends = limit_sets(
            f, first.T, vector, [orbit for _, orbit in listed], steps, exponent_steps, seed, progress
        )
    return _collected(f, vector, first, sets, ends, listed, fixed_points, steps, seed, starts is not None)


def known_orbits(fixed_points: FixedPoints | None, cycles: Any) -> list[tuple[int, Array]]:
    """The stable orbits of the lists: (row in its list, states (p, n))."""
    out: list[tuple[int, Array]] = []
    if fixed_points is not None:
        points = fixed_points.points
        out += [(int(i), points.states[i : i + 1]) for i in np.flatnonzero(np.asarray(points.n_unstable) == 0)]
    for found in each_period(cycles):
        out += [(int(i), found.states[i]) for i in np.flatnonzero(np.asarray(found.n_unstable) == 0)]
    return out


def each_period(cycles: Any) -> list[Any]:
    """What `find_cycles` gave, one result or a dict of them, as a list; without period 1, which are fixed points."""
    every = cycles.values() if isinstance(cycles, dict) else [] if cycles is None else [cycles]
    return [found for found in every if np.ndim(found.states) == 3 and found.states.shape[1] > 1]


def _input_of(f: Map, input: ArrayLike | None, found: FixedPoints | None) -> Array:
    if found is None:
        return f.input_vector(input)
    if found.points.states.shape[1] != f.state_size or len(found.input) != f.input_size:
        raise InputError(f"`fixed_points` are of another map ({found.map_name}), not of {f.name}.")
    if input is not None and not np.array_equal(f.input_vector(input), found.input):
        raise InputError("`input` is not the input at which `fixed_points` were searched; leave one of them out.")
    return found.input


def _starts(
    f: Map, input: Array, starts: ArrayLike | None, n_starts: int, seed: int, found: FixedPoints | None
) -> Array:
    if starts is not None:
        given = np.atleast_2d(numbers(starts, "starts"))
        if given.ndim != 2 or given.shape[1] != f.state_size or not np.isfinite(given).all() or not len(given):
            raise InputError(f"`starts` must be finite, (k, {f.state_size}) with k >= 1, got shape {given.shape}.")
        return np.array(given)
    n_starts = whole_number("n_starts", n_starts, 1)
    box = found.box if found is not None else search_box(f, input, np.zeros((0, f.state_size)), seed)
    return seeds.generator(seed).uniform(box.low, box.high, (n_starts, f.state_size))


def _collected(
    f: Map, input: Array, first: Array, sets: list[LimitSet], ends: Integers, listed: list[tuple[int, Array]],
    found: FixedPoints | None, steps: int, seed: int, given: bool,
) -> Attractors:  # fmt: skip
    counts = np.bincount(ends[ends >= 0], minlength=len(sets))
    met = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    number = {i: k for k, i in enumerate(met)}
    total = len(first)
    attractors = tuple(
        Attractor(
            kind=sets[i].kind,
            period=sets[i].period,
            states=sets[i].states,
            exponents=sets[i].exponents,
            exponent_errors=sets[i].exponent_errors,
            n_starts=int(counts[i]),
            fraction=float(counts[i] / total),
            interval=wilson(counts[i], total),
            listed=listed[i][0] if i < len(listed) else None,
            spacing=sets[i].spacing,
            note=sets[i].note,
        )
        for i in met
    )
    reached = {a.listed for a in attractors if a.period == 1}
    stable = [] if found is None else [i for i, kind in enumerate(found.points.kinds) if kind == "attractor"]
    return Attractors(
        attractors=attractors,
        starts=first,
        ends=np.array([AWAY if end == AWAY else number[end] for end in ends]),
        unbounded=float((ends == AWAY).mean()),
        unvisited=tuple(i for i in stable if i not in reached),
        input=input,
        steps=steps,
        seed=seed,
        map_name=f.name,
        method=f"{total} {'given' if given else 'uniform'} starts followed for up to {steps} steps",
    )
