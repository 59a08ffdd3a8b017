"""Derivatives of maps made of maps: by the chain rule from the parts' own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.readings.linear import Linearization, Pulled
from dynsys.types import Array


@final
class WithoutInput(Linearization):
    """The derivative of a map whose input is fixed."""

    def __init__(self, inner: Linearization) -> None:
        self._inner, self.next_state = inner, inner.next_state

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        return self._inner.push(state)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        inner = self._inner.pull(cotangent, input=False, parameters=parameters)
        return Pulled(inner.state, np.zeros((0, *cotangent.shape[1:])), inner.parameters)

    def pull_direct(self, cotangent: Array) -> Array | None:
        return self._inner.pull_direct(cotangent)

    def dense(self) -> Array:
        return self._inner.dense()

    def dense_input(self) -> Array:
        return np.zeros((self.next_state.shape[1], len(self.next_state), 0))


@final
class Chain(Linearization):
    """Steps one after the other: derivatives multiply, the last one leftmost."""

    def __init__(self, links: Sequence[Linearization]) -> None:
        self._links, self.next_state = links, links[-1].next_state

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        for link in self._links:
            state = link.push(state, input)
        assert state is not None
        return state

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        inputs: Any = 0.0
        gradients: dict[str, Array] = {}
        for link in reversed(self._links):
            part = link.pull(cotangent, input=input, parameters=parameters)
            cotangent, inputs = part.state, inputs + part.input
            gradients = {name: gradients.get(name, 0.0) + g for name, g in part.parameters.items()}
        return Pulled(cotangent, np.asarray(inputs), gradients)

    def dense(self) -> Array:
        product = self._links[0].dense()
        for link in self._links[1:]:
            product = link.dense() @ product
        return product

    def dense_input(self) -> Array:
        total = self._links[0].dense_input()
        for link in self._links[1:]:
            total = link.dense() @ total + link.dense_input()
        return total


@final
class Feedback(Linearization):
    """J = dF/dx + dF/du dg/dh on the output rows."""

    def __init__(self, f: Linearization, readout: Linearization, output: slice) -> None:
        self._f, self._readout, self._output, self.next_state = f, readout, output, f.next_state

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        assert state is not None
        return self._f.push(state, self._readout.push(state[self._output]))

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        part = self._f.pull(cotangent, input=True, parameters=parameters)
        state = part.state.copy()
        state[self._output] += self._readout.pull(part.input, input=False).state
        return Pulled(state, np.zeros((0, *cotangent.shape[1:])), part.parameters)

    def dense(self) -> Array:
        whole = self._f.dense().copy()
        whole[:, :, self._output] += self._f.dense_input() @ self._readout.dense()
        return whole

    def dense_input(self) -> Array:
        return np.zeros((self.next_state.shape[1], len(self.next_state), 0))


@final
class Tower(Linearization):
    """Block lower triangular: each layer sees its own state, and what the layers below have just become."""

    def __init__(self, parts: Sequence[Linearization], rows: Sequence[slice], outputs: Sequence[slice]) -> None:
        self._parts, self._rows, self._outputs = parts, rows, outputs
        self.next_state = np.concatenate([p.next_state for p in parts])

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        moved: list[Array] = []
        for part, rows, output in zip(self._parts, self._rows, self._outputs, strict=True):
            own = None if state is None else state[rows]
            if own is None and input is None:
                raise ValueError("push needs a state tangent or an input tangent")
            moved.append(part.push(own, input))
            input = moved[-1][output]
        return np.concatenate(moved)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        states: list[Array] = []
        gradients: dict[str, Array] = {}
        from_above: Array | None = None
        for layer in reversed(range(len(self._parts))):
            own = cotangent[self._rows[layer]]
            if from_above is not None:
                own = own.copy()
                own[self._outputs[layer]] += from_above
            part = self._parts[layer].pull(own, input=input or layer > 0, parameters=parameters)
            states.append(part.state)
            from_above = part.input
            gradients.update({f"layer{layer}.{name}": g for name, g in part.parameters.items()})
        assert from_above is not None
        return Pulled(np.concatenate(states[::-1]), from_above, gradients)

    def pull_direct(self, cotangent: Array) -> Array | None:
        """Layer by layer: from one layer to the next the way leads through the input weights."""
        own = [p.pull_direct(cotangent[rows]) for p, rows in zip(self._parts, self._rows, strict=True)]
        known = [part for part in own if part is not None]
        return np.concatenate(known) if len(known) == len(own) else None

    def dense(self) -> Array:
        samples, n = self.next_state.shape[1], len(self.next_state)
        whole = np.zeros((n, samples, n)).swapaxes(0, 1)  # the layout of the layers' own Jacobians
        for layer, (part, rows) in enumerate(zip(self._parts, self._rows, strict=True)):
            whole[:, rows, rows] = part.dense()
            if layer:
                below = whole[:, self._rows[layer - 1], : rows.start][:, self._outputs[layer - 1]]
                whole[:, rows, : rows.start] = part.dense_input() @ below
        return whole

    def dense_input(self) -> Array:
        parts = [self._parts[0].dense_input()]
        for part, output in zip(self._parts[1:], self._outputs, strict=False):
            parts.append(part.dense_input() @ parts[-1][:, output])
        return np.concatenate(parts, axis=1)
