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

import numpy as np
from scipy.linalg import lapack

from dynsys.maps import Map
from dynsys.types import Array, Booleans, Complex

CORRECTIONS = 9
CLOSE = 1e-6  # last correction, relative to 1 + |point|
CONTRACTS = 0.5  # corrections must shrink by this each time: they reuse one factorisation
SMALLEST, LARGEST = 1e-7, 2.0  # arclength of a step, model units; the largest grows like sqrt(n) beyond 16 units
FIRST = 0.05
REAL = 1e-9  # imaginary part, relative, below which a multiplier is real


def from_states(f: Map, states: Array, input: Array, max_steps: int = 1000, beyond: int = 150) -> tuple[Array, int]:
    """Where the curves from states (k, n) at s = 0 cross s = 1: states (m, n) near enough for Newton, and the steps.

    Each curve is followed for `max_steps` steps until it first crosses, and then `beyond` steps more: it may turn and
    cross again. None of this is promised for maps that carry no box into itself; the answer may then be empty.
    """
    a = np.ascontiguousarray(states.T)
    towards = np.concatenate([f.advance(a, input[:, np.newaxis]) - a, np.ones((1, a.shape[1]))])
    points = np.concatenate([a, np.zeros((1, a.shape[1]))])
    return _Curves(f, a, input, points, towards).follow(max_steps, beyond)


def from_fixed_point(
    f: Map,
    state: Array,
    eigen: tuple[Complex, Complex],
    input: Array,
    *,
    most: int = 8,
    max_steps: int = 300,
    beyond: int = 30,
) -> tuple[Array, int]:
    """Where the branches that leave the fixed point (n,) cross s = 1: states (m, n), and the steps taken.

    `eigen`: multipliers (n,) and right modes (n, n) there. At most `most` multipliers are taken, the largest first,
    each in both directions of its mode.
    """
    values, modes = eigen
    real = (np.abs(values.imag) <= REAL * np.abs(values)) & (values.real > 1.0)
    chosen = np.flatnonzero(real)[np.argsort(-values.real[real])][:most]
    if not len(chosen):
        return np.zeros((0, len(state))), 0
    directions = np.concatenate([modes[:, chosen].real, -modes[:, chosen].real], axis=1)
    s = np.tile(1.0 / values.real[chosen], 2)
    a = np.repeat(state[:, np.newaxis], len(s), axis=1)
    along = np.concatenate([directions / np.linalg.norm(directions, axis=0), np.zeros((1, len(s)))])
    return _Curves(f, a, input, np.concatenate([a, s[np.newaxis]]), along).follow(max_steps, beyond)


class _Curves:
    """Curves under way. Arrays are those of the working set, one column per curve.

    anchors: (n, b). point, tangent: (n + 1, b), the last row is s. step: (b,) arclength. left: (b,) steps to go.
    """

    def __init__(self, f: Map, anchors: Array, input: Array, point: Array, tangent: Array) -> None:
        self.f, self.column = f, input[:, np.newaxis]
        self.anchors, self.point = anchors, point
        self.tangent = tangent / np.linalg.norm(tangent, axis=0)
        self.step = np.full(point.shape[1], FIRST)
        self.largest = LARGEST * max(1.0, np.sqrt(len(anchors)) / 4.0)
        self.crossings: list[Array] = []

    def follow(self, max_steps: int, beyond: int) -> tuple[Array, int]:
        """The states (m, n) at the crossings of s = 1, and the number of factorisations."""
        self.left = np.full(self.point.shape[1], max_steps)
        self.crossed = np.zeros(self.point.shape[1], dtype=bool)
        count = 0
        with np.errstate(all="ignore"):
            while len(self.left):
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
        return np.array(self.crossings).reshape(-1, len(self.anchors)), count

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
        last, alive = np.full(count, np.inf), np.ones(count, dtype=bool)
        for k in range(1, CORRECTIONS + 1):
            x, s = point[:-1], point[-1]
            across = np.sum(self.tangent * (point - predicted), axis=0)
            residual = np.concatenate([x - s * image - (1.0 - s) * self.anchors, across[np.newaxis]])
            move = _solved(factors, residual, alive)
            size = np.abs(move).max(axis=0)
            alive &= np.isfinite(size) & (size <= np.where(k > 1, CONTRACTS * last, np.inf))
            point = np.where(alive, point - move, point)
            arrived = alive & (size <= CLOSE * (1.0 + np.abs(point).max(axis=0)))
            effort[arrived], good[arrived] = k, True
            alive &= ~arrived
            if not alive.any():
                break
            last = size
            image = self.f.advance(point[:-1], self.column)
        right = np.zeros((n + 1, count))
        right[-1] = 1.0
        tangent = _solved(factors, right, good)
        tangent /= np.linalg.norm(tangent, axis=0)
        return point, tangent, effort, good & np.isfinite(tangent).all(axis=0)

    def _factored(self, J: Array, image: Array, s: Array) -> list[tuple[Array, Array, int]]:
        """The LU factors of [[I - s J, a - f(x)], [tangent]] for each curve."""
        n = len(self.anchors)
        diagonal = np.arange(n)
        out = []
        for b in range(len(s)):
            whole = np.empty((n + 1, n + 1))
            np.multiply(J[b], -s[b], out=whole[:n, :n])
            whole[diagonal, diagonal] += 1.0
            whole[:n, n] = self.anchors[:, b] - image[:, b]
            whole[n] = self.tangent[:, b]
            out.append(lapack.dgetrf(whole.T, overwrite_a=True))
        return out


def _solved(factors: list[tuple[Array, Array, int]], rights: Array, wanted: Booleans) -> Array:
    """The solutions (n + 1, b) of the factored systems for right sides (n + 1, b); NaN where there is none."""
    out = np.full(rights.shape, np.nan)
    for b in np.flatnonzero(wanted):
        lu, pivots, info = factors[b]
        if info == 0:
            out[:, b] = lapack.dgetrs(lu, pivots, np.ascontiguousarray(rights[:, b]), trans=1)[0]
    return out
