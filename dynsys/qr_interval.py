"""How many steps a frame may be carried between two QR decompositions."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.types import Array

MEASURED = 12  # QRs, one at every step, from which the interval is chosen
LONGEST = 100  # steps
PATIENCE = 5  # QRs


@final
class QRInterval:
    """Chooses the interval from the growth measured with a QR at every step, and goes on adapting it.

    A QR of columns whose growth spans s nats leaves an error of about eps exp(s) in the smallest: 5e-12 at 9 nats,
    1e-10 at 14, 7e-9 at 18 (measured).

    Args:
        wanted: nats that the growth between two QRs should not span. largest: nats of one QR from which the interval is
            halved; after PATIENCE QRs that leave room for one step more it is longer by one. adapts: False leaves it at
            one step.

    Attributes:
        steps: between two QRs, at least 1.
    """

    def __init__(self, wanted: float, largest: float, *, adapts: bool = True) -> None:
        self.steps = 1
        self._wanted, self._largest, self._adapts = wanted, largest, adapts
        self._early: list[Array] = []
        self._calm = 0

    def learn(self, logs: Array, steps: int) -> None:
        """Take in log|diag R| (..., k), nats, of one more QR, `steps` after the last."""
        if not self._adapts:
            return
        if len(self._early) < MEASURED:
            self._early.append(logs)
            if len(self._early) == MEASURED:
                self.steps = _longest(np.array(self._early), self._wanted)
            return
        span = float(np.ptp(logs, axis=-1).max(initial=0.0)) / max(1, steps)
        if self.steps > 1 and span * steps > self._largest:
            self.steps, self._calm = self.steps // 2, 0
        elif span * (self.steps + 1) <= self._wanted and self.steps < LONGEST:
            self._calm += 1
            if self._calm >= PATIENCE:
                self.steps, self._calm = self.steps + 1, 0
        else:
            self._calm = 0


def _longest(growth: Array, wanted: float) -> int:
    """The longest run of steps over which the growth (steps, ..., k) nowhere spans more than `wanted` nats."""
    sums = np.cumsum(growth, axis=0)
    interval = 1
    while interval < min(LONGEST, len(growth)):
        longer = interval + 1
        runs = sums[longer - 1 :].copy()
        runs[1:] -= sums[:-longer]
        if float(np.ptp(runs, axis=-1).max(initial=0.0)) > wanted:
            return interval
        interval = longer
    # Nothing spans that much in all the steps measured: as far as their mean allows.
    span = float(np.ptp(sums[-1] / len(growth), axis=-1).max(initial=0.0))
    return LONGEST if span * LONGEST < wanted else max(interval, int(wanted / span))
