"""Square frames of moderate size, moved by products of Jacobians that are formed for many QRs together.

What is left to do one after the other is one LAPACK product and one QR decomposition for several steps of the orbit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import final

import numpy as np

from dynsys.carried_frames import CLEAR, Carried, CarriedFrames, Factor, by_length, orthonormal, ratios, sines
from dynsys.elimination import Elimination
from dynsys.frames import Stretch
from dynsys.reflectors import Reflectors
from dynsys.types import Array

PRODUCT_BYTES = 1 << 18  # products formed at a time: they stay in the processor's cache


@final
class ProductFrames(CarriedFrames):
    """Each frame (n, n) as the factor of its last decomposition."""

    def __init__(self, frames: Array) -> None:
        """`frames` (B, 2, n, n), orthonormal."""
        n = frames.shape[-1]
        self.at_once = max(1, min(64, PRODUCT_BYTES // (8 * n * n)))
        self._factors: list[list[Factor]] = [
            [Reflectors(np.array(frame, order="F")) for frame in pair] for pair in frames
        ]

    def carry(
        self, stretch: Stretch, begin: int, lengths: Sequence[int], *, exact: bool, limit: float, determinant: bool
    ) -> Carried:
        n, batch = stretch.steps.n, stretch.batch
        some = stretch.steps.some(begin * batch, (begin + sum(lengths)) * batch)
        assert some is not None, "Jacobians of this size are formed together"
        jacobians = some.reshape(-1, batch, n, n)
        transposed = [_products(jacobians[:, b].swapaxes(1, 2), lengths) for b in range(batch)]
        diagonals = np.empty((len(lengths), batch, len(self._factors[0]), n))
        passed = [self._factors]
        for i in range(len(lengths)):
            last = exact and i == len(lengths) - 1
            moved: list[list[Factor]] = []
            for b, pair in enumerate(passed[-1]):
                products = [factor.times(transposed[b][i].T) for factor in pair]
                moved.append([Reflectors(product) if last else Elimination(product) for product in products])
                for which, factor in enumerate(moved[-1]):
                    diagonals[i, b, which] = factor.diagonal
            passed.append(moved)
        # All are looked at together: what came after one that spans too much is thrown away, which is rare.
        np.abs(diagonals, out=diagonals)
        largest, ratio = diagonals.max(axis=-1), ratios(diagonals)
        wide = [length > 1 and bool(one.max() > math.exp(limit)) for length, one in zip(lengths, ratio, strict=True)]
        done = wide.index(True) if any(wide) else len(lengths)
        for i, b, which in np.argwhere(ratio[:done] > CLEAR):
            largest[i, b, which] = np.abs(passed[i + 1][b][which].triangle()).max()
        self._factors = passed[done]
        steps = sum(lengths[:done])
        log_det = by_length(np.linalg.slogdet(jacobians[:steps])[1], lengths) if determinant else None
        return Carried(diagonals[:done], largest[:done], log_det, done < len(lengths))

    def apart(self) -> Array:
        return np.array([sines(*(orthonormal(factor) for factor in pair)) for pair in self._factors])

    def drop_second(self) -> None:
        self._factors = [pair[:1] for pair in self._factors]


def _products(transposed: Array, lengths: Sequence[int]) -> Array:
    """The transposed products of consecutive Jacobians, (QRs, n, n) in C order, from J^T (steps, n, n)."""
    n = transposed.shape[-1]
    out = np.empty((len(lengths), n, n))
    at = first = 0
    for length, group in itertools.groupby(lengths):
        count = len(list(group))
        steps = transposed[at : at + count * length].reshape(count, length, n, n)
        where = out[first : first + count]
        # (J_s ... J_1)^T = J_1^T ... J_s^T, the last Jacobian first: every entry is rounded like a step of the frame's.
        product: Array = steps[:, length - 1]
        for i in reversed(range(length - 1)):
            product = np.matmul(steps[:, i], product, out=where if i == 0 else None)
        if length == 1:
            where[...] = product
        at, first = at + count * length, first + count
    return out
