"""The readout: what a network shows of its state, y = g(V h + c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import numbers
from dynsys.readings.differences import DifferenceLinearization
from dynsys.readings.linear import Linearization, TapeLinearization, with_parameters
from dynsys.readings.structure import StackedRows
from dynsys.readings.tape import Unreadable
from dynsys.types import Array


@final
class Readout:
    """An affine readout V h + c, or any function of columns (n, B) -> (r, B), or several one after the other.

    Attributes:
        V: (r, n), or None for a function. c: (r, 1), or None for a function.
        stages: the functions, in the order in which they act.
        parameters: the arrays of functions that have any (`cells.Dense`), by name; those of stage k as "k.name" where
            there are several stages.
    """

    def __init__(self, function: Any, V: Array | None = None, c: Array | None = None) -> None:
        self.stages = tuple(function) if isinstance(function, list) else (function,)
        self.V, self.c = V, c
        one = len(self.stages) == 1
        self.parameters: dict[str, Array] = {
            name if one else f"{k}.{name}": array
            for k, stage in enumerate(self.stages)
            for name, array in (getattr(stage, "parameters", None) or {}).items()
        }
        self._cache = StackedRows(list(self.parameters.values()))

    @property
    def input_width(self) -> int | None:
        """How many values it takes, n; None for a function that does not say."""
        size = self.V.shape[1] if self.V is not None else getattr(self.stages[0], "input_size", None)
        return None if size is None else int(size)

    def _through(self, h: Any, parameters: Mapping[str, Any]) -> Any:
        one = len(self.stages) == 1
        for k, stage in enumerate(self.stages):
            prefix = "" if one else f"{k}."
            own = {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
            h = with_parameters(stage, own)(h)
        return h

    def function(self, h: Any) -> Any:
        """The readout of columns (n, B) of any kind of values."""
        return self._through(h, {})

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
            return TapeLinearization(
                lambda parameters: lambda state, _input: (self._through(state, parameters),),
                h,
                np.zeros((0, 1)),
                [len(h)],
                self.parameters,
                self._cache,
                [len(self.columns(h[:, :1]))],
            )
        except (Unreadable, TypeError, AttributeError):
            return DifferenceLinearization(lambda state, _: self.columns(state), h, np.zeros((0, 1)))


def as_readout(readout: Any) -> Readout:
    """A Readout from V (r, n), (V, c), (V, c, g), a function of columns, a list of functions, or a Readout."""
    if isinstance(readout, Readout):
        return readout
    if readout is None:
        raise InputError("no readout: pass a matrix V (r, n), a pair (V, c), or a function of columns.")
    if callable(readout) or (isinstance(readout, list) and readout and all(callable(stage) for stage in readout)):
        return Readout(readout)
    if isinstance(readout, tuple) and len(readout) == 3:
        return Readout(_Shown(as_readout(readout[:2] if readout[1] is not None else readout[0]), readout[2]))
    V, c = readout if isinstance(readout, tuple) else (readout, None)
    V = numbers(V, "V")
    if V.ndim != 2:
        raise ShapeError(f"a readout matrix V is (r, n), got shape {V.shape}.")
    c = np.zeros((len(V), 1)) if c is None else numbers(c, "c").reshape(-1, 1)
    if len(c) != len(V):
        raise ShapeError(f"readout V has {len(V)} rows, c has {len(c)} entries.")
    return Readout(_Affine(V, c), V, c)


@final
class _Shown:
    """h -> g(V h + c), with g by its name or a function of columns."""

    def __init__(self, affine: Readout, g: Any) -> None:
        if affine.V is None or affine.c is None:
            raise InputError("a readout (V, c, g) needs a matrix V (r, n), and c (r,) or None.")
        self._V, self._c, self._g = affine.V, affine.c, g if callable(g) else _output_function(g)

    def __call__(self, h: Any) -> Any:
        return self._g(self._V @ h + self._c)


def _output_function(name: Any) -> Any:
    from dynsys.loaders.recurrent import cells_package

    cells = cells_package()
    known = cells.activations.ACTIVATIONS | {"softmax": cells.softmax}
    if name not in known:
        raise InputError(f"the output function must be one of {', '.join(known)}, or a function; got {name!r}.")
    return known[name]


@final
class _Affine:
    """h -> V h + c, as an object that can be sent to another process."""

    def __init__(self, V: Array, c: Array) -> None:
        self._V, self._c = V, c

    def __call__(self, h: Any) -> Any:
        return self._V @ h + self._c
