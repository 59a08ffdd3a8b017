"""The wiring of the memories: from each index-1 saddle along its unstable manifold to the attractors it parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dynsys.attractors import Attractors, each_period, known_orbits
from dynsys.combinators import as_map
from dynsys.composed_maps import Iterated
from dynsys.errors import InputError
from dynsys.following import AWAY, FAR
from dynsys.limit_sets import LimitSet, limit_sets
from dynsys.limits import one_blas_thread
from dynsys.maps import Map
from dynsys.read_only import read_only
from dynsys.types import Array, Booleans, Integers, Progress

if TYPE_CHECKING:
    from dynsys.fixed_points import FixedPoints

FIRST_STEP = 0.05  # largest first step off a saddle, relative to 1 + max|x|
CURVATURE = 0.05  # what the map may deviate from its linear part there, relative to the growth of the step
SMALLEST_STEP = 1e-7
PATH, PACE = 256, 0.005  # states kept of each branch, and their distance relative to 1 + max|x|
PATH_STEPS, SETTLED, LONGEST_HOP = 3, 1e-6, 500  # how long a branch is drawn, in `steps`; until it rests; if it hops


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Wiring:
    """Which attractors border which: through a saddle with one unstable direction orbits part to two of them.

    Attributes:
        saddles: (s,) rows of the fixed points, and of the cycles, that have exactly one unstable direction.
        periods: (s,) of each: 1 for a fixed point, else a row of `saddles` is one of the cycles of that period.
        states: (s, n) each saddle, of a cycle the state where its branches begin.
        attractors: what the branches end on, each with `kind`, `period` and `states`; the stable listed points and
            cycles come first, whether a branch ends there or not.
        listed: for each attractor its row in the list of fixed points (or of cycles of its period), or None.
        ends: (s, 2) index of the attractor at the end of each branch; -2 where it runs off.
        flips: (s,) whether the unstable multiplier is negative: orbits then hop between the two branches, which end on
            the same attractor. Of a cycle: turn by turn.
        first_steps: (s,) model units: how far off the saddle each branch was begun.
        paths: for each saddle two arrays (t, n), states along each branch, of every step (of a cycle: of every turn),
            or of every second one where it flips.
        skipped: rows of fixed points that may be saddles of this kind, but whose stability is undecided.
    """

    saddles: Integers
    periods: Integers
    states: Array
    attractors: tuple[LimitSet, ...]
    listed: tuple[int | None, ...]
    ends: Integers
    flips: Booleans
    first_steps: Array
    paths: tuple[tuple[Array, Array], ...]
    skipped: tuple[int, ...]
    map_name: str
    input: Array

    @property
    def borders(self) -> frozenset[tuple[int, int]]:
        """Pairs (i < j) of different attractors that a saddle connects."""
        pairs = {(int(min(e)), int(max(e))) for e in self.ends if min(e) >= 0 and e[0] != e[1]}
        return frozenset(pairs)

    @property
    def graph(self) -> Any:
        """A networkx MultiGraph: nodes are attractors (`kind`, `listed`), edges are saddles (`saddle`, `period`)."""
        import networkx as nx

        graph = nx.MultiGraph()
        for i, (attractor, row) in enumerate(zip(self.attractors, self.listed, strict=True)):
            graph.add_node(i, kind=attractor.kind, period=attractor.period, listed=row)
        for saddle, period, (a, b) in zip(self.saddles, self.periods, self.ends, strict=True):
            if min(a, b) >= 0:
                graph.add_edge(int(a), int(b), saddle=int(saddle), period=int(period))
        return graph

    def __len__(self) -> int:
        return len(self.saddles)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: who borders whom, without the paths."""
        return {
            "saddles": self.saddles,
            "periods": self.periods,
            "ends": self.ends,
            "flips": self.flips,
            "attractors": [
                {"kind": a.kind, "period": a.period, "listed": row}
                for a, row in zip(self.attractors, self.listed, strict=True)
            ],
            "borders": [list(pair) for pair in sorted(self.borders)],
            "skipped": list(self.skipped),
        }

    def __str__(self) -> str:
        lines = [f"{self.map_name}: {len(self)} saddles with one unstable direction, {len(self.borders)} borders"]
        for i, ((a, b), flip) in enumerate(zip(self.ends, self.flips, strict=True)):
            lines.append(f"{self.saddle_name(i)}: {self.name(int(a))} | {self.name(int(b))}" + "  (flips)" * bool(flip))
        if self.skipped:
            lines.append(f"Left out, as their stability is undecided: points {', '.join(map(str, self.skipped))}.")
        return "\n".join(lines)

    __repr__ = __str__

    def saddle_name(self, i: int, first: int = 0) -> str:
        """Saddle i in words, its row counted from `first`."""
        what = "saddle" if self.periods[i] == 1 else f"saddle {self.periods[i]}-cycle"
        return f"{what} {self.saddles[i] + first}"

    def name(self, end: int) -> str:
        """The attractor at an end in words."""
        if end == AWAY:
            return "infinity"
        kind, row = self.attractors[end].kind, self.listed[end]
        return f"{kind} {end if row is None else row}"


def wiring(
    f: Any,
    fixed_points: FixedPoints,
    *,
    cycles: Any = None,
    attractors: Attractors | None = None,
    steps: int = 3000,
    exponent_steps: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Wiring:
    """Follow both branches of each index-1 saddle's unstable manifold to where they end, saddle cycles included.

    A branch begins on the unstable mode, at the largest step (at most 0.05) at which the map still follows its
    linear part to 5 % of the step's growth; being one-dimensional, the unstable manifold attracts what is next to it.

    Args:
        f: the map (anything `as_map` reads), the one that `fixed_points` were found for.
        fixed_points: what `find_fixed_points` found; its input is used.
        cycles: what `find_cycles` found at this input: its saddle cycles are followed too (turn by turn, from their
            first state), and stable cycles are recognised by their row.
        attractors: what `find_attractors` found at this input, so that its sets need not be recognised again.
        steps: followed at most before other kinds of set are looked for. exponent_steps, seed: for those.

    Returns: Wiring.
    """
    f = as_map(f)
    points = fixed_points.points
    if points.states.shape[1] != f.state_size or len(fixed_points.input) != f.input_size:
        raise InputError(f"`fixed_points` are of another map ({fixed_points.map_name}), not of {f.name}.")
    if steps < 1:
        raise InputError(f"`steps` must be at least 1, got {steps}.")
    unsure = np.flatnonzero((np.asarray(points.undecided) > 0) & (np.asarray(points.n_unstable) <= 1))
    unsure = unsure[[points.n_unstable[i] + points.undecided[i] >= 1 for i in unsure]]
    input, column = fixed_points.input, fixed_points.input[:, np.newaxis]
    saddles = [*_saddles(points, points.states, 1)]
    for found in each_period(cycles):
        saddles += _saddles(found, found.states[:, 0], found.states.shape[1])
    flips = np.array([saddle.multiplier < 0 for saddle in saddles], dtype=bool)
    strides = np.array([saddle.period for saddle in saddles], dtype=np.int64) * np.where(flips, 2, 1)
    with one_blas_thread():
        sizes, begin = _beginnings(f, saddles, column)
        known, clouds = _known(fixed_points, cycles, attractors)
        sets, ends = limit_sets(
            f, begin, input, [orbit for _, orbit in known], steps, exponent_steps, seed, progress, clouds
        )
        paths = _paths(f, begin, column, np.repeat(strides, 2), steps)
    return Wiring(
        saddles=np.array([saddle.row for saddle in saddles], dtype=np.int64),
        periods=np.array([saddle.period for saddle in saddles], dtype=np.int64),
        states=np.array([saddle.state for saddle in saddles]).reshape(-1, f.state_size),
        attractors=tuple(sets),
        listed=(*(row for row, _ in known), *[None] * (len(sets) - len(known))),
        ends=ends.reshape(-1, 2),
        flips=flips,
        first_steps=sizes,
        paths=tuple((paths[2 * i], paths[2 * i + 1]) for i in range(len(saddles))),
        skipped=tuple(int(i) for i in unsure),
        map_name=f.name,
        input=input,
    )


@final
@dataclass(frozen=True, eq=False)
class _Saddle:
    """A fixed point, or a state of a cycle, with one unstable direction `mode` (n,) under f^period."""

    row: int
    period: int
    state: Array
    multiplier: float
    mode: Array
    error: float


def _saddles(found: Any, states: Array, period: int) -> list[_Saddle]:
    """The index-1 saddles of a list (`Points`, or `Cycles` at their first states), as far as that is decided."""
    rows = np.flatnonzero((np.asarray(found.n_unstable) == 1) & (np.asarray(found.undecided) == 0))
    out = []
    for i in map(int, rows):
        mode = found.right_modes[i, :, 0].real
        multiplier, error = float(found.multipliers[i, 0].real), float(found.errors[i])
        out.append(_Saddle(i, period, states[i], multiplier, mode / np.abs(mode).max(), error))
    return out


def _known(
    found: FixedPoints, cycles: Any, attractors: Attractors | None
) -> tuple[list[tuple[int | None, Array]], tuple[LimitSet, ...]]:
    """Stable orbits with their rows in the lists, and limit sets without a period, known beforehand."""
    known: list[tuple[int | None, Array]] = list(known_orbits(found, cycles))
    met = () if attractors is None else attractors.attractors
    known += [(None, a.states) for a in met if a.period is not None and a.listed is None]
    clouds = tuple(
        LimitSet(
            kind=a.kind, period=None, states=a.states, exponents=a.exponents, exponent_errors=a.exponent_errors,
            spacing=a.spacing,
        )
        for a in met
        if a.spacing is not None
    )  # fmt: skip
    return known, clouds


def _beginnings(f: Map, saddles: list[_Saddle], column: Array) -> tuple[Array, Array]:
    """First steps (s,) off the saddles, and the states (n, 2 s) from which their two branches are followed."""
    sizes = np.zeros(len(saddles))
    begin = np.zeros((f.state_size, 2 * len(saddles)))
    for k, saddle in enumerate(saddles):
        turn = f if saddle.period == 1 else Iterated([f] * saddle.period, f.name)
        x = saddle.state[:, np.newaxis]
        mode = saddle.mode * np.array([[1.0], [-1.0]])
        scale = 1.0 + float(np.abs(x).max())
        size, smallest = FIRST_STEP * scale, max(SMALLEST_STEP, 1e3 * saddle.error) * scale
        while size > smallest:
            with np.errstate(all="ignore"):
                off = turn.advance(x + size * mode.T, column) - x - saddle.multiplier * size * mode.T
            if np.abs(off).max() <= CURVATURE * (abs(saddle.multiplier) - 1.0) * size:
                break
            size /= 2.0
        sizes[k] = size
        begin[:, 2 * k : 2 * k + 2] = x + size * mode.T
    return sizes, begin


def _paths(f: Map, begin: Array, column: Array, strides: Integers, steps: int) -> list[Array]:
    """States (t, n) along each branch, `PACE` apart; of each `strides` (B,) steps those that are on its own side."""
    if not begin.shape[1]:
        return []
    x, last, hops = begin, begin.copy(), strides > 1
    kept: list[list[Array]] = [[state] for state in begin.T]
    with np.errstate(all="ignore"):
        for t in range(1, PATH_STEPS * steps + 1):
            before, x = x, f.advance(x, column)
            finite = (np.abs(x) < FAR).all(axis=0)
            size = 1.0 + np.abs(x).max(axis=0, initial=0.0)
            moved = finite & (np.abs(x - last).max(axis=0, initial=0.0) > PACE * size)
            moved &= t % strides == 0
            for b in np.flatnonzero(moved):
                if len(kept[b]) < PATH:
                    kept[b].append(x[:, b].copy())
            last[:, moved] = x[:, moved]
            going = finite & (np.abs(x - before).max(axis=0, initial=0.0) > SETTLED * size)
            full = np.array([len(path) >= PATH for path in kept])
            if t % 25 == 0 and (hops | ~going | full).all() and (t >= LONGEST_HOP or not hops.any()):
                break
    return [np.array(path) for path in kept]
