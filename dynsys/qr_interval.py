"""How many steps a frame may be carried between two QR decompositions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from dynsys.types import Array

MEASURED = 12  # QRs, one at every step, from which the interval is chosen
LONGEST = 100  # steps
IN_RANGE = 300.0  # nats by which a frame may grow or shrink between two QRs: floating point holds 700
PATIENCE = 5  # QRs


@final
class QRInterval:
    """Chooses the interval from the growth measured with a QR at every step, and goes on adapting it.

    A QR of columns whose growth spans s nats leaves an error of about eps exp(s) in the smallest: 5e-12 at 9 nats,
    1e-10 at 14, 7e-9 at 18 (measured).

    Args:
        wanted: nats that the growth between two QRs should not span on average. largest: nats of one QR from which the
            interval is halved. It is one step longer after PATIENCE QRs whose mean growth would have spanned no more
            than `wanted` with it, and none more than half way from there to `largest`. adapts: False leaves it at one.

    Attributes:
        steps: between two QRs, at least 1.
    """

    def __init__(self, wanted: float, largest: float, *, adapts: bool = True) -> None:
        self.steps = 1
        self._wanted, self._often, self._largest = wanted, (wanted + largest) / 2, largest
        self._adapts = adapts
        self._early: list[Array] = []
        self._recent: list[tuple[Array, float, int]] = []

    def plan(self, total: int, most: int) -> list[int]:
        """Steps before each of the next QRs, at most `most` of them and at most `total` steps."""
        if self._adapts and len(self._early) < MEASURED:
            most = min(most, MEASURED - len(self._early))
        full, rest = divmod(total, self.steps)
        return ([self.steps] * full + [rest] * (rest > 0))[:most]

    def shorten(self, steps: int) -> None:
        """Take in that the growth over so many steps spans too much for one QR."""
        self.steps, self._recent = (steps + 1) // 2, []

    def learn(self, logs: Array, steps: int) -> None:
        """Take in log|diag R| (..., k), nats, of one more QR, `steps` after the last."""
        self.learn_all(logs[np.newaxis], [steps])

    def learn_all(self, logs: Array, steps: Sequence[int]) -> None:
        """Take in log|diag R| (QRs, ..., k), nats, of further QRs, each so many steps after the last."""
        if not self._adapts:
            return
        early = min(len(logs), MEASURED - len(self._early))
        if early > 0:
            self._early.extend(logs[:early])
            if len(self._early) == MEASURED:
                self.steps = _longest(np.array(self._early), self._wanted, self._often)
        widths = np.ptp(logs[early:], axis=-1)
        spans = widths.max(axis=tuple(range(1, widths.ndim)), initial=0.0)
        for growth, span, length in zip(logs[early:], spans.tolist(), steps[early:], strict=True):
            self._adapt(growth, span, length)

    def _adapt(self, growth: Array, span: float, steps: int) -> None:
        """`growth` (..., k), nats, of one QR `steps` after the last, and what it spans at most."""
        if self.steps > 1 and span * self.steps > self._largest * steps:
            self.shorten(self.steps)
            return
        self._recent.append((growth, span, steps))
        if len(self._recent) < PATIENCE:
            return
        longer = self.steps + 1
        most = max(span / steps for _, span, steps in self._recent)
        if longer <= LONGEST and most * longer <= self._often:
            mean = np.sum([growth for growth, _, _ in self._recent], axis=0)
            taken = sum(steps for _, _, steps in self._recent)
            self.steps += longer <= _allowed(mean / taken, self._wanted)
        self._recent = []


def _longest(growth: Array, wanted: float, often: float) -> int:
    """The longest run of steps that nowhere grow by more than `often` nats apart, on average by `wanted`.

    `growth` (steps, ..., k), nats.
    """
    sums = np.cumsum(growth, axis=0)
    allowed = _allowed(sums[-1] / len(growth), wanted)
    interval = 1
    while interval < min(allowed, len(growth)):
        longer = interval + 1
        runs = sums[longer - 1 :].copy()
        runs[1:] -= sums[:-longer]
        if float(np.ptp(runs, axis=-1).max(initial=0.0)) > often:
            return interval
        interval = longer
    return allowed


def _allowed(growth: Array, wanted: float) -> int:
    """Steps over which a growth (..., k), nats per step, spans at most `wanted` nats and stays in range, at least 1."""
    span = float(np.ptp(growth, axis=-1).max(initial=0.0))
    size = float(np.abs(growth).max(initial=0.0))
    return max(1, int(min(LONGEST, wanted / max(span, wanted / LONGEST), IN_RANGE / max(size, IN_RANGE / LONGEST))))
