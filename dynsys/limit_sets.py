"""From a batch of orbits to the limit sets they end on, each recognised for what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.clouds import POINTS, SAMPLE, SLACK, Cloud, cloud_of, gaps, sampled
from dynsys.errors import AnalysisError
from dynsys.following import (
    ARRIVED,
    AWAY,
    FAR,
    GOING,
    PeriodicOrbit,
    creeping,
    follow,
    periods,
    polished_orbits,
    same_orbit,
)
from dynsys.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from dynsys.maps import Map
from dynsys.read_only import read_only
from dynsys.root_search import distinct
from dynsys.types import Array, Integers, Progress

LEADING = 4  # exponents measured of a set that is not periodic
MOST_SETS = 12  # sets that are not periodic which are told apart
MOST_UNRESOLVED = 2  # sets that could not be recognised, after which the rest is not looked at one by one
LONG_PERIOD = 4096  # tried for the one orbit that stands for a set
TRIED_TOGETHER = 64  # periodic orbits polished at a time
FURTHER, WORK = 10, 2e9  # orbits that creep are followed for so many times longer, or as far as this work goes
LOOK_AGAIN, NEARER = 1000, 0.9  # steps until orbits are compared with clouds again, and how much nearer they must be
WAITING_WORK = 2e10  # how far orbits that come nearer to a cloud are followed: steps times orbits times n^2
STEP_WORK = 1e4  # least work of a step, which NumPy's own overhead makes even for one small orbit
LEAVING = 32_000  # steps for which the others are followed once an orbit was seen to leave only late
STAY = 200  # steps over which an orbit at rest must stay where it is
ZERO = 2e-4  # nats per step: what an exponent of a quasiperiodic orbit may be off by over 10^4 steps


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class LimitSet:
    """A set that orbits end on; the fields are those of `Attractor`."""

    kind: str
    period: int | None
    states: Array
    exponents: Array = field(default_factory=lambda: np.zeros(0))
    exponent_errors: Array = field(default_factory=lambda: np.zeros(0))
    spacing: float | None = None
    note: str = ""


def limit_sets(
    f: Map, states: Array, input: Array, known: list[Array], steps: int, exponent_steps: int, seed: int,
    progress: Progress | None = None, clouds: tuple[LimitSet, ...] = (),
) -> tuple[list[LimitSet], Integers]:  # fmt: skip
    """The sets on which the orbits of columns (n, B) end, and for each orbit the index of its set (AWAY: none).

    The first sets are the `known` stable orbits, (p, n) each, and the known `clouds`, met or not.
    """
    column = input[:, np.newaxis]
    sets = [*(_periodic(f, orbit, input) for orbit in known), *clouds]
    ended = follow(f, states, column, known, steps, progress)
    ends = ended.targets.copy()
    x = ended.states
    open_ = np.flatnonzero(ends == GOING)
    slow = open_[creeping(f, x[:, open_], column)]
    further = min(FURTHER * steps, int(WORK / (f.state_size**2 * max(1, len(slow)))))
    if len(slow) and further > steps:
        again = follow(f, x[:, slow], column, known, further, progress)
        x[:, slow], ends[slow] = again.states, again.targets
        open_ = np.flatnonzero(ends == GOING)
    if len(open_):
        returned = periods(f, x[:, open_], column)
        _settle_periodic(f, x, input, ends, open_, returned, sets)
    open_ = np.flatnonzero(ends == GOING)
    if len(open_):
        _settle_others(f, x, input, ends, open_, sets, exponent_steps, seed, progress)
    return sets, ends


def _periodic(f: Map, orbit: Array, input: Array) -> LimitSet:
    """A stable periodic orbit, with its exponents log|multipliers| / p."""
    p = len(orbit)
    product = np.eye(f.state_size)
    for jacobian in f.jacobian(orbit, input):
        product = jacobian @ product
    with np.errstate(divide="ignore"):
        logs = np.log(np.sort(np.abs(np.linalg.eigvals(product)))[::-1][:LEADING]) / p
    kind = "fixed point" if p == 1 else "cycle"
    return LimitSet(kind=kind, period=p, states=orbit, exponents=logs, exponent_errors=np.zeros(len(logs)))


def _settle_periodic(
    f: Map, x: Array, input: Array, ends: Integers, open_: Integers, returned: Integers, sets: list[LimitSet]
) -> None:
    """Orbits that return to themselves: at a stable orbit that was not known, or on a continuum of such states."""
    for period in np.unique(returned[returned > 0]):
        members = open_[returned == period]
        left = []
        for b in members:
            near = _on_known(x[:, b], sets, int(period))
            ends[b] = GOING if near is None else near
            left += [b] if near is None else []
        leaders, group = distinct(x[:, left].T, 10 * ARRIVED)
        tried: list[PeriodicOrbit | None] = []
        while len(tried) < len(leaders) and (not tried or any(tried)):
            more = leaders[len(tried) : len(tried) + TRIED_TOGETHER]
            tried += polished_orbits(f, np.ascontiguousarray(x[:, left].T[more]), input, int(period))
        tried += [None] * (len(leaders) - len(tried))  # so many nearby states and not one of them isolated
        for orbit, which in zip(tried, range(len(leaders)), strict=True):
            if orbit is None:
                continue
            new = _periodic(f, orbit.states, input)
            _take(sets, new, ends, np.array(left)[group == which])
        _settle_continuum(f, x, input, ends, members[ends[members] == GOING], int(period), sets)


def _on_known(state: Array, sets: list[LimitSet], period: int) -> int | None:
    size = 1.0 + float(np.abs(state).max(initial=0.0))
    for i, s in enumerate(sets):
        if s.period == period and (np.abs(s.states - state).max(axis=1, initial=0.0) <= 10 * ARRIVED * size).any():
            return i
    return None


def _settle_continuum(
    f: Map, x: Array, input: Array, ends: Integers, members: Integers, period: int, sets: list[LimitSet]
) -> None:
    """States that return to themselves although Newton finds no isolated stable orbit there."""
    if not len(members):
        return
    column = input[:, np.newaxis]
    states = x[:, members]
    size = 1.0 + np.abs(states).max(axis=0, initial=0.0)
    moved = states
    for _ in range(period):
        moved = f.advance(moved, column)
    later = moved
    for _ in range(period * -(-STAY // period)):
        later = f.advance(later, column)
    # One that only passes an unstable orbit slowly is not at rest: it goes back to those on their way.
    stays = np.abs(later - states).max(axis=0, initial=0.0) <= 1e3 * ARRIVED * size
    still = np.abs(moved - states).max(axis=0, initial=0.0) <= 1e-12 * size
    for group, kind, note in (
        (still, "continuum", "every state on it returns to itself: the equations do not determine its position"),
        (stays & ~still, "unresolved", "still moving, by less than 10^-6 a step"),
    ):
        if group.any():
            sets.append(LimitSet(kind=kind, period=None, states=np.ascontiguousarray(states[:, group].T), note=note))
            ends[members[group]] = len(sets) - 1


def _settle_others(
    f: Map, x: Array, input: Array, ends: Integers, open_: Integers, sets: list[LimitSet], exponent_steps: int,
    seed: int, progress: Progress | None,
) -> None:  # fmt: skip
    """Orbits that never return to themselves: circles, tori, chaos, or still on their way."""
    column = input[:, np.newaxis]
    generator = seeds.generator(seed)
    samples = sampled(f, x[:, open_], column, gaps(generator, SAMPLE, POINTS // SAMPLE))
    bounded = (np.abs(samples) < FAR).all(axis=(0, 1))
    ends[open_[~bounded]] = AWAY
    clouds = {
        i: Cloud(known.states, known.spacing, True, known.states[-1])
        for i, known in enumerate(sets)
        if known.spacing is not None
    }
    left = list(np.flatnonzero(bounded & (ends[open_] == GOING)))
    unresolved: dict[str, int] = {}
    for done in range(MOST_SETS):
        left = _on_clouds(f, samples, column, clouds, sets, ends, open_, left, generator)
        if not left or sum(unresolved.values()) >= MOST_UNRESOLVED:
            break
        if progress is not None:
            progress(done, MOST_SETS, "telling limit sets apart by their exponents")
        cloud = cloud_of(f, samples[-1, :, left[0]], column, generator)
        if not (np.abs(cloud.states) < FAR).all():
            left = _still_here(f, samples[-1], column, ends, open_, left)
            continue
        this = _recognised(f, cloud, input, exponent_steps, seed)
        at = _take(sets, this, ends, open_[left[:1]])
        if this.kind == "unresolved":
            unresolved[this.note] = unresolved.get(this.note, 0) + 1
            mine = [b for b in left[1:] if cloud.holds(samples[:, :, b])]
            ends[open_[mine]] = at
        else:
            clouds[at] = cloud
        left = [b for b in left[1:] if ends[open_[b]] == GOING]
    if left:
        note = "not told apart: they seem to be " + (
            "still on their way" if unresolved else f"more than {MOST_SETS} sets that are not periodic"
        )
        states = np.ascontiguousarray(samples[-1][:, left].T)
        _take(sets, LimitSet(kind="unresolved", period=None, states=states, note=note), ends, open_[left])


def _still_here(f: Map, x: Array, column: Array, ends: Integers, open_: Integers, left: list[Any]) -> list[Any]:
    """The first of the orbits `left`, at columns of x (n, B), was seen to run off: those of the others that do not."""
    ends[open_[left[0]]] = AWAY
    others = np.array(left[1:], dtype=int)
    if not len(others):
        return []
    steps = min(LEAVING, int(WORK / max(STEP_WORK, f.state_size**2 * len(others))))
    away = follow(f, x[:, others], column, [], steps).targets == AWAY
    ends[open_[others[away]]] = AWAY
    return list(others[~away])


def _on_clouds(
    f: Map, samples: Array, column: Array, clouds: dict[int, Cloud], sets: list[LimitSet], ends: Integers,
    open_: Integers, left: list[Any], generator: np.random.Generator,
) -> list[Any]:  # fmt: skip
    """Those of the orbits `left` that lie on none of the clouds; those that do get their ends.

    Orbits that are still on their way to a cloud come nearer while they are followed: all of them together, for twice
    as long each time, until they lie on one, come no nearer, or the work allowed is done. `samples` (SAMPLE, n, B) are
    then those of where they have come to.
    """
    before = np.full(len(ends), np.inf)
    run, work, coming = LOOK_AGAIN, 0.0, list(left)
    while coming and clouds:
        away = ~(np.abs(samples[:, :, coming]) < FAR).all(axis=(0, 1))
        ends[open_[np.array(coming)[away]]] = AWAY
        coming = list(np.array(coming)[~away])
        for b in coming:
            apart = {
                i: cloud.distance(samples[:, :, b]) / (SLACK * max(cloud.spacing, 1e-300))
                for i, cloud in clouds.items()
            }
            nearest = min(apart, key=lambda i: apart[i])
            if apart[nearest] <= 1.0:
                ends[open_[b]] = nearest
            coming = [c for c in coming if c != b or (apart[nearest] > 1.0 and apart[nearest] <= NEARER * before[b])]
            before[b] = apart[nearest]
        work += run * max(STEP_WORK, len(coming) * f.state_size**2)
        if work > WAITING_WORK:
            note = "still on its way, and coming nearer to one of the other sets"
            states = np.ascontiguousarray(samples[-1][:, coming].T)
            if len(states):
                _take(sets, LimitSet(kind="unresolved", period=None, states=states, note=note), ends, open_[coming])
            break
        if not coming:
            break
        wait = gaps(generator, SAMPLE, POINTS // SAMPLE)
        wait[0] += run
        samples[:, :, coming] = sampled(f, samples[-1][:, coming], column, wait)
        run *= 2
    return [b for b in left if ends[open_[b]] == GOING]


def _take(sets: list[LimitSet], this: LimitSet, ends: Integers, members: Integers) -> int:
    """Add a set, unless it is a periodic orbit that is there already, or unresolved for the same reason as another.

    Returns: its place among the sets.
    """

    def same(other: LimitSet) -> bool:
        if this.period is not None:
            return other.period == this.period and same_orbit(this.states, other.states)
        return this.kind == other.kind == "unresolved" and this.note == other.note

    at = next((i for i, other in enumerate(sets) if same(other)), len(sets))
    if at == len(sets):
        sets.append(this)
    ends[members] = at
    return at


def _recognised(f: Map, cloud: Cloud, input: Array, steps: int, seed: int) -> LimitSet:
    """What an orbit that does not return within `LONGEST_PERIOD` steps is moving on."""
    last = cloud.last
    if not np.isfinite(cloud.states).all():
        return LimitSet(kind="unresolved", period=None, states=cloud.states, note="the orbit left floating point")
    period = int(periods(f, last[:, np.newaxis], input[:, np.newaxis], LONG_PERIOD)[0])
    orbit = polished_orbits(f, last[np.newaxis], input, period)[0] if period else None
    if orbit is not None:
        return _periodic(f, orbit.states, input)
    discard = min(500, steps)
    try:
        spectrum = lyapunov_spectrum(
            f, last, np.broadcast_to(input, (steps + discard, f.input_size)), min(f.state_size, LEADING), steps,
            discard, seed=seed, drive="constant input",
        )  # fmt: skip
    except AnalysisError as error:
        return LimitSet(kind="unresolved", period=None, states=cloud.states, note=str(error).rstrip("."))
    kind, note = judged(spectrum, cloud.whole)
    return LimitSet(
        kind=kind, period=None, states=cloud.states, exponents=spectrum.exponents,
        exponent_errors=spectrum.standard_errors, note=note, spacing=None if kind == "unresolved" else cloud.spacing,
    )  # fmt: skip


def judged(spectrum: LyapunovSpectrum, whole: bool) -> tuple[str, str]:
    """Kind and note of a set that is not periodic, from its leading exponents and whether its orbit filled it."""
    exponents, errors = spectrum.exponents, spectrum.standard_errors
    if spectrum.chaotic:
        return "chaos", ""
    zero = np.abs(exponents) <= np.maximum(3.0 * errors, ZERO)
    neutral = int(zero.sum())
    if not whole:
        return (
            "unresolved",
            "the orbit does not come back near its own past: it is still on its way, or the set is large",
        )
    if exponents[0] > 0 and not zero[0]:
        few = spectrum.steps < 10_000
        return "unresolved", "the largest exponent is positive, but " + (
            "over fewer than 10 000 steps" if few else "not by three standard errors in both halves"
        )
    if not neutral:
        return "unresolved", "periodic by its exponents, but no return was seen: a long period, or a slow approach"
    if neutral == len(exponents):
        every = "every exponent" if neutral == spectrum.n else f"each of the {neutral} leading exponents"
        return "unresolved", f"{every} is zero within its error: nothing shows that such an orbit attracts"
    return ("invariant circle" if neutral == 1 else "invariant torus"), ""
