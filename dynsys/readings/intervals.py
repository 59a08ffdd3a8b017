"""Interval arithmetic in float64 whose bounds hold whatever the rounding.

Sums and products are rounded outwards by one unit in the last place; matrix products carry the error bound of any order
of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1; Rump, BIT 39 (1999) 534-554).
Only +, -, *, / of IEEE arithmetic are trusted: the elementary functions are in `interval_functions.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.types import AnyArray, Array, Booleans

EPS = float(np.finfo(np.float64).eps)
TINY = 1e-290  # covers what underflow can take from a sum of products


def down(x: Any) -> Array:
    """The next number below."""
    return np.asarray(np.nextafter(x, -np.inf))


def up(x: Any) -> Array:
    """The next number above."""
    return np.asarray(np.nextafter(x, np.inf))


@final
class Intervals:
    """An array of closed intervals [low, high]; a bound that rounding or overflow made unknown is infinite."""

    __slots__ = ("high", "low")
    __array_ufunc__ = None  # NumPy leaves `array - intervals` to us

    def __init__(self, low: Any, high: Any) -> None:
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        lost = np.isnan(low) | np.isnan(high)
        if lost.any():
            low, high = np.where(lost, -np.inf, low), np.where(lost, np.inf, high)
        self.low, self.high = low, high

    @staticmethod
    def point(x: Any) -> Intervals:
        """Intervals of zero width at the numbers `x`."""
        return Intervals(x, x)

    @staticmethod
    def join(pieces: Sequence[Any]) -> Intervals:
        """Pieces one below the other, along the first axis."""
        lifted = [lift(p) for p in pieces]
        return Intervals(np.concatenate([p.low for p in lifted]), np.concatenate([p.high for p in lifted]))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.low.shape)

    def bounds(self) -> tuple[Array, Array]:
        """(low, high) as float64 arrays."""
        return self.low, self.high

    def magnitude(self) -> Array:
        """max |x| over each interval."""
        return np.asarray(np.maximum(np.abs(self.low), np.abs(self.high)))

    def ball(self) -> tuple[Array, Array]:
        """A centre (any number will do) and a radius that covers the interval around it."""
        with np.errstate(all="ignore"):
            middle = np.where(np.isfinite(self.low) & np.isfinite(self.high), 0.5 * self.low + 0.5 * self.high, 0.0)
            radius = np.maximum(up(self.high - middle), up(middle - self.low))
        return middle, np.where(self.low == self.high, 0.0, radius)

    def __getitem__(self, index: Any) -> Intervals:
        return Intervals(self.low[index], self.high[index])

    def reshape(self, *shape: int) -> Intervals:
        return Intervals(self.low.reshape(*shape), self.high.reshape(*shape))

    def turned(self) -> Intervals:
        """The transpose."""
        return Intervals(self.low.T, self.high.T)

    def spread(self, shape: tuple[int, ...]) -> Intervals:
        """Broadcast to a shape."""
        return Intervals(np.broadcast_to(self.low, shape), np.broadcast_to(self.high, shape))

    def __neg__(self) -> Intervals:
        return Intervals(-self.high, -self.low)

    def __add__(self, other: Any) -> Intervals:
        other = lift(other)
        with np.errstate(all="ignore"):
            return Intervals(_sum(self.low, other.low, -1.0), _sum(self.high, other.high, 1.0))

    def __sub__(self, other: Any) -> Intervals:
        return self + (-lift(other))

    def __mul__(self, other: Any) -> Intervals:
        other = lift(other)
        with np.errstate(all="ignore"):
            products = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
            low, high = down(np.minimum.reduce(products)), up(np.maximum.reduce(products))
        # Zero times anything bounded is zero exactly: zeros of a Jacobian stay zeros.
        nothing = ((self.low == 0) & (self.high == 0)) | ((other.low == 0) & (other.high == 0))
        nothing &= np.isfinite(self.magnitude()) & np.isfinite(other.magnitude())
        return Intervals(np.where(nothing, 0.0, low), np.where(nothing, 0.0, high))

    def __truediv__(self, other: Any) -> Intervals:
        other = lift(other)
        through_zero = (other.low <= 0) & (other.high >= 0)
        with np.errstate(all="ignore"):
            quotients = [a / b for a in (self.low, self.high) for b in (other.low, other.high)]
            low, high = down(np.minimum.reduce(quotients)), up(np.maximum.reduce(quotients))
        return Intervals(np.where(through_zero, -np.inf, low), np.where(through_zero, np.inf, high))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Intervals:
        return lift(other) - self

    def __rtruediv__(self, other: Any) -> Intervals:
        return lift(other) / self

    def square(self) -> Intervals:
        """x^2 with x the same in both factors."""
        with np.errstate(all="ignore"):
            ends = self.low * self.low, self.high * self.high
            inside = (self.low <= 0) & (self.high >= 0)
            low = np.where(inside, 0.0, np.maximum(down(np.minimum(*ends)), 0.0))
            return Intervals(low, up(np.maximum(*ends)))

    def hull(self, other: Any) -> Intervals:
        """The smallest interval that contains both."""
        other = lift(other)
        return Intervals(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def choose(self, must: Booleans, may: Booleans, other: Any) -> Intervals:
        """This where `must`, `other` where not even `may`, and the hull of both in between."""
        other = lift(other)
        either = self.hull(other)
        low = np.where(must, self.low, np.where(may, either.low, other.low))
        return Intervals(low, np.where(must, self.high, np.where(may, either.high, other.high)))

    def larger(self, other: Any) -> Intervals:
        """max(x, y)."""
        other = lift(other)
        return Intervals(np.maximum(self.low, other.low), np.maximum(self.high, other.high))

    def smaller(self, other: Any) -> Intervals:
        """min(x, y)."""
        other = lift(other)
        return Intervals(np.minimum(self.low, other.low), np.minimum(self.high, other.high))

    def sum_rows(self, keepdims: bool) -> Intervals:
        """The sum along the first axis."""
        rows = len(self.low)
        with np.errstate(all="ignore"):
            low, high = (side.sum(axis=0, keepdims=keepdims) for side in (self.low, self.high))
            room = (rows + 4) * EPS * self.magnitude().sum(axis=0, keepdims=keepdims)
            return Intervals(down(low - room), up(high + room))

    def under(self, matrix: Any, error: Array | None = None) -> Intervals:
        """matrix @ this, along the first axis; `matrix` is known to within `error` entry by entry (None: exactly)."""
        if not self.low.size or not matrix.shape[1]:
            return Intervals.point(np.zeros((matrix.shape[0], *self.shape[1:])))
        middle, radius = (side.reshape(len(self.low), -1) for side in self.ball())
        grown = 1.0 + (matrix.shape[1] + 8) * EPS
        with np.errstate(all="ignore"):
            spread = (radius + (matrix.shape[1] + 4) * EPS * np.abs(middle)) * grown
            wide = np.asarray(abs(matrix) @ spread)
            if error is not None:
                wide = wide + error @ ((np.abs(middle) + radius) * grown)
            wide = wide * grown**2 + TINY * spread.any(axis=0)
            centre = np.asarray(matrix @ middle)
            out = Intervals(down(centre - wide), up(centre + wide))
        return out.reshape(matrix.shape[0], *self.shape[1:])

    def apply(self, name: str) -> Intervals:
        """An elementary function, by the name of its ufunc; KeyError where it is not known."""
        from dynsys.readings.interval_functions import enclosed

        return enclosed(name, self)


def lift(x: Any) -> Intervals:
    """Numbers as intervals of zero width; intervals as they are."""
    return x if isinstance(x, Intervals) else Intervals.point(x)


def _sum(a: AnyArray, b: AnyArray, side: float) -> Array:
    """a + b rounded towards `side`, exact where the sum is (Knuth's error-free transformation)."""
    total = np.asarray(a + b)
    back = total - a
    lost = (a - (total - back)) + (b - back)
    moved = np.nextafter(total, side * np.inf)
    return np.where(side * lost > 0, moved, np.where(np.isnan(lost), moved, total))
