"""The linear-map reading: a step and its derivative, as products and as dense matrices."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys.readings.column_steps import ColumnSteps
from dynsys.readings.forms import Form
from dynsys.readings.steps import DenseSteps, FormSteps, Steps
from dynsys.readings.structure import StackedRows, Structure
from dynsys.readings.tape import Traced, pull, push
from dynsys.types import Array

Equations = Callable[..., tuple[Any, ...]]
"""(state blocks..., input) -> next state blocks, all columns."""


@final
@dataclass(frozen=True, eq=False)
class Pulled:
    """Cotangents pulled back through one step: of the state (n, B, k), the input (m, B, k), and each parameter.

    Those of parameters have their shape, and for k > 1 the last axis k.
    """

    state: Array
    input: Array
    parameters: dict[str, Array] = field(default_factory=dict)


class Linearization(ABC):
    """One step of a map at a batch of states, with its derivative there. Columns: (n, B) states, (m, B) inputs."""

    next_state: Array
    by_sample = False
    """Whether `steps` gives one sample's Jacobian without forming those of all."""

    @abstractmethod
    def push(self, state: Array | None, input: Array | None = None) -> Array:
        """Next-state tangents (n, B, k) from state (n, B, k) and input (m, B, k) tangents; None is zero."""

    @abstractmethod
    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        """Cotangents (n, B, k) of the next state to cotangents of state, input and (summed over B) parameters."""

    def pull_direct(self, cotangent: Array) -> Array | None:
        """State cotangents (n, B, k) along each unit's own path alone, no matrix on the way; None where unknown.

        In a gated cell this is what the gate keeps of the unit's own past: the forget gate of an LSTM's c.
        """
        return None

    @abstractmethod
    def dense(self) -> Array:
        """The state Jacobians (B, n, n), row i = output i; a strided view."""

    def steps(self) -> Steps:
        """The Jacobians one sample at a time, for frames that are carried along an orbit."""
        return DenseSteps(self.dense())

    def column_steps(self) -> ColumnSteps | None:
        """The Jacobians of a few samples at a time, one vector each; None where only `push` and `pull` do."""
        return None

    @abstractmethod
    def dense_input(self) -> Array:
        """The input Jacobians (B, n, m)."""


@final
class TapeLinearization(Linearization):
    """The derivative by the tape. What was not asked for is not recorded."""

    by_sample = True

    def __init__(
        self,
        equations: Callable[[Mapping[str, Any]], Equations],
        state: Array,
        input: Array,
        sizes: Sequence[int],
        parameters: Mapping[str, Array],
        cache: StackedRows,
        output_sizes: Sequence[int] | None = None,
    ) -> None:
        self._equations, self._state, self._input = equations, state, input
        self._output_sizes = list(sizes if output_sizes is None else output_sizes)
        self._sizes, self._parameters, self._cache = list(sizes), parameters, cache
        self._records: dict[tuple[bool, bool, bool], _Record] = {}
        self.next_state = self._record(state=True).next_state

    def _record(self, *, state: bool = False, input: bool = False, parameters: bool = False) -> _Record:
        key = (state, input, parameters)
        if key not in self._records:
            self._records[key] = _Record(
                self._equations,
                self._state,
                self._input,
                self._sizes,
                self._output_sizes,
                self._parameters if parameters else {},
                key,
            )
        return self._records[key]

    def push(self, state: Array | None, input: Array | None = None) -> Array:
        given = state if state is not None else input
        if given is None:
            raise ValueError("push needs a state tangent or an input tangent")
        record = self._record(state=state is not None, input=input is not None)
        seeds: dict[int, Array] = {}
        if state is not None:
            parts = np.split(state, np.cumsum(self._sizes)[:-1])
            seeds.update({id(b): part for b, part in zip(record.blocks, parts, strict=True)})
        if input is not None:
            seeds[id(record.input)] = input
        return np.concatenate(push(record.tape, seeds, record.outputs, given.shape[-1]))

    def pull(self, cotangent: Array, *, input: bool = True, parameters: bool = False) -> Pulled:
        record = self._record(state=True, input=input, parameters=parameters)
        parts = np.split(cotangent, np.cumsum(self._output_sizes)[:-1])
        flowing = pull(record.tape, list(zip(record.outputs, parts, strict=True)))
        k = cotangent.shape[-1]

        def reached(node: Any) -> Array:
            return flowing.get(id(node), np.zeros((*np.shape(node), k)))

        def of(parameter: Traced) -> Array:
            return reached(parameter)[..., 0] if k == 1 else reached(parameter)

        state = np.concatenate([reached(b) for b in record.blocks])
        into = reached(record.input) if input else np.zeros((0, self._state.shape[1], k))
        return Pulled(state, into, {name: of(p) for name, p in record.parameters.items()})

    def pull_direct(self, cotangent: Array) -> Array | None:
        record = self._record(state=True)
        parts = np.split(cotangent, np.cumsum(self._output_sizes)[:-1])
        flowing = pull(record.tape, list(zip(record.outputs, parts, strict=True)), direct=True)
        empty = np.zeros((1, cotangent.shape[1], cotangent.shape[-1]))
        return np.concatenate([flowing.get(id(b), np.repeat(empty, b.shape[0], axis=0)) for b in record.blocks])

    def dense(self) -> Array:
        record = self._record(state=True)
        return self._structure(record, record.blocks)

    def steps(self) -> Steps:
        return FormSteps(*self._forms(), self._state.shape[1], self.dense)

    def column_steps(self) -> ColumnSteps | None:
        return ColumnSteps(*self._forms())

    def _forms(self) -> tuple[list[Form], list[int], list[slice]]:
        """The derivative of each block of the next state, its rows, and the columns of the blocks of the state."""
        record = self._record(state=True)
        structure = Structure(record.tape, record.blocks, self._state.shape[1], self._cache)
        ends = np.cumsum([0, *self._sizes])
        seeds = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        return structure.forms(record.outputs), self._output_sizes, seeds

    def dense_input(self) -> Array:
        record = self._record(input=True)
        return self._structure(record, [record.input])

    def _structure(self, record: _Record, seeds: Sequence[Traced]) -> Array:
        structure = Structure(record.tape, seeds, self._state.shape[1], self._cache)
        return structure.dense(record.outputs, self._output_sizes).swapaxes(0, 1)


class _Record:
    """One run of the equations with the chosen arguments traced."""

    def __init__(
        self,
        equations: Callable[[Mapping[str, Any]], Equations],
        state: Array,
        input: Array,
        sizes: Sequence[int],
        output_sizes: Sequence[int],
        parameters: Mapping[str, Array],
        traced: tuple[bool, bool, bool],
    ) -> None:
        trace_state, trace_input, _ = traced
        self.tape: list[Traced] = []
        self.parameters = {name: Traced(value, self.tape) for name, value in parameters.items()}
        self.blocks: list[Any] = [
            Traced(block, self.tape) if trace_state else block for block in np.split(state, np.cumsum(sizes)[:-1])
        ]
        # A constant input stays one column; per-sample input derivatives need one column per sample.
        self.input: Any = input
        if trace_input:
            self.input = Traced(np.broadcast_to(input, (len(input), state.shape[1])), self.tape)
        self.outputs = equations(self.parameters)(*self.blocks, self.input)
        values = [out.value if isinstance(out, Traced) else out for out in self.outputs]
        self.next_state = np.concatenate(
            [np.broadcast_to(v, (size, state.shape[1])) for v, size in zip(values, output_sizes, strict=True)]
        )


def with_parameters(cell: Any, parameters: Mapping[str, Any]) -> Any:
    """A copy of a frozen cell with some fields replaced, without its checks: the values are recorded ones."""
    if not parameters:
        return cell
    clone = copy.copy(cell)
    for name, value in parameters.items():
        object.__setattr__(clone, name, value)
    return clone
