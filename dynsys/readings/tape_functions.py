"""NumPy functions (not ufuncs) that the tape understands, by NEP 18."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dynsys.readings.tape import Traced, Unreadable, choose, stack_pieces, sum_rows, value_of


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


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.stack: _stack,
    np.concatenate: _concatenate,
    np.vstack: _vstack,
    np.where: _where,
    np.clip: _clip,
    np.sum: _sum,
    np.mean: _mean,
    np.dot: lambda a, b: a @ b,
    np.zeros_like: lambda x: np.zeros(x.shape),
    np.ones_like: lambda x: np.ones(x.shape),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
}
