"""Maps that change from step to step: units with clocks of their own, and the layers of a deep network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, SearchBox, require_one_step
from dynsys.readings.linear import Linearization
from dynsys.readings.timed import Held, Padded
from dynsys.readings.wiring import function_equations
from dynsys.readout import Readout
from dynsys.types import Array, Booleans, Integers


@final
class Clocked(Map):
    """State variable i of `f` moves at the steps t that its period divides, and is held in between."""

    def __init__(self, f: Map, periods: Integers) -> None:
        self._f, self.periods = f, periods
        self.state_size, self.input_size = f.state_size, f.input_size
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        self.parts, self.period = (f,), math.lcm(f.period, *(int(p) for p in set(periods.tolist())))
        kinds = sorted(set(periods.tolist()))
        self.name = f"{f.name}, clocks of {', '.join(map(str, kinds))} steps"
        self.wiring = (
            r"h_{i,t} = \begin{cases} F_i(\mathbf{h}_{t-1}, \mathbf{x}_t) & \text{if } T_i \text{ divides } t \\ "
            r"h_{i,t-1} & \text{otherwise} \end{cases}",
        )

    def at(self, t: int) -> Map:
        """The map of step `t`: some variables move, the others are held."""
        moving = t % self.periods == 0
        return self._f.at(t) if moving.all() else _Partly(self._f.at(t), np.asarray(moving), f"{self.name}, step {t}")

    def advance(self, state: Array, input: Array) -> Array:
        require_one_step(self)
        return self._f.advance(state, input)

    def equations_on(self, state: Any, input: Any) -> Any:
        require_one_step(self)
        return self._f.equations_on(state, input)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        require_one_step(self)
        return self._f.linearize_columns(state, input)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        """What bounds every step of `f` bounds what is held too, but not strictly: not every step moves inward."""
        box = self._f.box(low, high)
        return None if box is None else replace(box, invariant=box.invariant and self.period == 1)

    @property
    def parameters(self) -> dict[str, Array]:
        return self._f.parameters


@final
class _Partly(Map):
    """One step of `f` in which only some state variables move."""

    def __init__(self, f: Map, moving: Booleans, name: str) -> None:
        self._f, self._moving, self.name = f, moving, name
        self.state_size, self.input_size = f.state_size, f.input_size
        self.blocks, self.output, self.notes, self.initial_state = f.blocks, f.output, f.notes, f.initial_state
        self.parts = (f,)

    def advance(self, state: Array, input: Array) -> Array:
        return np.where(self._moving[:, np.newaxis], self._f.advance(state, input), state)

    def equations_on(self, state: Any, input: Any) -> Any:
        moved = self._f.equations_on(state, input)
        rows = [(moved if moves else state)[k : k + 1] for k, moves in enumerate(self._moving)]
        return np.concatenate(rows)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        return Held(self._f.linearize_columns(state, input), self._moving, state)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        box = self._f.box(low, high)
        return None if box is None else replace(box, invariant=False)

    @property
    def parameters(self) -> dict[str, Array]:
        return self._f.parameters


@final
class Layered(Map):
    """A feed-forward network: its layers are the steps of time, its activations the state.

    Layers of different width share the state of the widest: the rest of a narrower one's is exactly zero.
    """

    repeats = False

    def __init__(self, layers: Sequence[Map | Readout], widths: Sequence[int]) -> None:
        self.layers, self.widths = list(layers), list(widths)
        self.state_size, self.input_size = max(widths), 0
        self.blocks = (("h", slice(0, self.state_size)),)
        self.output = slice(0, widths[-1])
        self.parts, self.period = tuple(f for f in layers if isinstance(f, Map)), len(layers)
        self.name = f"{len(layers)} feed-forward layers"
        self.name += f", widths {', '.join(map(str, widths))}" if len(set(widths)) > 1 else f" of {widths[0]} units"
        equations = [function_equations("F_l", f) for f in layers if isinstance(f, Readout)]
        kinds = dict.fromkeys(line for own in equations for line in own)
        self.wiring = (rf"\mathbf{{h}}_l = F_l(\mathbf{{h}}_{{l-1}}), \quad l = 1, \ldots, {len(layers)}", *kinds)

    def at(self, t: int) -> Map:
        """Layer `t`, from 0."""
        if not 0 <= t < len(self.layers):
            raise InputError(
                f"{self.name}: there is no layer {t} (from 0). Ask for at most {len(self.layers)} steps, "
                f"lags or steps + discard."
            )
        return _Layer(self, t)

    def advance(self, state: Array, input: Array) -> Array:
        require_one_step(self)
        return self.at(0).advance(state, input)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        require_one_step(self)
        return self.at(0).linearize_columns(state, input)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return None

    @property
    def parameters(self) -> dict[str, Array]:
        return {name: p for t in range(len(self.layers)) for name, p in _Layer(self, t).parameters.items()}


@final
class _Layer(Map):
    """One layer of a feed-forward network, on the state of the widest."""

    def __init__(self, whole: Layered, t: int) -> None:
        self._layer, self._t = whole.layers[t], t
        self._in, self._out = whole.widths[t], whole.widths[t + 1]
        self.state_size, self.input_size = whole.state_size, 0
        self.blocks, self.output, self.name = whole.blocks, slice(0, self._out), f"layer {t}"

    def _padded(self, answer: Array) -> Array:
        whole = np.zeros((self.state_size, answer.shape[1]))
        whole[: self._out] = answer
        return whole

    def advance(self, state: Array, input: Array) -> Array:
        seen = state[: self._in]
        layer = self._layer
        return self._padded(layer.columns(seen) if isinstance(layer, Readout) else layer.advance(seen, input))

    def equations_on(self, state: Any, input: Any) -> Any:
        seen, layer = state[: self._in], self._layer
        out = layer.function(seen) if isinstance(layer, Readout) else layer.equations_on(seen, input)
        return np.concatenate([out, np.zeros_like(state[self._out :])]) if self._out < self.state_size else out

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        seen, layer = state[: self._in], self._layer
        inner = layer.linearize(seen) if isinstance(layer, Readout) else layer.linearize_columns(seen, input)
        prefix = f"layer{self._t}."
        return Padded(inner, self.state_size, self._in, self._out, prefix)

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        if isinstance(self._layer, Readout):
            return None
        lost = self._layer.lost_rank(state[: self._in], input)
        return None if lost is None else lost + (self.state_size - self._in)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return None

    @property
    def parameters(self) -> dict[str, Array]:
        layer = self._layer
        own = layer.parameters
        return {f"layer{self._t}.{name}": p for name, p in own.items()}


def layer_widths(layers: Sequence[Map | Readout], width: int | None = None) -> list[int]:
    """The number of units before the first layer and after each; ShapeError where two do not fit."""
    first = layers[0]
    own = first.state_size if isinstance(first, Map) else first.input_width
    if own is None and width is None:
        raise InputError("the first layer is a function, which does not say how many values it takes: pass `width=n`.")
    if width is not None and own not in (None, width):
        raise ShapeError(f"the first layer takes {own} values, not width={width}.")
    widths = [int(width or own or 0)]
    for k, layer in enumerate(layers):
        below = widths[-1]
        if isinstance(layer, Map):
            if layer.input_size:
                raise ShapeError(
                    f"layer {k}, {layer.name}, takes {layer.input_size} inputs, but a layer sees the one below "
                    "alone. Fix its input by `drive`."
                )
            if layer.state_size != below:
                raise ShapeError(f"layer {k} takes {layer.state_size} values, but the layer below it gives {below}.")
            above = layer.state_size
        else:
            try:
                above = len(layer.columns(np.zeros((below, 1))))
            except ValueError as error:
                raise ShapeError(
                    f"layer {k} does not take the {below} values of the layer below it: {error}."
                ) from None
        widths.append(above)
    return widths
