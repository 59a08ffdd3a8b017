"""Rules on where an LSTM's gradient goes: into c and back along it, or through h and the gates."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy.special import expit

from dynsys.treatment.patient import Patient
from dynsys.treatment.records import gate
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

ALIVE = math.log(0.01)
"""Of what has entered c, the share that must be left at the task's lag, in nats."""
CLOSED = 0.1
"""Share of a gradient on h that enters c, below which the way in is called closed; likewise the opening of a gate."""
DROWNED = 10.0
"""How many times the gradient along c the whole one may be."""
CUTS = (0.25, 0.5, 0.75)
"""Probabilities of cutting: the paper's, and one more."""
CLOSE = 0.25
"""Relative deviation that the changed states explain."""
SOURCE = "D. Arpit et al., h-detach, ICLR 2019, arXiv 1810.03023"


def output_bias(patient: Patient) -> Remedy | str:
    """Open the output gates of an LSTM whose c lasts, but takes up next to nothing of the gradient on h."""
    cell = _lstm(patient)
    if cell is None:
        return Skipped("output gates: the rule is for an LSTM of one layer")
    found = patient.split
    lag = _lag(patient)
    entering = math.exp(float(found.direct[1]))
    said = f"of the gradient of {found.origin} on h {entering:.3g} enters c"
    alive = _alive(found.direct, lag)
    if entering >= CLOSED or not alive:
        rest = "and lasts" if alive else f"and is gone before {lag} steps back"
        return f"output gates: {said} (threshold {CLOSED:g}) {rest}"
    (record,) = patient.records
    arguments = gate(record, "o")
    mean = arguments.mean(axis=(0, 2))
    opening = float(np.median(expit(mean)))
    if opening >= CLOSED:
        return f"output gates: {said}, for c is large where tanh is flat; the gates are open ({opening:.2g})"
    writing = float(np.median(expit(gate(record, "i").mean(axis=(0, 2)))))
    shift = np.maximum(-mean, 0.0)
    changed = patient.with_cells([dataclasses.replace(cell, b_o=cell.b_o + shift[:, np.newaxis])])
    predicted = _entering(patient, arguments + shift[:, np.newaxis])
    again = gate(changed.records[0], "o").mean(axis=(0, 2))
    left = math.exp(float(found.direct[lag] - found.direct[1]))
    return Remedy(
        id="output-bias",
        title="Open the output gates",
        trigger=(
            f"{said} (threshold {CLOSED:g}), though {left:.3g} of that is left {lag} steps back: the output gates are "
            f"closed (median {opening:.2g}; input gates {writing:.2g})"
        ),
        change=(
            "raise b_o so that each output gate is half open at its unit's mean pre-activation (in PyTorch one of "
            "bias_ih and bias_hh)"
        ),
        settings={"b_o": changed.cells[0].b_o if changed.cells else None},
        quantity="share of the gradient on h that enters c",
        before=entering,
        predicted=predicted,
        after=math.exp(float(changed.split.direct[1])),
        tolerance=CLOSE * predicted,
        basis="o (1 - tanh(c)^2) f with the shift added, states and loss as they were; tolerance a quarter, as h grows",
        source=SOURCE,
        also={"median opening of the output gates": (opening, float(np.median(expit(again))))},
    )


def h_detach(patient: Patient) -> Remedy | str:
    """Cut the gradient through h at random where it drowns the one that comes along c."""
    if _lstm(patient) is None:
        return Skipped("gradient through h: the rule is for an LSTM of one layer")
    found = patient.split
    lag = _lag(patient)
    if not _alive(found.direct, lag):
        return f"gradient through h: along c nothing is left of the gradient of {found.origin} {lag} steps back"
    over = float(found.whole[lag] - found.direct[lag])
    said = f"{lag} steps back the gradient of {found.origin} is {math.exp(over):.3g} times what comes along c"
    if over <= math.log(DROWNED):
        return f"gradient through h: {said}, at most {DROWNED:g}"
    if patient.task.inputs.shape[1] < 2:
        return Skipped(f"gradient through h: {said}; needs two sequences, one to decide on and one to check")
    seen, fresh = (patient.split_of(half) for half in patient.some.halves())

    def left(one: Any, p: float) -> float:
        return float(one.detached(p)[lag] - one.direct[lag])

    cut = next((p for p in CUTS if left(seen, p) <= math.log(DROWNED)), CUTS[-1])
    options = ", ".join(f"{p:g} leaves {math.exp(left(seen, p)):.3g} times" for p in CUTS)
    return Remedy(
        id="h-detach",
        title="Stop the gradient through h at random (h-detach)",
        trigger=f"{said} (threshold {DROWNED:g}): what c remembers is not what is learned from",
        change=(
            f"in training, with probability {cut:g} at each step, feed the gates with h detached (PyTorch "
            f"`h.detach()`); the forward pass stays as it is ({options})"
        ),
        settings={"probability": cut, "lag": lag},
        quantity=f"log of the expected gradient over that along c, {lag} steps back (nats)",
        before=left(fresh, 0.0),
        predicted=left(seen, cut),
        after=left(fresh, cut),
        tolerance=max(math.log(2.0), abs(left(seen, 0.0) - left(fresh, 0.0))),
        basis=(
            "expected gradient, D + (1 - p) (J - D) in the place of each J, D its own paths, on the even sequences; "
            "measured on the odd ones; tolerance a factor 2, or as much as the two differ without the change"
        ),
        source=SOURCE,
    )


def _lstm(patient: Patient) -> Any | None:
    cells = patient.cells
    single = cells is not None and len(cells) == 1 and type(cells[0]).__name__ == "LSTM"
    return cells[0] if cells and single and cells[0].gate_activation == "sigmoid" else None


def _lag(patient: Patient) -> int:
    """Index of the lag that the task asks for, as far as the sequences go."""
    return min(patient.task_lag, patient.task.length) - 1


def _alive(direct: Array, lag: int) -> bool:
    return bool(np.isfinite(direct[lag]) and direct[lag] - direct[1] >= ALIVE)


def _entering(patient: Patient, arguments: Array) -> float:
    """The share of the seeds that enters c with output gates of other arguments, (T, n, B)."""
    (record,) = patient.records
    n = arguments.shape[1]
    bend = 1 / np.cosh(np.minimum(np.abs(record.after[:, n:]), 300.0)) ** 2
    passing = expit(arguments) * bend * expit(gate(record, "f"))
    found = patient.split.seeds
    entered = sum(np.square(seed[:n] * passing[s]).sum() for s, seed in found.items())
    return math.sqrt(float(entered) / max(sum(float(np.square(seed).sum()) for seed in found.values()), 1e-300))
