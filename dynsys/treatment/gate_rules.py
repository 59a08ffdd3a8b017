"""Rules on gates: biases that make units keep what they hold for as long as the task asks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy.special import expit

from dynsys.errors import AnalysisError
from dynsys.gate_times import own_factors
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy
from dynsys.types import Array

CLOSE = 0.25
"""Relative deviation of the measured from the predicted time constant that feedback of the changed states explains."""


def forget_bias(patient: Patient) -> Remedy | str:
    """Chrono initialisation: gate biases whose time constants spread from one step to the task's lag."""
    cells = patient.cells
    biases = [_bias(cell) for cell in cells or ()]
    if cells is None or not any(biases):
        return "gates: none, so no bias to set"
    try:
        longest = float(np.max(patient.gates.time_constants, initial=0.0))
    except AnalysisError as error:
        return f"gates: not measured ({error})"
    lag = patient.task_lag
    if longest >= lag:
        return f"gates: the slowest keeps {longest:.3g} steps, as long as the task's lag of {lag}"
    factors = own_factors(patient.f, None, patient.task.inputs)
    changed, predicted = _chrono(patient, cells, factors, lag)
    again = changed.gates
    before, after = (float(np.median(g.time_constants)) for g in (patient.gates, again))
    names = sorted({b[0] for b in biases if b})
    return Remedy(
        id="forget-bias",
        title="Raise the gates' biases (chrono initialisation)",
        trigger=f"the slowest gate keeps {longest:.3g} steps, the task's lag is {lag}",
        change=(
            f"shift {' and '.join(names)} so that, at each unit's mean pre-activation, the kept share of the units "
            f"spreads evenly over 1 - 1/u, u from 1 to {lag - 1} steps. PyTorch adds two biases: set one of them"
        ),
        settings={f"layer{i}.{b[0]}": getattr(_cell_of(changed, i), b[0]) for i, b in enumerate(biases) if b},
        quantity="median time constant of the gates (steps)",
        before=before,
        predicted=predicted,
        after=after,
        tolerance=CLOSE * predicted,
        basis="the recorded gates with the shift added, states as they were; tolerance a quarter, for they change too",
        source="C. Tallec & Y. Ollivier, ICLR 2018, arXiv 1804.11188",
        also={"slowest gate (steps)": (longest, float(np.max(again.time_constants)))},
    )


def _cell_of(patient: Patient, layer: int) -> Any:
    assert patient.cells is not None
    return patient.cells[layer]


def _bias(cell: Any) -> tuple[str, str, float] | None:
    """The bias that decides what is kept, the block it is about, and the sign with which it keeps more."""
    if hasattr(cell, "b_f") and "c" in cell.state_blocks:
        return "b_f", "c", 1.0
    if hasattr(cell, "b_z") and hasattr(cell, "update"):
        return "b_z", "h", 1.0 if cell.update == "keeps-old" else -1.0
    return None


def _chrono(patient: Patient, cells: tuple[Any, ...], factors: Array, lag: int) -> tuple[Patient, float]:
    """The changed network, and the median time constant that the recorded gates predict for it."""
    changed, times = [], []
    offset = 0
    for cell in cells:
        bias = _bias(cell)
        rows, at = {}, offset
        for name, size in cell.state_blocks.items():
            rows[name], at = slice(at, at + size), at + size
        offset = at
        if bias is None:
            changed.append(cell)
            continue
        name, block, sign = bias
        kept = np.clip(factors[:, rows[block]], 1e-12, 1 - 1e-12)
        logit = np.log(kept) - np.log1p(-kept)
        mean = logit.mean(axis=(0, 2))
        # Evenly spread targets, in the order in which the units keep already: nobody is turned round.
        rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
        wanted = np.log(1.0 + (lag - 2) * (rank + 0.5) / len(mean))
        shift = wanted - mean
        log_kept = np.log(expit(logit + shift[:, np.newaxis])).mean(axis=(0, 2))
        times.append(-1.0 / log_kept)
        changed.append(dataclasses.replace(cell, **{name: getattr(cell, name) + sign * shift[:, np.newaxis]}))
    return patient.with_cells(changed), float(np.median(np.concatenate(times)))
