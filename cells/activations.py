"""Activation functions, by the names the field uses. Each acts on every entry of an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
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


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "identity": identity,
}
"""Every activation that a cell accepts by name."""

RANGES: dict[str, tuple[float, float]] = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
"""The open interval each bounded activation maps the real line onto."""
