"""A long product kept twice, with different rounding: what the two agree on is determined by float64 Jacobians."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.log_svd import GradedProduct, coupled_frame
from dynsys.types import Array

AGREEMENT = 1e-6  # nats, to which the two must agree
SPAN = 18.0  # nats between two QRs of the second product: enough for 1e-8


@final
class CheckedProduct:
    """A graded product, and a shaken one from another frame and with QRs at other steps.

    Attributes:
        first: the product whose values count.
    """

    def __init__(self, coupled: Array, generator: np.random.Generator) -> None:
        """`coupled`: (n, n) bool, which entries of the factors are ever nonzero."""
        self.first = GradedProduct(coupled_frame(coupled, generator))
        self._second = GradedProduct(coupled_frame(coupled, generator), generator, span=SPAN)

    def extend(self, jacobian: Array, rank: int) -> None:
        """Both products <- jacobian times them; `rank` bounds that of the product."""
        self.first.extend(jacobian, rank)
        self._second.extend(jacobian, rank)

    def log_singular_values(self) -> tuple[Array, int]:
        """(n,) nats, largest first, and how many leading ones the two products agree on."""
        values = self.first.log_singular_values()
        off = np.flatnonzero(~(_distance(values, self._second.log_singular_values()) <= AGREEMENT))
        return values, int(off[0]) if len(off) else len(values)


def _distance(one: Array, two: Array) -> Array:
    """|one - two|; what is -inf in both agrees."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(one == two, 0.0, np.abs(one - two)))
