"""Frames moved one step at a time, each by itself in LAPACK's routines; a square one is never written out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np

from dynsys.carried_frames import Carried, CarriedFrames, Factor, orthonormal, read_triangle, sines
from dynsys.elimination import Elimination
from dynsys.frames import Stretch
from dynsys.readings.steps import Steps
from dynsys.reflectors import Reflectors
from dynsys.types import Array


def _log_abs_det(matrix: Array) -> float:
    """log|det|, by an LU decomposition that overwrites the matrix (Fortran order)."""
    from scipy.linalg.lapack import dgetrf

    factors, _, _ = dgetrf(matrix, overwrite_a=True)
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(np.diagonal(factors))).sum())


@final
class _Frame:
    """One frame (n, k): the factor of its last decomposition, and on the way to the next one its columns."""

    def __init__(self, columns: Array) -> None:
        self._square = columns.shape[0] == columns.shape[1]
        self._shape = columns.shape
        self._factor: Factor = Reflectors(np.array(columns, order="F"))
        self._before: Factor | None = None
        self._columns: Array | None = None
        self._free: list[Array] = []

    def advance(self, steps: Steps, sample: int, jacobian: Array | None) -> None:
        """By the Jacobian where it is formed (it is left as it is), else by the structure of the step."""
        room = self._free.pop() if self._free else np.empty(self._shape, order="F")
        if self._columns is None and self._square:
            if jacobian is None:
                steps.fill(sample, room)
            else:
                room[...] = jacobian
            self._columns = self._factor.times(room, overwrite=True)
            if self._columns is not room:
                self._free.append(room)
            return
        source = orthonormal(self._factor) if self._columns is None else self._columns
        if jacobian is None:
            steps.move(sample, source, room)
        else:
            np.matmul(jacobian, source, out=room)
        self._columns = room
        self._free.append(source)

    def decompose(self, exact: bool) -> tuple[Array, float, float]:
        """What `read_triangle` says of it; to be followed by `keep` or `undo`."""
        assert self._columns is not None
        self._before = self._factor
        self._factor = Reflectors(self._columns) if exact or not self._square else Elimination(self._columns)
        self._columns = None
        return read_triangle(self._factor)

    def keep(self) -> None:
        """Go on from the last decomposition."""
        assert self._before is not None
        self._free.append(self._before.packed)

    def undo(self) -> None:
        """Go back to the decomposition before the last."""
        assert self._before is not None
        self._factor = self._before

    def orthonormal(self) -> Array:
        """(n, k), after an exact decomposition."""
        return orthonormal(self._factor)


@final
class StepFrames(CarriedFrames):
    """Each frame by itself."""

    at_once = 8

    def __init__(self, frames: Array) -> None:
        """`frames` (B, 2, n, k), orthonormal."""
        self._frames = [[_Frame(frame) for frame in pair] for pair in frames]
        n, k = frames.shape[2:]
        self._k = k
        self._jacobian = np.empty((n, n), order="F")
        self._formed: tuple[Steps | None, bool] = (None, False)

    def carry(
        self, stretch: Stretch, begin: int, lengths: Sequence[int], *, exact: bool, limit: float, determinant: bool
    ) -> Carried:
        diagonals, largest, log_det = [], [], []
        t, wide, widest = begin, False, math.exp(limit)
        frames = [frame for pair in self._frames for frame in pair]
        for number, length in enumerate(lengths, 1):
            logs = np.zeros((length, stretch.batch))
            for i in range(length):
                self._advance(stretch, t + i, logs[i] if determinant else None)
            answers = [frame.decompose(exact and number == len(lengths)) for frame in frames]
            wide = length > 1 and any(ratio > widest for _, _, ratio in answers)
            if wide:
                for frame in frames:
                    frame.undo()
                break
            for frame in frames:
                frame.keep()
            diagonals.append([diagonal for diagonal, _, _ in answers])
            largest.append([entry for _, entry, _ in answers])
            log_det.append(logs.sum(axis=0))
            t += length
        shape = (len(diagonals), stretch.batch, len(self._frames[0]), self._k)
        return Carried(
            np.reshape(diagonals, shape),
            np.reshape(largest, shape[:-1]),
            np.reshape(log_det, shape[:2]) if determinant else None,
            wide,
        )

    def _forms(self, steps: Steps) -> bool:
        """Whether this stretch's Jacobians are formed, once for both frames."""
        if self._formed[0] is not steps:
            several = len(self._frames[0]) > 1
            self._formed = (steps, steps.forms_first(self._k * (1 + several)) or (several and self._k == steps.n))
        return self._formed[1]

    def _advance(self, stretch: Stretch, t: int, log_det: Array | None) -> None:
        """Every frame <- Jacobian of step t times the frame. log_det (B,) <- log|det| of the Jacobians."""
        steps = stretch.steps
        for b, pair in enumerate(self._frames):
            sample = t * stretch.batch + b
            jacobian = steps.given(sample)
            if jacobian is None and (log_det is not None or self._forms(steps)):
                steps.fill(sample, self._jacobian)
                jacobian = self._jacobian
            for frame in pair:
                frame.advance(steps, sample, jacobian)
            if log_det is not None and jacobian is not None:
                if jacobian is not self._jacobian:
                    self._jacobian[...] = jacobian
                log_det[b] = _log_abs_det(self._jacobian)

    def apart(self) -> Array:
        return np.array([sines(one.orthonormal(), two.orthonormal()) for one, two in self._frames])

    def drop_second(self) -> None:
        self._frames = [pair[:1] for pair in self._frames]
        self._formed = (None, False)
