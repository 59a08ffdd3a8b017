"""Activation functions as propagation needs them: the values, the slopes, and differences that do not cancel."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

CLOSE = 1.0  # below this distance a difference of tanh is taken by the product formula
FAR = 1e30  # stands for everything larger: in comparison with it the rest is rounding, in float32 too


def activate(name: str, z: Any) -> Any:
    """s(z), entry by entry, in the type of z."""
    if name == "tanh":
        return np.tanh(z)
    if name == "sigmoid":
        return expit(z)
    return np.maximum(z, 0) if name == "relu" else z


def slope(name: str, z: Any) -> Any:
    """s'(z) entry by entry; for ReLU as booleans (0 at 0), for the identity None."""
    if name == "identity":
        return None
    if name == "relu":
        return z > 0
    return _sech(z) ** 2 if name == "tanh" else expit(z) * expit(-z)


def difference(name: str, base: Any, step: Any) -> Any:
    """s(base + step) - s(base) for ReLU and the identity, with no rounding but the last.

    Both in one unit, which may be any. Overwrites `step`.
    """
    if name == "identity":
        return step
    moved = base + step
    np.maximum(moved, 0, out=moved)
    # Above zero on both sides the difference is the step itself, however small against the base.
    return np.where(base > 0, np.where(moved > 0, step, -base), moved)


def mean_slope(name: str, base: Any, step: Any) -> Any:
    """(s(base + step) - s(base)) / step for tanh and the logistic function, accurate for every step, 0 included."""
    if name == "sigmoid":
        return 0.25 * mean_slope("tanh", 0.5 * base, 0.5 * step)
    near = np.abs(step) < CLOSE
    close = np.where(near, step, 0.0)
    small = np.where(np.abs(close) < 1e-4, 1 + close * close / 6, np.sinh(close) / np.where(close == 0, 1.0, close))
    product = small * _sech(base) * _sech(base + close)
    return np.where(near, product, (np.tanh(base + step) - np.tanh(base)) / np.where(near, 1.0, step))


def _sech(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return 2 * e / (1 + e * e)
