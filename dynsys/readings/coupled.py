"""Derivatives of maps side by side: parts that hear each other, nodes of a graph, transformed inputs and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.readings.linear import Linearization, Pulled
from dynsys.types import Array


@final
class SideBySide(Linearization):
    """Parts with states of their own, each of which hears its inputs and, through matrices, the parts' outputs before.

    `links[i]` lists (j, C): part i hears C h_j. `outputs` are the rows of each part's output in the whole state.
    """

    def __init__(
        self,
        parts: Sequence[Linearization],
        rows: Sequence[slice],
        inputs: Sequence[slice],
        outputs: Sequence[slice],
        links: Sequence[Sequence[tuple[int, Array]]],
    ) -> None:
        self._parts, self._rows, self._inputs, self._outputs, self._links = parts, rows, inputs, outputs, links
        self.next_state = np.concatenate([p.next_state for p in parts])

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        given = state if state is not None else input
        if given is None:
            raise ValueError("push needs a state tangent or an input tangent")
        moved = []
        for part, rows, own, links in zip(self._parts, self._rows, self._inputs, self._links, strict=True):
            heard = np.zeros((own.stop - own.start, *given.shape[1:])) if input is None else input[own]
            if state is not None:
                for j, C in links:
                    heard = heard + np.tensordot(C, state[self._outputs[j]], axes=1)
            moved.append(part.push(None if state is None else state[rows], heard))
        return np.concatenate(moved)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        state = np.empty_like(cotangent)
        pulled = []
        gradients: dict[str, Array] = {}
        for i, (part, rows) in enumerate(zip(self._parts, self._rows, strict=True)):
            pulled.append(part.pull(cotangent[rows], input=True, parameters=parameters))
            state[rows] = pulled[-1].state
            gradients.update({f"part{i}.{name}": g for name, g in pulled[-1].parameters.items()})
        for back, links in zip(pulled, self._links, strict=True):
            for j, C in links:
                state[self._outputs[j]] += np.tensordot(C.T, back.input, axes=1)
        return Pulled(state, np.concatenate([back.input for back in pulled]), gradients)

    def dense(self) -> Array:
        samples, n = self.next_state.shape[1], len(self.next_state)
        whole = np.zeros((n, samples, n)).swapaxes(0, 1)
        for part, rows, links in zip(self._parts, self._rows, self._links, strict=True):
            whole[:, rows, rows] = part.dense()
            if links:
                by_input = part.dense_input()
                for j, C in links:
                    whole[:, rows, self._outputs[j]] += by_input @ C
        return whole

    def dense_input(self) -> Array:
        whole = np.zeros((self.next_state.shape[1], len(self.next_state), self._inputs[-1].stop))
        for part, rows, own in zip(self._parts, self._rows, self._inputs, strict=True):
            whole[:, rows, own] = part.dense_input()
        return whole


def to_nodes(array: Array, nodes: int) -> Array:
    """(N n, B, ...), node by node, as (n, N B, ...)."""
    shaped = array.reshape(nodes, len(array) // nodes, *array.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(shaped).reshape(shaped.shape[0], nodes * array.shape[1], *array.shape[2:])


def from_nodes(array: Array, nodes: int) -> Array:
    """(n, N B, ...) as (N n, B, ...): the reverse of `to_nodes`."""
    samples = array.shape[1] // nodes
    shaped = array.reshape(len(array), nodes, samples, *array.shape[2:]).swapaxes(0, 1)
    return np.ascontiguousarray(shaped).reshape(nodes * len(array), samples, *array.shape[2:])


def mixed(A: Any, along: Array) -> Array:
    """sum_j A_ij along_j over the nodes, for (width, N B, ...); A dense or scipy sparse."""
    nodes = A.shape[0]
    each = along.size // max(1, len(along) * nodes)
    shaped = along.reshape(len(along), nodes, each).swapaxes(0, 1)
    out = np.asarray(A @ shaped.reshape(nodes, len(along) * each)).reshape(shaped.shape)
    return np.ascontiguousarray(out.swapaxes(0, 1)).reshape(along.shape)


@final
class OnNodes(Linearization):
    """One map at every node; node i hears sum_j A_ij g(h_j), and below it `outside` inputs of its own.

    The nodes are samples of the inner derivative and of the message g: columns (n, N B), node by node.
    """

    def __init__(self, inner: Linearization, message: Linearization, A: Any, output: slice, outside: int) -> None:
        self._inner, self._message, self._A, self._output, self._outside = inner, message, A, output, outside
        self._nodes, self._width = A.shape[0], len(message.next_state)
        self.next_state = from_nodes(inner.next_state, self._nodes)

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        given = state if state is not None else input
        if given is None:
            raise ValueError("push needs a state tangent or an input tangent")
        samples = (self._nodes * given.shape[1], *given.shape[2:])
        own, message = None, np.zeros((self._width, *samples))
        if state is not None:
            own = to_nodes(state, self._nodes)
            message = mixed(self._A, self._message.push(own[self._output]))
        outside = np.zeros((self._outside, *samples)) if input is None else to_nodes(input, self._nodes)
        return from_nodes(self._inner.push(own, np.concatenate([message, outside])), self._nodes)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        part = self._inner.pull(to_nodes(cotangent, self._nodes), input=True, parameters=parameters)
        state, back = part.state.copy(), mixed(self._A.T, part.input[: self._width])
        heard = self._message.pull(back, input=False, parameters=parameters)
        state[self._output] += heard.state
        outside = part.input[self._width :]
        gradients = part.parameters | {f"message.{name}": g for name, g in heard.parameters.items()}
        given = from_nodes(outside, self._nodes) if self._outside else np.zeros((0, *cotangent.shape[1:]))
        return Pulled(from_nodes(state, self._nodes), given, gradients)

    def dense(self) -> Array:
        N, n = self._nodes, self.next_state.shape[0] // self._nodes
        samples = self.next_state.shape[1]
        own = self._inner.dense().reshape(N, samples, n, n)
        by_message = self._inner.dense_input()[:, :, : self._width].reshape(N, samples, n, self._width)
        shown = self._message.dense().reshape(N, samples, self._width, self._output.stop - self._output.start)
        whole = np.zeros((samples, N, n, N, n))
        for i in range(N):
            whole[:, i, :, i, :] = own[i]
        rows, columns, weights = _entries(self._A)
        for i, j, weight in zip(rows, columns, weights, strict=True):
            whole[:, i, :, j, self._output] += weight * (by_message[i] @ shown[j])
        return whole.reshape(samples, N * n, N * n)

    def dense_input(self) -> Array:
        N, n, k = self._nodes, self.next_state.shape[0] // self._nodes, self._outside
        samples = self.next_state.shape[1]
        by_input = self._inner.dense_input()[:, :, self._width :].reshape(N, samples, n, k)
        whole = np.zeros((samples, N, n, N, k))
        for i in range(N):
            whole[:, i, :, i, :] = by_input[i]
        return whole.reshape(samples, N * n, N * k)


def _entries(A: Any) -> tuple[Any, Any, Any]:
    """Rows, columns and values of the entries of A that are not zero."""
    if hasattr(A, "tocoo"):
        coo = A.tocoo()
        rows, columns = coo.coords
        return rows, columns, coo.data
    rows, columns = np.nonzero(A)
    return rows, columns, A[rows, columns]


@final
class Transformed(Linearization):
    """h' = G(F(h, I(x))): a step F with its input transformed before, and its output block after."""

    def __init__(self, inner: Linearization, input: Linearization | None, after: Linearization | None, output: slice):
        self._inner, self._input, self._after, self._output = inner, input, after, output
        self.next_state = self._moved(inner.next_state, None if after is None else after.next_state)

    def _moved(self, whole: Array, output: Array | None) -> Array:
        if output is None:
            return whole
        moved = whole.copy()
        moved[self._output] = output
        return moved

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        heard = input if input is None or self._input is None else self._input.push(input)
        along = self._inner.push(state, heard)
        return self._moved(along, None if self._after is None else self._after.push(along[self._output]))

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        gradients: dict[str, Array] = {}
        if self._after is not None:
            back = self._after.pull(cotangent[self._output], input=False, parameters=parameters)
            gradients |= {f"transition.{name}": g for name, g in back.parameters.items()}
            cotangent = self._moved(cotangent, back.state)
        through = self._input is not None and (input or parameters)
        part = self._inner.pull(cotangent, input=input or through, parameters=parameters)
        given = part.input
        if self._input is not None and through:
            heard = self._input.pull(part.input, input=False, parameters=parameters)
            gradients |= {f"input.{name}": g for name, g in heard.parameters.items()}
            given = heard.state
        return Pulled(part.state, given, part.parameters | gradients)

    def dense(self) -> Array:
        return self._after_of(self._inner.dense())

    def dense_input(self) -> Array:
        by_input = self._inner.dense_input()
        return self._after_of(by_input if self._input is None else by_input @ self._input.dense())

    def _after_of(self, derivative: Array) -> Array:
        if self._after is None:
            return derivative
        whole = derivative.copy()
        whole[:, self._output] = self._after.dense() @ derivative[:, self._output]
        return whole
