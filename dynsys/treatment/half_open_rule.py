"""The rule on gates that start half open: bias zero, as frameworks leave it, forgets half at every step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.gate_times import own_factors
from dynsys.treatment.gate_rules import CLOSE, keeping_bias, log_odds
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

NEAR = 0.1
"""How far from one half the mean gate may be."""
SPREAD = 1.0
"""Standard deviation of what feeds the gates up to which their bias decides: beyond, the gates work already."""
RAISES = (1.0, 2.0)
"""What the bias is raised by: the first that keeps as long as the task asks, else the last."""


def half_open(patient: Patient) -> Remedy | str:
    """Raise the bias of gates that are half open on average by 1 or 2."""
    cells = patient.cells
    if cells is None or not any(keeping_bias(cell) for cell in cells):
        return Skipped("gates: none, so no bias to set")
    try:
        layers = dict(_layers(patient))
    except AnalysisError as error:
        return Skipped(f"gates: not measured ({error})")
    means = {i: (float(kept.mean()), float(log_odds(kept).std())) for i, kept in layers.items()}
    said = ", ".join(f"{mean:.3g}" for mean, _ in means.values())
    chosen = [i for i, (mean, spread) in means.items() if abs(mean - 0.5) <= NEAR and spread <= SPREAD]
    if not chosen:
        return f"gates: what they keep at each step is {said} on average: not half open for want of a bias"
    raised = next((b for b in RAISES if _time(b) >= patient.task_lag), RAISES[-1])
    names, changed_cells = [], list(cells)
    for i in chosen:
        name, _, sign = keeping_bias(cells[i]) or ("", "", 0.0)
        names.append(f"layer{i}.{name}")
        changed_cells[i] = dataclasses.replace(cells[i], **{name: getattr(cells[i], name) + sign * raised})
    changed = patient.with_cells(changed_cells)
    before, after = (_median_time(dict(_layers(p)), chosen) for p in (patient, changed))
    options = ", ".join(f"{b:g} gives {_time(b):.3g} steps" for b in RAISES)
    bias = " and ".join(sorted({name.split(".")[1] for name in names}))
    return Remedy(
        id="forget-bias-start",
        title="Start the gates that keep open, not half open",
        trigger=(
            f"the gates keep {said} of the state at each step on average: within {NEAR:g} of the half that a bias of "
            f"zero gives, {before:.3g} steps; the task's lag is {patient.task_lag}"
        ),
        change=(
            f"raise {bias} by {raised:g} for all units ({options}). PyTorch adds two biases, bias_ih and bias_hh: "
            f"raise one of them only, or the sum is raised by {2 * raised:g}"
        ),
        settings={name: getattr(changed_cells[i], name.split(".")[1]) for name, i in zip(names, chosen, strict=True)},
        quantity="median time constant of the gates (steps)",
        before=before,
        predicted=_time(raised),
        after=after,
        tolerance=CLOSE * _time(raised),
        basis=(
            f"closed form -1 / log(sigmoid({raised:g})), as if the bias alone fed the gates; tolerance a quarter, for "
            "what else does"
        ),
        source="R. Jozefowicz, W. Zaremba & I. Sutskever, ICML 2015, PMLR 37, 2342-2350",
    )


def _layers(patient: Patient) -> Iterator[tuple[int, Array]]:
    """Of every layer with such gates: the share (T, n, B) that they keep."""
    factors = own_factors(patient.f, None, patient.task.inputs)
    at = 0
    for i, cell in enumerate(patient.cells or ()):
        bias: Any = keeping_bias(cell)
        for block, size in cell.state_blocks.items():
            if bias is not None and block == bias[1]:
                yield i, factors[:, at : at + size]
            at += size


def _median_time(layers: dict[int, Array], chosen: list[int]) -> float:
    """Median over units of the time constant of the geometric mean of what is kept, steps."""
    logs = np.concatenate([np.log(layers[i]).mean(axis=(0, 2)) for i in chosen])
    return float(np.median(-1.0 / logs))


def _time(bias: float) -> float:
    """The time constant of a gate that a bias alone feeds, steps."""
    return 1.0 / math.log1p(math.exp(-bias))
