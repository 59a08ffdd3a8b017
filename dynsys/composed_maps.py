"""The maps that the combinators make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, SearchBox
from dynsys.readings.composed import Chain, Feedback, Tower, WithoutInput
from dynsys.readings.linear import Linearization
from dynsys.readout import Readout
from dynsys.types import Array, Integers


@final
class Boxed(Map):
    """A map with a search box of the caller's."""

    def __init__(self, f: Map, box: SearchBox) -> None:
        self.inner, self._box = f, box
        self.state_size, self.input_size, self.blocks, self.output = f.state_size, f.input_size, f.blocks, f.output
        self.name, self.notes, self.initial_state = f.name, f.notes, f.initial_state

    def advance(self, state: Array, input: Array) -> Array:
        return self.inner.advance(state, input)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        return self.inner.linearize_columns(state, input)

    def equations_on(self, state: Any, input: Any) -> Any:
        return self.inner.equations_on(state, input)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return self._box

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        return self.inner.lost_rank(state, input)

    @property
    def parameters(self) -> dict[str, Array]:
        return self.inner.parameters


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
        return WithoutInput(self.inner.linearize_columns(state, self._input()))

    def equations_on(self, state: Any, input: Any) -> Any:
        from dynsys.readings.balls import constant

        return self.inner.equations_on(state, constant(self._input(), state))

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return self.inner.box(self.inputs.min(axis=0), self.inputs.max(axis=0))

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        return self.inner.lost_rank(state, self._input())

    @property
    def parameters(self) -> dict[str, Array]:
        return self.inner.parameters


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
        return Chain(links)

    def equations_on(self, state: Any, input: Any) -> Any:
        for f in self._steps:
            state = f.equations_on(state, input)
        return state

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
        return Feedback(self._f.linearize_columns(state, heard.next_state), heard, self._f.output)

    def equations_on(self, state: Any, input: Any) -> Any:
        return self._f.equations_on(state, self.readout.function(state[self._f.output]))

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
        return Tower(parts, self._rows, [f.output for f in self.layers])

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

    def equations_on(self, state: Any, input: Any) -> Any:
        parts = []
        for f, rows in zip(self.layers, self._rows, strict=True):
            parts.append(f.equations_on(state[rows], input))
            input = parts[-1][f.output]
        return np.concatenate(parts)

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
