"""Activation functions, by the names the field uses. Each acts on every entry of an array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

tanh = np.tanh
"""Hyperbolic tangent, onto (-1, 1)."""

sigmoid = expit
"""Logistic function 1 / (1 + exp(-x)), onto (0, 1)."""


def relu(x: Any) -> Any:
    """Rectified linear unit, max(x, 0)."""
    return np.maximum(x, 0.0)


def identity(x: Any) -> Any:
    """The linear unit: x itself."""
    return x


def hard_tanh(x: Any) -> Any:
    """x cut off at -1 and 1."""
    return np.minimum(np.maximum(x, -1.0), 1.0)


def hard_sigmoid(x: Any) -> Any:
    """x / 6 + 1/2 cut off at 0 and 1, as PyTorch and Keras 3 have it."""
    return np.minimum(np.maximum(x / 6.0 + 0.5, 0.0), 1.0)


def hard_sigmoid_fifth(x: Any) -> Any:
    """0.2 x + 1/2 cut off at 0 and 1, as ONNX, Theano and Keras before 3 have it."""
    return np.minimum(np.maximum(0.2 * x + 0.5, 0.0), 1.0)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0.0, x)


def softsign(x: Any) -> Any:
    """x / (1 + |x|), onto (-1, 1)."""
    return x / (1.0 + np.abs(x))


def leaky_relu(x: Any) -> Any:
    """max(x, 0.01 x), the slope of PyTorch and ONNX (Keras has 0.2)."""
    return np.maximum(x, 0.01 * x)


def elu(x: Any) -> Any:
    """x above zero, exp(x) - 1 below."""
    return np.maximum(x, 0.0) + np.expm1(np.minimum(0.0, x))  # in this order its slope at zero is 1


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "identity": identity,
    "hard_tanh": hard_tanh,
    "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_fifth": hard_sigmoid_fifth,
    "softplus": softplus,
    "softsign": softsign,
    "leaky_relu": leaky_relu,
    "elu": elu,
}
"""Every activation that a cell accepts by name."""

GATES = ("sigmoid", "hard_sigmoid", "hard_sigmoid_fifth")
"""The activations from 0 to 1 that a gate may have; each has s(-x) = 1 - s(x)."""

RANGES: dict[str, tuple[float, float]] = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hard_tanh": (-1.01, 1.01),
    "hard_sigmoid": (-0.01, 1.01),
    "hard_sigmoid_fifth": (-0.01, 1.01),
}
"""An open interval that holds every value of each bounded activation: the smallest, or, where the ends are reached,
one a little wider."""


def bounds(activation: str, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """That interval for `rows` units, as columns (low, high); None for an unbounded activation."""
    if activation not in RANGES:
        return None
    low, high = RANGES[activation]
    return np.full((rows, 1), low), np.full((rows, 1), high)


def reach(activation: str) -> float:
    """The largest modulus in that interval; infinity for an unbounded activation."""
    return max(map(abs, RANGES.get(activation, (-math.inf, math.inf))))
