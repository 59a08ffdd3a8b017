"""Maps: what every analysis takes. A discrete-time system x[t+1] = F(x[t], u[t]) with its derivative.

Public arrays are time first and state last, (..., n). Inside, states are columns (n, B), one sample per column.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.read_only import read_only
from dynsys.readings.linear import Linearization, TapeLinearization, with_parameters
from dynsys.readings.structure import StackedRows
from dynsys.types import Array, ArrayLike, Integers

Blocks = tuple[tuple[str, slice], ...]


@final
@read_only
@dataclass(frozen=True, eq=False)
class SearchBox:
    """Where to look for states. `low`, `high`: (n,), model units.

    `invariant` means that the map carries the closed box strictly into its interior, which the index test needs.
    `origin` says in words where the box comes from. `given`: by the caller, who is taken at their word.
    """

    low: Array
    high: Array
    invariant: bool
    origin: str
    given: bool = False


class Map(ABC):
    """A discrete-time system. Pure: the same state and input give the same next state.

    Attributes:
        state_size: n. input_size: m.
        blocks: name and slice of each part of the state, e.g. ("layer0.h", slice(0, 48)).
        output: the slice of the state that a readout, or the next layer of a stack, sees.
        name: in words, for reports.
        notes: what a user should know about how this map is read, e.g. derivatives by differences.
        initial_state: (n,), the model's own initial state, or None for zeros.
        period: steps after which the map repeats itself; 1 for a map that is the same at every step. Where `repeats`
            is False, as for the layers of a deep network, it ends there instead.
        parts: the maps that this one is made of. wiring: how, as LaTeX equations.
    """

    state_size: int
    input_size: int
    blocks: Blocks
    output: slice
    name: str
    notes: tuple[str, ...] = ()
    initial_state: Array | None = None
    period: int = 1
    repeats: bool = True
    parts: tuple[Map, ...] = ()
    wiring: tuple[str, ...] = ()

    def at(self, t: int) -> Map:
        """The map of step t: this one, unless it changes with time."""
        return self

    @abstractmethod
    def advance(self, state: Array, input: Array) -> Array:
        """Next states (n, B) from states (n, B) and inputs (m, B) or (m, 1)."""

    @abstractmethod
    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        """The step and its derivative at states (n, B) and inputs (m, B) or (m, 1)."""

    @abstractmethod
    def box(self, low: Array, high: Array) -> SearchBox | None:
        """The reachable box while the input stays within `low` and `high`, each (m,); None where nothing bounds it."""

    def equations_on(self, state: Any, input: Any) -> Any:
        """The next states from states and inputs of another kind than numbers, e.g. intervals (`readings.balls`)."""
        raise NotImplementedError(f"the equations of {self.name} cannot be run on anything but numbers")

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        """(B,) dimensions that one step from columns (n, B) destroys exactly; None where the equations do not tell."""
        return None

    @property
    def parameters(self) -> dict[str, Array]:
        """The map's parameters by name, biases as columns; empty where they are not known."""
        return {}

    def step(self, state: ArrayLike, input: ArrayLike | None = None) -> Array:
        """The next state, (..., n), from `state` (..., n) and `input` (m,) or (..., m); None is the zero input."""
        columns, inputs, lead = self._columns(state, input)
        return _public(self.advance(columns, inputs), lead)

    def linearize(self, state: ArrayLike, input: ArrayLike | None = None) -> Linearization:
        """The step with its derivative, for several uses at one place. Works on columns (n, B)."""
        columns, inputs, _ = self._columns(state, input)
        return self.linearize_columns(columns, inputs)

    def jacobian(self, state: ArrayLike, input: ArrayLike | None = None) -> Array:
        """d next state / d state, (..., n, n), row i = output i, model units; may be a strided view."""
        columns, inputs, lead = self._columns(state, input)
        return _leading(self.linearize_columns(columns, inputs).dense(), lead)

    def input_jacobian(self, state: ArrayLike, input: ArrayLike | None = None) -> Array:
        """d next state / d input, (..., n, m)."""
        columns, inputs, lead = self._columns(state, input)
        return _leading(self.linearize_columns(columns, inputs).dense_input(), lead)

    def jvp(
        self,
        state: ArrayLike,
        tangent: ArrayLike,
        input: ArrayLike | None = None,
        *,
        input_tangent: ArrayLike | None = None,
    ) -> Array:
        """Jacobian times `tangent` (..., n), plus input Jacobian times `input_tangent` (..., m) if given: (..., n)."""
        columns, inputs, lead = self._columns(state, input)
        along = self._direction(tangent, lead, self.state_size, "tangent")
        into = None
        if input_tangent is not None:
            into = self._direction(input_tangent, lead, self.input_size, "input_tangent")
        return _public(self.linearize_columns(columns, inputs).push(along, into)[..., 0], lead)

    def vjp(self, state: ArrayLike, cotangent: ArrayLike, input: ArrayLike | None = None) -> Array:
        """`cotangent` (..., n) times the Jacobian: (..., n)."""
        columns, inputs, lead = self._columns(state, input)
        along = self._direction(cotangent, lead, self.state_size, "cotangent")
        return _public(self.linearize_columns(columns, inputs).pull(along, input=False).state[..., 0], lead)

    def parameter_gradients(
        self, state: ArrayLike, cotangent: ArrayLike, input: ArrayLike | None = None
    ) -> dict[str, Array]:
        """The gradient of sum(cotangent * next state) for each parameter, summed over the leading axes."""
        columns, inputs, lead = self._columns(state, input)
        along = self._direction(cotangent, lead, self.state_size, "cotangent")
        return self.linearize_columns(columns, inputs).pull(along, input=False, parameters=True).parameters

    def input_vector(self, input: ArrayLike | None) -> Array:
        """A constant input as (m,): None is zeros; a time-varying one raises and names the way out."""
        if input is None:
            return np.zeros(self.input_size)
        vector = np.array(np.atleast_1d(numbers(input, "input")))  # a copy: results keep it
        if vector.ndim > 1:
            raise InputError(
                f"this analysis needs a constant input (m,) = ({self.input_size},), got shape {vector.shape}. For a "
                "periodic input analyse `iterate(drive(f, one_period), p)`, with one_period of shape (p, m)."
            )
        if vector.shape != (self.input_size,):
            raise ShapeError(f"{self.name} takes {self.input_size} inputs, got an input of shape {vector.shape}.")
        require_finite(vector, "input")
        return vector

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}, {self.state_size} state variables, {self.input_size} inputs>"

    def _columns(self, state: ArrayLike, input: ArrayLike | None) -> tuple[Array, Array, tuple[int, ...]]:
        states = numbers(state, "state")
        if states.ndim == 0 or states.shape[-1] != self.state_size:
            raise ShapeError(
                f"{self.name} needs states of shape (..., {self.state_size}), got {states.shape}"
                + (" (columns? pass their .T)." if states.shape[:1] == (self.state_size,) else ".")
            )
        lead = states.shape[:-1]
        if input is None:
            return _to_columns(states), np.zeros((self.input_size, 1)), lead
        inputs = numbers(input, "input")
        if inputs.ndim == 0 or inputs.shape[-1] != self.input_size:
            raise ShapeError(f"{self.name} needs inputs of shape (..., {self.input_size}), got {inputs.shape}.")
        if inputs.ndim == 1:
            return _to_columns(states), inputs[:, np.newaxis], lead
        try:
            lead = np.broadcast_shapes(lead, inputs.shape[:-1])
        except ValueError:
            raise ShapeError(f"states {states.shape} and inputs {inputs.shape} do not go together.") from None
        whole = (np.broadcast_to(a, (*lead, a.shape[-1])) for a in (states, inputs))
        columns, driving = (_to_columns(a) for a in whole)
        return columns, driving, lead

    def _direction(self, value: ArrayLike, lead: tuple[int, ...], size: int, what: str) -> Array:
        array = numbers(value, what)
        try:
            whole = np.broadcast_to(array, (*lead, size))
        except ValueError:
            raise ShapeError(f"`{what}` needs shape {(*lead, size)}, got {array.shape}.") from None
        return _to_columns(whole)[..., np.newaxis]


def numbers(value: ArrayLike, what: str) -> Array:
    """`value` as float64; anything that is not numbers raises InputError naming `what`."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{what}` must be an array of real numbers, got {type(value).__name__}: {error}.") from None


def require_finite(array: Array, what: str) -> None:
    """Raise InputError if `array` has NaN or infinite values."""
    if not np.isfinite(array).all():
        raise InputError(f"`{what}` has values that are not finite (NaN or infinity).")


def require_one_step(f: Map) -> None:
    """Raise InputError for a map that changes from step to step; the way out is one whole period."""
    if f.period > 1:
        whole = "(or a multiple)" if f.repeats else "(or fewer layers)"
        raise InputError(
            f"{f.name} changes from step to step: there is no one step to analyse. Follow it through time (simulate, "
            f"lyapunov_spectrum, gradient_spectrum), or analyse `iterate(f, {f.period})` {whole}."
        )


def given_box(box: tuple[Any, Any], invariant: bool, size: int) -> SearchBox:
    """The caller's search box (low, high), numbers or (n,) arrays, checked."""
    try:
        low, high = (np.broadcast_to(numbers(side, "box"), (size,)).copy() for side in box)
    except (TypeError, ValueError) as error:
        raise InputError(f"`box` must be (low, high), numbers or arrays of length {size}: {error}.") from None
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise InputError("`box` needs finite low < high in every coordinate.")
    return SearchBox(low, high, invariant, "given by the caller" + (", who asserts it is invariant" * invariant), True)


def _to_columns(states: Array) -> Array:
    return np.ascontiguousarray(states.reshape(math.prod(states.shape[:-1]), states.shape[-1]).T)


def _public(columns: Array, lead: tuple[int, ...]) -> Array:
    # A copy in any case: a map may hand back the very array it was given.
    return np.array(columns.T, order="C").reshape(*lead, len(columns))


def _leading(matrices: Array, lead: tuple[int, ...]) -> Array:
    if len(lead) == 1:
        return matrices  # the strided view as it is: no copy
    return matrices[0] if not lead else matrices.reshape(*lead, *matrices.shape[1:])


@final
class CellMap(Map):
    """A cell (an instance with `step`, `state_blocks`, `parameters`, `range`) read as a map."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        sizes = dict(cell.state_blocks)
        ends = np.cumsum([0, *sizes.values()])
        self._sizes = list(sizes.values())
        self.state_size, self.input_size = int(ends[-1]), int(cell.input_size)
        self.blocks = tuple(
            (name, slice(int(a), int(b))) for name, a, b in zip(sizes, ends[:-1], ends[1:], strict=True)
        )
        self.output = dict(self.blocks)[cell.outputs]
        self.name = f"{type(cell).__name__} with {cell.hidden_size} units"
        fixed = [*cell.parameters.values(), *getattr(cell, "constants", {}).values()]
        self._cache = StackedRows(fixed)

    @property
    def parameters(self) -> dict[str, Array]:
        return dict(self.cell.parameters)

    def _equations(self, parameters: Mapping[str, Any]) -> Callable[..., tuple[Any, ...]]:
        cell = with_parameters(self.cell, parameters)

        def step(*arguments: Any) -> tuple[Any, ...]:
            answer = cell.step(*arguments)
            return answer if isinstance(answer, tuple) else (answer,)

        return step

    def advance(self, state: Array, input: Array) -> Array:
        if len(self._sizes) == 1:
            return np.asarray(self.cell.step(state, input))
        blocks = [state[rows] for _, rows in self.blocks]
        return np.concatenate(self._equations({})(*blocks, input))

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        return TapeLinearization(self._equations, state, input, self._sizes, self.parameters, self._cache)

    def equations_on(self, state: Any, input: Any) -> Any:
        from dynsys.readings.balls import lifted_fields

        outputs = self._equations(lifted_fields(self.cell, state))(*(state[rows] for _, rows in self.blocks), input)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        lost = self.cell.lost_rank(*(state[rows] for _, rows in self.blocks), input)
        return None if lost is None else np.broadcast_to(lost, (state.shape[1],))

    def box(self, low: Array, high: Array) -> SearchBox | None:
        with np.errstate(invalid="ignore", over="ignore"):  # unbounded inputs: what is then not finite is no box
            ranges = self.cell.range(low[:, np.newaxis], high[:, np.newaxis])
        if ranges is None:
            return None
        lows = np.concatenate([ranges[name][0] for name, _ in self.blocks])[:, 0]
        highs = np.concatenate([ranges[name][1] for name, _ in self.blocks])[:, 0]
        if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
            return None
        return SearchBox(lows, highs, True, "the range of the cell's equations at this input")
