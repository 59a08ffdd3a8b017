"""Paths to fixed points, many at once: from any state, or from a fixed point that is known to others.

The curves are those of solutions (x, s) of x = s f(x) + (1 - s) a, followed by pseudo-arclength continuation, folds
included, until they cross s = 1, where x is a fixed point of f.

- From any state a at s = 0: where a map carries a box into its interior, for almost every a in it the curve arrives.
  Random starts may all stall in a large network; this does not. Source: S. N. Chow, J. Mallet-Paret and J. A. Yorke,
  Mathematics of Computation 32 (1978) 887-899.
- From a fixed point a: it solves the equation at every s, and at s = 1 / mu, for each real multiplier mu > 1 of it,
  another branch of solutions crosses that line, in the direction of the mode of mu. For h' = tanh(g W h) and a = 0 that
  is the pitchfork of the gain at g = 1 / mu(W).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from dynsys.batched_solves import GENERAL, inverse_of_each
from dynsys.maps import Map
from dynsys.types import Array, Booleans, Complex, Integers

CORRECTIONS = 9
CLOSE = 1e-6  # last correction, relative to 1 + |point|
CONTRACTS = 0.5  # corrections must shrink by this each time: they reuse one factorisation
SMALLEST, LARGEST = 1e-7, 2.0  # arclength of a step, model units; the largest grows like sqrt(n) beyond 16 units
FIRST = 0.05
WIDTH = 256  # curves under way at a time
REAL = 1e-9  # imaginary part, relative, below which a multiplier is real

# Inverses (b, n + 1, n + 1) for few unknowns, where corrections need no more accuracy; else LU factors of each.
_Factors = Array | list[tuple[Array, Array, int]]


def from_states(
    f: Map, states: Array, input: Array, max_steps: int = 1000, beyond: int = 150, in_all: int | None = None
) -> tuple[Array, int]:
    """Where the curves from states (k, n) at s = 0 cross s = 1: states (m, n) near enough for Newton, and the steps.

    Each curve is followed for `max_steps` steps until it first crosses, and then `beyond` steps more: it may turn and
    cross again; all of them for `in_all` steps at most. None of this is promised for maps that carry no box into
    itself; the answer may then be empty.
    """
    a = np.ascontiguousarray(states.T)
    towards = np.concatenate([f.advance(a, input[:, np.newaxis]) - a, np.ones((1, a.shape[1]))])
    points = np.concatenate([a, np.zeros((1, a.shape[1]))])
    return _Curves(f, a, input, points, towards).follow(max_steps, beyond, in_all)


def from_fixed_points(
    f: Map,
    states: Array,
    eigen: Sequence[tuple[Complex, Complex]],
    input: Array,
    *,
    most: int = 8,
    max_steps: int = 300,
    beyond: int = 30,
) -> tuple[Array, int]:
    """Where the branches that leave the fixed points (k, n) cross s = 1: states (m, n), and the steps taken.

    `eigen`: multipliers (n,) and right modes (n, n) at each. At most `most` multipliers are taken, the largest first,
    each in both directions of its mode.
    """
    anchors, beginnings, tangents = [], [], []
    for state, (values, modes) in zip(states, eigen, strict=True):
        real = (np.abs(values.imag) <= REAL * np.abs(values)) & (values.real > 1.0)
        chosen = np.flatnonzero(real)[np.argsort(-values.real[real])][:most]
        directions = np.concatenate([modes[:, chosen].real, -modes[:, chosen].real], axis=1)
        s = np.tile(1.0 / values.real[chosen], 2)
        a = np.repeat(state[:, np.newaxis], len(s), axis=1)
        anchors.append(a)
        beginnings.append(np.concatenate([a, s[np.newaxis]]))
        tangents.append(np.concatenate([directions / np.linalg.norm(directions, axis=0), np.zeros((1, len(s)))]))
    if not any(a.shape[1] for a in anchors):
        return np.zeros((0, states.shape[1])), 0
    whole = [np.concatenate(parts, axis=1) for parts in (anchors, beginnings, tangents)]
    return _Curves(f, whole[0], input, whole[1], whole[2]).follow(max_steps, beyond)


class _Curves:
    """Curves under way. Arrays are those of the working set, one column per curve.

    anchors: (n, b). point, tangent: (n + 1, b), the last row is s. step: (b,) arclength. left: (b,) steps to go.
    The first `WIDTH` curves given are under way; the others wait until some of these have ended, so that the set
    stays full: a step of many curves costs little more than one of a few.
    """

    def __init__(self, f: Map, anchors: Array, input: Array, point: Array, tangent: Array) -> None:
        self.f, self.column = f, input[:, np.newaxis]
        self.waiting = (anchors, point, tangent / np.linalg.norm(tangent, axis=0))
        self.anchors, self.point, self.tangent = (array[:, :0] for array in self.waiting)
        self.step, self.left, self.crossed = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        self.largest = LARGEST * max(1.0, np.sqrt(len(anchors)) / 4.0)
        self.crossings: list[Array] = []

    def follow(self, max_steps: int, beyond: int, in_all: int | None = None) -> tuple[Array, int]:
        """The states (m, n) at the crossings of s = 1, and the number of factorisations."""
        count = 0
        with np.errstate(all="ignore"):
            self._fill(max_steps)
            while len(self.left) and (in_all is None or count < in_all):
                count += len(self.left)
                self.left -= 1
                ahead, tangent, effort, good = self._corrected()
                good &= np.linalg.norm(ahead - self.point, axis=0) <= 2.0 * self.step  # else on another branch
                self._note_crossings(ahead, good, beyond)
                self.point = np.where(good, ahead, self.point)
                self.tangent = np.where(good, tangent, self.tangent)
                growth = np.where(effort <= 4, 2.0, np.where(effort <= 6, 1.3, 0.7))
                self.step = np.minimum(self.largest, self.step * np.where(good, growth, 1.0 / 3.0))
                s = self.point[-1]
                going = (self.left > 0) & (self.step >= SMALLEST) & (s >= -0.1) & (s <= 3.0)
                self._keep(going & (np.abs(self.point).max(axis=0) <= 1e6))
                self._fill(max_steps)
        return np.array(self.crossings).reshape(-1, len(self.anchors)), count

    def _fill(self, max_steps: int) -> None:
        """Set as many of the waiting curves under way as there is room for."""
        room = WIDTH - len(self.left)
        if room <= 0 or not self.waiting[0].shape[1]:
            return
        new = [array[:, :room] for array in self.waiting]
        self.waiting = (self.waiting[0][:, room:], self.waiting[1][:, room:], self.waiting[2][:, room:])
        self.anchors, self.point, self.tangent = (
            np.concatenate(pair, axis=1) for pair in zip((self.anchors, self.point, self.tangent), new, strict=True)
        )
        more = new[0].shape[1]
        self.step = np.concatenate([self.step, np.full(more, FIRST)])
        self.left = np.concatenate([self.left, np.full(more, max_steps)])
        self.crossed = np.concatenate([self.crossed, np.zeros(more, dtype=bool)])

    def _note_crossings(self, ahead: Array, good: Booleans, beyond: int) -> None:
        before, after = self.point[-1] - 1.0, ahead[-1] - 1.0
        for b in np.flatnonzero(good & (before * after <= 0.0) & (before != after)):
            share = before[b] / (before[b] - after[b])
            self.crossings.append(self.point[:-1, b] + share * (ahead[:-1, b] - self.point[:-1, b]))
            if not self.crossed[b]:
                self.left[b], self.crossed[b] = beyond, True

    def _keep(self, going: Booleans) -> None:
        if going.all():
            return
        self.anchors, self.point, self.tangent = self.anchors[:, going], self.point[:, going], self.tangent[:, going]
        self.step, self.left, self.crossed = self.step[going], self.left[going], self.crossed[going]

    def _corrected(self) -> tuple[Array, Array, Array, Booleans]:
        """One step ahead on each curve: points, tangents there, corrections needed, and which of them converged.

        Newton within the plane across the tangent, with one factorisation: that at the predicted point.
        """
        n = len(self.anchors)
        predicted = self.point + self.step * self.tangent
        x, s = predicted[:-1], predicted[-1]
        link = self.f.linearize_columns(x, self.column)
        factors = self._factored(link.dense(), link.next_state, s)
        point, image = predicted.copy(), link.next_state
        count = len(s)
        effort, good = np.full(count, CORRECTIONS + 1), np.zeros(count, dtype=bool)
        at, last = np.arange(count), np.full(count, np.inf)  # the curves still being corrected, and their last moves
        for k in range(1, CORRECTIONS + 1):
            now = point[:, at]
            x, s = now[:-1], now[-1]
            across = np.sum(self.tangent[:, at] * (now - predicted[:, at]), axis=0)
            residual = np.concatenate([x - s * image - (1.0 - s) * self.anchors[:, at], across[np.newaxis]])
            move = _solved(factors, residual, at)
            size = np.abs(move).max(axis=0)
            alive = np.isfinite(size) & (size <= np.where(k > 1, CONTRACTS * last, np.inf))
            now = now[:, alive] - move[:, alive]
            at, last = at[alive], size[alive]
            point[:, at] = now
            arrived = last <= CLOSE * (1.0 + np.abs(now).max(axis=0, initial=0.0))
            effort[at[arrived]], good[at[arrived]] = k, True
            at, last = at[~arrived], last[~arrived]
            if not len(at):
                break
            image = self.f.advance(np.ascontiguousarray(point[:-1, at]), self.column)
        right = np.zeros((n + 1, count))
        right[-1] = 1.0
        tangent = np.full((n + 1, count), np.nan)
        tangent[:, good] = _solved(factors, right[:, good], np.flatnonzero(good))
        tangent /= np.linalg.norm(tangent, axis=0)
        return point, tangent, effort, good & np.isfinite(tangent).all(axis=0)

    def _factored(self, J: Array, image: Array, s: Array) -> _Factors:
        """[[I - s J, a - f(x)], [tangent]] of each curve, ready to be solved with."""
        n = len(self.anchors)
        diagonal = np.arange(n)
        if n < GENERAL:
            every = np.empty((len(s), n + 1, n + 1))
            np.multiply(J, -s[:, np.newaxis, np.newaxis], out=every[:, :n, :n])
            every[:, diagonal, diagonal] += 1.0
            every[:, :n, n] = (self.anchors - image).T
            every[:, n] = self.tangent.T
            return np.asarray(inverse_of_each(every))
        out = []
        for b in range(len(s)):
            whole = np.empty((n + 1, n + 1))
            np.multiply(J[b], -s[b], out=whole[:n, :n])
            whole[diagonal, diagonal] += 1.0
            whole[:n, n] = self.anchors[:, b] - image[:, b]
            whole[n] = self.tangent[:, b]
            out.append(lapack.dgetrf(whole.T, overwrite_a=True))
        return out


def _solved(factors: _Factors, rights: Array, at: Integers) -> Array:
    """The solutions (n + 1, b) of the factored systems `at` for right sides (n + 1, b); NaN where there is none."""
    if isinstance(factors, np.ndarray):
        chosen = factors if len(at) == len(factors) else factors[at]
        return np.ascontiguousarray((chosen @ rights.T[:, :, np.newaxis])[:, :, 0].T)
    out = np.full(rights.shape, np.nan)
    for b, which in enumerate(at):
        lu, pivots, info = factors[which]
        if info == 0:
            out[:, b] = lapack.dgetrs(lu, pivots, np.ascontiguousarray(rights[:, b]), trans=1)[0]
    return out
