"""A long product kept twice, with different rounding: what the two agree on is determined by float64 Jacobians."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.frames import random_frames
from dynsys.growth_order import GrowthOrder
from dynsys.log_svd import GradedProduct
from dynsys.types import Array

AGREEMENT = 1e-6  # nats, to which the two must agree
SPAN = 18.0  # nats between two QRs of the second product: enough for 1e-8
CHECKED = 8  # in large coupled systems the second product goes along for one in so many steps
LEAST_CHECKED = 30  # steps


@final
class CheckedProduct:
    """A graded product, and a shaken one from another frame and with QRs at other steps.

    In large systems the second goes along for a part of the way. Beyond it the errors of single steps add up, in
    proportion to the lag, for as long as the order of growth stays; where that turned (`wants_second`) the second
    product has to follow after all, from `checked` on.

    Attributes:
        first: the product whose values count. second: the other one. checked: the lag up to which it goes along.
    """

    def __init__(self, n: int, generator: np.random.Generator, longest: int) -> None:
        """A product of (n, n) factors. `longest`: the last lag."""
        order = GrowthOrder()
        self._order = order
        self.first = GradedProduct(random_frames(generator, 1, n, n)[0], order=order)
        self.second = GradedProduct(random_frames(generator, 1, n, n)[0], generator, span=SPAN)
        self.checked = self._longest = longest
        if self.first.regular:
            self.checked = min(longest, max(longest // CHECKED, LEAST_CHECKED))
        self._lag = 0
        self._apart = np.zeros(n)

    @property
    def wants_second(self) -> bool:
        """Whether the second product, left behind at `checked`, has to follow."""
        return self.checked < self._longest and (self._order.turned or not self.first.regular)

    def extend(self, jacobian: Array, rank: int) -> None:
        """Both products <- jacobian times them; `rank` bounds that of the product."""
        self._lag += 1
        self.first.extend(jacobian, rank)
        if self._lag <= self.checked:
            self.second.extend(jacobian, rank)
            if self._lag == self.checked < self._longest:
                self._apart = distance(self.first.log_singular_values(), self.second.log_singular_values())

    def log_singular_values(self) -> tuple[Array, Array]:
        """(n,) nats, largest first, and (n,) how far apart the two products' values are, or are taken to be."""
        values = self.first.log_singular_values()
        if self._lag <= self.checked:
            return values, distance(values, self.second.log_singular_values())
        return values, self._apart * (self._lag / self.checked)


def agreeing(apart: Array) -> int:
    """How many leading values are no farther apart than AGREEMENT."""
    off = np.flatnonzero(~(apart <= AGREEMENT))
    return int(off[0]) if len(off) else len(apart)


def distance(one: Array, two: Array) -> Array:
    """|one - two|; what is -inf in both agrees."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(one == two, 0.0, np.abs(one - two)))
