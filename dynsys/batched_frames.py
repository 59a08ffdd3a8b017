"""Small frames of many sequences, all in one array for NumPy's batched routines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from dynsys.carried_frames import Carried, CarriedFrames, by_length, sines
from dynsys.frames import Stretch, signed_qr
from dynsys.types import Array


@final
class BatchedFrames(CarriedFrames):
    """All frames (B, 2, n, k) in one array."""

    at_once = 64

    def __init__(self, frames: Array) -> None:
        self._frames = frames
        self._stretch: Stretch | None = None
        self._jacobians = frames[:0]

    def carry(
        self, stretch: Stretch, begin: int, lengths: Sequence[int], *, exact: bool, limit: float, determinant: bool
    ) -> Carried:
        if stretch is not self._stretch:
            self._stretch, self._jacobians = stretch, np.concatenate([p.jacobians for p in stretch.pieces()])
        diagonals, largest = [], []
        t, wide = begin, False
        for length in lengths:
            moved = self._frames
            for jacobians in self._jacobians[t : t + length]:
                moved = jacobians[:, np.newaxis] @ moved
            moved, r = signed_qr(moved)
            diagonal = np.diagonal(r, axis1=-2, axis2=-1)
            wide = length > 1 and bool((diagonal.min(axis=-1) * np.exp(limit) < diagonal.max(axis=-1)).any())
            if wide:
                break
            self._frames, t = moved, t + length
            diagonals.append(diagonal)
            largest.append(np.abs(r).max(axis=(-2, -1)))
        shape = (len(diagonals), *self._frames.shape[:2], self._frames.shape[-1])
        log_det = by_length(np.linalg.slogdet(self._jacobians[begin:t])[1], lengths) if determinant else None
        return Carried(np.reshape(diagonals, shape), np.reshape(largest, shape[:-1]), log_det, wide)

    def apart(self) -> Array:
        return sines(self._frames[:, 0], self._frames[:, 1])

    def drop_second(self) -> None:
        self._frames = self._frames[:, :1]
