"""Frames of tangent vectors carried along orbits: one per sequence, and a second one that checks it.

Three ways of keeping them: all of them in one array for NumPy's batched routines (small systems, several sequences),
each by itself moved step by step (`step_frames.py`), and each by itself moved by products of Jacobians that are formed
for many steps together (`product_frames.py`).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from dynsys.frames import Stretch
from dynsys.reflectors import Reflectors
from dynsys.types import Array

CLEAR = 1e7  # ratio of diagonal entries up to which none of them is near to rounding


@final
@dataclass(frozen=True, eq=False)
class Carried:
    """What decompositions one after the other left, for B sequences and one or two frames each.

    Attributes:
        diagonals: (QRs, B, frames, k), |R_ii|. largest: (QRs, B, frames), the largest |R_ij|, or what stands for it
            where the diagonal is clear of rounding.
        log_det: (QRs, B), log|det| of the product that each QR took in, nats; None where it was not asked for.
        wide: whether the next QR would have taken in a growth that spans too much: the frames are left before it.
    """

    diagonals: Array
    largest: Array
    log_det: Array | None
    wide: bool


class CarriedFrames(ABC):
    """Frames (B, 1 or 2, n, k), multiplied by Jacobians and orthonormalised.

    Attributes:
        at_once: QRs that one call takes gladly.
    """

    at_once: int

    @abstractmethod
    def carry(
        self, stretch: Stretch, begin: int, lengths: Sequence[int], *, exact: bool, limit: float, determinant: bool
    ) -> Carried:
        """Every frame <- Jacobians from step `begin` of the stretch on times the frame, with a QR after each length.

        `exact`: the last QR leaves orthonormal frames, so that the diagonals since the last one like it multiply to
        those of QR decompositions; in between other triangular decompositions may stand in for QR.
        Ends before a QR of several steps whose diagonal spans more than `limit` nats: they need QRs more often.
        `determinant`: log|det| is wanted too.
        """

    @abstractmethod
    def apart(self) -> Array:
        """(B, k) sines of the angles between the columns of the two frames, just left orthonormal."""

    @abstractmethod
    def drop_second(self) -> None:
        """Go on with the first frames alone."""


def sines(one: Array, two: Array) -> Array:
    """Sines of the angles between the columns (..., n, k), to rounding: by half the difference, not by the cosine."""
    turned = two * np.where((one * two).sum(axis=-2, keepdims=True) < 0, -1.0, 1.0)
    half = np.minimum(np.linalg.norm(one - turned, axis=-2) / 2, 1.0)
    return np.asarray(np.sin(2 * np.arcsin(half)))


class Factor(Protocol):
    """The triangular decomposition that a frame was left by."""

    packed: Array

    @property
    def diagonal(self) -> Array: ...
    def times(self, c: Array, *, overwrite: bool = False) -> Array: ...
    def triangle(self) -> Array: ...


def ratios(diagonals: Array) -> Array:
    """(...,): the largest entry of |R_ii| (..., k) over the smallest; inf where one is zero."""
    smallest, largest = diagonals.min(axis=-1), diagonals.max(axis=-1)
    return np.asarray(np.divide(largest, smallest, out=np.full_like(largest, np.inf), where=smallest > 0))


def read_triangle(factor: Factor) -> tuple[Array, float, float]:
    """|R_ii| (k,); the largest |R_ij|; and the largest |R_ii| over the smallest.

    Where no |R_ii| comes near to rounding the largest of them stands for the largest |R_ij|.
    """
    diagonal = np.abs(factor.diagonal)
    ratio = float(ratios(diagonal))
    largest = np.abs(factor.triangle()).max() if ratio > CLEAR else diagonal.max()
    return diagonal, float(largest), ratio


def orthonormal(factor: Factor) -> Array:
    """The frame (n, k) that an exact decomposition left."""
    assert isinstance(factor, Reflectors), "frames are orthonormal after exact decompositions only"
    return factor.orthogonal()


def by_length(steps: Array, lengths: Sequence[int]) -> Array:
    """(QRs, B): sums over consecutive lengths of what is known of the steps (t, B), as far as these go."""
    ends = [end for end in itertools.accumulate(lengths) if end <= len(steps)]
    return np.add.reduceat(steps[: ends[-1]], [0, *ends[:-1]], axis=0) if ends else steps[:0]
