"""The balls reading: a cell's unchanged `step` on whole intervals of states, with the derivative beside the value.

An `Enclosed` value goes through the equations by NumPy's override protocols. It carries an interval for every entry
and, forward in every state direction, one for every derivative; `Intervals` (float64, rounded outwards) and `Arbs`
(python-flint, any precision) are the two kinds. At a kink (max, abs, clip) the derivative is the hull of both sides,
Clarke's generalised Jacobian, for which the mean value theorem still holds; where a comparison cannot be decided over
the interval the function may jump, and the derivative is unknown: (-inf, inf).

The value is here; what its operations do is in `ball_rules` (arithmetic and smooth functions), `ball_choices`
(comparisons, kinks and jumps) and `ball_functions` (NumPy functions that put rows together).
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.readings.intervals import Intervals
from dynsys.readings.tape import Unreadable
from dynsys.types import Array


@final
class Watch:
    """What happened on the way: whether any function was met at a kink or a jump."""

    __slots__ = ("kink",)

    def __init__(self) -> None:
        self.kink = False


@final
class Enclosed(NDArrayOperatorsMixin):
    """Intervals of shape (n, B), with derivatives (n, B, k) in k directions; `slope` None is zero."""

    __slots__ = ("slope", "value", "watch")

    def __init__(self, value: Any, slope: Any, watch: Watch) -> None:
        self.value, self.watch = value, watch
        if slope is not None and slope.shape[:-1] != value.shape:
            slope = slope.spread((*value.shape, slope.shape[-1]))
        self.slope = slope

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            raise Unreadable(f"np.{ufunc.__name__} with {method!r} or keyword arguments")
        from dynsys.readings.ball_choices import COMPARISONS, JUMPING, jumping
        from dynsys.readings.ball_functions import stacked
        from dynsys.readings.ball_rules import RULES, elementary

        lifted = [stacked(list(a)) if _is_rows(a) else a for a in inputs]
        name = ufunc.__name__
        if ufunc is np.matmul:
            return product(*lifted)
        if name in COMPARISONS:
            return COMPARISONS[name](*lifted)
        if name in JUMPING:
            return jumping(JUMPING[name], *lifted)
        rule = RULES.get(name)
        if rule is None:
            rule = elementary(name)
        return rule(*(a if isinstance(a, Enclosed) else constant(a, self) for a in lifted))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from dynsys.readings.ball_functions import FUNCTIONS, operation

        if func in FUNCTIONS:
            return FUNCTIONS[func](*args, **kwargs)
        if hasattr(func, "operation"):
            return operation(func, args, kwargs)
        raise Unreadable(f"np.{getattr(func, '__name__', func)}")

    def __getitem__(self, index: Any) -> Enclosed:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if any(not (isinstance(r, slice) and r == slice(None)) and r is not Ellipsis for r in rest) or first is None:
            raise Unreadable(f"indexing with {index!r}: only rows can be picked, h[rows]")
        return Enclosed(self.value[first], None if self.slope is None else self.slope[first], self.watch)

    def __iter__(self) -> Any:
        return (self[row] for row in range(self.shape[0]))

    def __bool__(self) -> bool:
        raise Unreadable("a branch (`if`) on the state: write it with np.where")

    def __float__(self) -> float:
        raise Unreadable("conversion of the state to a plain number")

    @property
    def T(self) -> Enclosed:
        if self.slope is not None or self.ndim != 2:
            raise Unreadable("a transpose of anything but a parameter matrix")
        return Enclosed(self.value.turned(), None, self.watch)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Enclosed:
        if axis not in (0, -self.ndim):
            raise Unreadable(f"a sum over axis {axis!r}: columns are samples, so only axis=0 is one state's")
        slope = None if self.slope is None else self.slope.sum_rows(keepdims)
        return Enclosed(self.value.sum_rows(keepdims), slope, self.watch)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Enclosed:
        out: Enclosed = self.sum(axis, keepdims) / float(self.shape[0])
        return out


def _is_rows(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype == object and a.ndim == 1


def constant(x: Any, like: Enclosed) -> Enclosed:
    """Plain numbers as intervals of zero width without derivative."""
    return Enclosed(type(like.value).point(x), None, like.watch)


def image(matrix: Any, x: Enclosed, error: Array | None = None) -> Enclosed:
    """matrix @ x; the matrix is known to within `error`, entry by entry."""
    slope = None if x.slope is None else x.slope.under(matrix, error)
    return Enclosed(x.value.under(matrix, error), slope, x.watch)


def product(matrix: Any, block: Any) -> Enclosed:
    """matrix @ block, where the matrix does not depend on the state; it may be a lifted parameter, or made of some."""
    if not isinstance(matrix, Enclosed):
        return image(matrix, block)
    if matrix.slope is not None:
        raise Unreadable("a matrix that depends on the state")
    block = block if isinstance(block, Enclosed) else constant(block, matrix)
    if not isinstance(matrix.value, Intervals):
        return image(matrix.value, block)
    middle, radius = matrix.value.ball()
    exact = bool((matrix.value.low == matrix.value.high).all())
    return image(matrix.value.low if exact else middle, block, None if exact else radius)


def seeded(box: Any, watch: Watch) -> Enclosed:
    """A box of states, intervals (n, B), with the identity as its derivative (n, B, n)."""
    n, samples = box.shape
    identity = type(box).point(np.broadcast_to(np.eye(n)[:, np.newaxis], (n, samples, n)))
    return Enclosed(box, identity, watch)


def lifted_fields(cell: Any, like: Enclosed) -> dict[str, Enclosed]:
    """The parameters and plain numbers of a cell as intervals: what its equations make of them is then rounded too."""
    fields = dict(cell.parameters)
    fields |= {name: value for name, value in vars(cell).items() if type(value) is float}
    return {name: constant(value, like) for name, value in fields.items()}
