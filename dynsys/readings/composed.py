"""Derivatives of maps made of maps: by the chain rule from the parts' own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.readings.column_steps import ColumnSteps
from dynsys.readings.linear import Linearization, Pulled
from dynsys.readings.steps import Steps
from dynsys.types import Array


@final
class WithoutInput(Linearization):
    """The derivative of a map whose input is fixed."""

    def __init__(self, inner: Linearization) -> None:
        self._inner, self.next_state = inner, inner.next_state
        self.by_sample = inner.by_sample

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        return self._inner.push(state)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        inner = self._inner.pull(cotangent, input=False, parameters=parameters)
        return Pulled(inner.state, np.zeros((0, *cotangent.shape[1:])), inner.parameters)

    def pull_direct(self, cotangent: Array) -> Array | None:
        return self._inner.pull_direct(cotangent)

    def dense(self) -> Array:
        return self._inner.dense()

    def steps(self) -> Steps:
        return self._inner.steps()

    def column_steps(self) -> ColumnSteps | None:
        return self._inner.column_steps()

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
            gradients |= {name: gradients.get(name, 0.0) + g for name, g in part.parameters.items()}
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
    """J = dF/dx + a dF/du dg/dh: some inputs of F are `mixing` = a times the readout g, plus 1 - a times an input."""

    def __init__(
        self,
        f: Linearization,
        readout: Linearization,
        output: slice,
        into: Sequence[int],
        kept: Sequence[int],
        mixing: float,
    ) -> None:
        self._f, self._readout, self._output, self.next_state = f, readout, output, f.next_state
        self._into, self._kept, self._mixing = list(into), list(kept), mixing
        self._heard = len(set(into) | set(kept))

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        given = state if state is not None else input
        if given is None:
            raise ValueError("push needs a state tangent or an input tangent")
        heard = np.zeros((self._heard, *given.shape[1:]))
        if input is not None:
            heard[self._kept] = input
            heard[self._into] *= 1 - self._mixing
        if state is not None:
            heard[self._into] += self._mixing * self._readout.push(state[self._output])
        return self._f.push(state, heard)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        part = self._f.pull(cotangent, input=True, parameters=parameters)
        state = part.state.copy()
        state[self._output] += self._readout.pull(self._mixing * part.input[self._into], input=False).state
        return Pulled(state, self._given(part.input, axis=0), part.parameters)

    def dense(self) -> Array:
        whole = self._f.dense().copy()
        whole[:, :, self._output] += self._mixing * self._f.dense_input()[:, :, self._into] @ self._readout.dense()
        return whole

    def dense_input(self) -> Array:
        return self._given(self._f.dense_input(), axis=2)

    def _given(self, derivative: Array, axis: int) -> Array:
        """The derivative by the inputs that are given, from that by all inputs of F, which lie along `axis`."""
        shares = np.ones(self._heard)
        shares[self._into] = 1 - self._mixing
        shape = [1] * derivative.ndim
        shape[axis] = -1
        return np.asarray(np.take(derivative * shares.reshape(shape), self._kept, axis=axis))


@final
class Tower(Linearization):
    """Block lower triangular: each layer sees its own state, and what the layers below have just become.

    With `skipped` inputs each layer above the first hears those of the network below what the layer under it shows.
    With `residual` connections it hears the sum of what all layers under it show.
    """

    def __init__(
        self,
        parts: Sequence[Linearization],
        rows: Sequence[slice],
        outputs: Sequence[slice],
        skipped: int = 0,
        residual: bool = False,
    ) -> None:
        self._parts, self._rows, self._outputs, self._skipped = parts, rows, outputs, skipped
        self._residual = residual
        self.next_state = np.concatenate([p.next_state for p in parts])
        self._widths = [o.stop - o.start for o in outputs]

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        moved: list[Array] = []
        heard = input
        for layer, (part, rows, output) in enumerate(zip(self._parts, self._rows, self._outputs, strict=True)):
            own = None if state is None else state[rows]
            if own is None and heard is None:
                raise ValueError("push needs a state tangent or an input tangent")
            moved.append(part.push(own, heard))
            heard = moved[-1][output] + (heard if self._residual and layer and heard is not None else 0.0)
            if self._skipped and layer + 1 < len(self._parts):
                own_input = np.zeros((self._skipped, *heard.shape[1:])) if input is None else input
                heard = np.concatenate([heard, own_input])
        return np.concatenate(moved)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        states: list[Array] = []
        gradients: dict[str, Array] = {}
        from_above: Array | None = None
        direct: Any = 0.0
        for layer in reversed(range(len(self._parts))):
            own = cotangent[self._rows[layer]]
            if from_above is not None:
                own = own.copy()
                own[self._outputs[layer]] += from_above[: self._widths[layer]]
            part = self._parts[layer].pull(own, input=input or layer > 0, parameters=parameters)
            states.append(part.state)
            from_above = part.input + (from_above if self._residual and layer and from_above is not None else 0.0)
            if self._skipped and layer:
                direct = direct + from_above[self._widths[layer - 1] :]
            gradients.update({f"layer{layer}.{name}": g for name, g in part.parameters.items()})
        assert from_above is not None
        return Pulled(np.concatenate(states[::-1]), from_above + direct if input else from_above, gradients)

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
                below = self._heard([whole[:, own, : rows.start] for own in self._rows[:layer]])
                from_below = part.dense_input()[:, :, : self._widths[layer - 1]]
                whole[:, rows, : rows.start] = from_below @ below
        return whole

    def dense_input(self) -> Array:
        parts = [self._parts[0].dense_input()]
        for part, width in zip(self._parts[1:], self._widths, strict=False):
            own = part.dense_input()
            parts.append(own[:, :, :width] @ self._heard(parts))
            if self._skipped:
                parts[-1] = parts[-1] + own[:, :, width:]
        return np.concatenate(parts, axis=1)

    def _heard(self, below: list[Array]) -> Array:
        """Derivatives (B, r, k) of what the next layer hears, from those of the states (B, n_j, k) below."""
        if not self._residual:
            return below[-1][:, self._outputs[len(below) - 1]]
        return np.asarray(sum(part[:, out] for part, out in zip(below, self._outputs, strict=False)))
