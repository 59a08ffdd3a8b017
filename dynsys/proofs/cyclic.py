"""A cycle as a fixed point: of the map that moves all points of the orbit at once."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.readings.intervals import Intervals
from dynsys.readings.linear import Linearization
from dynsys.types import Array


@final
class Cyclic(Map):
    """(x_1, ..., x_p) -> (F(x_p), F(x_1), ..., F(x_{p-1})): its fixed points are the orbits whose period divides p."""

    def __init__(self, f: Map, period: int) -> None:
        self.inner, self.period = f, period
        self.state_size, self.input_size = f.state_size * period, f.input_size
        self.blocks = tuple((f"x{t}", slice(t * f.state_size, (t + 1) * f.state_size)) for t in range(period))
        self.output, self.notes, self.name = self.blocks[0][1], f.notes, f"{f.name}, orbits of period {period}"

    def advance(self, state: Array, input: Array) -> Array:
        moved = [self.inner.advance(state[rows], input) for _, rows in self.blocks]
        return np.concatenate([moved[-1], *moved[:-1]])

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        raise NotImplementedError("orbits are linearised point by point")

    def equations_on(self, state: Any, input: Any) -> Any:
        moved = [self.inner.equations_on(state[rows], input) for _, rows in self.blocks]
        return np.concatenate([moved[-1], *moved[:-1]])

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return None

    def links(self, slope: Intervals) -> list[Intervals]:
        """The Jacobians of the steps x_1 -> x_2, ..., x_p -> x_1 out of the whole one."""
        parts = [rows for _, rows in self.blocks]
        after = [*parts[1:], parts[0]]
        return [slope[to, at] for at, to in zip(parts, after, strict=True)]

    def is_minimal(self, low: Array, high: Array) -> bool:
        """Whether the enclosures (p n,) prove that the period is no smaller: x_1 differs from each x_{1+d}, d | p."""
        n = self.inner.state_size
        lows, highs = low.reshape(self.period, n), high.reshape(self.period, n)
        divisors = (d for d in range(1, self.period) if self.period % d == 0)
        return all(bool(((lows[0] > highs[d]) | (highs[0] < lows[d])).any()) for d in divisors)
