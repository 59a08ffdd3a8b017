"""Arrays of Arb balls: interval arithmetic at any precision, through the optional package python-flint.

The same operations as `Intervals`, so that every reading and proof takes either. Source: F. Johansson, Arb: efficient
arbitrary-precision midpoint-radius interval arithmetic, IEEE Trans. Computers 66 (2017) 1281-1292.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import numpy as np

from dynsys.errors import MissingPackageError
from dynsys.types import AnyArray, Array, Booleans


@functools.cache
def flint() -> Any:
    """The optional package, imported once; its absence is the line that installs it."""
    try:
        import flint as package  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise MissingPackageError("ball arithmetic needs python-flint: pip install python-flint") from None
    return package


def available() -> bool:
    """Whether python-flint can be imported."""
    try:
        flint()
    except MissingPackageError:
        return False
    return True


@contextlib.contextmanager
def precision(bits: int) -> Iterator[None]:
    """Ball arithmetic at `bits` bits inside the block; the setting is put back after it."""
    with flint().ctx.workprec(bits):
        yield


@final
class Arbs:
    """An array of Arb balls, kept as a NumPy array of objects."""

    __slots__ = ("balls",)
    __array_ufunc__ = None  # NumPy leaves `array - balls` to us

    def __init__(self, balls: Any) -> None:
        self.balls: AnyArray = np.asarray(balls, dtype=object)

    @staticmethod
    def point(x: Any) -> Arbs:
        """The numbers `x`, exactly."""
        arb = flint().arb
        return Arbs(_each(arb, np.asarray(x, dtype=np.float64)))

    @staticmethod
    def between(low: Any, high: Any) -> Arbs:
        """Balls that contain [low, high]."""
        return Arbs(_each2(_spanned, *np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))))

    @staticmethod
    def join(pieces: Sequence[Any]) -> Arbs:
        """Pieces one below the other, along the first axis."""
        return Arbs(np.concatenate([lift(p).balls for p in pieces]))

    @staticmethod
    def middles(x: Arbs) -> Arbs:
        """The centres of the balls, exactly."""
        return Arbs(_each(lambda ball: ball.mid(), x.balls))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.balls.shape

    def bounds(self) -> tuple[Array, Array]:
        """(low, high) as float64 arrays, rounded outwards."""
        flat = [_ends(b) for b in self.balls.ravel()]
        low = np.array([a for a, _ in flat], dtype=np.float64).reshape(self.shape)
        return low, np.array([b for _, b in flat], dtype=np.float64).reshape(self.shape)

    def __getitem__(self, index: Any) -> Arbs:
        return Arbs(self.balls[index])

    def reshape(self, *shape: int) -> Arbs:
        return Arbs(self.balls.reshape(*shape))

    def turned(self) -> Arbs:
        """The transpose."""
        return Arbs(self.balls.T)

    def spread(self, shape: tuple[int, ...]) -> Arbs:
        """Broadcast to a shape."""
        return Arbs(np.broadcast_to(self.balls, shape))

    def __neg__(self) -> Arbs:
        return Arbs(-self.balls)

    def __add__(self, other: Any) -> Arbs:
        return Arbs(self.balls + lift(other).balls)

    def __sub__(self, other: Any) -> Arbs:
        return Arbs(self.balls - lift(other).balls)

    def __mul__(self, other: Any) -> Arbs:
        return Arbs(self.balls * lift(other).balls)

    def __truediv__(self, other: Any) -> Arbs:
        return Arbs(self.balls / lift(other).balls)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Arbs:
        return lift(other) - self

    def __rtruediv__(self, other: Any) -> Arbs:
        return lift(other) / self

    def square(self) -> Arbs:
        """x^2 with x the same in both factors."""
        return Arbs(_each(_squared, self.balls))

    def hull(self, other: Any) -> Arbs:
        """A ball that contains both."""
        return Arbs(_each2(lambda a, b: a.union(b), *np.broadcast_arrays(self.balls, lift(other).balls)))

    def choose(self, must: Booleans, may: Booleans, other: Any) -> Arbs:
        """This where `must`, `other` where not even `may`, and the hull of both in between."""
        other = lift(other)
        either = self.hull(other).balls
        return Arbs(np.where(must, self.balls, np.where(may, either, other.balls)))

    def larger(self, other: Any) -> Arbs:
        """max(x, y)."""
        return Arbs(_each2(lambda a, b: a.max(b), *np.broadcast_arrays(self.balls, lift(other).balls)))

    def smaller(self, other: Any) -> Arbs:
        """min(x, y)."""
        return Arbs(_each2(lambda a, b: a.min(b), *np.broadcast_arrays(self.balls, lift(other).balls)))

    def sum_rows(self, keepdims: bool) -> Arbs:
        """The sum along the first axis."""
        return Arbs(np.asarray(self.balls.sum(axis=0, keepdims=keepdims), dtype=object))

    def under(self, matrix: Any, error: Array | None = None) -> Arbs:
        """matrix @ this, along the first axis; `matrix` is known to within `error` entry by entry (None: exactly)."""
        mat = flint().arb_mat
        rows, columns = matrix.shape
        if not self.balls.size or not columns:
            return Arbs.point(np.zeros((rows, *self.shape[1:])))
        if isinstance(matrix, Arbs):
            left = matrix
        else:
            dense = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
            left = Arbs.point(dense)
        if error is not None:
            left = left + Arbs.between(-error, error)
        flat = self.balls.reshape(columns, -1)
        product = mat(left.balls.tolist()) * mat(flat.tolist())
        entries = np.empty(rows * flat.shape[1], dtype=object)
        entries[:] = product.entries()
        return Arbs(entries.reshape(rows, *self.shape[1:]))

    def apply(self, name: str) -> Arbs:
        """An elementary function, by the name of its ufunc; KeyError where it is not known."""
        return Arbs(_each(_FUNCTIONS[name], self.balls))


def lift(x: Any) -> Arbs:
    """Numbers as exact balls; balls as they are."""
    return x if isinstance(x, Arbs) else Arbs.point(x)


def _each(function: Callable[[Any], Any], array: AnyArray) -> AnyArray:
    out = np.empty(array.size, dtype=object)
    out[:] = [function(x) for x in array.ravel().tolist()]
    return out.reshape(array.shape)


def _each2(function: Callable[[Any, Any], Any], first: AnyArray, second: AnyArray) -> AnyArray:
    out = np.empty(first.size, dtype=object)
    out[:] = [function(x, y) for x, y in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)]
    return out.reshape(first.shape)


def _spanned(low: float, high: float) -> Any:
    arb = flint().arb
    return arb(low) if low == high else arb(low).union(arb(high))


def _ends(ball: Any) -> tuple[float, float]:
    if not ball.is_finite():
        return -np.inf, np.inf
    # Conversion to float64 rounds to nearest: one more step outwards is safe.
    low, high = float(ball.lower()), float(ball.upper())
    if ball.is_exact() and flint().arb(low) == ball:
        return low, low
    return float(np.nextafter(low, -np.inf)), float(np.nextafter(high, np.inf))


def _squared(ball: Any) -> Any:
    wide = ball * ball
    return wide.nonnegative_part() if not wide.is_exact() else wide


def _rising(name: str) -> Callable[[Any], Any]:
    """A function that grows: over a wide ball its values lie between those at the two ends."""

    def value(ball: Any) -> Any:
        if ball.is_exact() or not ball.is_finite():
            return getattr(ball, name)()
        return getattr(ball.lower(), name)().union(getattr(ball.upper(), name)())

    return value


def _logistic(ball: Any) -> Any:
    if ball.is_exact() or not ball.is_finite():
        return 1 / (1 + (-ball).exp())
    return (1 / (1 + (-ball.lower()).exp())).union(1 / (1 + (-ball.upper()).exp()))


def _over(name: str, base: int) -> Callable[[Any], Any]:
    return lambda ball: _rising(name)(ball) / flint().arb(base).log()


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": _rising("exp"),
    "expm1": _rising("expm1"),
    "log": _rising("log"),
    "log1p": _rising("log1p"),
    "log2": _over("log", 2),
    "log10": _over("log", 10),
    "sqrt": _rising("sqrt"),
    "sin": lambda ball: ball.sin(),
    "cos": lambda ball: ball.cos(),
    "tan": lambda ball: ball.tan(),
    "arctan": _rising("atan"),
    "arcsin": _rising("asin"),
    "arccos": lambda ball: ball.acos(),
    "sinh": _rising("sinh"),
    "cosh": lambda ball: ball.cosh(),
    "tanh": _rising("tanh"),
    "arcsinh": _rising("asinh"),
    "arctanh": _rising("atanh"),
    "erf": _rising("erf"),
    "expit": _logistic,
}
