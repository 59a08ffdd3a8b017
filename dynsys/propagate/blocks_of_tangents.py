"""Several tangents, or cotangents, of a signal at once: arrays (n, k, d) through one layer's Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.propagate.layers import Layer
from dynsys.types import AnyArray, Array


def push(A: Any, layer: Layer, slopes: AnyArray | None, V: Array) -> Array:
    """J V for k tangents, (n, k, d) -> (n, k, e); `A` is H -> A H."""
    n, k, d = V.shape
    out = A(V.reshape(n, k * d)).reshape(n, k, d)
    if layer.W is not None:
        out = out @ layer.W
    if slopes is not None:
        out = out * slopes[:, np.newaxis]
    return np.asarray(out if layer.residual == 0 else out + layer.residual * V)


def pull(back: Any, layer: Layer, slopes: AnyArray | None, B: Array) -> Array:
    """J^T B for k cotangents, (n, k, e) -> (n, k, d); `back` is H -> A^T H."""
    out = B if slopes is None else B * slopes[:, np.newaxis]
    # The sparse product where there are fewer features.
    first = layer.W is not None and layer.W.shape[1] < layer.W.shape[0]
    if layer.W is not None and not first:
        out = out @ layer.W.T
    n, k, d = out.shape
    out = back(np.ascontiguousarray(out).reshape(n, k * d)).reshape(n, k, d)
    if layer.W is not None and first:
        out = out @ layer.W.T
    return np.asarray(out if layer.residual == 0 else out + layer.residual * B)
