"""What the layers of a network went through along its sequences: states, inputs, and the slopes of their functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.composed_maps import Stacked
from dynsys.loaders.recurrent import cells_package
from dynsys.log_slopes import LOG_SLOPES
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.types import Array

SLOPES = ("tanh", "sigmoid")
"""Functions that saturate on both sides, and whose slope is known in closed form."""


@final
@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer along sequences: `before`, `after` (T, n, B) its states around each step, `heard` (T, m, B)."""

    cell: Any
    before: Array
    after: Array
    heard: Array

    @property
    def h(self) -> Array:
        """(T, n, B): its output before each step."""
        at = 0
        for name, size in self.cell.state_blocks.items():
            if name == self.cell.outputs:
                return self.before[:, at : at + size]
            at += size
        raise AssertionError(name)


def layer_records(f: Map, stacked: Stacked | None, cells: tuple[Any, ...], inputs: Array) -> tuple[LayerRecord, ...]:
    """Of the cells of `f`, from the input side, along inputs (T, B, m)."""
    start = np.zeros((f.state_size, inputs.shape[1]))
    if f.initial_state is not None:
        start = start + f.initial_state[:, np.newaxis]
    orbit = orbit_columns(f, start, inputs, len(inputs))
    heard, at, out = inputs.swapaxes(1, 2), 0, []
    for cell in cells:
        rows = slice(at, at + sum(cell.state_blocks.values()))
        at = rows.stop
        out.append(LayerRecord(cell, orbit[:-1, rows], orbit[1:, rows], heard))
        if stacked is not None and len(out) < len(cells):
            layer = stacked.layers[len(out) - 1]
            heard = np.stack(
                [
                    stacked.above(len(out) - 1, step[layer.output], had, given.T)
                    for step, had, given in zip(orbit[1:, rows], heard, inputs, strict=True)
                ]
            )
    return tuple(out)


Group = tuple[Array, str, tuple[str, ...]]
"""Arguments (T, n, B), the function, and the parameters they scale with."""


def pre_activations(record: LayerRecord) -> dict[str, Group]:
    """By what they feed: arguments (T, n, B) of saturating functions, the function, and the parameters they scale with.

    Gates that keep the state (f of an LSTM, z of a GRU) are left out: open or closed for good is how they remember.
    """
    cell = record.cell
    kind = type(cell).__name__
    found: dict[str, Group] = {}
    if kind in ("Elman", "LayerNormElman"):
        found["units"] = _group(record, "", cell.activation)
    elif kind in ("LSTM", "LayerNormLSTM"):
        found["candidates g"] = _group(record, "g", cell.activation)
        found["input gates"] = _group(record, "i", cell.gate_activation)
        found["output gates"] = _group(record, "o", cell.gate_activation)
    elif kind in ("GRU", "GRUResetAfter", "LayerNormGRU"):
        found["candidates"] = candidates(record)
    return {name: entry for name, entry in found.items() if entry[1] in SLOPES}


def gate(record: LayerRecord, letter: str) -> Array:
    """The arguments (T, n, B) of a gate or function, by the suffix of its parameters."""
    return _group(record, letter, "")[0]


def normed(a: Array, gamma: Any, beta: Any, epsilon: float) -> Array:
    """Arguments (T, n, B) as a layer norm over the units gives them on."""
    centred = a - a.mean(axis=1, keepdims=True)
    return np.asarray(gamma * (centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + epsilon)) + beta)


def _group(record: LayerRecord, letter: str, function: str) -> Group:
    end = f"_{letter}" if letter else ""
    names = (f"W{end}", f"U{end}", f"b{end}")
    W, U, b = (getattr(record.cell, name) for name in names)
    return _heard(record.cell, letter, np.asarray(W @ record.heard + U @ record.h + b), function, names)


def candidates(record: LayerRecord) -> Group:
    """Of a GRU: what its reset gate lets through is part of the argument."""
    cell, h = record.cell, record.h
    a = cell.W_h @ record.heard + cell.b_h
    r = cells_package().activations.ACTIVATIONS[cell.gate_activation](gate(record, "r"))
    after = type(cell).__name__ == "GRUResetAfter" or getattr(cell, "reset", "before") == "after"
    own = getattr(cell, "b_hn", 0.0)
    a = a + (r * (cell.U_h @ h + own) if after else cell.U_h @ (r * h) + own)
    names = ("W_h", "U_h", "b_h", "b_hn") if hasattr(cell, "b_hn") else ("W_h", "U_h", "b_h")
    return _heard(cell, "h", np.asarray(a), cell.activation, names)


def _heard(cell: Any, letter: str, a: Array, function: str, names: tuple[str, ...]) -> Group:
    """As it is, or normalised where the cell does: then it scales with the norm's own parameters."""
    plain = not hasattr(cell, "epsilon") or (letter and letter not in cell.normalized)
    if plain:
        return a, function, names
    own = (f"gamma_{letter}", f"beta_{letter}") if letter else ("gamma", "beta")
    gamma, beta = (getattr(cell, name) for name in own)
    return normed(a, gamma, beta, cell.epsilon), function, own


def log_slope(a: Array, function: str) -> Array:
    """log s'(a) of tanh or the logistic function, to full accuracy where s saturates."""
    return np.asarray(LOG_SLOPES[function](a))
