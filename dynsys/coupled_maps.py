"""Maps side by side: coupled parts, one map at every node of a graph, deep transitions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from dynsys.composed_maps import fed_back_box, matrix_bounds
from dynsys.maps import Blocks, Map, SearchBox
from dynsys.readings.coupled import OnNodes, SideBySide, Transformed, from_nodes, mixed, to_nodes
from dynsys.readings.linear import Linearization
from dynsys.readings.wiring import function_equations
from dynsys.readout import Readout
from dynsys.types import Array

Links = Mapping[tuple[int, int], Array]
"""{(i, j): C}: part i hears C h_j, (m_i, n_j), of the step before."""


@final
class Coupled(Map):
    """Parts side by side; each hears its own inputs and, through matrices, what others showed one step before."""

    def __init__(self, parts: Sequence[Map], links: Links) -> None:
        self.parts, self.links = tuple(parts), dict(links)
        self._rows, self._inputs = _slices([f.state_size for f in parts]), _slices([f.input_size for f in parts])
        self._outputs = [
            slice(rows.start + f.output.start, rows.start + f.output.stop)
            for f, rows in zip(parts, self._rows, strict=True)
        ]
        self._heard = [[(j, C) for (to, j), C in self.links.items() if to == i] for i in range(len(parts))]
        self.state_size, self.input_size = self._rows[-1].stop, self._inputs[-1].stop
        self.blocks = _renamed(parts, self._rows, "part")
        self.output, self.period = slice(0, self.state_size), math.lcm(*(f.period for f in parts))
        self.name = f"{len(parts)} coupled parts: " + ", ".join(f.name for f in parts)
        self.notes = tuple(dict.fromkeys(note for f in parts for note in f.notes))
        self.initial_state = _joined([f.initial_state for f in parts], [f.state_size for f in parts])
        self.wiring = (r"\mathbf{x}^{(i)}_t = \mathbf{u}^{(i)}_t + \sum_{j} \mathbf{C}_{i j} \mathbf{h}^{(j)}_{t-1}",)

    def at(self, t: int) -> Map:
        return self if self.period == 1 else Coupled([f.at(t) for f in self.parts], self.links)

    def _inputs_of(self, i: int, state: Array, input: Array) -> Array:
        heard = np.asarray(input[self._inputs[i]])
        for j, C in self._heard[i]:
            heard = heard + C @ state[self._outputs[j]]
        return heard

    def advance(self, state: Array, input: Array) -> Array:
        moved = [
            f.advance(state[rows], self._inputs_of(i, state, input))
            for i, (f, rows) in enumerate(zip(self.parts, self._rows, strict=True))
        ]
        return np.concatenate(moved)

    def equations_on(self, state: Any, input: Any) -> Any:
        moved = []
        for i, (f, rows) in enumerate(zip(self.parts, self._rows, strict=True)):
            heard = input[self._inputs[i]]
            for j, C in self._heard[i]:
                heard = heard + C @ state[self._outputs[j]]
            moved.append(f.equations_on(state[rows], heard))
        return np.concatenate(moved)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        parts = [
            f.linearize_columns(state[rows], self._inputs_of(i, state, input))
            for i, (f, rows) in enumerate(zip(self.parts, self._rows, strict=True))
        ]
        return SideBySide(parts, self._rows, self._inputs, self._outputs, self._heard)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        quiet = [f.box(np.zeros(f.input_size), np.zeros(f.input_size)) for f in self.parts]
        shown: list[tuple[Array, Array]] = []
        for f, box in zip(self.parts, quiet, strict=True):
            if box is None:
                return None
            shown.append((box.low[f.output], box.high[f.output]))
        boxes: list[SearchBox] = []
        for i, f in enumerate(self.parts):
            bounds = [matrix_bounds(C, *shown[j]) for j, C in self._heard[i]]
            own = self._inputs[i]
            least = low[own] + sum((b[0] for b in bounds), start=np.zeros(f.input_size))
            most = high[own] + sum((b[1] for b in bounds), start=np.zeros(f.input_size))
            box = f.box(least, most)
            # Sound only if each shows no more than it was assumed to.
            if box is None or (box.low[f.output] < shown[i][0]).any() or (box.high[f.output] > shown[i][1]).any():
                return None
            boxes.append(box)
        lows, highs = np.concatenate([b.low for b in boxes]), np.concatenate([b.high for b in boxes])
        return SearchBox(lows, highs, all(b.invariant for b in boxes), boxes[0].origin)

    @property
    def parameters(self) -> dict[str, Array]:
        return {f"part{i}.{name}": p for i, f in enumerate(self.parts) for name, p in f.parameters.items()}


@final
class OverGraph(Map):
    """One map at every node of a graph, its first inputs the weighted sum of its neighbours' messages."""

    def __init__(self, f: Map, A: Any, message: Readout | None, normalization: str, nodes: Sequence[Any]) -> None:
        self._f, self.A, self._message, self.normalization, self.nodes = f, A, message, normalization, tuple(nodes)
        self.parts, self.period, self.notes = (f,), f.period, f.notes
        width = f.output.stop - f.output.start
        self._width = width if message is None else len(message.columns(np.zeros((width, 1))))
        self._outside, count = f.input_size - self._width, A.shape[0]
        self.state_size, self.input_size = count * f.state_size, count * self._outside
        rows = _slices([f.state_size] * count)
        self.blocks = _renamed([f] * count, rows, "node")
        self.output = slice(0, self.state_size)
        self.name = f'{f.name} at each of {count} nodes, neighbours by "{normalization}"'
        own = f.initial_state
        self.initial_state = None if own is None else np.tile(own, count)
        shown = {True: r"\mathbf{h}_{j,t-1}", False: r"g(\mathbf{h}_{j,t-1})"}[message is None]
        if message is not None and message.V is not None:
            shown = r"(\mathbf{V} \mathbf{h}_{j,t-1} + \mathbf{c})"
        heard = rf"\sum_{{j}} \mathbf{{A}}_{{i j}} {shown}"
        beside = (
            rf"\left[ \begin{{matrix}} {heard} \\ \mathbf{{u}}_{{i,t}} \end{{matrix}} \right]"
            if self._outside
            else heard
        )
        code = () if message is None or message.V is not None else function_equations("g", message)
        self.wiring = (rf"\mathbf{{x}}_{{i,t}} = {beside}", _propagation(normalization), *code)

    def at(self, t: int) -> Map:
        if self.period == 1:
            return self
        return OverGraph(self._f.at(t), self.A, self._message, self.normalization, self.nodes)

    def _heard(self, own: Array, message: Array, input: Array) -> Array:
        count = self.A.shape[0]
        outside = to_nodes(np.broadcast_to(input, (len(input), own.shape[1] // count)), count)
        return np.concatenate([mixed(self.A, message), outside]) if self._outside else mixed(self.A, message)

    def advance(self, state: Array, input: Array) -> Array:
        own = to_nodes(state, self.A.shape[0])
        shown = own[self._f.output]
        message = shown if self._message is None else self._message.columns(shown)
        return from_nodes(self._f.advance(own, self._heard(own, message, input)), self.A.shape[0])

    def equations_on(self, state: Any, input: Any) -> Any:
        count, n, k = self.A.shape[0], self._f.state_size, self._outside
        own = [state[i * n : (i + 1) * n] for i in range(count)]
        shown = [h[self._f.output] for h in own]
        messages = np.concatenate(shown if self._message is None else [self._message.function(h) for h in shown])
        A = self.A.toarray() if hasattr(self.A, "toarray") else self.A
        moved = []
        for i, h in enumerate(own):
            heard = np.kron(A[i : i + 1], np.eye(self._width)) @ messages
            heard = np.concatenate([heard, input[i * k : (i + 1) * k]]) if k else heard
            moved.append(self._f.equations_on(h, heard))
        return np.concatenate(moved)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        own = to_nodes(state, self.A.shape[0])
        message = (Readout(_itself) if self._message is None else self._message).linearize(own[self._f.output])
        inner = self._f.linearize_columns(own, self._heard(own, message.next_state, input))
        return OnNodes(inner, message, self.A, self._f.output, self._outside)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        """The nodes' common box, for the widest input that any of them may hear; None for messages by a function."""
        message = self._message
        V = np.eye(self._width) if message is None else message.V
        if V is None:
            return None
        c = 0.0 if message is None or message.c is None else message.c[:, 0]
        A = abs(self.A)
        reach = np.asarray(A.sum(axis=1)).ravel()
        plus = np.asarray((A + self.A).sum(axis=1)).ravel() / 2  # the sums of the positive and of the negative entries
        least, most = (side.reshape(self.A.shape[0], self._outside).T for side in (low, high))

        def heard(below: Array, above: Array) -> tuple[Array, Array]:
            weakest, strongest = (side + c for side in matrix_bounds(V, below, above))
            lows = np.outer(weakest, plus) - np.outer(strongest, reach - plus)
            highs = np.outer(strongest, plus) - np.outer(weakest, reach - plus)
            return (
                np.concatenate([lows.min(axis=1), least.min(axis=1, initial=np.inf)]),
                np.concatenate([highs.max(axis=1), most.max(axis=1, initial=-np.inf)]),
            )

        box = fed_back_box(self._f, heard)
        if box is None:
            return None
        count = self.A.shape[0]
        return SearchBox(np.tile(box.low, count), np.tile(box.high, count), box.invariant, box.origin)

    @property
    def parameters(self) -> dict[str, Array]:
        own = {} if self._message is None else self._message.parameters
        return self._f.parameters | {f"message.{name}": p for name, p in own.items()}


@final
class Deepened(Map):
    """h' = G(F(h, I(x))): a deep network I on the way from the input, a deep network G on the way from h to h."""

    def __init__(self, f: Map, input: Readout | None, transition: Readout | None, inputs: int) -> None:
        self._f, self._input, self._transition, self.parts = f, input, transition, (f,)
        self.state_size, self.input_size, self.period = f.state_size, inputs, f.period
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        deep = [way for way, has in (("input", input), ("transition", transition)) if has is not None]
        self.name = f"{f.name}, deep {' and '.join(deep)}" if deep else f.name
        before = r"I(\mathbf{x}_t)" if input else r"\mathbf{x}_t"
        step = rf"F(\mathbf{{h}}_{{t-1}}, {before})"
        whole = rf"\mathbf{{h}}_t = G({step})" if transition else rf"\mathbf{{h}}_t = {step}"
        ways = (("I", input), ("G", transition))
        self.wiring = (whole, *(line for name, way in ways if way for line in function_equations(name, way)))

    def at(self, t: int) -> Map:
        return self if self.period == 1 else Deepened(self._f.at(t), self._input, self._transition, self.input_size)

    def advance(self, state: Array, input: Array) -> Array:
        moved = self._f.advance(state, input if self._input is None else self._input.columns(input))
        if self._transition is None:
            return moved
        moved = moved.copy()
        moved[self.output] = self._transition.columns(moved[self.output])
        return moved

    def equations_on(self, state: Any, input: Any) -> Any:
        moved = self._f.equations_on(state, input if self._input is None else self._input.function(input))
        if self._transition is None:
            return moved
        after = self._transition.function(moved[self.output])
        pieces = [moved[: self.output.start], after, moved[self.output.stop :]]
        return np.concatenate([piece for piece in pieces if piece.shape[0]])

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        whole = np.broadcast_to(input, (len(input), state.shape[1]))
        before = None if self._input is None else self._input.linearize(whole)
        inner = self._f.linearize_columns(state, input if before is None else before.next_state)
        after = None if self._transition is None else self._transition.linearize(inner.next_state[self.output])
        return Transformed(inner, before, after, self.output)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        if self._transition is not None:
            return None
        unknown = np.full(self._f.input_size, np.inf)
        if self._input is None:
            return self._f.box(low, high)
        if np.array_equal(low, high):
            heard = self._input.columns(low[:, np.newaxis])[:, 0]
            return self._f.box(heard, heard)
        return self._f.box(-unknown, unknown)

    @property
    def parameters(self) -> dict[str, Array]:
        own = dict(self._f.parameters)
        for way, part in (("input", self._input), ("transition", self._transition)):
            own |= {f"{way}.{name}": p for name, p in ({} if part is None else part.parameters).items()}
        return own


def _itself(h: Any) -> Any:
    return h


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = [0, *itertools.accumulate(sizes)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _renamed(parts: Sequence[Map], rows: Sequence[slice], what: str) -> Blocks:
    return tuple(
        (f"{what}{k}.{name}", slice(at.start + part.start, at.start + part.stop))
        for k, (f, at) in enumerate(zip(parts, rows, strict=True))
        for name, part in f.blocks
    )


def _joined(states: Sequence[Array | None], sizes: Sequence[int]) -> Array | None:
    if all(s is None for s in states):
        return None
    return np.concatenate([np.zeros(size) if s is None else s for s, size in zip(states, sizes, strict=True)])


def _propagation(normalization: str) -> str:
    """How the matrix A follows from the adjacency matrix E and the degrees D, in LaTeX."""
    loops = r"(\mathbf{E} + \mathbf{I})"
    half = r"(\mathbf{D} + \mathbf{I})^{-1/2}"
    return r"\mathbf{A} = " + {
        "sym+loops": f"{half} {loops} {half}",
        "sym": r"\mathbf{D}^{-1/2} \mathbf{E} \mathbf{D}^{-1/2}",
        "row+loops": rf"(\mathbf{{D}} + \mathbf{{I}})^{{-1}} {loops}",
    }.get(normalization, r"\mathbf{E}")
