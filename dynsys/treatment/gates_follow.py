"""What gates do once their biases are changed, with the candidates and all other gates as they were recorded.

Gates that keep more make what they hold slower and different, and hear it. That feedback is the strongest: a trained
network's gates may lean on recurrent input that is gone once they are open. What remains is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from dynsys.loaders.recurrent import cells_package
from dynsys.treatment.patient import Patient
from dynsys.treatment.records import LayerRecord, candidates, gate
from dynsys.types import Array

KINDS = ("LSTM", "GRU", "GRUResetAfter")


def following_times(patient: Patient, changed: Sequence[Any]) -> Array | None:
    """Time constants of the keeping gates of all layers, steps; None for cells of other kinds.

    Args:
        changed: the cells with the new biases, all else of theirs as it was.
    """
    cells = patient.cells or ()
    if any(type(c).__name__ not in KINDS or c.gate_activation != "sigmoid" for c in cells):
        return None
    inputs, stacked = patient.some.inputs, patient.stacked
    heard, times = inputs.swapaxes(1, 2), []
    for layer, (record, cell) in enumerate(zip(patient.records, changed, strict=True)):
        steps = _lstm(record, cell, heard) if type(cell).__name__ == "LSTM" else _gru(record, cell, heard)
        logs, shown = zip(*steps, strict=True)
        times.append(-1.0 / np.mean(logs, axis=(0, 2)))
        if stacked is not None and layer + 1 < len(cells):
            heard = np.stack(
                [stacked.above(layer, h, had, x.T) for h, had, x in zip(shown, heard, inputs, strict=True)]
            )
    return np.concatenate(times)


def _gru(record: LayerRecord, cell: Any, heard: Array) -> Iterator[tuple[Array, Array]]:
    """At every step: log of what is kept, and the new h."""
    sign = 1.0 if cell.update == "keeps-old" else -1.0
    proposed = _function(cell.activation)(candidates(record)[0])
    h = record.h[0]
    for x, new in zip(heard, proposed, strict=True):
        a = sign * (cell.W_z @ x + cell.U_z @ h + cell.b_z)
        kept = expit(a)
        h = kept * h + (1 - kept) * new
        yield -np.logaddexp(0.0, -a), h


def _lstm(record: LayerRecord, cell: Any, heard: Array) -> Iterator[tuple[Array, Array]]:
    """At every step: log of what is kept in c, and the new h."""
    n = cell.hidden_size
    written = expit(gate(record, "i")) * _function(cell.activation)(gate(record, "g"))
    opened, show = expit(gate(record, "o")), _function(cell.output_activation)
    h, c = record.before[0, :n], record.before[0, n:]
    for x, new, o in zip(heard, written, opened, strict=True):
        a = cell.W_f @ x + cell.U_f @ h + cell.b_f
        c = expit(a) * c + new
        h = o * show(c)
        yield -np.logaddexp(0.0, -a), h


def _function(name: str) -> Any:
    return cells_package().activations.ACTIVATIONS[name]
