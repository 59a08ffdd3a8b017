"""The rule on networks at the edge of chaos whose transfer is badly conditioned: gradient flossing before training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dynsys import seeds
from dynsys.gradients import gradient_spectrum
from dynsys.treatment.flossing import Window, finite_exponents, flossed, mean_square
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.treatment.task import Task
from dynsys.treatment.weight_rules import plain_cell

CONDITION = 1e6
"""Largest over smallest singular value of the transfer over the task's lag."""
LARGEST, MOST = 128, 8
"""Units up to which it is tried; sequences of a window."""
WINDOW, ALIGN = 55, 0.2
"""Steps of a window, as in the paper; the share of them in which the frame aligns."""
FITTED = 0.05
"""Share of the value before that may be gained on the sequences of the gradient steps alone."""
STEPS, RATE = 40, 0.02
"""Gradient steps, and the size of one over the rms weight."""


def flossing(patient: Patient) -> Remedy | str:
    """Move U by gradient steps to where the exponents are nearer zero, and measure on other sequences."""
    cell = plain_cell(patient)
    if cell is None or cell.activation != "tanh" or cell.hidden_size > LARGEST:
        return Skipped(f"conditioning: the rule is for plain tanh networks of one layer, to {LARGEST} units")
    largest, error = float(patient.lyapunov.exponents[0]), float(patient.lyapunov.standard_errors[0])
    if abs(largest) > max(2 * error, 1 / patient.task_lag):
        return f"conditioning: largest exponent {largest:.3g} nats/step, not zero: the gain matters first"
    condition = _log_condition(patient)
    said = f"singular values of the transfer over {_lag(patient)} steps span a factor 10^{condition:.3g}"
    if condition <= math.log10(CONDITION):
        return f"conditioning: {said}, at most 10^{math.log10(CONDITION):g}"
    if not patient.limits.trains:
        return Skipped(f"conditioning: {said}; gradient flossing may help, `dynsys remedies` tries it")
    if patient.task.inputs.shape[1] < 2:
        return Skipped(f"conditioning: {said}; flossing needs two sequences, one to change on and one to check")
    seen, fresh = (_window(patient, half) for half in patient.task.halves())
    before = mean_square(cell, cell.U, seen)[0]
    U = flossed(cell, seen, STEPS, RATE)
    predicted, after = mean_square(cell, U, seen)[0], mean_square(cell, U, fresh)[0]
    changed = patient.with_cells([dataclasses.replace(cell, U=U)])
    spread = [np.square(finite_exponents(cell, U, w)).mean(axis=1) for w in (seen, fresh)]
    errors = np.array([s.std(ddof=1) / math.sqrt(len(s)) if len(s) > 1 else predicted for s in spread])
    return Remedy(
        id="floss",
        title="Gradient flossing",
        trigger=(
            f"{said} (threshold 10^{math.log10(CONDITION):g}) while the largest exponent is {largest:.3g} +- "
            f"{error:.2g} nats/step"
        ),
        change=(
            f"before training, minimise the mean square of the leading {seen.frame.shape[1]} exponents by gradient "
            f"steps on U ({STEPS} were taken, over windows of {len(seen.inputs)} steps); repeat it during training"
        ),
        settings={"U": U, "exponents": seen.frame.shape[1], "steps": STEPS, "window": len(seen.inputs)},
        quantity="mean squared exponent ((nats/step)^2)",
        before=before,
        predicted=predicted,
        after=after,
        tolerance=max(3 * float(np.linalg.norm(errors)), FITTED * before),
        basis=(
            "what the gradient steps reached on the even sequences; measured on the odd ones; tolerance 3 errors over "
            f"sequences, or {100 * FITTED:g} % of the value before, for the steps fit their own sequences best"
        ),
        source="R. Engelken, NeurIPS 2023, arXiv 2312.17306",
        also={
            "log10 of the condition number": (condition, _log_condition(changed)),
            "largest exponent (nats/step)": (largest, float(changed.lyapunov.exponents[0])),
        },
    )


def _lag(patient: Patient) -> int:
    return min(patient.task_lag, patient.task.length)


def _log_condition(patient: Patient) -> float:
    """log10 of largest over smallest singular value over the task's lag, the mean of up to four sequences."""
    some = patient.task.inputs[:, :4]
    spectrum = gradient_spectrum(patient.f, None, some, [_lag(patient)], seed=patient.seed)
    least = spectrum.by_start[:, 0, -1]
    lost = ~np.isfinite(least)
    return math.inf if lost.any() else float((spectrum.by_start[:, 0, 0] - least).mean()) / math.log(10)


def _window(patient: Patient, task: Task) -> Window:
    inputs = task.inputs[:WINDOW, :MOST]
    n, batch = patient.f.state_size, inputs.shape[1]
    start = np.zeros((n, batch))
    if patient.f.initial_state is not None:
        start = start + patient.f.initial_state[:, np.newaxis]
    k = max(1, int(0.9 * n))
    frame = np.linalg.qr(seeds.generator(patient.seed).standard_normal((n, k)))[0]
    return Window(inputs, start, frame, int(ALIGN * len(inputs)))
