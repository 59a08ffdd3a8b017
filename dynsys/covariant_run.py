"""One run of Ginelli's method: frames forward, triangular solves backward, in pieces whose memory is bounded.

Forward, J_t Q_t = Q_{t+1} R_t. A vector v_t = Q_t c_t with J_t v_t parallel to v_{t+1} has R_t c_t parallel to c_{t+1};
taken backward, c_t = R_t^-1 c_{t+1}, every triangular C turns into the one and only that is carried along. States and
frames are kept at the beginnings of pieces; each piece is run again when the way back comes to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy.linalg

from dynsys.errors import AnalysisError
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.types import Array

EPS = float(np.finfo(np.float64).eps)
DENSE = 64
"""State variables up to which the Jacobians of a piece are formed together."""


@final
@dataclass(frozen=True, eq=False)
class Window:
    """Steps first to first + steps are wanted; before them `discard` steps align the frame, `align` after them C."""

    discard: int
    steps: int
    align: int

    @property
    def total(self) -> int:
        return self.discard + self.steps + self.align


@final
@dataclass(frozen=True, eq=False)
class CovariantRun:
    """What one pair of starts gives over the window.

    Attributes:
        vectors: (T, n, k) unit columns. growth: (T, k) log|J_t v_t|, nats. residuals: (T, k) sine of the angle between
            J_t v_t and v_{t+1}; the last is that to the first step after the window.
    """

    vectors: Array
    growth: Array
    residuals: Array


@final
class Path:
    """An orbit and its derivative: `orbit` (T + 1, n), from a start (n, 1) under inputs (T, 1, m), or none."""

    def __init__(self, f: Map, start: Array, driving: Array | None, window: Window) -> None:
        self.f, self.window = f, window
        self._inputs = np.zeros((window.total, f.input_size)) if driving is None else driving[:, 0]
        self.orbit = orbit_columns(f, start, driving, window.total)[:, :, 0]
        if not np.isfinite(self.orbit).all():
            raise AnalysisError("the orbit runs off to infinity: an unbounded orbit has no covariant vectors.")

    def pieces(self, length: int) -> list[range]:
        """All steps, in pieces."""
        return [range(a, min(a + length, self.window.total)) for a in range(0, self.window.total, length)]

    def derivatives(self, steps: range) -> list[Callable[[Array], Array]]:
        """V -> J_t V for columns V (n, k), one function for each step."""
        f, rows = self.f, slice(steps.start, steps.stop)
        if f.period == 1 and f.state_size <= DENSE:
            states, inputs = self.orbit[rows].T, self._inputs[rows].T
            link = f.linearize_columns(np.ascontiguousarray(states), np.ascontiguousarray(inputs))
            return [J.__matmul__ for J in link.dense()]
        return [self._pushing(t) for t in steps]

    def _pushing(self, t: int) -> Callable[[Array], Array]:
        link = self.f.at(t).linearize_columns(self.orbit[t][:, np.newaxis], self._inputs[t][:, np.newaxis])
        return lambda V: link.push(V[:, np.newaxis])[:, 0]


def trusted_columns(path: Path, frame: Array) -> int:
    """How many leading columns keep a diagonal of R above rounding at every step: only these can be taken back."""
    columns: int = frame.shape[1]
    for piece in path.pieces(math.isqrt(path.window.total) + 1):
        for push in path.derivatives(piece):
            frame, R = _factored(push(frame))
            above = np.abs(np.diag(R)) > len(frame) * EPS * np.abs(R).max(initial=0.0)
            if not above.all():
                columns = int(np.argmin(above))
                if not columns:
                    return 0
                frame = frame[:, :columns]
    return columns


def covariant_run(path: Path, frame: Array, end: Array) -> CovariantRun:
    """Vectors over the window, from a start frame (n, k) and an upper triangular end (k, k)."""
    pieces = path.pieces(math.isqrt(path.window.total) + 1)
    kept = []
    Q = frame
    for piece in pieces:
        kept.append(Q)
        for push in path.derivatives(piece):
            Q, _ = _factored(push(Q))
    (n, k), steps, first = frame.shape, path.window.steps, path.window.discard
    vectors, growth, residuals = np.empty((steps, n, k)), np.empty((steps, k)), np.empty((steps, k))
    C = end / np.linalg.norm(end, axis=0)
    after = Q @ C
    for piece, Q in zip(reversed(pieces), reversed(kept), strict=True):
        for t, push, before, R in reversed(_again(path, piece, Q)):
            C = scipy.linalg.solve_triangular(R, C, check_finite=False)
            C /= np.linalg.norm(C, axis=0)
            here = before @ C
            i = t - first
            if 0 <= i < steps:
                moved = push(here)
                size = np.linalg.norm(moved, axis=0)
                vectors[i], growth[i], residuals[i] = here, np.log(size), sines(moved / size, after)
            after = here
    return CovariantRun(vectors, growth, residuals)


def _again(path: Path, piece: range, Q: Array) -> list[tuple[int, Callable[[Array], Array], Array, Array]]:
    """Of every step of a piece: its number, its derivative, the frame before it, and R."""
    out = []
    for t, push in zip(piece, path.derivatives(piece), strict=True):
        after, R = _factored(push(Q))
        out.append((t, push, Q, R))
        Q = after
    return out


def _factored(A: Array) -> tuple[Array, Array]:
    """Q, R of (n, k), with the diagonal of R not negative."""
    Q, R = scipy.linalg.qr(A, mode="economic", check_finite=False)
    sign = np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q * sign, R * sign[:, np.newaxis]


def sines(a: Array, b: Array) -> Array:
    """Sine of the angle between unit columns along the last but one axis, whatever their signs."""
    overlap = np.sign((a * b).sum(axis=-2, keepdims=True))
    # |a - b| = 2 sin(angle / 2), which is accurate where the cosine is not.
    half = np.minimum(np.linalg.norm(a - np.where(overlap == 0, 1.0, overlap) * b, axis=-2) / 2, 1.0)
    return np.asarray(2 * half * np.sqrt(1 - half**2))
