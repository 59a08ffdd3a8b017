"""Derivatives of one step of maps that change with time: variables that are held, layers of different width."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys.readings.linear import Linearization, Pulled
from dynsys.types import Array, Booleans


@final
class Held(Linearization):
    """Rows of the derivative where the state moves, rows of the identity where it is held."""

    def __init__(self, inner: Linearization, moving: Booleans, state: Array) -> None:
        self._inner, self._moving = inner, moving
        self._column, self._deep = moving[:, np.newaxis], moving[:, np.newaxis, np.newaxis]
        self.next_state = np.where(self._column, inner.next_state, state)

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        return np.where(self._deep, self._inner.push(state, input), 0.0 if state is None else state)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        part = self._inner.pull(np.where(self._deep, cotangent, 0.0), input=input, parameters=parameters)
        return Pulled(part.state + np.where(self._deep, 0.0, cotangent), part.input, part.parameters)

    def dense(self) -> Array:
        return np.where(self._column, self._inner.dense(), np.eye(len(self._moving)))

    def dense_input(self) -> Array:
        return np.where(self._column, self._inner.dense_input(), 0.0)


@final
class Padded(Linearization):
    """A layer from the first `width` state variables to the first `rows`; the others neither count nor are reached."""

    def __init__(self, inner: Linearization, size: int, width: int, rows: int, prefix: str) -> None:
        self._inner, self._size, self._width, self._rows, self._prefix = inner, size, width, rows, prefix
        self.next_state = self._up(inner.next_state)

    def _up(self, array: Array) -> Array:
        whole = np.zeros((self._size, *array.shape[1:]))
        whole[: len(array)] = array
        return whole

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        return self._up(self._inner.push(None if state is None else state[: self._width], input))

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        part = self._inner.pull(cotangent[: self._rows], input=input, parameters=parameters)
        own = {f"{self._prefix}{name}": gradient for name, gradient in part.parameters.items()}
        return Pulled(self._up(part.state), part.input, own)

    def dense(self) -> Array:
        inner = self._inner.dense()
        whole = np.zeros((len(inner), self._size, self._size))
        whole[:, : self._rows, : self._width] = inner
        return whole

    def dense_input(self) -> Array:
        return np.zeros((self.next_state.shape[1], self._size, 0))
