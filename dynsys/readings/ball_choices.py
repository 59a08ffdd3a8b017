"""Enclosures where a function has a kink or a jump: comparisons that may be open, choices, extremes, steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from dynsys.readings.balls import Enclosed, constant
from dynsys.readings.intervals import Intervals
from dynsys.readings.tape import Unreadable
from dynsys.types import Array, Booleans


@final
class Truth:
    """A comparison over intervals: certainly true (`must`), possibly true (`may`); `of` is what was compared."""

    __slots__ = ("may", "must", "of")
    __array_ufunc__ = None  # NumPy leaves `array * truth` to us

    def __init__(self, must: Booleans, may: Booleans, of: Enclosed) -> None:
        self.must, self.may, self.of = must, may, of

    def __invert__(self) -> Truth:
        return Truth(~self.may, ~self.must, self.of)

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.must & other.must, self.may & other.may, _moving(self.of, other.of))

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.must | other.must, self.may | other.may, _moving(self.of, other.of))

    def __bool__(self) -> bool:
        # A branch on a parameter, or on a state whose answer is the same everywhere.
        if np.all(self.must):
            return True
        if not np.any(self.may):
            return False
        raise Unreadable("a branch (`if`) on the state: write it with np.where")

    def __mul__(self, other: Any) -> Any:
        # (h > 0) * h
        return choose(self, other, other * 0.0)

    __rmul__ = __mul__

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.where:
            return choose(*args)
        raise Unreadable(f"np.{getattr(func, '__name__', func)} of a comparison")


def _moving(*values: Any) -> Enclosed:
    """The one that depends on the state, if any does."""
    known = [a for a in values if isinstance(a, Enclosed)]
    return next((a for a in known if a.slope is not None), known[0])


def _bounds_of(a: Any) -> tuple[Array, Array]:
    if isinstance(a, Enclosed):
        low, high = a.value.bounds()
        return low, high
    return np.asarray(a, dtype=np.float64), np.asarray(a, dtype=np.float64)


def _greater(x: Any, y: Any, equal: bool) -> Truth:
    (xl, xh), (yl, yh) = _bounds_of(x), _bounds_of(y)
    of = _moving(x, y)
    if of.slope is None and (xl == xh).all() and (yl == yh).all():
        decided = xl >= yl if equal else xl > yl
        return Truth(decided, decided, of)
    # A state on the border itself is not decided: nearby the answer changes.
    return Truth(xl > yh, xh >= yl, of)


def _equal(x: Any, y: Any) -> Truth:
    (xl, xh), (yl, yh) = _bounds_of(x), _bounds_of(y)
    of = _moving(x, y)
    same = (xl == xh) & (yl == yh) & (xl == yl) & (of.slope is None)
    return Truth(same, (xl <= yh) & (yl <= xh), of)


COMPARISONS: dict[str, Callable[..., Truth]] = {
    "greater": lambda x, y: _greater(x, y, False),
    "greater_equal": lambda x, y: _greater(x, y, True),
    "less": lambda x, y: _greater(y, x, False),
    "less_equal": lambda x, y: _greater(y, x, True),
    "equal": _equal,
    "not_equal": lambda x, y: ~_equal(x, y),
}


def choose(truth: Truth, yes: Any, no: Any) -> Enclosed:
    """`yes` where the comparison holds, else `no`; where it is open the function may jump: any derivative."""
    of = truth.of
    yes, no = (a if isinstance(a, Enclosed) else constant(a, of) for a in (yes, no))
    shape = np.broadcast_shapes(truth.must.shape, yes.shape, no.shape)
    must, may = np.broadcast_to(truth.must, shape), np.broadcast_to(truth.may, shape)
    value = yes.value.spread(shape).choose(must, may, no.value.spread(shape))
    directions = next((a.slope.shape[-1] for a in (yes, no, of) if a.slope is not None), None)
    if directions is None:
        return Enclosed(value, None, of.watch)
    kind, full = type(value), (*shape, directions)
    slopes = [(kind.point(0.0) if a.slope is None else a.slope).spread(full) for a in (yes, no)]
    slope = slopes[0].choose(must[..., None], must[..., None], slopes[1])
    undecided = may & ~must
    if undecided.any():
        of.watch.kink = True
        size = np.broadcast_to(np.where(undecided[..., None], np.inf, 0.0), full)
        anything = kind.point(-size).hull(kind.point(size)) if kind is Intervals else kind.between(-size, size)
        slope = anything.choose(undecided[..., None], undecided[..., None], slope)
    return Enclosed(value, slope, of.watch)


def extreme(x: Enclosed, y: Enclosed, larger: bool) -> Enclosed:
    """max or min: where the two cannot be told apart, the derivative is the hull of both."""
    (xl, xh), (yl, yh) = x.value.bounds(), y.value.bounds()
    value = x.value.larger(y.value) if larger else x.value.smaller(y.value)
    must, may = (xl > yh, xh >= yl) if larger else (xh < yl, xl <= yh)
    if (may & ~must).any():
        x.watch.kink = True
    if x.slope is None and y.slope is None:
        return Enclosed(value, None, x.watch)
    kind = type(value)
    full = (*value.shape, (x.slope if x.slope is not None else y.slope).shape[-1])
    first, second = ((kind.point(0.0) if a.slope is None else a.slope).spread(full) for a in (x, y))
    must, may = (np.broadcast_to(m, value.shape)[..., None] for m in (must, may))
    return Enclosed(value, first.choose(must, may, second), x.watch)


JUMPING: dict[str, Callable[[Array], Array]] = {
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "rint": np.rint,
}
"""Growing step functions: constant between their jumps."""


def jumping(function: Callable[[Array], Array], x: Enclosed) -> Enclosed:
    low, high = (function(end) for end in x.value.bounds())
    kind = type(x.value)
    value = Intervals(low, high) if kind is Intervals else kind.between(low, high)
    if x.slope is None:
        return Enclosed(value, None, x.watch)
    # At an end that lies on a jump itself the function is not constant nearby, even if the two values agree.
    ends = x.value.bounds()
    on_jump = (function(np.nextafter(ends[0], -np.inf)) != function(np.nextafter(ends[1], np.inf)))[..., None]
    if on_jump.any():
        x.watch.kink = True
    size = np.broadcast_to(np.where(on_jump, np.inf, 0.0), x.slope.shape)
    return Enclosed(value, Intervals(-size, size) if kind is Intervals else kind.between(-size, size), x.watch)
