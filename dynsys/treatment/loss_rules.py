"""Rules on the training itself: clipping gradients, and how far back to propagate them."""

from __future__ import annotations

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.gradient_lags import GradientLags
from dynsys.through_time import bptt
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.treatment.task import Task

HEAVY = 5.0
"""Largest over median gradient norm from which single sequences dominate a step."""
ABOVE = 2.0
"""The clip threshold, in medians of the gradient norm."""
MANY = 0.5
"""Share of clipped sequences from which clipping changes directions more than it prevents."""


def clipping(patient: Patient) -> Remedy | str:
    """Clip the gradient's norm where it has a heavy tail, or where differences grow."""
    if not patient.task.scored:
        return Skipped("gradient norms: not measured, there are no targets")
    norms = patient.gradient_norms
    if len(norms) < 8:
        return Skipped("gradient norms: too few sequences (fewer than 8) to know their tail")
    tail = float(norms.max() / np.median(norms)) if np.median(norms) > 0 else np.inf
    lyapunov = patient.lyapunov
    growing = lyapunov.exponents[0] - 2 * lyapunov.standard_errors[0] > 0
    if tail < HEAVY and not growing:
        return f"gradient norms: the largest is {tail:.2g} medians, below {HEAVY:g}; no clipping needed"
    # Decided on the even sequences, checked on the odd ones.
    seen, fresh = norms[::2], norms[1::2]
    threshold = ABOVE * float(np.median(seen))
    predicted, after = float((seen > threshold).mean()), float((fresh > threshold).mean())
    spread = 3 * np.sqrt(max(predicted * (1 - predicted), 1 / len(seen)) * (1 / len(seen) + 1 / len(fresh)))
    warning = "; so many that it changes directions: lower the gain first" if predicted > MANY else ""
    return Remedy(
        id="clip-gradients",
        title="Clip the gradient's norm",
        trigger=(
            f"largest gradient norm of a sequence is {tail:.3g} medians (threshold {HEAVY:g})"
            + (f"; largest exponent {lyapunov.exponents[0]:.3g} nats/step is positive" if growing else "")
        ),
        change=f"clip at a norm of {threshold:.4g}, {ABOVE:g} medians{warning}",
        settings={"clip_norm": threshold},
        quantity="share of sequences clipped",
        before=0.0,
        predicted=predicted,
        after=after,
        tolerance=float(spread),
        basis="the share among the even sequences; measured among the odd ones; tolerance 3 binomial errors",
        source="R. Pascanu, T. Mikolov & Y. Bengio, ICML 2013, arXiv 1211.5063",
    )


def truncation(patient: Patient) -> Remedy | str:
    """Propagate back twice as far as 95 % of the gradient comes from."""
    if not patient.task.scored:
        return Skipped("truncation: not measured, there are no targets")
    if patient.task.inputs.shape[1] < 2:
        return Skipped("truncation: needs two sequences, one to decide on and one to check")
    seen, fresh = (_lags(patient, half) for half in patient.some.halves())
    length = max(1, 2 * seen.lag_95)
    if length >= patient.task.length:
        return (
            f"truncation: 95 % of the gradient comes from the last {seen.lag_95} steps of {patient.task.length}; "
            "propagate through the whole sequence"
        )
    predicted, after = float(seen.truncation_error[length]), float(fresh.truncation_error[length])
    return Remedy(
        id="truncate",
        title="Truncate back-propagation",
        trigger=f"95 % of the gradient comes over the last {seen.lag_95} of {patient.task.length} steps",
        change=f"back-propagate through {length} steps",
        settings={"truncation": length},
        quantity="relative error of the gradient",
        before=0.0,
        predicted=predicted,
        after=after,
        tolerance=max(0.05, predicted),
        basis="lag profile of the even sequences; measured on the odd ones; tolerance 0.05, or as much again",
        source="R. Pascanu, T. Mikolov & Y. Bengio, ICML 2013, arXiv 1211.5063",
        also={"steps of back-propagation": (float(patient.task.length), float(length))},
    )


def _lags(patient: Patient, task: Task) -> GradientLags:
    assert task.loss is not None
    found = bptt(patient.f, task.readout, task.inputs, task.targets, task.loss, at=task.at, lags=patient.limits.lags)
    if found.lags is None:
        raise AnalysisError("no gradient by lag.")
    return found.lags
