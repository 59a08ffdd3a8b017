"""Derivatives by differences: for functions that no other reading can follow, and as an independent check."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np

from dynsys.readings.linear import Linearization, Pulled
from dynsys.types import Array

STEP = 1e-3


def richardson(function: Callable[[Array], Array], at: Array, step: float = STEP) -> Array:
    """d function / d at by central differences at `step` and `step / 2`, extrapolated to fourth order.

    Args:
        function: (n, B) columns to (r, B) columns, each column on its own.
        at: (n, B), where to differentiate.
        step: in the units of `at`, times max(1, |at|).

    Returns: (B, r, n). Error of order step^4 + eps / step, about 1e-12 relative for smooth functions of size one.
    """
    n, samples = at.shape
    scale = step * np.maximum(1.0, np.abs(at))

    def central(h: Array) -> Array:
        # All n coordinate directions and both signs in one call: columns (direction, sample).
        shift = np.einsum("ij,jb->ijb", np.eye(n), h).reshape(n, n * samples)
        centre = np.tile(at, (1, n))
        difference = function(centre + shift) - function(centre - shift)
        return np.moveaxis(difference.reshape(len(difference), n, samples), 2, 0) / (2.0 * h.T[:, np.newaxis, :])

    return (4.0 * central(scale / 2.0) - central(scale)) / 3.0


@final
class DifferenceLinearization(Linearization):
    """The derivative by Richardson-extrapolated central differences, formed as dense matrices."""

    def __init__(self, step: Callable[[Array, Array], Array], state: Array, input: Array) -> None:
        input = np.broadcast_to(input, (len(input), state.shape[1]))
        self.next_state = step(state, input)
        n = len(state)

        def joint(point: Array) -> Array:
            return step(point[:n], point[n:])

        both = richardson(joint, np.concatenate([state, input]))
        self._state, self._input = both[:, :, :n], both[:, :, n:]

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        parts = [
            np.einsum("bij,jbk->ibk", j, t) for j, t in ((self._state, state), (self._input, input)) if t is not None
        ]
        return np.asarray(sum(parts))

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        return Pulled(
            np.einsum("bij,ibk->jbk", self._state, cotangent), np.einsum("bij,ibk->jbk", self._input, cotangent)
        )

    def dense(self) -> Array:
        return self._state

    def dense_input(self) -> Array:
        return self._input
