"""Elementary functions of float64 intervals, with bounds that rest on IEEE arithmetic alone.

The exponential is computed here, because no library states a proven bound for its own: reduced to |r| <= 0.35 by
x = k log 2 + r, then a Taylor polynomial of degree 14. Its relative error is below 3 eps (reduction 0.6 eps, truncation
1e-19, Horner rounding 1.7 eps); `GUARD` allows 6. tanh and the logistic function follow from it. Everything else goes
entry by entry through ball arithmetic (python-flint).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.readings.intervals import EPS, Intervals, down, up
from dynsys.types import Array

GUARD = 6 * EPS
# log 2 in two parts; the first ends in 21 zero bits, so that k times it is exact for |k| < 2^20 (fdlibm, e_exp.c).
LOG2_HIGH, LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
FARTHEST = 700.0
COEFFICIENTS = [1.0 / math.factorial(k) for k in range(14, -1, -1)]


def exp_bounds(x: Array) -> tuple[Array, Array]:
    """Numbers below and above exp(x), for each number x."""
    inside = np.clip(x, -FARTHEST, FARTHEST)
    k = np.rint(inside / math.log(2.0))
    r = (inside - k * LOG2_HIGH) - k * LOG2_LOW
    value = np.full_like(r, COEFFICIENTS[0])
    for c in COEFFICIENTS[1:]:
        value = value * r + c
    value = np.ldexp(value, k.astype(np.int64))
    below, above = value * (1 - GUARD), value * (1 + GUARD)
    below = np.where(x < -FARTHEST, 0.0, np.where(x == 0, 1.0, below))
    above = np.where(x > FARTHEST, np.inf, np.where(x == 0, 1.0, above))
    return below, above


def logistic_bounds(x: Array) -> tuple[Array, Array]:
    """Numbers below and above 1 / (1 + exp(-x))."""
    least, most = exp_bounds(-np.abs(x))
    positive = x >= 0
    # With e = exp(-|x|): 1 / (1 + e) falls with e, e / (1 + e) grows with it.
    below = np.where(positive, down(1 / up(1 + most)), down(least / up(1 + least)))
    above = np.where(positive, up(1 / down(1 + least)), up(most / down(1 + most)))
    return np.maximum(below, 0.0), np.minimum(above, 1.0)


def tanh_bounds(x: Array) -> tuple[Array, Array]:
    """Numbers below and above tanh(x): (1 - e) / (1 + e) with e = exp(-2 |x|), and a - a^3/3 <= tanh a <= a."""
    a = np.abs(x)
    least, most = exp_bounds(-2.0 * a)
    below = down(down(1 - most) / up(1 + most))
    above = np.minimum(up(up(1 - least) / down(1 + least)), np.minimum(a, 1.0))
    small = np.minimum(a, 1.0)
    below = np.maximum(np.maximum(below, down(small - up(up(up(small * small) * small) / 3))), 0.0)
    below = np.where(a > 1, np.maximum(below, 0.75), below)
    return np.where(x >= 0, below, -above), np.where(x >= 0, above, -below)


def _rising(bounds: Callable[[Array], tuple[Array, Array]]) -> Callable[[Intervals], Intervals]:
    def enclosure(x: Intervals) -> Intervals:
        with np.errstate(all="ignore"):
            return Intervals(bounds(x.low)[0], bounds(x.high)[1])

    return enclosure


def _sqrt(x: Intervals) -> Intervals:
    # A correctly rounded operation of IEEE arithmetic; outside its domain nothing is known.
    with np.errstate(invalid="ignore"):
        low, high = down(np.sqrt(x.low)), up(np.sqrt(x.high))
    return Intervals(np.where(x.low < 0, np.nan, np.maximum(low, 0.0)), high)


OWN: dict[str, Callable[[Intervals], Intervals]] = {
    "exp": _rising(exp_bounds),
    "expit": _rising(logistic_bounds),
    "tanh": _rising(tanh_bounds),
    "sqrt": _sqrt,
}


def enclosed(name: str, x: Intervals) -> Intervals:
    """f(x) for the function of that name, from the table above or entry by entry from ball arithmetic."""
    if name in OWN:
        return OWN[name](x)
    from dynsys.readings.arb_arrays import Arbs

    balls: Any = Arbs.between(x.low, x.high).apply(name)
    return Intervals(*balls.bounds())
