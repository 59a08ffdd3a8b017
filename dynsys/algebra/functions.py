"""SymPy expressions as a NumPy function of columns, so that every analysis takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy
from scipy.special import expit

from dynsys.errors import InputError

# SymPy would write Max as numpy.amax over a stacked axis; these take columns of any kind.
NUMPY_NAMES = {
    "Max": lambda *values: _folded(np.maximum, values),
    "Min": lambda *values: _folded(np.minimum, values),
    "logistic": expit,
}


def _folded(function: Any, values: Sequence[Any]) -> Any:
    out = values[0]
    for value in values[1:]:
        out = function(out, value)
    return out


def column_function(obj: Any) -> tuple[Callable[..., Any], int, int]:
    """A function of columns, its state size and its input size.

    Args:
        obj: a sympy.Lambda whose first n arguments are the state and the rest the input, n being the length of its
            value; or a Matrix, a list, or one expression, with exactly n free symbols: the state, in alphabetic order.
    """
    arguments, formulas = _parts(obj)
    n = len(formulas)
    extra = {s for f in formulas for s in f.free_symbols} - set(arguments)
    if extra:
        names = ", ".join(sorted(s.name for s in extra))
        raise InputError(f"the formulas contain {names}, which is no argument: put numbers in with .subs first.")
    if len(arguments) < n:
        raise InputError(f"a map of {n} formulas needs at least {n} arguments, got {len(arguments)}.")
    compiled = sympy.lambdify(list(arguments), formulas, modules=[NUMPY_NAMES, "numpy"])

    def function(state: Any, *input: Any) -> list[Any]:
        values = [state[i] for i in range(n)] + [input[0][j] for j in range(len(arguments) - n)]
        return list(compiled(*values))

    function.__name__ = "SymPy formulas"
    return function, n, len(arguments) - n


def _parts(obj: Any) -> tuple[list[Any], list[Any]]:
    from dynsys.exact import SymbolicMap

    if isinstance(obj, SymbolicMap):
        inputs = [s for s in obj.input if isinstance(s, sympy.Symbol)]
        return [*obj.state, *inputs], [f.subs(obj.parameters) for f in obj.step]
    if isinstance(obj, sympy.Lambda):
        return list(_flat(obj.signature)), list(_flat(obj.expr))
    formulas = list(_flat(obj))
    symbols = sorted({s for f in formulas for s in f.free_symbols}, key=lambda s: s.name)
    if len(symbols) != len(formulas):
        raise InputError(
            f"{len(formulas)} formulas with {len(symbols)} free symbols ({', '.join(s.name for s in symbols)}) do not "
            "say which is the state: pass sympy.Lambda((x, y, ...), (...)), state first, then input."
        )
    return symbols, formulas


def _flat(values: Any) -> list[Any]:
    """The entries of a tuple, a list or a matrix, or one expression, as a flat list of SymPy objects."""
    if isinstance(values, sympy.MatrixBase):
        return list(values)
    if isinstance(values, (list, tuple, sympy.Tuple)):
        return [entry for value in values for entry in _flat(value)]
    return [sympy.sympify(values)]
