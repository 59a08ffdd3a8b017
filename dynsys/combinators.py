"""Maps built from maps. The answer is a Map too, so every analysis works on it unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import CellMap, Map, SearchBox, numbers
from dynsys.readings.linear import Linearization, Pulled
from dynsys.readout import Readout, as_readout
from dynsys.types import Array, ArrayLike, Integers


def as_map(
    obj: Any,
    state_size: int | None = None,
    input_size: int = 0,
    box: tuple[Any, Any] | None = None,
    invariant: bool = False,
) -> Map:
    """Read `obj` as a map.

    Args:
        obj: a cell, a Map (returned as it is), a PyTorch recurrent module, or a NumPy function of columns: it gets
            the state (n, B), and the input (m, B) if `input_size` is not 0, and returns the next state (n, B), or
            its rows in a list or in `np.array([...])`.
        state_size: n, needed for a function. input_size: m, for a function.
        box: (low, high), numbers or (n,) arrays: where to search for states, for a function.
        invariant: the caller's assertion that the function maps the box into its own interior.
    """
    from dynsys.function_maps import FunctionMap

    if isinstance(obj, Map):
        return obj
    if isinstance(obj, type):
        raise InputError(f"{obj.__name__} is a class; pass one of its instances, e.g. {obj.__name__}(...).")
    if all(hasattr(obj, name) for name in ("step", "state_blocks", "input_size", "parameters")):
        return CellMap(obj)
    if hasattr(obj, "state_dict") and hasattr(obj, "named_parameters"):
        from dynsys.loaders.torch_module import map_from_module

        return map_from_module(obj)
    if not callable(obj):
        raise InputError(
            f"cannot read a {type(obj).__name__} as a map: need a cell, a Map, a PyTorch recurrent module, or a "
            "function of columns. A model file is opened with dynsys.load(path)."
        )
    if state_size is None:
        raise InputError("a function does not say how many state variables it has: pass `state_size=n`.")
    return FunctionMap(obj, state_size, input_size, box, invariant)


def drive(f: Any, inputs: ArrayLike) -> Map:
    """`f` with its input fixed: an autonomous map for `inputs` (m,), one cycle of a periodic drive for (p, m).

    The latter changes from step to step, so it has no single `step`: pass it to `iterate(..., p)`.
    """
    f = as_map(f)
    array = numbers(inputs, "inputs")
    if array.ndim not in (1, 2) or array.shape[-1] != f.input_size or not array.size:
        raise ShapeError(f"{f.name} takes inputs (m,) or (p, m) with m = {f.input_size}, got {array.shape}.")
    return Driven(f, np.atleast_2d(array))


def iterate(f: Any, times: int) -> Map:
    """`f` applied `times` times. A periodic drive of period p must be iterated a multiple of p times."""
    f = as_map(f)
    if times < 1:
        raise InputError(f"`times` must be at least 1, got {times}.")
    if isinstance(f, Driven):
        period = len(f.inputs)
        if times % period:
            raise InputError(f"the drive has period {period}: iterate it {period} times, or a multiple, not {times}.")
        return Iterated([f.at(t % period) for t in range(times)], f"{f.name}, {times} steps")
    return Iterated([f] * times, f"{f.name}, {times} steps")


def close_loop(f: Any, readout: Any = None) -> Map:
    """`f` with its own readout fed back as its input: x[t+1] = F(x[t], g(x[t])).

    Args:
        readout: g: a matrix V (m, n), a pair (V, c), or a function of columns (n_out, B) -> (m, B) of the state's
            output block; None takes the readout that came with a loaded model.
    """
    f = as_map(f)
    return ClosedLoop(f, as_readout(readout if readout is not None else getattr(f, "readout", None)))


def stack(*layers: Any) -> Map:
    """A deep network: layer l reads the output (h) of layer l-1 at the same step; the state runs layer by layer."""
    if not layers:
        raise InputError("stack needs at least one layer.")
    maps = [as_map(layer) for layer in layers]
    for below, above in itertools.pairwise(maps):
        size = below.output.stop - below.output.start
        if above.input_size != size:
            raise ShapeError(f"{above.name} takes {above.input_size} inputs, but the layer below it gives {size}.")
    return Stacked(maps)


@final
class Driven(Map):
    """A map whose input is fixed: constant, or one period of a periodic drive, (p, m)."""

    def __init__(self, f: Map, inputs: Array) -> None:
        self.inner, self.inputs = f, inputs
        self.state_size, self.input_size = f.state_size, 0
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        self.name = f"{f.name} at a {'fixed' if len(inputs) == 1 else 'periodic'} input"

    def at(self, t: int) -> Map:
        """The autonomous map of step `t` of the period."""
        return Driven(self.inner, self.inputs[t : t + 1])

    def _input(self) -> Array:
        if len(self.inputs) > 1:
            raise InputError(
                f"this drive changes from step to step (period {len(self.inputs)}): analyse one whole period, "
                f"`iterate(drive(f, inputs), {len(self.inputs)})`."
            )
        return self.inputs.T

    def advance(self, state: Array, input: Array) -> Array:
        return self.inner.advance(state, self._input())

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        return _WithoutInput(self.inner.linearize_columns(state, self._input()))

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return self.inner.box(self.inputs.min(axis=0), self.inputs.max(axis=0))

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        return self.inner.lost_rank(state, self._input())

    @property
    def parameters(self) -> dict[str, Array]:
        return self.inner.parameters


@final
class _WithoutInput(Linearization):
    def __init__(self, inner: Linearization) -> None:
        self._inner, self.next_state = inner, inner.next_state

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        return self._inner.push(state)

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        inner = self._inner.pull(cotangent, input=False, parameters=parameters)
        return Pulled(inner.state, np.zeros((0, *cotangent.shape[1:])), inner.parameters)

    def dense(self) -> Array:
        return self._inner.dense()

    def dense_input(self) -> Array:
        return np.zeros((self.next_state.shape[1], len(self.next_state), 0))


@final
class Iterated(Map):
    """Maps of one state space applied one after the other, all with the same input."""

    def __init__(self, steps: Sequence[Map], name: str) -> None:
        self._steps = list(steps)
        first = self._steps[0]
        self.state_size, self.input_size, self.blocks, self.output = (
            first.state_size, first.input_size, first.blocks, first.output,
        )  # fmt: skip
        self.notes, self.initial_state, self.name = first.notes, first.initial_state, name

    def advance(self, state: Array, input: Array) -> Array:
        for f in self._steps:
            state = f.advance(state, input)
        return state

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        links = []
        for f in self._steps:
            links.append(f.linearize_columns(state, input))
            state = links[-1].next_state
        return _Chain(links)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        boxes = [f.box(low, high) for f in self._steps]
        if any(b is None for b in boxes):
            return None
        known = [b for b in boxes if b is not None]
        # The union box: each step maps its own box inside, and all of them lie in the largest.
        same = all(np.array_equal(b.low, known[0].low) and np.array_equal(b.high, known[0].high) for b in known)
        low, high = np.min([b.low for b in known], axis=0), np.max([b.high for b in known], axis=0)
        return SearchBox(low, high, same and known[0].invariant, known[0].origin)

    @property
    def parameters(self) -> dict[str, Array]:
        return self._steps[0].parameters


@final
class _Chain(Linearization):
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
class ClosedLoop(Map):
    """A map that hears its own readout."""

    def __init__(self, f: Map, readout: Readout) -> None:
        self._f, self.readout = f, readout
        trial = readout.columns(np.zeros((f.output.stop - f.output.start, 1)))
        if trial.shape != (f.input_size, 1):
            raise ShapeError(
                f"the readout gives {len(trial)} values, {f.name} takes {f.input_size} inputs: to close the loop the "
                "two must be equal."
            )
        self.state_size, self.input_size = f.state_size, 0
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        self.name = f"{f.name}, its readout fed back"

    def advance(self, state: Array, input: Array) -> Array:
        return self._f.advance(state, self.readout.columns(state[self._f.output]))

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        heard = self.readout.linearize(state[self._f.output])
        return _Feedback(self._f.linearize_columns(state, heard.next_state), heard, self._f.output)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        V, c = self.readout.V, self.readout.c
        if V is None or c is None:
            return self._f.box(np.full(self._f.input_size, -np.inf), np.full(self._f.input_size, np.inf))
        quiet = self._f.box(np.zeros(self._f.input_size), np.zeros(self._f.input_size))
        if quiet is None:
            return None
        below, above = quiet.low[self._f.output], quiet.high[self._f.output]
        positive = np.maximum(V, 0.0)
        negative = V - positive
        heard = (positive @ below + negative @ above + c[:, 0], positive @ above + negative @ below + c[:, 0])
        box = self._f.box(*heard)
        # Sound only if what it shows stays within what it was assumed to show.
        if box is None or (box.low[self._f.output] < below).any() or (box.high[self._f.output] > above).any():
            return None
        return box

    @property
    def parameters(self) -> dict[str, Array]:
        return self._f.parameters


@final
class _Feedback(Linearization):
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
class Stacked(Map):
    """Layers on top of each other; the state is theirs, one after the other, from the input side."""

    def __init__(self, layers: Sequence[Map]) -> None:
        self.layers = list(layers)
        ends = np.cumsum([0, *(f.state_size for f in self.layers)])
        self._rows = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self.state_size, self.input_size = int(ends[-1]), self.layers[0].input_size
        self.blocks = tuple(
            (f"layer{k}.{name}", slice(rows.start + part.start, rows.start + part.stop))
            for k, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True))
            for name, part in f.blocks
        )
        top, at = self.layers[-1].output, self._rows[-1].start
        self.output = slice(at + top.start, at + top.stop)
        self.name = f"{len(self.layers)} layers: " + ", ".join(f.name for f in self.layers)
        self.notes = tuple(dict.fromkeys(note for f in self.layers for note in f.notes))
        states = [f.initial_state for f in self.layers]
        if any(s is not None for s in states):
            sizes = [f.state_size for f in self.layers]
            self.initial_state = np.concatenate(
                [np.zeros(size) if s is None else s for s, size in zip(states, sizes, strict=True)]
            )

    @property
    def parameters(self) -> dict[str, Array]:
        return {f"layer{k}.{name}": p for k, f in enumerate(self.layers) for name, p in f.parameters.items()}

    def advance(self, state: Array, input: Array) -> Array:
        parts = []
        for f, rows in zip(self.layers, self._rows, strict=True):
            parts.append(f.advance(state[rows], input))
            input = parts[-1][f.output]
        return np.concatenate(parts)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        parts = []
        for f, rows in zip(self.layers, self._rows, strict=True):
            parts.append(f.linearize_columns(state[rows], input))
            input = parts[-1].next_state[f.output]
        return _Tower(parts, self._rows, [f.output for f in self.layers])

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        """The sum over the layers: the exponents of a stack are those of its layers together."""
        total = np.zeros(state.shape[1], dtype=np.int64)
        for f, rows in zip(self.layers, self._rows, strict=True):
            lost = f.lost_rank(state[rows], input)
            if lost is None:
                return None
            total += lost
            input = f.advance(state[rows], input)[f.output]
        return total

    def box(self, low: Array, high: Array) -> SearchBox | None:
        boxes = []
        for f in self.layers:
            box = f.box(low, high)
            if box is None:
                return None
            boxes.append(box)
            low, high = box.low[f.output], box.high[f.output]
        return SearchBox(
            np.concatenate([b.low for b in boxes]),
            np.concatenate([b.high for b in boxes]),
            all(b.invariant for b in boxes),
            boxes[0].origin,
        )


@final
class _Tower(Linearization):
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
