"""NumPy functions (not ufuncs) and named operations that enclosures go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dynsys.readings.ball_choices import Truth, choose
from dynsys.readings.balls import Enclosed, constant, image
from dynsys.readings.tape import Unreadable
from dynsys.types import Array

WORDS = 64 * np.finfo(np.float64).eps  # relative rounding of the entries of a named linear operator's matrix


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


def operation(func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
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
