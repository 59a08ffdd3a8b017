"""A product of Jacobians applied to a few columns, without under- or overflow: P V = Q exp(L) X."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.graded_triangle import log_singular_values, singular_vectors
from dynsys.grading import Grading
from dynsys.growth_order import GrowthOrder
from dynsys.readings.steps import Steps
from dynsys.reflectors import Reflectors
from dynsys.types import Array


@final
class GradedFrame:
    """J_t ... J_1 V for orthonormal V (n, p), extended one step at a time; X (p, p) is unit upper triangular.

    Its singular values are at most those of the product, and equal the leading ones when V spans the leading right
    singular vectors (Courant and Fischer).
    """

    def __init__(self, frame: Array, *, span: float, order: GrowthOrder | None = None) -> None:
        """Starts with P = V. `span`: nats that the growth between two QRs should not exceed."""
        self._start = frame
        self._q: Array | None = np.array(frame, order="F")
        self._moved: Array | None = None
        self._factor: Reflectors | None = None
        self._grading, self._since = Grading(frame.shape[1], span, order), 0
        self._spare = np.empty_like(self._q)

    def extend(self, steps: Steps, sample: int) -> None:
        """P <- the Jacobian of one sample times P."""
        source = self.columns() if self._moved is None else self._moved
        out = np.empty_like(source) if self._moved is None else self._spare
        steps.move(sample, source, out)
        if self._moved is not None:
            self._spare = self._moved
        self._moved, self._q = out, None
        self._since += 1
        if self._since >= self._grading.interval.steps:
            self._settle()

    def _settle(self) -> None:
        if self._moved is None:
            return
        self._factor, self._moved, self._q = Reflectors(self._moved), None, None
        self._grading.take(self._factor, self._since, signed=True)
        self._since = 0

    def columns(self) -> Array:
        """Q (n, p), orthonormal, in Fortran order."""
        self._settle()
        if self._q is None:
            assert self._factor is not None
            self._q = self._factor.orthogonal() * self._grading.signs
        return self._q

    def log_singular_values(self) -> Array:
        """(p,) nats, largest first."""
        self._settle()
        return log_singular_values(self._grading.x, self._grading.log)

    def leading(self, k: int) -> tuple[Array, Array, Array]:
        """Log singular values (k,), left (n, k) and right (n, k) vectors of P V V^T."""
        self._settle()
        values, left, right = singular_vectors(self._grading.x, self._grading.log)
        order = np.argsort(-values, kind="stable")[:k]
        return values[order], self.columns() @ left[:, order], self._start @ right[:, order]
