"""The balls reading: a cell's unchanged `step` on whole intervals of states, with the derivative beside the value.

An `Enclosed` value goes through the equations by NumPy's override protocols. It carries an interval for every entry
and, forward in every state direction, one for every derivative; `Intervals` (float64, rounded outwards) and `Arbs`
(python-flint, any precision) are the two kinds. At a kink (max, abs, clip) the derivative is the hull of both sides,
Clarke's generalised Jacobian, for which the mean value theorem still holds; where a comparison cannot be decided over
the interval the function may jump, and the derivative is unknown: (-inf, inf).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.readings.intervals import Intervals
from dynsys.readings.tape import Unreadable
from dynsys.types import Array, Booleans

WORDS = 64 * np.finfo(np.float64).eps  # relative rounding of the entries of a named linear operator's matrix


@final
class Watch:
    """What happened on the way: whether any function was met at a kink or a jump."""

    __slots__ = ("kink",)

    def __init__(self) -> None:
        self.kink = False


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
        lifted = [stacked(list(a)) if _is_rows(a) else a for a in inputs]
        name = ufunc.__name__
        if ufunc is np.matmul:
            return product(*lifted)
        if name in COMPARISONS:
            return COMPARISONS[name](*lifted)
        if name in JUMPING:
            return _jumping(JUMPING[name], *lifted)
        rule = RULES.get(name)
        if rule is None:
            rule = _elementary(name)
        return rule(*(a if isinstance(a, Enclosed) else constant(a, self) for a in lifted))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in FUNCTIONS:
            return FUNCTIONS[func](*args, **kwargs)
        if hasattr(func, "operation"):
            return _operation(func, args, kwargs)
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
        return _divide(self.sum(axis, keepdims), constant(float(self.shape[0]), self))


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


def _times(d: Any, slope: Any) -> Any:
    """A derivative by the chain rule: one more axis, for the directions."""
    return None if slope is None else d.reshape(*d.shape, 1) * slope


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _chain(value: Any, *terms: tuple[Any, Enclosed]) -> Enclosed:
    """The value with slope sum d_i slope_i; a derivative that is not needed is not worked out."""
    slope = None
    for derivative, x in terms:
        if x.slope is not None:
            slope = _plus(slope, _times(derivative(), x.slope))
    return Enclosed(value, slope, terms[0][1].watch)


def _add(x: Enclosed, y: Enclosed) -> Enclosed:
    value = x.value + y.value
    parts = [a.slope.spread((*value.shape, a.slope.shape[-1])) for a in (x, y) if a.slope is not None]
    return Enclosed(value, _plus(parts[0], parts[1]) if len(parts) == 2 else parts[0] if parts else None, x.watch)


def _negative(x: Enclosed) -> Enclosed:
    return Enclosed(-x.value, None if x.slope is None else -x.slope, x.watch)


def _multiply(x: Enclosed, y: Enclosed) -> Enclosed:
    if x is y:
        return _square(x)
    return _chain(x.value * y.value, (lambda: y.value, x), (lambda: x.value, y))


def _divide(x: Enclosed, y: Enclosed) -> Enclosed:
    value = x.value / y.value
    return _chain(value, (lambda: 1.0 / y.value, x), (lambda: -(value / y.value), y))


def _square(x: Enclosed) -> Enclosed:
    return _chain(x.value.square(), (lambda: 2.0 * x.value, x))


def _power(x: Enclosed, p: Enclosed) -> Enclosed:
    low, high = p.value.bounds()
    if p.slope is not None or low.size != 1 or (low != high).any():
        raise Unreadable("a power whose exponent is not one plain number")
    exponent = float(low.reshape(-1)[0])
    if exponent == int(exponent) and abs(exponent) <= 64:
        whole = int(abs(exponent))
        out = constant(np.ones(x.shape), x)
        square = x
        while whole:
            out = _multiply(out, square) if whole & 1 else out
            square, whole = _square(square), whole >> 1
        return out if exponent >= 0 else _divide(constant(1.0, x), out)
    return _elementary("exp")(_multiply(constant(exponent, x), _elementary("log")(x)))


def _elementary(name: str) -> Callable[[Enclosed], Enclosed]:
    if name not in DERIVATIVES:
        raise Unreadable(f"the function {name}")

    def rule(x: Enclosed) -> Enclosed:
        value = x.value.apply(name)
        return _chain(value, (lambda: DERIVATIVES[name](x.value, value), x))

    return rule


DERIVATIVES: dict[str, Callable[[Any, Any], Any]] = {
    "tanh": lambda x, y: 1.0 - y.square(),
    # y (1 - y) with y only once, so that nothing is lost over a wide interval
    "expit": lambda x, y: 0.25 - (y - 0.5).square(),
    "exp": lambda x, y: y,
    "expm1": lambda x, y: x.apply("exp"),
    "log": lambda x, y: 1.0 / x,
    "log2": lambda x, y: 1.0 / (x * type(x).point(2.0).apply("log")),
    "log10": lambda x, y: 1.0 / (x * type(x).point(10.0).apply("log")),
    "log1p": lambda x, y: 1.0 / (1.0 + x),
    "sqrt": lambda x, y: 0.5 / y,
    "sin": lambda x, y: x.apply("cos"),
    "cos": lambda x, y: -x.apply("sin"),
    "tan": lambda x, y: 1.0 + y.square(),
    "sinh": lambda x, y: x.apply("cosh"),
    "cosh": lambda x, y: x.apply("sinh"),
    "arctan": lambda x, y: 1.0 / (1.0 + x.square()),
    "arcsin": lambda x, y: 1.0 / (1.0 - x.square()).apply("sqrt"),
    "arccos": lambda x, y: -1.0 / (1.0 - x.square()).apply("sqrt"),
    "arcsinh": lambda x, y: 1.0 / (1.0 + x.square()).apply("sqrt"),
    "arctanh": lambda x, y: 1.0 / (1.0 - x.square()),
    "erf": lambda x, y: (-x.square()).apply("exp") * 2.0 / (4.0 * type(x).point(1.0).apply("arctan")).apply("sqrt"),
}


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


def _extreme(x: Enclosed, y: Enclosed, larger: bool) -> Enclosed:
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


def _absolute(x: Enclosed) -> Enclosed:
    return _extreme(x, _negative(x), True)


def _logaddexp(x: Enclosed, y: Enclosed) -> Enclosed:
    """max + log1p(exp(-|x - y|)), so that nothing overflows; the slopes are the logistic function of x - y."""
    apart = _add(x, _negative(y))
    distance = _extreme(Enclosed(apart.value, None, Watch()), Enclosed(-apart.value, None, Watch()), True).value
    value = x.value.larger(y.value) + (-distance).apply("exp").apply("log1p")
    return _chain(value, (lambda: apart.value.apply("expit"), x), (lambda: (-apart.value).apply("expit"), y))


RULES: dict[str, Callable[..., Enclosed]] = {
    "add": _add,
    "subtract": lambda x, y: _add(x, _negative(y)),
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "positive": lambda x: x,
    "square": _square,
    "power": _power,
    "float_power": _power,
    "reciprocal": lambda x: _divide(constant(1.0, x), x),
    "maximum": lambda x, y: _extreme(x, y, True),
    "fmax": lambda x, y: _extreme(x, y, True),
    "minimum": lambda x, y: _extreme(x, y, False),
    "fmin": lambda x, y: _extreme(x, y, False),
    "absolute": _absolute,
    "fabs": _absolute,
    "logaddexp": _logaddexp,
    "exp2": lambda x: _elementary("exp")(_multiply(_elementary("log")(constant(2.0, x)), x)),
    "log_expit": lambda x: _negative(_logaddexp(constant(0.0, x), _negative(x))),
}

JUMPING: dict[str, Callable[[Array], Array]] = {
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "rint": np.rint,
}
"""Growing step functions: constant between their jumps."""


def _jumping(function: Callable[[Array], Array], x: Enclosed) -> Enclosed:
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


def stacked(pieces: Sequence[Any]) -> Enclosed:
    """Pieces one below the other: (rows, B), or (B,) for one row, or a number that fills one row."""
    like = next((p for p in pieces if isinstance(p, Enclosed)), None)
    if like is None:
        raise Unreadable("rows of plain numbers")
    parts = [p if isinstance(p, Enclosed) else constant(p, like) for p in pieces]
    width = np.broadcast_shapes(*(p.shape[-1:] for p in parts))
    shapes = [(1 if p.ndim < 2 else p.shape[0], *width) for p in parts]
    value = type(like.value).join([p.value.spread(s) for p, s in zip(parts, shapes, strict=True)])
    directions = next((p.slope.shape[-1] for p in parts if p.slope is not None), None)
    if directions is None:
        return Enclosed(value, None, like.watch)
    kind = type(like.value)
    slopes = [
        (kind.point(0.0) if p.slope is None else p.slope).spread((*s, directions))
        if p.ndim != 1 or p.slope is None
        else p.slope.reshape(1, *p.slope.shape).spread((*s, directions))
        for p, s in zip(parts, shapes, strict=True)
    ]
    return Enclosed(value, kind.join(slopes), like.watch)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, Truth):
        return choose(condition, yes, no)
    mask = np.asarray(condition).astype(bool)
    return choose(Truth(mask, mask, next(a for a in (yes, no) if isinstance(a, Enclosed))), yes, no)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if a_min is not None else min, a_max if a_max is not None else max
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _rows_at(x: Enclosed, rows: Array) -> Enclosed:
    return x[rows]


def _tile(x: Enclosed, reps: Any) -> Enclosed:
    times, *rest = np.atleast_1d(reps).tolist()
    if len(rest) != x.ndim - 1 or any(r != 1 for r in rest):
        raise Unreadable("np.tile along anything but the rows: write np.tile(b, (times, 1))")
    return _rows_at(x, np.tile(np.arange(x.shape[0]), times))


def _repeat(x: Enclosed, repeats: Any, axis: Any = None) -> Enclosed:
    if axis != 0 or np.ndim(repeats):
        raise Unreadable("np.repeat of anything but each row alike, along axis=0")
    return _rows_at(x, np.repeat(np.arange(x.shape[0]), repeats))


def _concatenate(pieces: Any, axis: int = 0) -> Enclosed:
    if axis != 0:
        raise Unreadable("np.concatenate of anything but blocks (rows, B) along axis 0")
    return stacked(list(pieces))


def _operation(func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """A named operation of the equations (`cells.operators`): linear ones through their matrix, softmax as it is."""
    if func.operation == "softmax":
        return _softmax(*args)
    # By convention the second argument is the state's, the others are parameters.
    x = args[1]
    if func.linear is None or not isinstance(x, Enclosed):
        raise Unreadable(f"the operation {func.operation} of these arguments")

    def matrix(values: Sequence[Any]) -> Array:
        linear = func.linear(*values, **kwargs)[1]
        if linear is None:
            raise Unreadable(f"the derivative of {func.operation} by one of its arguments")
        return np.asarray(linear.forward(np.eye(x.shape[0])[..., np.newaxis]))[..., 0]

    plain = [np.zeros((x.shape[0], 1)) if i == 1 else _plain(a) for i, a in enumerate(args)]
    # The entries are products and sums of the fixed arguments; those of their absolute values bound their rounding.
    sizes = [abs(a) if hasattr(a, "__abs__") else a for a in plain]
    return image(matrix(plain), x, WORDS * matrix(sizes))


def _plain(a: Any) -> Any:
    """A lifted parameter as the numbers it stands for."""
    if not isinstance(a, Enclosed):
        return a
    low, high = a.value.bounds()
    if a.slope is not None or (low != high).any():
        raise Unreadable("a linear operation whose parameters are worked out in the equations")
    return low


def _softmax(x: Enclosed) -> Any:
    """exp(x_i - c) over their sum, with a fixed shift c per column against overflow: softmax does not change by it."""
    _, high = x.value.bounds()
    grown = np.exp(x - np.where(np.isfinite(high), high, 0.0).max(axis=0, keepdims=True))
    return grown / grown.sum(axis=0, keepdims=True)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.stack: lambda pieces, axis=0: _concatenate(pieces, axis),
    np.concatenate: _concatenate,
    np.vstack: _concatenate,
    np.where: _where,
    np.clip: _clip,
    np.sum: lambda x, axis=None, keepdims=False: x.sum(axis, keepdims),
    np.mean: lambda x, axis=None, keepdims=False: x.mean(axis, keepdims),
    np.tile: _tile,
    np.repeat: _repeat,
    np.dot: lambda a, b: a @ b,
    np.zeros_like: lambda x: np.zeros(x.shape),
    np.ones_like: lambda x: np.ones(x.shape),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
}


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
