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
from dynsys.treatment.patient import Patient
from dynsys.treatment.records import pre_activations
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

CLOSE = 0.25
"""Relative deviation of the measured from the predicted time constant that feedback of the changed states explains."""
CLOSED = 0.1
"""Mean opening of a gate below which it is called closed."""


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
    """A network whose gates were opened: `names` of the biases, and the median time constant predicted for it."""

    changed: Patient
    predicted: float
    names: str
    biases: tuple[tuple[str, str, float] | None, ...]


def _opened(patient: Patient, wanted: Callable[[Array], Array]) -> _Opened | str:
    """The copy, where the slowest gate forgets sooner than the task asks; else why not.

    `wanted`: from the units' ranks, as shares of one, to the pre-activation each is to have on average.
    """
    cells = patient.cells
    biases = [_bias(cell) for cell in cells or ()]
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
    changed, predicted = _shifted(patient, cells, factors, wanted)
    names = " and ".join(sorted({b[0] for b in biases if b}))
    return _Opened(changed, predicted, names, tuple(biases))


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
        tolerance=CLOSE * opened.predicted,
        basis="the recorded gates with the shift added, states as they were; tolerance a quarter, for they change too",
        source="C. Tallec & Y. Ollivier, ICLR 2018, arXiv 1804.11188",
        also={"slowest gate (steps)": (longest, after_longest)},
        **words,
    )


def output_bias(patient: Patient) -> Remedy | str:
    """Open the output gates of an LSTM that remembers in c, but neither writes nor shows."""
    cells = patient.cells
    if cells is None or len(cells) != 1 or type(cells[0]).__name__ != "LSTM" or cells[0].gate_activation != "sigmoid":
        return Skipped("input and output gates: the rule is for an LSTM of one layer")
    (record,) = patient.records
    arguments = {name: a for name, (a, _, _) in pre_activations(record).items()}
    write, show = (arguments[f"{gate} gates"].mean(axis=(0, 2)) for gate in ("input", "output"))
    closed = float(np.median(expit(write))), float(np.median(expit(show)))
    longest = float(np.max(patient.gates.time_constants, initial=0.0))
    said = f"median opening of the input gates {closed[0]:.2g}, of the output gates {closed[1]:.2g}"
    if max(closed) >= CLOSED or longest < patient.task_lag:
        return f"input and output gates: {said}; the slowest c keeps {longest:.3g} steps"
    shift = np.maximum(-show, 0.0)
    cell = cells[0]
    changed = patient.with_cells([dataclasses.replace(cell, b_o=cell.b_o + shift[:, np.newaxis])])
    predicted = float(np.median(expit(show + shift)))
    again = pre_activations(changed.records[0])["output gates"][0].mean(axis=(0, 2))
    return Remedy(
        id="output-bias",
        title="Open the output gates",
        trigger=f"c keeps {longest:.3g} steps, but {said} (threshold {CLOSED:g}): what c holds is neither set nor seen",
        change=(
            "raise b_o so that each output gate is half open at its unit's mean pre-activation; or, in training, stop "
            "the gradient through h at random (h-detach), so that the one through c is not drowned"
        ),
        settings={"b_o": changed.cells[0].b_o if changed.cells else None},
        quantity="median opening of the output gates",
        before=closed[1],
        predicted=predicted,
        after=float(np.median(expit(again))),
        tolerance=CLOSE * predicted,
        basis="the recorded gates with the shift added, states as they were; tolerance a quarter, for h grows",
        source="D. Arpit et al., h-detach, ICLR 2019, arXiv 1810.03023",
    )


def _bias(cell: Any) -> tuple[str, str, float] | None:
    """The bias that decides what is kept, the block it is about, and the sign with which it keeps more.

    None for gates of another function: how far a shift of their bias opens them depends on where they are.
    """
    if getattr(cell, "gate_activation", "sigmoid") != "sigmoid":
        return None
    if hasattr(cell, "b_f") and "c" in cell.state_blocks:
        return "b_f", "c", 1.0
    if hasattr(cell, "b_z") and hasattr(cell, "update"):
        return "b_z", "h", 1.0 if cell.update == "keeps-old" else -1.0
    return None


def _shifted(
    patient: Patient, cells: tuple[Any, ...], factors: Array, wanted: Callable[[Array], Array]
) -> tuple[Patient, float]:
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
        # Targets by rank, in the order in which the units keep already: nobody is turned round.
        rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
        shift = wanted((rank + 0.5) / len(mean)) - mean
        log_kept = np.log(expit(logit + shift[:, np.newaxis])).mean(axis=(0, 2))
        times.append(-1.0 / log_kept)
        changed.append(dataclasses.replace(cell, **{name: getattr(cell, name) + sign * shift[:, np.newaxis]}))
    return patient.with_cells(changed), float(np.median(np.concatenate(times)))
