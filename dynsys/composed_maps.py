"""The maps that the combinators make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, SearchBox
from dynsys.readings.composed import Chain, Feedback, Tower, WithoutInput
from dynsys.readings.linear import Linearization
from dynsys.readings.wiring import function_equations
from dynsys.readout import Readout
from dynsys.types import Array, Integers


@final
class Boxed(Map):
    """A map with a search box of the caller's."""

    def __init__(self, f: Map, box: SearchBox) -> None:
        self.inner, self._box = f, box
        self.state_size, self.input_size, self.blocks, self.output = f.state_size, f.input_size, f.blocks, f.output
        self.name, self.notes, self.initial_state = f.name, f.notes, f.initial_state
        self.parts, self.period = (f,), f.period

    def at(self, t: int) -> Map:
        return self if self.period == 1 else Boxed(self.inner.at(t), self._box)

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
        self.parts, self.period = (f,), math.lcm(len(inputs), f.period)

    def at(self, t: int) -> Map:
        """The autonomous map of step `t`."""
        if self.period == 1:
            return self
        phase = t % len(self.inputs)
        return Driven(self.inner.at(t), self.inputs[phase : phase + 1])

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

    def __init__(self, steps: Sequence[Map], name: str, whole: Map | None = None) -> None:
        self._steps, self.parts = list(steps), (steps[0] if whole is None else whole,)
        first = self._steps[0]
        self.state_size, self.input_size, self.blocks, self.output = (
            first.state_size, first.input_size, first.blocks, first.output,
        )  # fmt: skip
        self.notes, self.initial_state, self.name = first.notes, first.initial_state, name
        many = rf"F_{{{len(steps)}}} \circ \cdots \circ F_1"
        self.wiring = (rf"\mathbf{{h}}_{{t+{len(steps)}}} = ({many})(\mathbf{{h}}_t)",) if len(steps) > 1 else ()

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
        return {name: p for f in reversed(self._steps) for name, p in f.parameters.items()}


@final
class ClosedLoop(Map):
    """A map that hears its own readout on some of its inputs, or a mixture of it and of what it is given there."""

    def __init__(self, f: Map, readout: Readout, into: Sequence[int], mixing: float) -> None:
        self._f, self.readout, self._into, self._mixing = f, readout, list(into), mixing
        self._kept = [k for k in range(f.input_size) if k not in into] if mixing == 1 else list(range(f.input_size))
        trial = readout.columns(np.zeros((f.output.stop - f.output.start, 1)))
        if trial.shape != (len(into), 1):
            fed = "inputs" if len(into) == f.input_size else "of its inputs"
            raise ShapeError(
                f"the readout gives {len(trial)} values, {f.name} takes {len(into)} {fed} there: to close the loop the "
                "two must be equal."
            )
        self.state_size, self.input_size = f.state_size, len(self._kept)
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        share = "" if mixing == 1 else f" with weight {mixing:g}, its reference with {1 - mixing:g}"
        self.name = f"{f.name}, its readout fed back{share}"
        self.parts, self.period = (f,), f.period
        shown = r"\mathbf{V} \mathbf{h}_{t-1} + \mathbf{c}" if readout.V is not None else r"g(\mathbf{h}_{t-1})"
        reference = rf"{mixing:g}\,({shown}) + {1 - mixing:g}\,\mathbf{{y}}^{{*}}_{{t-1}}"
        own = () if readout.V is not None else function_equations("g", readout)
        self.wiring = (rf"\mathbf{{x}}_t = {shown if mixing == 1 else reference}", *own)

    def at(self, t: int) -> Map:
        return self if self.period == 1 else ClosedLoop(self._f.at(t), self.readout, self._into, self._mixing)

    def _heard(self, shown: Array, input: Array) -> Array:
        """The inputs of the inner map (m, B), from what it shows (r, B) and what this one is given."""
        whole = np.zeros((self._f.input_size, shown.shape[1]))
        whole[self._kept] = input
        whole[self._into] = (1 - self._mixing) * whole[self._into] + self._mixing * shown
        return whole

    def advance(self, state: Array, input: Array) -> Array:
        return self._f.advance(state, self._heard(self.readout.columns(state[self._f.output]), input))

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        shown = self.readout.linearize(state[self._f.output])
        inner = self._f.linearize_columns(state, self._heard(shown.next_state, input))
        return Feedback(inner, shown, self._f.output, self._into, self._kept, self._mixing)

    def equations_on(self, state: Any, input: Any) -> Any:
        from dynsys.readings.balls import constant

        shown = self.readout.function(state[self._f.output])
        mixing = constant(self._mixing, state)  # so that 1 - mixing is not rounded
        rows: list[Any] = [None] * self._f.input_size
        for row, k in enumerate(self._kept):
            rows[k] = input[row : row + 1]
        for row, k in enumerate(self._into):
            own = mixing * shown[row : row + 1]
            rows[k] = own if rows[k] is None else (1 - mixing) * rows[k] + own
        return self._f.equations_on(state, np.concatenate(rows))

    def box(self, low: Array, high: Array) -> SearchBox | None:
        V, c, f = self.readout.V, self.readout.c, self._f
        least, most = np.full((len(self._into), 1), -np.inf), np.full((len(self._into), 1), np.inf)
        if V is None or c is None:
            return f.box(*(self._heard(s, u[:, np.newaxis])[:, 0] for s, u in ((least, low), (most, high))))

        def heard(below: Array, above: Array) -> tuple[Array, Array]:
            shown = matrix_bounds(V, below, above)
            return tuple(
                self._heard((side + c[:, 0])[:, np.newaxis], u[:, np.newaxis])[:, 0]
                for side, u in zip(shown, (low, high), strict=True)
            )  # type: ignore[return-value]

        return fed_back_box(f, heard)

    @property
    def parameters(self) -> dict[str, Array]:
        return self._f.parameters


def matrix_bounds(V: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds of V h, (r,), while h stays between `low` and `high`, (n,)."""
    positive = np.maximum(V, 0.0)
    negative = V - positive
    return positive @ low + negative @ high, positive @ high + negative @ low


def fed_back_box(f: Map, heard: Callable[[Array, Array], tuple[Array, Array]]) -> SearchBox | None:
    """The box of a map whose inputs lie in `heard(low, high)` while its outputs do in (low, high)."""
    quiet = f.box(np.zeros(f.input_size), np.zeros(f.input_size))
    if quiet is None:
        return None
    below, above = quiet.low[f.output], quiet.high[f.output]
    box = f.box(*heard(below, above))
    # Sound only if what it shows stays within what it was assumed to show.
    if box is None or (box.low[f.output] < below).any() or (box.high[f.output] > above).any():
        return None
    return box


@final
class Stacked(Map):
    """Layers on top of each other; the state is theirs, one after the other, from the input side."""

    def __init__(self, layers: Sequence[Map], skip: bool = False, show: str = "top", *, residual: bool = False) -> None:
        self.layers, self.skip, self.residual, self.show = list(layers), skip, residual, show
        self.parts, self.period = tuple(layers), math.lcm(*(f.period for f in layers))
        below = r"\mathbf{h}^{(l-1)}_t"
        heard = rf"\left[ \begin{{matrix}} {below} \\ \mathbf{{x}}_t \end{{matrix}} \right]" if skip else below
        heard = r"\sum_{j < l} \mathbf{h}^{(j)}_t" if residual else heard
        self.wiring = (rf"\mathbf{{x}}^{{(l)}}_t = {heard}, \quad l \ge 1",) if len(self.layers) > 1 else ()
        ends = np.cumsum([0, *(f.state_size for f in self.layers)])
        self._rows = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self.state_size, self.input_size = int(ends[-1]), self.layers[0].input_size
        self.blocks = tuple(
            (f"layer{k}.{name}", slice(rows.start + part.start, rows.start + part.stop))
            for k, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True))
            for name, part in f.blocks
        )
        top, at = self.layers[-1].output, self._rows[-1].start
        self.output = slice(at + top.start, at + top.stop) if show == "top" else slice(0, self.state_size)
        self.name = f"{len(self.layers)} layers: " + ", ".join(f.name for f in self.layers)
        self.name += ", each with the input too" if skip else ", with residual connections" if residual else ""
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

    def at(self, t: int) -> Map:
        return self if self.period == 1 else self._same([f.at(t) for f in self.layers])

    def _same(self, layers: Sequence[Map]) -> Stacked:
        """Other layers, put together in the same way."""
        return Stacked(layers, self.skip, self.show, residual=self.residual)

    def above(self, layer: int, shown: Array, heard: Array, input: Array) -> Array:
        """What the next layer hears: from the output (r, B) of this one, what it heard, and the network's input."""
        if self.residual and layer:
            return shown + heard
        if not self.skip:
            return shown
        return np.concatenate([shown, np.broadcast_to(input, (len(input), shown.shape[1]))])

    def advance(self, state: Array, input: Array) -> Array:
        parts, heard = [], input
        for layer, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True)):
            parts.append(f.advance(state[rows], heard))
            heard = self.above(layer, parts[-1][f.output], heard, input)
        return np.concatenate(parts)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        parts, heard = [], input
        for layer, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True)):
            parts.append(f.linearize_columns(state[rows], heard))
            heard = self.above(layer, parts[-1].next_state[f.output], heard, input)
        skipped = self.input_size if self.skip else 0
        return Tower(parts, self._rows, [f.output for f in self.layers], skipped, self.residual)

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        """The sum over the layers: the exponents of a stack are those of its layers together."""
        total, heard = np.zeros(state.shape[1], dtype=np.int64), input
        for layer, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True)):
            lost = f.lost_rank(state[rows], heard)
            if lost is None:
                return None
            total += lost
            heard = self.above(layer, f.advance(state[rows], heard)[f.output], heard, input)
        return total

    def equations_on(self, state: Any, input: Any) -> Any:
        parts, heard = [], input
        for layer, (f, rows) in enumerate(zip(self.layers, self._rows, strict=True)):
            parts.append(f.equations_on(state[rows], heard))
            shown = parts[-1][f.output] + (heard if self.residual and layer else 0.0)
            heard = np.concatenate([shown, input]) if self.skip and self.input_size else shown
        return np.concatenate(parts)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        boxes = []
        below, above = low, high
        for f in self.layers:
            box = f.box(below, above)
            if box is None:
                return None
            boxes.append(box)
            summed = self.residual and len(boxes) > 1
            below = box.low[f.output] + (below if summed else 0.0)
            above = box.high[f.output] + (above if summed else 0.0)
            if self.skip:
                below, above = np.concatenate([below, low]), np.concatenate([above, high])
        return SearchBox(
            np.concatenate([b.low for b in boxes]),
            np.concatenate([b.high for b in boxes]),
            all(b.invariant for b in boxes),
            boxes[0].origin,
        )
