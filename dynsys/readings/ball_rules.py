"""Arithmetic and smooth functions of enclosures: the value over the interval, and the chain rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.readings.ball_choices import extreme
from dynsys.readings.balls import Enclosed, Watch, constant
from dynsys.readings.tape import Unreadable


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
    return elementary("exp")(_multiply(constant(exponent, x), elementary("log")(x)))


def elementary(name: str) -> Callable[[Enclosed], Enclosed]:
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


def _absolute(x: Enclosed) -> Enclosed:
    return extreme(x, _negative(x), True)


def _logaddexp(x: Enclosed, y: Enclosed) -> Enclosed:
    """max + log1p(exp(-|x - y|)), so that nothing overflows; the slopes are the logistic function of x - y."""
    apart = _add(x, _negative(y))
    distance = extreme(Enclosed(apart.value, None, Watch()), Enclosed(-apart.value, None, Watch()), True).value
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
    "maximum": lambda x, y: extreme(x, y, True),
    "fmax": lambda x, y: extreme(x, y, True),
    "minimum": lambda x, y: extreme(x, y, False),
    "fmin": lambda x, y: extreme(x, y, False),
    "absolute": _absolute,
    "fabs": _absolute,
    "logaddexp": _logaddexp,
    "exp2": lambda x: elementary("exp")(_multiply(elementary("log")(constant(2.0, x)), x)),
    "log_expit": lambda x: _negative(_logaddexp(constant(0.0, x), _negative(x))),
}
