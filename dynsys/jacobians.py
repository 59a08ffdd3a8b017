"""The Jacobians along an orbit that is known already, formed together."""

from __future__ import annotations

import numpy as np

from dynsys.maps import Map
from dynsys.types import Array

CHUNK = 1 << 22
"""Entries of Jacobians that are formed in one go."""


def jacobians_on(f: Map, orbit: Array, driving: Array) -> Array:
    """(T, B, n, n) at the states of orbits (T + 1, n, B), the last ones left out, under inputs (T, B or 1, m)."""
    steps, n, batch = len(orbit) - 1, orbit.shape[1], orbit.shape[2]
    out = np.empty((steps, batch, n, n))
    length = max(1, CHUNK // (n * n * batch)) if f.period == 1 else 1
    for begin in range(0, steps, length):
        part = slice(begin, min(begin + length, steps))
        count = part.stop - begin
        states = np.ascontiguousarray(orbit[part].swapaxes(0, 1)).reshape(n, -1)
        given = np.broadcast_to(driving[part], (count, batch, f.input_size)).reshape(count * batch, f.input_size).T
        link = f.at(begin).linearize_columns(states, np.ascontiguousarray(given))
        out[part] = link.dense().reshape(count, batch, n, n)
    return out
