"""Whether directions of a product that were weak outgrow strong ones: where rounding can carry one into the other."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.types import Array

OUTGROWN = 16.0
"""Nats by which one direction outgrows another before rounding errors (36 nats below it) come within 1e-9 of it."""
RECENT = (1, 2, 4, 8, 16)  # QRs back that every QR is compared with
CHECKPOINTS = 64  # further back, at most so many


@final
class GrowthOrder:
    """Watches the graded logarithms L of a product Q exp(L) X Q0^T, one QR after the other.

    While columns grow in their order, L_i at least as fast as L_j for i < j, a rounding error of one step stays as
    small as it was, relative to every singular value. Where L_j outgrows L_i by v nats over some stretch of time, it
    may be larger by exp(v).

    Attributes:
        turned: whether some direction has outgrown a stronger one by more than OUTGROWN nats.
    """

    def __init__(self) -> None:
        self.turned = False
        self._recent: list[Array] = []
        self._old: list[Array] = []
        self._spacing, self._seen = 1, 0

    def see(self, log: Array) -> None:
        """Take in L (n,) after one more QR."""
        if self.turned:
            return
        before = [self._recent[-back] for back in RECENT if back <= len(self._recent)]
        if self._seen % self._spacing == 0:
            before += self._old
            self._old.append(log.copy())
            if len(self._old) > CHECKPOINTS:
                self._old, self._spacing = self._old[::2], 2 * self._spacing
        self._recent = [*self._recent[-RECENT[-1] + 1 :], log.copy()]
        self._seen += 1
        if before:
            growth = log - np.array(before)
            best_after = np.maximum.accumulate(growth[:, ::-1], axis=1)[:, ::-1]
            self.turned = bool((best_after - growth).max(initial=0.0) > OUTGROWN)
