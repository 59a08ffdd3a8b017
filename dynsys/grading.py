"""The graded part of a product: exp(L) X with X unit upper triangular, and what one more QR makes of it."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.elimination import Elimination
from dynsys.graded_triangle import absorb, positive
from dynsys.growth_order import GrowthOrder
from dynsys.qr_interval import QRInterval
from dynsys.reflectors import Reflectors


@final
class Grading:
    """P = Q diag(signs) exp(log) x V^T for a product P that started with the frame V.

    Attributes:
        log: (p,) nats. x: (p, p), unit upper triangular. signs: (p,) that make the diagonal of each R positive.
        interval: how far apart QRs should be. order: is told of every QR, if there is one.
    """

    def __init__(self, size: int, span: float, order: GrowthOrder | None) -> None:
        """`span`: nats that the growth between two QRs should not exceed."""
        self.log, self.x, self.signs = np.zeros(size), np.eye(size), np.ones(size)
        self.interval, self.order = QRInterval(span, span + 4.0), order

    def take(self, factor: Reflectors | Elimination, steps: int, *, signed: bool) -> None:
        """Take in the QR of `steps` further Jacobians times Q, or, if `signed`, times Q diag(signs)."""
        before = np.ones(len(self.log)) if signed else self.signs
        self.signs = np.where(factor.diagonal * before < 0, -1.0, 1.0)
        d = positive(np.abs(factor.diagonal), factor.norm)
        absorb(factor.packed, self.signs / d, before, self.log, self.x)
        growth = np.log(d)
        self.log += growth
        if steps:
            self.interval.learn(growth, steps)
        if self.order is not None:
            self.order.see(self.log)
