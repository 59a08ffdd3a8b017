"""What the layers of a network went through along its sequences: states, inputs, and the slopes of their functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.special import expit

from dynsys.composed_maps import Stacked
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


def pre_activations(record: LayerRecord) -> dict[str, tuple[Array, str, tuple[str, ...]]]:
    """By what they feed: arguments (T, n, B) of saturating functions, the function, and the parameters they scale with.

    Gates that keep the state (f of an LSTM, z of a GRU) are left out: open or closed for good is how they remember.
    """
    cell, h, x = record.cell, record.h, record.heard

    def affine(suffix: str) -> Array:
        names = (f"W{suffix}", f"U{suffix}", f"b{suffix}")
        W, U, b = (getattr(cell, name) for name in names)
        return np.asarray(W @ x + U @ h + b)

    kind = type(cell).__name__
    found: dict[str, tuple[Array, str, tuple[str, ...]]] = {}
    if kind == "Elman":
        found["units"] = affine(""), cell.activation, ("W", "U", "b")
    elif kind == "LSTM":
        found["candidates g"] = affine("_g"), cell.activation, ("W_g", "U_g", "b_g")
        found["input gates"] = affine("_i"), cell.gate_activation, ("W_i", "U_i", "b_i")
        found["output gates"] = affine("_o"), cell.gate_activation, ("W_o", "U_o", "b_o")
    elif kind == "GRU":
        r = expit(affine("_r"))
        a = cell.W_h @ x + cell.U_h @ (r * h) + cell.b_h
        found["candidates"] = a, cell.activation, ("W_h", "U_h", "b_h")
    elif kind == "GRUResetAfter":
        r = expit(affine("_r"))
        a = cell.W_h @ x + cell.b_h + r * (cell.U_h @ h + cell.b_hn)
        found["candidates"] = a, cell.activation, ("W_h", "U_h", "b_h", "b_hn")
    return {name: entry for name, entry in found.items() if entry[1] in SLOPES}


def log_slope(a: Array, function: str) -> Array:
    """log s'(a) of tanh or the logistic function, to full accuracy where s saturates."""
    if function == "tanh":
        return np.asarray(2 * (np.log(2.0) - np.abs(a) - np.log1p(np.exp(-2 * np.abs(a)))))
    return np.asarray(-np.abs(a) - 2 * np.log1p(np.exp(-np.abs(a))))
