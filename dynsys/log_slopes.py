"""log |s'(a)| of the activations, to full accuracy where s' itself is too small for a floating-point number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.types import Array

LOG_SLOPES: dict[str, Callable[[Array], Any]] = {
    "tanh": lambda a: 2 * (np.log(2.0) - np.abs(a) - np.log1p(np.exp(-2 * np.abs(a)))),
    "sigmoid": lambda a: -np.abs(a) - 2 * np.log1p(np.exp(-np.abs(a))),
    "softplus": lambda a: -np.logaddexp(0.0, -a),
    "softsign": lambda a: -2 * np.log1p(np.abs(a)),
    "elu": lambda a: np.minimum(a, 0.0),
}
"""The smooth ones. The others are made of straight lines: their slopes are of ordinary size, or exactly zero."""


def log_slope(a: Array, slopes: Array, activation: str) -> Array:
    """log |s'(a)|, nats; -inf where s' is exactly zero. `slopes`: s'(a), for the activations made of straight lines."""
    if activation in LOG_SLOPES:
        return np.asarray(LOG_SLOPES[activation](a))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(slopes)))
