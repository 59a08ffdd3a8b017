"""The exact reading: a cell's unchanged `step`, run on SymPy expressions.

An `Expressions` value is an array of SymPy expressions that answers NumPy's override protocols (NEP 13 and NEP 18), so
that `W @ h + b` and `tanh(...)` give the next state as formulas.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.types import AnyArray


class logistic(sympy.Function):  # type: ignore[misc]  # SymPy has no types; its functions bear the name they print
    """The logistic function 1 / (1 + exp(-x)), kept whole so that its inverse and its derivative stay simple."""

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Exact values at 0 and at infinity."""
        if x.is_zero:
            return sympy.Rational(1, 2)
        if x is sympy.oo or x is -sympy.oo:
            return sympy.Integer(1 if x is sympy.oo else 0)
        return None

    def fdiff(self, argindex: int = 1) -> Any:
        """Its derivative, s (1 - s)."""
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> Any:
        return 1 / (1 + sympy.exp(-x))

    def _eval_evalf(self, prec: int) -> Any:
        return self.rewrite(sympy.exp)._eval_evalf(prec)

    def _eval_is_real(self) -> Any:
        return self.args[0].is_real

    def _eval_is_positive(self) -> Any:
        return self.args[0].is_real

    def _latex(self, printer: Any) -> str:
        return rf"\sigma\left({printer._print(self.args[0])}\right)"


class Unexpressed(TypeError):
    """`step` does something that has no formula here."""


def exact(value: Any) -> Any:
    """A number as SymPy sees it: a float as the shortest decimal that is that float, e.g. 0.1 as 1/10."""
    if isinstance(value, sympy.Basic):
        return value
    if isinstance(value, (bool, np.bool_)):
        return sympy.true if value else sympy.false
    if isinstance(value, (int, np.integer)):
        return sympy.Integer(int(value))
    number = float(value)
    if not np.isfinite(number):
        raise Unexpressed(f"{number} is no exact number.")
    fraction = Fraction(repr(number))
    return sympy.Rational(fraction.numerator, fraction.denominator)


def expressions(array: Any) -> AnyArray:
    """Numbers or expressions of any shape as an object array of SymPy expressions."""
    given = array.array if isinstance(array, Expressions) else array
    out = np.empty(np.shape(given), dtype=object)
    flat = np.asarray(given, dtype=object).ravel()
    out[...] = np.array([exact(v) for v in flat], dtype=object).reshape(out.shape) if out.size else out
    return out


def _larger(a: Any, b: Any) -> Any:
    return sympy.Max(a, b)


def _softplus(a: Any, b: Any) -> Any:
    return sympy.log(sympy.exp(a) + sympy.exp(b))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
    "positive": lambda a: a,
    "power": operator.pow,
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / a,
    "sqrt": sympy.sqrt,
    "exp": sympy.exp,
    "expm1": lambda a: sympy.exp(a) - 1,
    "log": sympy.log,
    "log1p": lambda a: sympy.log(1 + a),
    "tanh": sympy.tanh,
    "arctanh": sympy.atanh,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "arctan": sympy.atan,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "absolute": sympy.Abs,
    "fabs": sympy.Abs,
    "sign": sympy.sign,
    "heaviside": sympy.Heaviside,
    "maximum": _larger,
    "fmax": _larger,
    "minimum": sympy.Min,
    "fmin": sympy.Min,
    "logaddexp": _softplus,
    "expit": logistic,
    "log_expit": lambda a: sympy.log(logistic(a)),
    "erf": sympy.erf,
    "greater": sympy.Gt,
    "greater_equal": sympy.Ge,
    "less": sympy.Lt,
    "less_equal": sympy.Le,
    "logical_and": sympy.And,
    "logical_or": sympy.Or,
    "logical_not": sympy.Not,
}
"""What NumPy's and SciPy's entrywise functions are called in SymPy."""


class Expressions(NDArrayOperatorsMixin):
    """An array of SymPy expressions that NumPy's functions and operators take like any other array."""

    __array_priority__ = 1000.0

    def __init__(self, array: Any) -> None:
        self.array = expressions(array)

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    T = property(lambda self: Expressions(self.array.T))

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Expressions]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Expressions:
        return Expressions(self.array[key])

    def reshape(self, *shape: Any) -> Expressions:
        """As numpy.ndarray.reshape."""
        return Expressions(self.array.reshape(*shape))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Expressions:
        """As numpy.ndarray.sum."""
        return Expressions(np.sum(self.array, axis=axis, keepdims=keepdims))

    def __bool__(self) -> bool:
        if self.size == 1 and self.array.ravel()[0] in (sympy.true, sympy.false):
            return bool(self.array.ravel()[0])
        raise Unexpressed("an `if` on a value that is a formula has no single answer; write it with np.where.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            raise Unexpressed(f"numpy.{ufunc.__name__}.{method} with {sorted(kwargs)} has no formula here.")
        arrays = [expressions(i) for i in inputs]
        if ufunc is np.matmul:
            return Expressions(_product(*arrays))
        function = FUNCTIONS.get(ufunc.__name__)
        if function is None:
            raise Unexpressed(f"the function {ufunc.__name__} has no formula here.")
        return Expressions(np.frompyfunc(function, len(arrays), 1)(*arrays))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if getattr(function, "operation", None):
            return _operation(function, args, kwargs)
        name = function.__name__
        if name not in SHAPING:
            raise Unexpressed(f"numpy.{name} has no formula here.")
        if name == "where":
            return Expressions(np.frompyfunc(_either, 3, 1)(*(expressions(a) for a in args)))
        plain = [_plain(a) for a in args]
        out = function(*plain, **{k: _plain(v) for k, v in kwargs.items()})
        return [Expressions(o) for o in out] if isinstance(out, list) else Expressions(out)


SHAPING = {
    *("where", "concatenate", "vstack", "hstack", "stack", "split", "array_split", "reshape", "ravel", "transpose"),
    *("sum", "mean", "prod", "tile", "repeat", "roll", "broadcast_to", "squeeze", "expand_dims", "zeros_like"),
    *("ones_like", "flip", "atleast_2d", "einsum", "tensordot", "dot", "cumsum", "clip"),
}
"""NumPy functions that treat entries as they are: NumPy's own version runs on the array of expressions."""


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    if isinstance(value, Expressions):
        return value.array
    return expressions(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _product(a: AnyArray, b: AnyArray) -> AnyArray:
    """a @ b, also where the sum is empty."""
    if a.shape[-1] == 0:
        return expressions(np.zeros((*a.shape[:-1], *b.shape[1:])))
    return np.asarray(a @ b, dtype=object)


def _either(condition: Any, yes: Any, no: Any) -> Any:
    if condition in (sympy.true, sympy.false):
        return yes if condition == sympy.true else no
    return sympy.Piecewise((yes, condition), (no, True))


def _operation(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expressions:
    """An operation of the cells: its own NumPy code, which takes any entries; softmax without its guard of overflow."""
    if function.operation == "softmax":
        grown = np.frompyfunc(sympy.exp, 1, 1)(expressions(args[0]))
        return Expressions(grown / np.sum(grown, axis=0, keepdims=True))
    plain = (a.toarray() if hasattr(a, "toarray") else a for a in args)
    arrays = [a if a is None else expressions(a) for a in plain]
    return Expressions(function.__wrapped__(*arrays, **kwargs))
