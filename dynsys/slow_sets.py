"""Continuous attractors: lines, rings and planes of slow states, as sets and never as a number of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dynsys import seeds
from dynsys.clouds import nearest_in
from dynsys.combinators import as_map
from dynsys.errors import InputError
from dynsys.limits import one_blas_thread
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.read_only import read_only
from dynsys.root_search import distinct, search
from dynsys.search_box import FAR
from dynsys.tracing import FAST, Patch, Traced, on_slow_set, slow_modes, trace
from dynsys.types import Array, Complex, Integers, Progress

if TYPE_CHECKING:
    from dynsys.fixed_points import FixedPoints

NOISE = 1e-13  # speed, relative to 1 + |x|, that is rounding
SETTLING = 400  # steps of the orbits whose ends are seeds
LASTING = 100.0  # steps that the median drift must need to cross a set, or it is no memory
MOST_SETS, MOST_SEEDS = 8, 24
MOST_DIMENSIONS = 8
SAME_SEED = 0.02  # seeds closer than this, in widths of the box, are one
WORK = 1.2e8  # states traced times state variables cubed


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class SlowManifold:
    """A connected set of slow states: a continuous attractor, or what is left of one.

    Attributes:
        kind: "line", "ring", "plane" (any surface with an edge), "closed surface", or "d-dimensional set".
        dimension: how many multipliers are near 1 along it.
        states: (k, n) states on it; along a line or ring in order. k depends on the spacing alone.
        tangents: (k, n, d) orthonormal, the directions of the set. multipliers: (k, d) those nearest 1.
        velocities: (k, n), F(x) - x, model units per step.
        extents: (d,) model units: the length of a line or ring, else the widths along the set's principal axes.
        relative_extent: the largest range of a state variable on it, as a share of the search box.
        normal: (k,) largest modulus of the multipliers across the set: below 1 it attracts.
        direction: of the drift along it, in words.
        fixed_points, slow_points: rows of the lists that lie on it; they say where the drift stops, not how many
            states it holds.
        complete: whether it was traced to its ends. spacing: distance between neighbouring states, model units.
        closeness: how near 1 the multipliers along it are, at most.
    """

    kind: str
    dimension: int
    states: Array
    tangents: Array
    multipliers: Complex
    velocities: Array
    extents: Array
    relative_extent: float
    normal: Array
    direction: str
    fixed_points: tuple[int, ...]
    slow_points: tuple[int, ...]
    complete: bool
    spacing: float
    closeness: float

    @property
    def speeds(self) -> Array:
        """(k,) |F(x) - x|_2: how fast the state drifts, model units per step."""
        return np.asarray(np.linalg.norm(self.velocities, axis=1))

    @property
    def drift(self) -> tuple[float, float, float]:
        """Least, median and largest speed along it, model units per step."""
        speeds = self.speeds
        return float(speeds.min()), float(np.median(speeds)), float(speeds.max())

    @property
    def attracting(self) -> bool:
        """Whether states next to it come to it, at every traced state."""
        return bool((self.normal < 1.0).all())

    @property
    def crossing_time(self) -> float:
        """Steps in which the median drift would carry a state along the least of the extents; inf without drift."""
        median = self.drift[1]
        return float(self.extents.min() / median) if median > 0 else np.inf

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the measurements, and at most 64 states."""
        skip = ("tangents", "velocities", "states", "multipliers", "normal")
        out = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in skip}
        some = np.unique(np.linspace(0, len(self.states) - 1, 64).astype(np.int64))
        out |= {"states": self.states[some], "speeds": self.speeds[some], "multipliers": self.multipliers[some]}
        out |= {"drift": list(self.drift), "attracting": self.attracting, "crossing_time": self.crossing_time}
        return out

    def __str__(self) -> str:
        low, middle, high = self.drift
        size = " x ".join(f"{e:.3g}" for e in self.extents[:3])
        return (
            f"{self.kind} ({self.dimension}-dimensional, {size}, {100 * self.relative_extent:.0f} % of the box), "
            f"{'attracting' if self.attracting else 'not attracting'}; drift {low:.2g} / {middle:.2g} / {high:.2g} per "
            f"step (least, median, largest), {self.direction}; multipliers along it within {self.closeness:.2g} of 1"
        )

    __repr__ = __str__


def slow_manifolds(
    f: Any,
    points: FixedPoints,
    *,
    closeness: float = 0.05,
    extent: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[SlowManifold, ...]:
    """Connected sets of slow states through the near-marginal fixed points, slow points and resting orbits of `f`.

    From every such state with d multipliers within `closeness` of 1, and no others there, the set on which the map
    moves along those directions alone is traced until the number of such multipliers changes, the drift exceeds a
    hundredth of the box per step, the set closes, or the box ends. A set shorter than `extent` of the box in every
    state variable is a point, not a manifold; one that its own median drift crosses in less than 100 steps is none.

    Args:
        f: the map (anything `as_map` reads).
        points: what `find_fixed_points` found for it; its input and box are used.
        closeness: how far from 1 a multiplier along the set may be: 0.05 is a time constant of 20 steps.
        extent: least range of some state variable, as a share of the box. seed: of the orbits that add seeds.

    Returns: the sets, the longest first; none is the usual answer.
    """
    f = as_map(f)
    if points.points.states.shape[1] != f.state_size or len(points.input) != f.input_size:
        raise InputError(f"`points` are of another map ({points.map_name}), not of {f.name}.")
    if not 0 < closeness < 1 or not 0 < extent < 1:
        raise InputError(f"`closeness` and `extent` must lie between 0 and 1, got {closeness} and {extent}.")
    column = points.input[:, np.newaxis]
    width = points.box.high - points.box.low
    most = int(np.clip(WORK / f.state_size**3, 60, 800))
    found: list[tuple[Traced, SlowManifold]] = []
    with one_blas_thread(), np.errstate(all="ignore"):
        start = _seeds(f, points, column, closeness, seed)
        for done, state in enumerate(start):
            if len(found) == MOST_SETS:
                break
            if progress is not None:
                progress(done, len(start), "tracing slow sets")
            if any(nearest_in(t.patch.states, state[np.newaxis])[0][0] <= 1.5 * t.spacing for t, _ in found):
                continue
            patch = _first(f, state, column, closeness)
            if patch is None or np.abs(patch.steps / width).max() > FAST:
                continue
            traced = trace(f, patch, points.box, column, closeness, most)
            if _repeats(traced, [t for t, _ in found]):
                continue
            manifold = _measured(f, traced, points, width, closeness)
            lasting = manifold.crossing_time >= LASTING
            if lasting and manifold.relative_extent >= extent and _wide(manifold, width, extent):
                found.append((traced, manifold))
    return tuple(m for _, m in sorted(found, key=lambda pair: -pair[1].relative_extent))


def _seeds(f: Map, found: FixedPoints, column: Array, closeness: float, seed: int) -> Array:
    """Distinct states (k, n) with multipliers near 1: listed points, and where searches and orbits come to rest."""
    rough = found.rejected > 0 or len(found.slow) > 0 or bool(np.asarray(found.points.undecided).any())
    listed = [
        points.states[(np.abs(points.multipliers - 1.0) <= closeness).any(axis=1)]
        for points in (found.points, found.slow)
    ]
    generator = seeds.generator(seed)
    first = generator.uniform(found.box.low, found.box.high, (32, f.state_size))
    driving = np.broadcast_to(found.input, (SETTLING, 1, f.input_size))
    ends = orbit_columns(f, np.ascontiguousarray(first.T), driving, SETTLING)[-1].T
    others = [ends]
    if rough:
        ended = search(f, first[:16], found.input, found.reach)
        others.append(ended.states[ended.met_root | ended.met_slow])
    states = np.concatenate([*listed, *others])
    states = states[np.isfinite(states).all(axis=1) & (np.abs(states).max(axis=1, initial=0.0) < FAR)]
    width = found.box.high - found.box.low
    slow = np.abs((f.step(states, found.input) - states) / width).max(axis=1, initial=0.0) <= FAST
    states = states[slow]
    states = np.asarray(states[distinct(states / width, SAME_SEED)[0]][:MOST_SEEDS])
    if not len(states):
        return states
    multipliers = np.linalg.eigvals(f.jacobian(states, found.input))
    return np.asarray(states[(np.abs(multipliers - 1.0) <= closeness).any(axis=1)])


def _first(f: Map, state: Array, column: Array, closeness: float) -> Patch | None:
    """The seed brought onto the slow set, or None where there is none through it."""
    jacobian = f.linearize_columns(state[:, np.newaxis], column).dense()
    if not np.isfinite(jacobian).all():
        return None
    dimension = int((np.abs(np.linalg.eigvals(jacobian)[0] - 1.0) <= closeness).sum())
    if not 0 < dimension <= MOST_DIMENSIONS:
        return None
    tangents = slow_modes(jacobian, dimension)[2]
    patch = on_slow_set(f, state[np.newaxis], tangents, column, closeness)
    return patch if patch.good[0] else None


def _repeats(traced: Traced, earlier: list[Traced]) -> bool:
    """Whether most of a set was traced before, from another seed."""
    return any(
        np.median(nearest_in(t.patch.states, traced.patch.states)[0]) <= max(t.spacing, traced.spacing) for t in earlier
    )


def _wide(manifold: SlowManifold, width: Array, extent: float) -> bool:
    """Whether it extends in each of its dimensions; a set that is long one way only is traced again as a line."""
    if manifold.dimension == 1:
        return True
    _, axes = _principal(manifold.states, manifold.dimension)
    return bool((manifold.extents * np.abs(axes / width).max(axis=1) >= extent).all())


def _principal(states: Array, count: int) -> tuple[Array, Array]:
    """Widths (count,) of states (k, n) along their principal axes (count, n)."""
    centred = states - states.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:count]
    if len(axes) < count:
        axes = np.concatenate([axes, np.zeros((count - len(axes), states.shape[1]))])
    return np.ptp(centred @ axes.T, axis=0), axes


def _measured(f: Map, traced: Traced, found: FixedPoints, width: Array, closeness: float) -> SlowManifold:
    patch, dimension = traced.patch, traced.patch.tangents.shape[2]
    closed = traced.closed
    if dimension == 1:
        order = _in_order(patch.states, traced.spacing)
        patch = patch[order]
        patch = Patch(**(vars(patch) | {"tangents": _aligned(patch.states, patch.tangents)}))
        hops = np.linalg.norm(np.diff(patch.states, axis=0), axis=1)
        gap = float(np.linalg.norm(patch.states[-1] - patch.states[0]))
        extents = np.array([hops.sum() + (gap if closed else 0.0)])
    else:
        extents = _principal(patch.states, dimension)[0]
    kind = {1: ("line", "ring"), 2: ("plane", "closed surface")}.get(dimension, (f"{dimension}-dimensional set",) * 2)
    return SlowManifold(
        kind=kind[closed],
        dimension=dimension,
        states=patch.states,
        tangents=patch.tangents,
        multipliers=patch.multipliers,
        velocities=patch.steps,
        extents=extents,
        relative_extent=float((np.ptp(patch.states, axis=0) / width).max()),
        normal=np.abs(patch.others).max(axis=1, initial=0.0),
        direction=_direction(patch, closed),
        fixed_points=_members(found.points.states, traced),
        slow_points=_members(found.slow.states, traced),
        complete=traced.complete,
        spacing=traced.spacing,
        closeness=float(np.abs(patch.multipliers - 1.0).max()),
    )


def _members(states: Array, traced: Traced) -> tuple[int, ...]:
    if not len(states):
        return ()
    return tuple(int(i) for i in np.flatnonzero(nearest_in(traced.patch.states, states)[0] <= 0.75 * traced.spacing))


def _in_order(states: Array, spacing: float) -> Integers:
    """The states (k, n) of a line or ring, traced both ways from the first, in order along it."""
    tail, head = [0], [0]
    for i in range(1, len(states)):
        to_head = float(np.linalg.norm(states[i] - states[head[-1]]))
        to_tail = float(np.linalg.norm(states[i] - states[tail[-1]]))
        (head if to_head <= to_tail else tail).append(i)
    return np.array([*tail[:0:-1], *head])


def _aligned(states: Array, tangents: Array) -> Array:
    """Tangents (k, n, 1) of a line, all pointing along its order."""
    if len(states) < 2:
        return tangents
    way = np.gradient(states, axis=0)
    signs = np.sign(np.einsum("kn,knd->kd", way, tangents))
    return np.asarray(tangents * np.where(signs == 0, 1.0, signs)[:, np.newaxis, :])


def _direction(patch: Patch, closed: bool) -> str:
    """The drift along a set in words."""
    size = NOISE * (1.0 + np.abs(patch.states).max(axis=1, initial=0.0))
    moving = np.abs(patch.steps).max(axis=1, initial=0.0) > size
    if not moving.any():
        return "no drift above rounding"
    if patch.tangents.shape[2] > 1:
        centre = patch.states - patch.states.mean(axis=0)
        inwards = -np.einsum("kn,kn->k", centre, patch.steps)[moving]
        share = float((inwards > 0).mean())
        return "towards its middle" if share > 0.9 else "towards its edge" if share < 0.1 else "in several directions"
    drift = np.einsum("kn,kn->k", patch.steps, patch.tangents[:, :, 0])[moving]
    signs = np.sign(drift)
    turns = int((np.diff(signs) != 0).sum()) + int(closed and signs[0] != signs[-1])
    if turns == 0:
        return "one way round" if closed else "one way along it"
    if turns == 1:
        return "towards a place on it" if signs[0] > 0 else "away from a place on it, towards its ends"
    return "towards places on it, from others between them"
