"""The rule on saturated units: functions that have become flat pass no gradient."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import final

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
TERM = "their term in the sum of exponents (nats/step)"


@final
@dataclass(frozen=True, eq=False)
class Saturated:
    """The group of functions that is flat most often.

    Attributes:
        layer, name: which. arguments: (T, n, B), of `function`. parameters: what they scale with.
        share: of units and steps with a flat function. term: sum over units of the mean log slope, nats per step: what
            they contribute to the sum of all exponents. said: that in words.
    """

    layer: int
    name: str
    arguments: Array
    function: str
    parameters: tuple[str, ...]
    share: float
    term: float
    said: str

    @property
    def trigger(self) -> str:
        return f"{self.said}; in the sum of all exponents they are a term of {self.term:.3g} nats/step"


def saturation(patient: Patient) -> Remedy | str:
    """Scale down what feeds functions that are flat most of the time."""
    found = most_saturated(patient)
    if isinstance(found, str):
        return found
    cells = patient.cells or ()
    a, fields = found.arguments, found.parameters
    factor = flat_from(found.function) / float(np.quantile(np.abs(a), 1 - FEW))
    cell = cells[found.layer]
    scaled = dataclasses.replace(cell, **{field: factor * getattr(cell, field) for field in fields})
    changed = patient.with_cells([scaled if i == found.layer else c for i, c in enumerate(cells)])
    after, term_after = shares(changed)[found.layer, found.name]
    return Remedy(
        id="unsaturate",
        title="Lower the gain of what is saturated",
        trigger=found.trigger,
        change=f"multiply {', '.join(fields)} by {factor:.3g}",
        settings={"layer": found.layer, "factor": factor, "parameters": fields},
        quantity=f"share of saturated {found.name}",
        before=found.share,
        predicted=flat_share(factor * a, found.function),
        after=after,
        tolerance=WITHIN,
        basis="recorded arguments times the factor, states as they were; tolerance 0.1, for the states move too",
        source="sum rule of the exponents",
        also={TERM: (found.term, term_after)},
    )


def most_saturated(patient: Patient) -> Saturated | str:
    """The worst group, where it passes the threshold; else why not."""
    cells = patient.cells
    if cells is None:
        return Skipped("saturation: not measured, the map is not made of cells")
    known = shares(patient)
    if not known:
        return Skipped("saturation: no function of these cells saturates on both sides, bar the gates that keep")
    (layer, name), (share, term) = max(known.items(), key=lambda entry: entry[1][0])
    where = f"{name} of layer {layer}" if len(cells) > 1 else name
    said = f"{100 * share:.3g} % of the {where} have a slope below 0.01 (threshold {100 * MANY:g} %)"
    if share <= MANY:
        return f"saturation: at most {said}"
    return Saturated(layer, name, *pre_activations(patient.records[layer])[name], share, term, said)


def shares(patient: Patient) -> dict[tuple[int, str], tuple[float, float]]:
    """By layer and group: share of units and steps with a flat function; sum over units of the mean log slope."""
    found = {}
    for layer, record in enumerate(patient.records):
        for name, (a, function, _) in pre_activations(record).items():
            found[layer, name] = flat_share(a, function), slope_term(a, function)
    return found


def slope_term(a: Array, function: str) -> float:
    """The sum over units of the mean log slope at arguments (T, n, B), nats per step."""
    return float(log_slope(a, function).mean(axis=(0, 2)).sum())


def flat_share(a: Array, function: str) -> float:
    """The share of arguments at which the function is flat."""
    return float((log_slope(a, function) < FLAT).mean())


def flat_from(function: str) -> float:
    """|a| from which the slope is below 0.01: sech(a)^2 = s, or s(a) s(-a) = s."""
    s = math.exp(FLAT)
    return math.acosh(1 / math.sqrt(s)) if function == "tanh" else 2 * math.acosh(1 / (2 * math.sqrt(s)))
