"""Frames of tangent vectors carried along orbits: one per sequence, and a second one that checks it.

Two ways of keeping them, for small frames and large ones: all of them in one array for NumPy's batched routines, or
each by itself in LAPACK's, where a square frame is never formed (`reflectors.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from dynsys.frames import Stretch, random_frames, signed_qr
from dynsys.readings.steps import Steps
from dynsys.reflectors import Reflectors
from dynsys.types import Array

SMALL = 32  # state size up to which a batch of frames is worked on at once
UNFORMED = 48  # state size from which a square frame is left as reflectors


class CarriedFrames(ABC):
    """Frames (sequences, 1 or 2, n, k), multiplied step by step and orthonormalised when asked."""

    @abstractmethod
    def advance(self, stretch: Stretch, t: int, *, determinant: bool = False) -> Array | None:
        """Every frame <- Jacobian of step t of the stretch times the frame. Returns log|det J| (B,) if wanted."""

    @abstractmethod
    def orthonormalise(self) -> tuple[Array, Array]:
        """Frames <- their orthonormal factors. |diagonal of R| (B, frames, k) and largest |R_ij| (B, frames)."""

    @abstractmethod
    def apart(self) -> Array:
        """(B, k) sines of the angles between the columns of the two frames, just orthonormalised."""

    @abstractmethod
    def drop_second(self) -> None:
        """Go on with the first frames alone."""


def carried_frames(generator: np.random.Generator, batch: int, n: int, k: int) -> CarriedFrames:
    """Two random orthonormal frames for each of `batch` sequences."""
    frames = random_frames(generator, 2 * batch, n, k).reshape(batch, 2, n, k)
    return BatchedFrames(frames) if n <= SMALL and batch > 1 else SingleFrames(frames)


def sines(one: Array, two: Array) -> Array:
    """Sines of the angles between the columns (..., n, k), to rounding: by half the difference, not by the cosine."""
    turned = two * np.where((one * two).sum(axis=-2, keepdims=True) < 0, -1.0, 1.0)
    half = np.minimum(np.linalg.norm(one - turned, axis=-2) / 2, 1.0)
    return np.asarray(np.sin(2 * np.arcsin(half)))


def _log_abs_det(matrix: Array) -> float:
    """log|det|, by an LU decomposition that overwrites the matrix (Fortran order)."""
    from scipy.linalg.lapack import dgetrf

    factors, _, _ = dgetrf(matrix, overwrite_a=True)
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(np.diagonal(factors))).sum())


@final
class BatchedFrames(CarriedFrames):
    """All frames in one array."""

    def __init__(self, frames: Array) -> None:
        self._frames = frames
        self._stretch: Stretch | None = None
        self._jacobians = frames[:0]

    def advance(self, stretch: Stretch, t: int, *, determinant: bool = False) -> Array | None:
        if stretch is not self._stretch:
            self._stretch, self._jacobians = stretch, np.concatenate([p.jacobians for p in stretch.pieces()])
        self._frames = self._jacobians[t][:, np.newaxis] @ self._frames
        with np.errstate(divide="ignore"):
            return np.asarray(np.linalg.slogdet(self._jacobians[t])[1]) if determinant else None

    def orthonormalise(self) -> tuple[Array, Array]:
        self._frames, r = signed_qr(self._frames)
        return np.diagonal(r, axis1=-2, axis2=-1), np.abs(r).max(axis=(-2, -1))

    def apart(self) -> Array:
        return sines(self._frames[:, 0], self._frames[:, 1])

    def drop_second(self) -> None:
        self._frames = self._frames[:, :1]


@final
class _Frame:
    """One frame: after a QR its reflectors or its orthonormal columns, between QRs its columns."""

    def __init__(self, columns: Array) -> None:
        self.columns: Array | None = np.asfortranarray(columns)
        self.factor: Reflectors | None = None
        n, k = columns.shape
        self._unformed = n == k and n >= UNFORMED
        self._room = np.empty((n, k), order="F")

    def advance(self, steps: Steps, sample: int, jacobian: Array | None) -> None:
        """By the Jacobian where it is formed (it is left as it is), else by the structure of the step."""
        if self.columns is None:
            assert self.factor is not None
            if self._unformed:
                if jacobian is None:
                    steps.fill(sample, self._room)
                else:
                    self._room[...] = jacobian
                # The reflectors have done their work: their memory is the next product's.
                self.columns, self._room = self.factor.times(self._room), self.factor.packed
                return
            self.columns = self.factor.orthogonal()
        if jacobian is None:
            steps.move(sample, self.columns, self._room)
        else:
            np.matmul(jacobian, self.columns, out=self._room)
        self.columns, self._room = self._room, self.columns

    def orthonormalise(self) -> tuple[Array, float]:
        assert self.columns is not None
        self.factor, self.columns = Reflectors(self.columns), None
        diagonal = np.abs(self.factor.diagonal)
        # The norm bounds the entries: only where it may matter is the largest one looked for.
        largest = self.factor.norm
        if diagonal.min(initial=np.inf) <= 1e-13 * len(diagonal) * largest:
            largest = float(np.abs(self.factor.triangle()).max(initial=0.0))
        return diagonal, largest

    def orthonormal(self) -> Array:
        assert self.factor is not None
        return self.factor.orthogonal()


@final
class SingleFrames(CarriedFrames):
    """Each frame by itself."""

    def __init__(self, frames: Array) -> None:
        self._frames = [[_Frame(frame) for frame in pair] for pair in frames]
        n, k = frames.shape[2:]
        self._k = k
        self._jacobian = np.empty((n, n), order="F")
        self._formed: tuple[Steps | None, bool] = (None, False)

    def _forms(self, steps: Steps) -> bool:
        """Whether this stretch's Jacobians are formed, once for both frames."""
        if self._formed[0] is not steps:
            several = len(self._frames[0]) > 1
            self._formed = (steps, steps.forms_first(self._k * (1 + several)) or (several and self._k == steps.n))
        return self._formed[1]

    def advance(self, stretch: Stretch, t: int, *, determinant: bool = False) -> Array | None:
        steps = stretch.steps
        logs = np.zeros(stretch.batch)
        for b, pair in enumerate(self._frames):
            sample = t * stretch.batch + b
            jacobian = steps.given(sample)
            if jacobian is None and (determinant or self._forms(steps)):
                steps.fill(sample, self._jacobian)
                jacobian = self._jacobian
            for frame in pair:
                frame.advance(steps, sample, jacobian)
            if determinant and jacobian is not None:
                if jacobian is not self._jacobian:
                    self._jacobian[...] = jacobian
                logs[b] = _log_abs_det(self._jacobian)
        return logs if determinant else None

    def orthonormalise(self) -> tuple[Array, Array]:
        answers = [[frame.orthonormalise() for frame in pair] for pair in self._frames]
        return (
            np.array([[diagonal for diagonal, _ in pair] for pair in answers]),
            np.array([[largest for _, largest in pair] for pair in answers]),
        )

    def apart(self) -> Array:
        return np.array([sines(one.orthonormal(), two.orthonormal()) for one, two in self._frames])

    def drop_second(self) -> None:
        self._frames = [pair[:1] for pair in self._frames]
        self._formed = (None, False)
