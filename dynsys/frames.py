"""Orthonormal frames carried along an orbit, and the Jacobians they are carried by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.readings.steps import FORMED, DenseSteps, Steps
from dynsys.types import Array, Integers

CHUNK_BYTES = 1 << 25  # Jacobians formed at a time
LONGEST_STRETCH = 512  # steps linearized at a time where no Jacobian is formed
STRETCH_NUMBERS = 1 << 18  # entries of their states


def signed_qr(matrices: Array) -> tuple[Array, Array]:
    """Q and R of each matrix (..., n, k), with the diagonal of R not negative.

    The rows are taken in the order of their size, which keeps small rows (saturated units) accurate.
    Source: A. J. Cox and N. J. Higham, Stability of Householder QR factorization for weighted least squares problems,
    Numerical Analysis 1997, Pitman Research Notes in Mathematics 380 (1998) 57-73.
    """
    order = np.argsort(-np.abs(matrices).max(axis=-1, initial=0.0), axis=-1, kind="stable")[..., np.newaxis]
    sorted_q, r = np.linalg.qr(np.take_along_axis(matrices, order, axis=-2))
    sign = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    q = np.empty_like(sorted_q)
    np.put_along_axis(q, order, sorted_q * sign[..., np.newaxis, :], axis=-2)
    return q, r * sign[..., :, np.newaxis]


def random_frames(generator: np.random.Generator, count: int, n: int, k: int) -> Array:
    """(count, n, k) orthonormal frames, uniformly distributed."""
    return signed_qr(generator.standard_normal((count, n, k)))[0]


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive Jacobians (t, B, n, n), and how many dimensions each destroys exactly (t, B), or None if unknown."""

    jacobians: Array
    lost: Integers | None


@final
class Stretch:
    """Consecutive steps of an orbit with their derivatives, not formed: sample t B + b of `steps` is sequence b at t.

    Attributes:
        count: steps. batch: B. steps: the Jacobians one by one.
    """

    def __init__(self, f: Map, states: Array, driving: Array | None, first: int) -> None:
        """`states` (t, n, B) are those that the steps start from; `driving` (t, B or 1, m) or None."""
        self._f, self._states, self._driving, self._first = f, states, driving, first
        self.count, self.batch = len(states), states.shape[2]

    @cached_property
    def steps(self) -> Steps:
        if self._f.period > 1:
            return DenseSteps(self._piece(slice(None)).jacobians.reshape(-1, *2 * self._states.shape[1:2]))
        return self._f.linearize_columns(*_flat(self._f, self._states, self._driving)).steps()

    @cached_property
    def lost(self) -> Integers | None:
        """(t, B) dimensions that each step destroys exactly, or None where the map does not tell."""
        if self._f.period > 1:
            return self._piece(slice(None)).lost
        lost = self._f.lost_rank(*_flat(self._f, self._states, self._driving))
        return None if lost is None else lost.reshape(self.count, self.batch)

    def log_abs_det(self) -> Array | None:
        """(t, B) log|det J| in closed form, nats; None where only a factorisation tells."""
        closed = self.steps.log_abs_det()
        return None if closed is None else closed.reshape(self.count, self.batch)

    def pieces(self, begin: int = 0) -> Iterator[Piece]:
        """The Jacobians from step `begin` on, formed, as many at a time as fit into CHUNK_BYTES."""
        n = self._states.shape[1]
        whole = self.steps.together()
        if whole is not None:
            dense = whole.reshape(self.count, self.batch, n, n)
            yield Piece(dense[begin:], None if self.lost is None else self.lost[begin:])
            return
        length = max(1, CHUNK_BYTES // max(1, 8 * self.batch * n * n))
        for at in range(begin, self.count, length):
            yield self._piece(slice(at, at + length))

    def _piece(self, at: slice) -> Piece:
        states = self._states[at]
        driving = None if self._driving is None else self._driving[at]
        if self._f.period == 1:
            return Piece(*_all_steps(self._f, states, driving))
        return Piece(*_by_phase(self._f, states, driving, self._first + (at.start or 0)))


def stretch_length(f: Map, state: Array, driving: Array | None) -> int:
    """Steps from columns (n, B) that are linearized together: as many as memory allows, formed or not."""
    n, batch = state.shape
    length: int = max(1, CHUNK_BYTES // max(1, 8 * batch * n * n))
    if f.period == 1 and n > FORMED and f.linearize_columns(state[:, :1], _first_input(f, driving)).by_sample:
        length = max(length, min(LONGEST_STRETCH, STRETCH_NUMBERS // (batch * n)))
    return length


def stretches(f: Map, state: Array, driving: Array | None, steps: int, *, first: int = 0) -> Iterator[Stretch]:
    """The orbit of columns (n, B) with its derivatives, in pieces of time; `first` is the first step's t.

    Raises: AnalysisError where the orbit leaves floating point.
    """
    length = stretch_length(f, state, driving)
    for begin in range(0, steps, length):
        count = min(length, steps - begin)
        part = None if driving is None else driving[begin : begin + count]
        orbit = orbit_columns(f, state, part, count, begin=first + begin)
        if not np.isfinite(orbit).all():
            raise AnalysisError(
                "the orbit leaves floating-point range: it runs off to infinity. Start within reach of an attractor."
            )
        yield Stretch(f, orbit[:-1], part, first + begin)
        state = orbit[-1]


def jacobians_along(f: Map, state: Array, driving: Array | None, steps: int, *, first: int = 0) -> Iterator[Piece]:
    """The Jacobians along the orbit of columns (n, B), formed, in pieces of time; `first` is the first step's t.

    Raises: AnalysisError where the orbit leaves floating point.
    """
    for stretch in stretches(f, state, driving, steps, first=first):
        yield from stretch.pieces()


def _first_input(f: Map, driving: Array | None) -> Array:
    return np.zeros((f.input_size, 1)) if driving is None or not len(driving) else driving[0, :1].T


def _flat(f: Map, states: Array, driving: Array | None) -> tuple[Array, Array]:
    """States (n, t B) and inputs (m, t B or 1): time and batch are one linearisation's samples."""
    count, n, batch = states.shape
    flat = np.ascontiguousarray(states.swapaxes(0, 1)).reshape(n, count * batch)
    if driving is None:
        return flat, np.zeros((f.input_size, 1))
    inputs = np.broadcast_to(driving, (count, batch, f.input_size)).reshape(count * batch, -1).T
    return flat, np.ascontiguousarray(inputs)


def _all_steps(f: Map, states: Array, driving: Array | None) -> tuple[Array, Integers | None]:
    """Jacobians (t, B, n, n), lost rank (t, B) at states (t, n, B)."""
    count, n, batch = states.shape
    flat, inputs = _flat(f, states, driving)
    dense = f.linearize_columns(flat, inputs).dense()
    lost = f.lost_rank(flat, inputs)
    return dense.reshape(count, batch, n, n), None if lost is None else lost.reshape(count, batch)


def _by_phase(f: Map, states: Array, driving: Array | None, begin: int) -> tuple[Array, Integers | None]:
    """The same for a map that changes with time: steps of one phase together."""
    count, n, batch = states.shape
    dense, lost = np.empty((count, batch, n, n)), np.zeros((count, batch), dtype=np.int64)
    known = True
    for phase in range(min(f.period, count)):
        at = slice(phase, None, f.period)
        part = _all_steps(f.at(begin + phase), states[at], None if driving is None else driving[at])
        dense[at] = part[0]
        known &= part[1] is not None
        if part[1] is not None:
            lost[at] = part[1]
    return dense, lost if known else None
