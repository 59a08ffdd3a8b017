"""The rule on saturated units: functions that have become flat pass no gradient."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dynsys.treatment.patient import Patient
from dynsys.treatment.records import log_slope, pre_activations
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

FLAT = math.log(0.01)
"""Log slope below which a unit counts as saturated."""
MANY, FEW = 0.3, 0.1
"""Share of saturated units and steps that triggers the rule, and the one that is aimed at."""
WITHIN = 0.1
"""Of the share: how far the changed states may move it."""


def saturation(patient: Patient) -> Remedy | str:
    """Scale down what feeds functions that are flat most of the time."""
    cells = patient.cells
    if cells is None:
        return Skipped("saturation: not measured, the map is not made of cells")
    shares = _shares(patient)
    if not shares:
        return Skipped("saturation: no function of these cells saturates on both sides, bar the gates that keep")
    (layer, name), (share, slope) = max(shares.items(), key=lambda entry: entry[1][0])
    where = f"{name} of layer {layer}" if len(cells) > 1 else name
    said = f"{100 * share:.3g} % of the {where} have a slope below 0.01 (threshold {100 * MANY:g} %)"
    if share <= MANY:
        return f"saturation: at most {said}"
    a, function, fields = pre_activations(patient.records[layer])[name]
    factor = _flat_from(function) / float(np.quantile(np.abs(a), 1 - FEW))
    cell = cells[layer]
    scaled = dataclasses.replace(cell, **{field: factor * getattr(cell, field) for field in fields})
    changed = patient.with_cells([scaled if i == layer else c for i, c in enumerate(cells)])
    after, slope_after = _shares(changed)[layer, name]
    predicted = float((log_slope(factor * a, function) < FLAT).mean())
    return Remedy(
        id="unsaturate",
        title="Lower the gain of what is saturated",
        trigger=f"{said}; in the sum of all exponents they are a term of {slope:.3g} nats/step",
        change=f"multiply {', '.join(fields)} by {factor:.3g}, or normalise the layer before the function (layer norm)",
        settings={"layer": layer, "factor": factor, "parameters": fields},
        quantity=f"share of saturated {name}",
        before=share,
        predicted=predicted,
        after=after,
        tolerance=WITHIN,
        basis="recorded arguments times the factor, states as they were; tolerance 0.1, for the states move too",
        source=("sum rule of the exponents; layer norm: J. L. Ba, J. R. Kiros & G. E. Hinton, arXiv 1607.06450"),
        also={"their term in the sum of exponents (nats/step)": (slope, slope_after)},
    )


def _shares(patient: Patient) -> dict[tuple[int, str], tuple[float, float]]:
    """By layer and group: share of units and steps with a flat function; sum over units of the mean log slope."""
    found = {}
    for layer, record in enumerate(patient.records):
        for name, (a, function, _) in pre_activations(record).items():
            slopes: Array = log_slope(a, function)
            found[layer, name] = float((slopes < FLAT).mean()), float(slopes.mean(axis=(0, 2)).sum())
    return found


def _flat_from(function: str) -> float:
    """|a| from which the slope is below 0.01: sech(a)^2 = s, or s(a) s(-a) = s."""
    s = math.exp(FLAT)
    return math.acosh(1 / math.sqrt(s)) if function == "tanh" else 2 * math.acosh(1 / (2 * math.sqrt(s)))
