"""A loaded network: a map together with its readout, its embedding, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys.composed_maps import Stacked
from dynsys.errors import InputError, ShapeError
from dynsys.maps import CellMap, Map, SearchBox, numbers
from dynsys.readings.linear import Linearization
from dynsys.readout import Readout
from dynsys.types import Array, ArrayLike, Integers


@final
@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a model came from.

    Attributes:
        path: of the file, as it was given; for a module in memory, its class.
        sha256: hexadecimal digest of the file; of names, shapes and values for a module in memory.
        format: "safetensors", "npz", "pt" or "torch module".
        dtype: of the recurrent weights as they are stored, e.g. "float32".
        prefix: of the recurrent module inside the file, e.g. "encoder.rnn"; empty at the top level.
        cells: the class of each layer's cell, from the input side.
        metadata: the texts stored beside the arrays.
    """

    path: str
    sha256: str
    format: str
    dtype: str
    prefix: str
    cells: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", dict(self.metadata))


@final
class Model(Map):
    """A loaded network. Every analysis takes it as it takes any map.

    Attributes, beside those of a Map:
        inner: the map of the recurrent layers.
        layers: their cells, from the input side.
        readout: of the output block, `readout(state[..., f.output])`; None where the file has none.
        embedding: (V, m), row v is the input that token v stands for; None where the file has none.
        source: the file, its digest, and how it was read.
    """

    def __init__(
        self,
        inner: Map,
        *,
        source: Source,
        readout: Readout | None = None,
        embedding: ArrayLike | None = None,
        initial_state: ArrayLike | None = None,
        notes: Sequence[str] = (),
        box: SearchBox | None = None,
    ) -> None:
        self.inner, self.source, self.readout = inner, source, readout
        self.parts, self._box = (inner,), box
        self.state_size, self.input_size = inner.state_size, inner.input_size
        self.blocks, self.output = inner.blocks, inner.output
        self.layers = _cells(inner)
        self.name = _name(inner, self.layers)
        self.notes = tuple(dict.fromkeys((*inner.notes, *notes)))
        start = inner.initial_state if initial_state is None else initial_state
        self.initial_state = None if start is None else _own(start, "initial_state", (self.state_size,))
        self.embedding = None if embedding is None else _own(embedding, "embedding", (-1, self.input_size))
        width = self.output.stop - self.output.start
        if readout is not None and readout.V is not None and readout.V.shape[1] != width:
            raise ShapeError(f"the readout takes {readout.V.shape[1]} values, the network shows {width}.")

    def encode(self, inputs: ArrayLike) -> Array:
        """Inputs as the recurrent layers hear them, float64.

        Args:
            inputs: tokens, integers (T,) or (T, batch), which become rows of the embedding, (T, m) or (T, batch, m);
                or numbers, which come back as they are. Without an embedding integers (..., m) are numbers too.
        """
        array = np.asarray(inputs)
        if array.dtype.kind not in "iu":
            return numbers(inputs, "inputs")
        as_numbers = array.ndim > 0 and array.shape[-1] == self.input_size
        if self.embedding is None and not as_numbers:
            raise InputError(
                f"integers of shape {array.shape} would be tokens, but this network has no embedding. Pass numbers of "
                f"shape (T, {self.input_size}) or (T, batch, {self.input_size}); one-hot code the tokens if need be."
            )
        if self.embedding is None or (array.ndim == 3 and as_numbers):
            return numbers(array, "inputs")
        if array.ndim not in (1, 2):
            raise ShapeError(f"tokens must be (T,) or (T, batch), got shape {array.shape}.")
        size = len(self.embedding)
        if array.size and (array.min() < 0 or array.max() >= size):
            raise InputError(
                f"tokens must lie in 0 to {size - 1}, the rows of the embedding; got {array.min()} to {array.max()}."
            )
        return np.asarray(self.embedding[array])

    def advance(self, state: Array, input: Array) -> Array:
        return self.inner.advance(state, input)

    def linearize_columns(self, state: Array, input: Array) -> Linearization:
        return self.inner.linearize_columns(state, input)

    def equations_on(self, state: Any, input: Any) -> Any:
        return self.inner.equations_on(state, input)

    def box(self, low: Array, high: Array) -> SearchBox | None:
        return self.inner.box(low, high) if self._box is None else self._box

    def searched_in(self, box: SearchBox) -> Model:
        """The same network with another box to look for states in."""
        around: dict[str, Any] = {name: getattr(self, name) for name in ("source", "readout", "embedding", "notes")}
        return Model(self.inner, initial_state=self.initial_state, box=box, **around)

    def lost_rank(self, state: Array, input: Array) -> Integers | None:
        return self.inner.lost_rank(state, input)

    @property
    def parameters(self) -> dict[str, Array]:
        return self.inner.parameters

    def __repr__(self) -> str:
        return f"<Model: {self.name}, from {self.source.path}>"


def _cells(f: Map) -> list[Any]:
    if isinstance(f, CellMap):
        return [f.cell]
    if isinstance(f, Stacked):
        return [cell for layer in f.layers for cell in _cells(layer)]
    raise InputError(f"a Model is made of a cell's map or of a stack of them, got {type(f).__name__}.")


def _name(f: Map, layers: Sequence[Any]) -> str:
    inputs = f"{f.input_size} input" + ("s" if f.input_size != 1 else "")
    kinds = list(dict.fromkeys(type(cell).__name__ for cell in layers))
    units = [int(cell.hidden_size) for cell in layers]
    sizes = str(units[0]) if len(set(units)) == 1 else " and ".join([", ".join(map(str, units[:-1])), str(units[-1])])
    what = " and ".join(kinds) if len(layers) == 1 else f"{len(layers)} layers of {' and '.join(kinds)}"
    return f"{what} with {sizes} unit{'s' if units != [1] else ''} and {inputs}"


def _own(value: ArrayLike, what: str, shape: tuple[int, ...]) -> Array:
    """A read-only float64 copy of `value`, whose shape must be `shape`; -1 is any length."""
    array = np.array(numbers(value, what))
    if array.ndim != len(shape) or any(need not in (-1, got) for need, got in zip(shape, array.shape, strict=True)):
        raise ShapeError(f"`{what}` must have shape {shape}, got {array.shape}.")
    array.setflags(write=False)
    return array
