"""The rule on the identity as recurrent matrix, with rectified units: what is kept is kept in full, or not at all."""

from __future__ import annotations

import dataclasses

import numpy as np

from dynsys.gradients import gradient_spectrum
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.treatment.weight_rules import forgets, plain_cell
from dynsys.types import Array

MOST = 4
"""Sequences on which the transfer is measured."""
LEAST_SHARE = 0.1
"""Of the units that keep what they hold, below which the change is not worth proposing."""


def identity_relu(patient: Patient) -> Remedy | str:
    """The IRNN: ReLU, U = I, b = 0, beside the orthogonal matrix."""
    cell = plain_cell(patient)
    if cell is None:
        return Skipped("identity and ReLU: the network is gated or has several layers")
    memory = forgets(patient)
    if isinstance(memory, str):
        return memory.replace("recurrent matrix", "identity and ReLU")
    lag = min(patient.task_lag, patient.task.length)
    inputs = patient.task.inputs[:lag, :MOST]
    predicted = _kept(cell.W, inputs)
    if predicted < LEAST_SHARE:
        return Skipped(
            f"identity and ReLU: {100 * predicted:.2g} % of the units would stay positive under these inputs "
            f"(threshold {100 * LEAST_SHARE:g} %): next to nothing would be kept"
        )
    n = cell.hidden_size
    irnn = dataclasses.replace(cell, U=np.eye(n), b=np.zeros((n, 1)), activation="relu")
    changed = patient.with_cells([irnn])
    changed.f.initial_state = None
    return Remedy(
        id="identity-relu",
        title="Identity and ReLU (IRNN)",
        trigger=f"differences fade within {memory:.3g} steps, the task's lag is {patient.task_lag}",
        change="make the units rectified, set U to the identity and b to zero; train from there",
        settings={"U": np.eye(n), "b": np.zeros((n, 1)), "activation": "relu"},
        quantity=f"share of directions whose differences keep their size over {lag} steps",
        before=_near_one(patient, inputs, lag),
        predicted=predicted,
        after=_near_one(changed, inputs, lag),
        tolerance=1e-9,
        basis="a unit keeps everything while all partial sums of its inputs are positive, and nothing after; exact",
        source="Q. V. Le, N. Jaitly & G. E. Hinton, arXiv 1504.00941",
    )


def _kept(W: Array, inputs: Array) -> float:
    """Share of units, over sequences, whose sum of inputs W x stays positive from the first step on."""
    sums = np.cumsum(np.einsum("ij,tbj->tib", W, inputs), axis=0)
    return float((sums > 0).all(axis=0).mean())


def _near_one(patient: Patient, inputs: Array, lag: int) -> float:
    """Share of singular values of the transfer between 1/e and e."""
    spectrum = gradient_spectrum(patient.f, None, inputs, [lag], seed=patient.seed)
    return float((np.abs(spectrum.by_start[:, 0]) <= 1.0).mean())
