"""Rules on gates: biases that make units keep what they hold for as long as the task asks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.special import expit

from dynsys.errors import AnalysisError
from dynsys.gate_times import own_factors
from dynsys.treatment.gates_follow import following_times
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

CLOSE = 0.25
"""Relative deviation of the measured from the predicted time constant that feedback of the changed states explains."""


def forget_bias(patient: Patient) -> Remedy | str:
    """Chrono initialisation: gate biases whose time constants spread from one step to the task's lag."""
    opened = _opened(patient, lambda shares: np.log(1.0 + (patient.task_lag - 2) * shares))
    if isinstance(opened, str):
        return opened
    lag = patient.task_lag
    return _remedy(
        patient,
        opened,
        id="forget-bias",
        title="Raise the gates' biases (chrono initialisation)",
        change=(
            f"shift {opened.names} so that, at each unit's mean pre-activation, the kept share of the units spreads "
            f"evenly over 1 - 1/u, u from 1 to {lag - 1} steps. PyTorch adds two biases: set one of them"
        ),
    )


def single_forget_bias(patient: Patient) -> Remedy | str:
    """The same bias for all units where the task has one lag T: ln(T - 1), which gives 1/(1 - f) = T."""
    lag = patient.task_lag
    opened = _opened(patient, lambda shares: np.full(len(shares), math.log(lag - 1)))
    if isinstance(opened, str):
        return opened
    return _remedy(
        patient,
        opened,
        id="forget-bias-single",
        title="Raise the gates' biases to one time scale",
        change=(
            f"where all the task needs lies {lag} steps back: shift {opened.names} so that the mean "
            f"pre-activation of each is ln(T - 1) = {math.log(lag - 1):.3g}; a gate f at that has 1/(1 - f) = T"
        ),
    )


@final
@dataclass(frozen=True, eq=False)
class _Opened:
    """A network whose gates were opened, and the median time constant predicted for it, steps.

    `names`: of the biases. `tolerance`: a quarter, or by how much the prediction differs from that of gates which do
    not hear what they hold change.
    """

    changed: Patient
    predicted: float
    tolerance: float
    names: str
    biases: tuple[tuple[str, str, float] | None, ...]


def _opened(patient: Patient, wanted: Callable[[Array], Array]) -> _Opened | str:
    """The copy, where the slowest gate forgets sooner than the task asks; else why not.

    `wanted`: from the units' ranks, as shares of one, to the pre-activation each is to have on average.
    """
    cells = patient.cells
    biases = [keeping_bias(cell) for cell in cells or ()]
    if cells is None or not any(biases):
        return Skipped("gates: none, so no bias to set")
    try:
        longest = float(np.max(patient.gates.time_constants, initial=0.0))
    except AnalysisError as error:
        return Skipped(f"gates: not measured ({error})")
    lag = patient.task_lag
    if longest >= lag:
        return f"gates: the slowest keeps {longest:.3g} steps, as long as the task's lag of {lag}"
    factors = own_factors(patient.f, None, patient.task.inputs)
    changed, fixed = _shifted(patient, cells, factors, wanted)
    following = following_times(patient, changed.cells or ())
    predicted = fixed if following is None else float(np.median(following))
    names = " and ".join(sorted({b[0] for b in biases if b}))
    return _Opened(changed, predicted, max(CLOSE * predicted, abs(predicted - fixed)), names, tuple(biases))


def _remedy(patient: Patient, opened: _Opened, **words: str) -> Remedy:
    again = opened.changed.gates
    longest, after_longest = (float(np.max(g.time_constants)) for g in (patient.gates, again))
    before, after = (float(np.median(g.time_constants)) for g in (patient.gates, again))
    cells = opened.changed.cells or ()
    return Remedy(
        trigger=f"the slowest gate keeps {longest:.3g} steps, the task's lag is {patient.task_lag}",
        settings={
            f"layer{i}.{b[0]}": getattr(cell, b[0])
            for i, (b, cell) in enumerate(zip(opened.biases, cells, strict=True))
            if b
        },
        quantity="median time constant of the gates (steps)",
        before=before,
        predicted=opened.predicted,
        after=after,
        tolerance=opened.tolerance,
        basis=(
            "these gates shifted and what they hold let follow, all else as recorded; tolerance a quarter, or as much "
            "as the following changes: the rest of the network follows too"
        ),
        source="C. Tallec & Y. Ollivier, ICLR 2018, arXiv 1804.11188",
        also={"slowest gate (steps)": (longest, after_longest)},
        **words,
    )


def keeping_bias(cell: Any) -> tuple[str, str, float] | None:
    """The bias that decides what is kept, the block it is about, and the sign with which it keeps more.

    None for gates of another function: how far a shift of their bias opens them depends on where they are.
    """
    if getattr(cell, "gate_activation", "sigmoid") != "sigmoid":
        return None
    normalized = getattr(cell, "normalized", "")  # then the bias that counts is the norm's own
    if hasattr(cell, "b_f") and "c" in cell.state_blocks:
        return "beta_f" if "f" in normalized else "b_f", "c", 1.0
    if hasattr(cell, "b_z") and hasattr(cell, "update"):
        return "beta_z" if "z" in normalized else "b_z", "h", 1.0 if cell.update == "keeps-old" else -1.0
    return None


def log_odds(kept: Array) -> Array:
    """The pre-activations of logistic gates, from how far they are open."""
    inside = np.clip(kept, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _shifted(
    patient: Patient, cells: tuple[Any, ...], factors: Array, wanted: Callable[[Array], Array]
) -> tuple[Patient, float]:
    """The changed network, and the median time constant that the recorded gates predict for it."""
    changed, times = [], []
    offset = 0
    for cell in cells:
        bias = keeping_bias(cell)
        rows, at = {}, offset
        for name, size in cell.state_blocks.items():
            rows[name], at = slice(at, at + size), at + size
        offset = at
        if bias is None:
            changed.append(cell)
            continue
        name, block, sign = bias
        logit = log_odds(factors[:, rows[block]])
        mean = logit.mean(axis=(0, 2))
        # Targets by rank, in the order in which the units keep already: nobody is turned round.
        rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
        shift = wanted((rank + 0.5) / len(mean)) - mean
        log_kept = np.log(expit(logit + shift[:, np.newaxis])).mean(axis=(0, 2))
        times.append(-1.0 / log_kept)
        changed.append(dataclasses.replace(cell, **{name: getattr(cell, name) + sign * shift[:, np.newaxis]}))
    return patient.with_cells(changed), float(np.median(np.concatenate(times)))
