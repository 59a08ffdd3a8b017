"""NumPy functions (not ufuncs) that the tape understands, by NEP 18."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dynsys.readings.tape import Operator, Tile, Traced, Unreadable, choose, stack_pieces, sum_rows, value_of


def _tape(pieces: Sequence[Any]) -> list[Traced]:
    return next(p.tape for p in pieces if isinstance(p, Traced))


def _stack(pieces: Any, axis: int = 0) -> Traced:
    pieces = list(pieces)
    if axis != 0 or any(np.ndim(value_of(p)) > 1 for p in pieces):
        raise Unreadable("np.stack of anything but rows along axis 0")
    return stack_pieces(pieces, _tape(pieces))


def _concatenate(pieces: Any, axis: int = 0) -> Traced:
    pieces = list(pieces)
    if axis != 0 or any(np.ndim(value_of(p)) != 2 for p in pieces):
        raise Unreadable("np.concatenate of anything but blocks (rows, B) along axis 0")
    return stack_pieces(pieces, _tape(pieces))


def _vstack(pieces: Any) -> Traced:
    pieces = list(pieces)
    return stack_pieces(pieces, _tape(pieces))


def _where(condition: Any, yes: Any, no: Any) -> Any:
    chosen = np.asarray(value_of(condition)).astype(bool)

    def masked(mask: Any, branch: Any) -> Any:
        if isinstance(branch, Traced):
            return choose(branch, mask)
        return np.where(mask, branch, 0.0)

    return masked(chosen, yes) + masked(~chosen, no)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if a_min is not None else min, a_max if a_max is not None else max
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _sum(x: Traced, axis: Any = None, keepdims: bool = False) -> Traced:
    return sum_rows(x, axis, keepdims, mean=False)


def _mean(x: Traced, axis: Any = None, keepdims: bool = False) -> Traced:
    return sum_rows(x, axis, keepdims, mean=True)


def _tile(x: Traced, reps: Any) -> Traced:
    times, *rest = np.atleast_1d(reps).tolist()
    if len(rest) != x.ndim - 1 or any(r != 1 for r in rest):
        raise Unreadable("np.tile along anything but the rows: write np.tile(b, (times, 1))")
    return Traced(np.tile(x.value, (times, *rest)), x.tape, ((x, Tile(times, each=False)),))


def _repeat(x: Traced, repeats: Any, axis: Any = None) -> Traced:
    if axis != 0 or np.ndim(repeats):
        raise Unreadable("np.repeat of anything but each row alike, along axis=0")
    return Traced(np.repeat(x.value, repeats, axis=0), x.tape, ((x, Tile(int(repeats), each=True)),))


def _softmax(x: Traced) -> Any:
    # The shift by the largest entry is only against overflow: softmax does not change by it.
    grown = np.exp(x - x.value.max(axis=0, keepdims=True))
    return grown / grown.sum(axis=0, keepdims=True)


def operation(func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """A named operation of the equations (`cells.operators`) on traced arguments."""
    if func.operation == "softmax":
        return _softmax(*args)
    if func.linear is None:
        raise Unreadable(f"the operation {func.operation}")
    values = tuple(value_of(a) for a in args)
    parents = []
    for a, linear in zip(args, func.linear(*values, **kwargs), strict=True):
        if isinstance(a, Traced):
            if linear is None:
                raise Unreadable(f"the derivative of {func.operation} by one of its arguments")
            parents.append((a, Operator(func.operation, linear, a.shape[0])))
    return Traced(np.asarray(func(*values, **kwargs)), _tape(args), tuple(parents))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.stack: _stack,
    np.concatenate: _concatenate,
    np.vstack: _vstack,
    np.where: _where,
    np.clip: _clip,
    np.sum: _sum,
    np.mean: _mean,
    np.tile: _tile,
    np.repeat: _repeat,
    np.dot: lambda a, b: a @ b,
    np.zeros_like: lambda x: np.zeros(x.shape),
    np.ones_like: lambda x: np.ones(x.shape),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
}
