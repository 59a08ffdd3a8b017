"""Orthonormal frames carried along an orbit, and the Jacobians they are carried by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.types import Array, Integers

CHUNK_BYTES = 1 << 25  # Jacobians formed at a time


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
class Stretch:
    """Consecutive Jacobians (t, B, n, n), and how many dimensions each destroys exactly (t, B), or None if unknown."""

    jacobians: Array
    lost: Integers | None


def jacobians_along(f: Map, state: Array, driving: Array | None, steps: int, *, first: int = 0) -> Iterator[Stretch]:
    """The Jacobians along the orbit of columns (n, B), in pieces of time; `first` is the first step's t.

    Raises: AnalysisError where the orbit leaves floating point.
    """
    n, batch = state.shape
    length = max(1, CHUNK_BYTES // (8 * batch * n * n))
    for begin in range(0, steps, length):
        count = min(length, steps - begin)
        part = None if driving is None else driving[begin : begin + count]
        orbit = orbit_columns(f, state, part, count, begin=first + begin)
        if not np.isfinite(orbit).all():
            raise AnalysisError(
                "the orbit leaves floating-point range: it runs off to infinity. Start within reach of an attractor."
            )
        dense, lost = (
            _all_steps(f, orbit[:-1], part) if f.period == 1 else _by_phase(f, orbit[:-1], part, first + begin)
        )
        yield Stretch(dense, lost)
        state = orbit[-1]


def _all_steps(f: Map, states: Array, driving: Array | None) -> tuple[Array, Integers | None]:
    """Jacobians (t, B, n, n), lost rank (t, B) at states (t, n, B): time and batch are one linearisation's samples."""
    count, n, batch = states.shape
    flat = np.ascontiguousarray(states.swapaxes(0, 1)).reshape(n, count * batch)
    if driving is None:
        inputs = np.zeros((f.input_size, 1))
    else:
        inputs = np.broadcast_to(driving, (count, batch, f.input_size)).reshape(count * batch, -1).T
    inputs = np.ascontiguousarray(inputs)
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
