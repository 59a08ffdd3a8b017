"""Where to start looking for cycles of one period: each function gives orbits (B, p, n) that need not close yet."""

from __future__ import annotations

import cmath
import math

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.orbits import orbit_columns
from dynsys.search_box import FAR
from dynsys.types import Array, Booleans, Complex

AMPLITUDES = (1e-3, 0.03, 0.1, 0.3, 0.7)  # of the ripples put on a known orbit, in units of the box


def segments(f: Map, first: Array, input: Array, p: int, wait: int = 0) -> Array:
    """The orbits of p states that begin `wait` steps after the states `first` (B, n)."""
    driving = np.broadcast_to(input, (wait + p - 1, 1, len(input)))
    orbit = orbit_columns(f, np.ascontiguousarray(first.T), driving, wait + p - 1)[wait:]
    return np.ascontiguousarray(orbit.transpose(2, 0, 1))


def uniform(f: Map, box: SearchBox, input: Array, p: int, count: int, generator: np.random.Generator) -> Array:
    """Independent draws: p unrelated points of the box, or (every other one) the orbit of one point.

    Unrelated points reach unstable cycles that no orbit comes near; orbits reach those that attract.
    """
    points = generator.uniform(box.low, box.high, (count, p, len(box.low)))
    follow = generator.random(count) < 0.5
    orbits = segments(f, points[follow, 0], input, p)
    inside = within_reach(orbits)
    points[np.flatnonzero(follow)[inside]] = orbits[inside]
    return np.asarray(points)


def within_reach(orbits: Array) -> Booleans:
    """(B,) which orbits are finite and not far out."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(orbits) < FAR).all(axis=(1, 2)), dtype=np.bool_)


def settled(f: Map, first: Array, input: Array, steps: int) -> Array:
    """Where the orbits of `first` (B, n) are after `steps`; those that ran off are left out."""
    x = np.ascontiguousarray(first.T)
    for _ in range(steps):
        x = f.advance(x, input[:, np.newaxis])
    return np.ascontiguousarray(x.T)[within_reach(x.T[:, np.newaxis])]


def trajectories(f: Map, ends: Array, input: Array, p: int, window: int, most: int) -> Array:
    """The orbits of `ends` (B, n), where orbits have settled, and their closest returns after p of `window` steps."""
    orbit = segments(f, ends, input, window + p)
    orbit = orbit[within_reach(orbit)]
    if not len(orbit):
        return orbit[:, :p]
    ends = orbit[:, -p:]
    gaps = np.abs(orbit[:, p:] - orbit[:, :-p]).max(axis=2)  # (B, window)
    size = 1.0 + np.abs(orbit).max(axis=(1, 2))
    gaps[gaps.max(axis=1) <= 1e-9 * size] = np.inf  # at rest or on a cycle by now: its end says it all
    dips = np.ones_like(gaps, dtype=bool)
    dips[:, 1:] &= gaps[:, 1:] <= gaps[:, :-1]
    dips[:, :-1] &= gaps[:, :-1] <= gaps[:, 1:]
    gaps = np.where(dips, gaps, np.inf)
    best = np.argsort(gaps, axis=None, kind="stable")[:most]
    which, when = np.unravel_index(best[np.isfinite(gaps.ravel()[best])], gaps.shape)
    returns = np.stack([orbit[i, t : t + p] for i, t in zip(which, when, strict=True)]) if len(which) else ends[:0]
    return np.concatenate([ends, returns])


def ripples(orbits: Array, multipliers: Complex, modes: Complex, J: Array, p: int, scale: float, most: int) -> Array:
    """Orbits of a lower period d (k, d, n), repeated p / d times, with a ripple of period p along each mode.

    A cycle of period p splits off where a multiplier passes a root of unity of order p / d (a flip for -1): the ripple
    is the mode carried around the orbit by its Jacobians (k, d, n, n) and turned by the nearest such root.
    """
    k, d, n = orbits.shape
    order = p // d
    roots = [cmath.exp(2j * math.pi * q / order) for q in range(1, order) if math.gcd(q, order) == 1]
    found: list[tuple[float, Array]] = []
    for i in range(k):
        for j in range(n):
            mu = complex(multipliers[i, j])
            if mu.imag < 0 or abs(mu) < 0.05 or not np.isfinite(modes[i, :, j]).all():
                continue
            root = min(roots, key=lambda z: abs(z - mu / abs(mu)))
            distance = abs(root - mu / abs(mu)) + abs(math.log(abs(mu)))
            if distance > 2.0 + abs(math.log(abs(mu))):
                continue
            wave = _carried(modes[i, :, j], J[i], root, mu, order)
            found += [(distance, np.tile(orbits[i], (order, 1)) + a * scale * wave) for a in AMPLITUDES]
    found.sort(key=lambda pair: pair[0])
    chosen = [start for _, start in found[:most]]
    return np.stack(chosen) if chosen else np.zeros((0, p, n))


def _carried(mode: Complex, J: Array, root: complex, mu: complex, order: int) -> Array:
    """A real wave (order d, n) of largest entry 1: the mode around the orbit, turned by `root` at each turn."""
    turn = [mode]
    for matrix in J[:-1]:
        turn.append(matrix @ turn[-1])
    part = mu ** (1.0 / len(J))
    scaled = [v / part**t for t, v in enumerate(turn)]
    step = root ** (1.0 / len(J))
    wave = np.stack([(scaled[t] * root**r * step**t).real for r in range(order) for t in range(len(J))])
    return np.asarray(wave / max(float(np.abs(wave).max()), 1e-300))


def mixtures(orbits: Array, most: int, generator: np.random.Generator) -> Array:
    """Midpoints of pairs of known orbits (k, p, n) at random relative phase, and orbits put together from two by unit.

    `orbits` may hold lower periods, repeated.
    """
    k, p, n = orbits.shape
    if k < 2:
        return orbits[:0]
    pairs = k * (k - 1) // 2 * p
    first, second = generator.integers(0, k, (2, min(most, 4 * pairs)))
    shift = generator.integers(0, p, len(first))
    a = orbits[first]
    b = orbits[second[:, np.newaxis], (np.arange(p) + shift[:, np.newaxis]) % p]
    middle = generator.random(len(first)) < 0.5
    choose = generator.random((len(first), 1, n)) < 0.5
    return np.asarray(np.where(middle[:, np.newaxis, np.newaxis], (a + b) / 2.0, np.where(choose, a, b)))
