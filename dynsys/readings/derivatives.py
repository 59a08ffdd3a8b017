"""Local derivatives of the NumPy and SciPy functions that a cell's equations may use, entry by entry.

Each rule gets the arguments and the result and returns one derivative per argument. The forms keep their relative
accuracy where the function saturates: 1 - tanh(x)^2 is exactly 0 beyond |x| of about 19, sech(x)^2 is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Rule = Callable[..., tuple[Any, ...]]


def sech_squared(x: Any) -> Any:
    """tanh'(x), without cancellation."""
    e = _ratio(_decay(x, -2.0))
    e *= 4.0
    return e


def logistic_derivative(x: Any) -> Any:
    """sigmoid'(x) = sigmoid(x) sigmoid(-x), without cancellation and from one exponential."""
    return _ratio(_decay(x, -1.0))


def _decay(x: Any, rate: float) -> Any:
    """exp(rate |x|), in one array: large batches are bound by memory, and a fresh array costs as much as a function."""
    e = np.asarray(np.abs(x), dtype=np.float64)
    e *= rate
    return np.exp(e, out=e)


def _ratio(e: Any) -> Any:
    """e / (1 + e)^2, in the memory of `e`."""
    d = np.asarray(e + 1.0)
    np.square(d, out=d)
    return np.divide(e, d, out=e)


def _power(x: Any, p: Any, y: Any) -> tuple[Any, ...]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return p * np.power(x, p - 1), np.where(np.asarray(x) > 0, y * np.log(x), 0.0)


def _larger(x: Any, y: Any, _: Any) -> tuple[Any, ...]:
    first = np.greater(x, y).astype(np.float64)
    return first, 1.0 - first


def _smaller(x: Any, y: Any, _: Any) -> tuple[Any, ...]:
    first = np.less(x, y).astype(np.float64)
    return first, 1.0 - first


RULES: dict[str, Rule] = {
    "add": lambda x, y, r: (1.0, 1.0),
    "subtract": lambda x, y, r: (1.0, -1.0),
    "multiply": lambda x, y, r: (y, x),
    "divide": lambda x, y, r: (1.0 / y, -r / y),
    "negative": lambda x, r: (-1.0,),
    "positive": lambda x, r: (1.0,),
    "power": _power,
    "float_power": _power,
    "square": lambda x, r: (2.0 * x,),
    "sqrt": lambda x, r: (0.5 / r,),
    "cbrt": lambda x, r: (1.0 / (3.0 * np.square(r)),),
    "reciprocal": lambda x, r: (-np.square(r),),
    "absolute": lambda x, r: (np.sign(x),),
    "fabs": lambda x, r: (np.sign(x),),
    "exp": lambda x, r: (r,),
    "exp2": lambda x, r: (math.log(2.0) * r,),
    "expm1": lambda x, r: (np.exp(x),),
    "log": lambda x, r: (1.0 / x,),
    "log2": lambda x, r: (1.0 / (math.log(2.0) * x),),
    "log10": lambda x, r: (1.0 / (math.log(10.0) * x),),
    "log1p": lambda x, r: (1.0 / (1.0 + x),),
    "logaddexp": lambda x, y, r: (np.exp(x - r), np.exp(y - r)),
    "sin": lambda x, r: (np.cos(x),),
    "cos": lambda x, r: (-np.sin(x),),
    "tan": lambda x, r: (1.0 + np.square(r),),
    "arcsin": lambda x, r: (1.0 / np.sqrt(1.0 - np.square(x)),),
    "arccos": lambda x, r: (-1.0 / np.sqrt(1.0 - np.square(x)),),
    "arctan": lambda x, r: (1.0 / (1.0 + np.square(x)),),
    "arctan2": lambda y, x, r: (x / (x * x + y * y), -y / (x * x + y * y)),
    "hypot": lambda x, y, r: (x / r, y / r),
    "sinh": lambda x, r: (np.cosh(x),),
    "cosh": lambda x, r: (np.sinh(x),),
    "tanh": lambda x, r: (sech_squared(x),),
    "arcsinh": lambda x, r: (1.0 / np.sqrt(1.0 + np.square(x)),),
    "arctanh": lambda x, r: (1.0 / (1.0 - np.square(x)),),
    "maximum": _larger,
    "minimum": _smaller,
    "fmax": _larger,
    "fmin": _smaller,
    # The remainder is x minus a whole number of y: locally a shift in x, as the circle maps use it.
    "remainder": lambda x, y, r: (1.0, -np.floor_divide(x, y)),
    "fmod": lambda x, y, r: (1.0, -np.trunc(x / y)),
    "expit": lambda x, r: (logistic_derivative(x),),
    "log_expit": lambda x, r: (np.exp(-np.logaddexp(0.0, x)),),
    "erf": lambda x, r: (2.0 / math.sqrt(math.pi) * np.exp(-np.square(x)),),
}
"""By the ufunc's own name (`np.tanh.__name__`)."""

STEEP = frozenset(
    (
        "sqrt",
        "cbrt",
        "power",
        "float_power",
        "log",
        "log2",
        "log10",
        "log1p",
        "divide",
        "reciprocal",
        "arcsin",
        "arccos",
        "arctanh",
        "hypot",
        "arctan2",
        "remainder",
        "fmod",
    )
)
"""Functions whose slope is infinite, or undefined, somewhere in their domain."""

PIECEWISE_CONSTANT = frozenset(
    (
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "equal",
        "not_equal",
        "sign",
        "signbit",
        "floor",
        "ceil",
        "trunc",
        "rint",
        "isfinite",
        "isnan",
        "isinf",
    )
)
"""Functions whose derivative is zero wherever it exists: their result carries no derivative."""
