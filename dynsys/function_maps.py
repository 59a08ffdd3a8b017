"""A user's own NumPy function of columns, read as a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from dynsys.checked_numbers import whole_number
from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, SearchBox, given_box, numbers
from dynsys.readings.differences import DifferenceLinearization
from dynsys.readings.linear import Linearization, TapeLinearization
from dynsys.readings.structure import StackedRows
from dynsys.readings.tape import Traced, Unreadable, stack_pieces
from dynsys.types import Array


@final
class FunctionMap(Map):
    """`function(state)` or `function(state, input)` on columns (n, B). Derivatives by the tape, else by differences."""

    def __init__(
        self,
        function: Callable[..., Any],
        state_size: int,
        input_size: int = 0,
        box: tuple[Any, Any] | None = None,
        invariant: bool = False,
    ) -> None:
        state_size, input_size = whole_number("state_size", state_size, 1), whole_number("input_size", input_size, 0)
        self._function = function
        self.state_size, self.input_size = state_size, input_size
        self.blocks = (("x", slice(0, state_size)),)
        self.output = slice(0, state_size)
        self.name = getattr(function, "__name__", type(function).__name__).replace("<lambda>", "a function")
        self._box = None if box is None else given_box(box, invariant, state_size)
        if invariant and box is None:
            raise InputError("`invariant=True` says something about a box: pass `box=(low, high)` too.")
        self._cache = StackedRows()  # nothing is known to be constant between calls: no stacked matrices are kept
        self._check_at_the_door()
        self.reading = "tape"
        self._choose_reading()

    def _trial(self) -> tuple[Array, Array]:
        generator = np.random.default_rng(0)
        where = self._box
        low, high = (where.low, where.high) if where else (np.full(self.state_size, 0.1), np.full(self.state_size, 0.4))
        state = low[:, np.newaxis] + (high - low)[:, np.newaxis] * generator.random((self.state_size, 3))
        return state, 0.1 * generator.random((self.input_size, 3))

    def _check_at_the_door(self) -> None:
        """A trial step on three columns, so a mistake is reported here and not 10 000 steps later."""
        state, input = self._trial()
        try:
            together = self.advance(state, input)
            alone = np.concatenate([self.advance(state[:, [b]], input[:, [b]]) for b in range(state.shape[1])], axis=1)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{self.name} failed on a trial state of shape {state.shape} (one sample per column): "
                f"{type(error).__name__}: {error}. Write it for columns: W @ h + b with b of shape (n, 1)."
            ) from error
        if not np.allclose(together, alone, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise ShapeError(
                f"{self.name} mixes its samples: three columns together give another answer than one at a time. "
                f"It gets a state of shape ({self.state_size}, B), one sample per column; a bias must be (n, 1), "
                "and sums over one state go along axis 0."
            )

    def _choose_reading(self) -> None:
        state, input = self._trial()
        try:
            self.linearize_columns(state, input).dense()
        except (Unreadable, TypeError, AttributeError, ValueError, IndexError) as error:
            self.reading = "differences"
            self.notes = (
                f"derivatives of {self.name} are by differences (relative error about 1e-10), because its equations "
                f"could not be followed: {error}",
            )

    def _call(self, state: Any, input: Any) -> Any:
        return self._function(state, input) if self.input_size else self._function(state)

    def advance(self, state: Array, input: Array) -> Array:
        answer = self._call(state, np.broadcast_to(input, (len(input), state.shape[1])))
        if isinstance(answer, tuple) and len(answer) != self.state_size:
            raise ShapeError(
                f"a map returns the next state alone, but {self.name} returned a tuple of {len(answer)}. "
                "Many recurrent cells return (output, state): wrap yours as `lambda h: cell(h)[1]`."
            )
        plain_rows = isinstance(answer, (list, tuple)) or (
            isinstance(answer, np.ndarray) and answer.shape == (self.state_size,) and self.state_size != state.shape[1]
        )
        if plain_rows:
            answer = np.stack([np.broadcast_to(row, state.shape[1:]) for row in answer])
        array = numbers(answer, f"what {self.name} returned")
        if array.shape != state.shape:
            raise ShapeError(
                f"{self.name} must return the shape it gets: got {array.shape} from a state of shape {state.shape} "
                "(state units by samples, one sample per column)."
            )
        return array

    def _equations(self, parameters: Mapping[str, Any]) -> Callable[..., tuple[Any, ...]]:
        def step(state: Any, input: Any) -> tuple[Any, ...]:
            answer = self._call(state, input)
            rows = isinstance(answer, (list, tuple)) or (isinstance(answer, np.ndarray) and answer.dtype == object)
            if rows:
                tape = state.tape if isinstance(state, Traced) else input.tape
                answer = stack_pieces([_row(piece, state.shape[1]) for piece in answer], tape)
            return (answer,)

        return step

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        if self.reading == "differences":
            return DifferenceLinearization(self.advance, state, input)
        whole = np.broadcast_to(input, (len(input), state.shape[1]))
        return TapeLinearization(self._equations, state, whole, [self.state_size], {}, self._cache)

    def answer(self, state: Any, input: Any) -> Any:
        """What the function itself returns for a state (n, B) and an input (m, B) of any kind: a block, or its rows."""
        return self._call(state, input)

    def equations_on(self, state: Any, input: Any) -> Any:
        from dynsys.readings.ball_functions import stacked

        answer = self._call(state, input)
        rows = isinstance(answer, (list, tuple)) or (isinstance(answer, np.ndarray) and answer.dtype == object)
        return stacked(list(answer)) if rows else answer

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return self._box


def _row(piece: Any, samples: int) -> Any:
    """A plain number among the rows, as a row of its own."""
    return np.full(samples, piece) if np.ndim(piece) == 0 and not isinstance(piece, Traced) else piece
