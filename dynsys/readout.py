"""The readout: what a network shows of its state, y = g(V h + c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import numbers
from dynsys.readings.differences import DifferenceLinearization
from dynsys.readings.linear import Linearization, TapeLinearization
from dynsys.readings.structure import StackedRows
from dynsys.readings.tape import Unreadable
from dynsys.types import Array


@final
class Readout:
    """An affine readout V h + c, or any function of columns (n, B) -> (r, B).

    Attributes:
        V: (r, n), or None for a function. c: (r, 1), or None for a function. function: (n, B) columns to (r, B), on
            any kind of values.
    """

    def __init__(self, function: Callable[[Any], Any], V: Array | None = None, c: Array | None = None) -> None:
        self.function, self.V, self.c = function, V, c

    def columns(self, h: Array) -> Array:
        """The readout (r, B) of output columns (n, B)."""
        answer = np.asarray(self.function(h), dtype=np.float64)
        if answer.ndim != 2 or answer.shape[1] != h.shape[1]:
            raise ShapeError(f"a readout maps columns (n, B) to (r, B), this one gave {answer.shape} from {h.shape}.")
        return answer

    def __call__(self, h: Any) -> Array:
        """The readout (..., r) of outputs (..., n)."""
        h = numbers(h, "h")
        flat = self.columns(h.reshape(-1, h.shape[-1]).T)
        return np.ascontiguousarray(flat.T).reshape(*h.shape[:-1], len(flat))

    def linearize(self, h: Array) -> Linearization:
        """The readout with its derivative at output columns (n, B)."""
        try:
            return _tape(self.function, h, len(self.columns(h[:, :1])))
        except (Unreadable, TypeError, AttributeError):
            return DifferenceLinearization(lambda state, _: self.columns(state), h, np.zeros((0, 1)))


def _tape(function: Callable[[Any], Any], h: Array, rows: int) -> Linearization:
    return TapeLinearization(
        lambda _: lambda state, _input: (function(state),), h, np.zeros((0, 1)), [len(h)], {}, StackedRows(), [rows]
    )


def as_readout(readout: Any) -> Readout:
    """A Readout from a matrix V (r, n), a pair (V, c), a function of columns, or a Readout."""
    if isinstance(readout, Readout):
        return readout
    if readout is None:
        raise InputError("no readout: pass a matrix V (r, n), a pair (V, c), or a function of columns.")
    if callable(readout):
        return Readout(readout)
    V, c = readout if isinstance(readout, tuple) else (readout, None)
    V = numbers(V, "V")
    if V.ndim != 2:
        raise ShapeError(f"a readout matrix V is (r, n), got shape {V.shape}.")
    c = np.zeros((len(V), 1)) if c is None else numbers(c, "c").reshape(-1, 1)
    if len(c) != len(V):
        raise ShapeError(f"readout V has {len(V)} rows, c has {len(c)} entries.")
    return Readout(_Affine(V, c), V, c)


@final
class _Affine:
    """h -> V h + c, as an object that can be sent to another process."""

    def __init__(self, V: Array, c: Array) -> None:
        self._V, self._c = V, c

    def __call__(self, h: Any) -> Any:
        return self._V @ h + self._c
