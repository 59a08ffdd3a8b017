"""The rule on layer normalisation: what feeds a saturated function is brought to one size at every step."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from dynsys.loaders.recurrent import cells_package
from dynsys.treatment.patient import Patient
from dynsys.treatment.records import normed
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.treatment.saturation_rule import FEW, flat_from, most_saturated, shares, slope_term

LETTERS = {"candidates g": "g", "input gates": "i", "output gates": "o", "candidates": "h", "units": ""}
"""The group of functions, as the suffix of its parameters."""
EPSILON = 1e-5
CLOSE = 0.25
"""Relative deviation of the term that the changed states explain."""


def layer_norm(patient: Patient) -> Remedy | str:
    """Normalise what feeds functions that are flat most of the time, over the units of the layer."""
    found = most_saturated(patient)
    if isinstance(found, str):
        return found
    cells = patient.cells or ()
    letter = LETTERS[found.name]
    if type(cells[found.layer]).__name__ == "LayerNormElman" or letter in getattr(cells[found.layer], "normalized", ()):
        return f"layer norm: {found.said}; they are normalised already, what is left is their gain"
    if found.arguments.shape[1] < 2:
        return Skipped("layer norm: a single unit has no layer to be normalised over")
    gain = min(1.0, math.sqrt(FEW) * flat_from(found.function))
    bound = (gain / flat_from(found.function)) ** 2
    with_norm = _normalized(cells[found.layer], letter, gain)
    changed = patient.with_cells([with_norm if i == found.layer else c for i, c in enumerate(cells)])
    after, term_after = shares(changed)[found.layer, found.name]
    predicted = slope_term(normed(found.arguments, gain, 0.0, EPSILON), found.function)
    gamma = f"gamma_{letter}" if letter else "gamma"
    return Remedy(
        id="layer-norm",
        title="Normalise the layer before what is saturated",
        trigger=found.trigger,
        change=(
            f"feed the {found.name} with {gamma} (a - mean a) / sqrt(var a + {EPSILON:g}) in the place of a, mean and "
            f"variance over the units at each step, {gamma} = {gain:.3g} to begin with (in PyTorch "
            f"`nn.LayerNorm({found.arguments.shape[1]})`; `cells.{type(with_norm).__name__}`); train from there"
        ),
        settings={"layer": found.layer, gamma: gain, "epsilon": EPSILON, "cell": type(with_norm).__name__},
        quantity=f"term of the {found.name} in the sum of exponents (nats/step)",
        before=found.term,
        predicted=predicted,
        after=term_after,
        tolerance=CLOSE * abs(predicted),
        basis=(
            "recorded arguments normalised, states as they were; tolerance a quarter, for they move. The share of flat "
            f"ones cannot come above {100 * bound:.3g} % whatever they do (Chebyshev's inequality over the units)"
        ),
        source="J. L. Ba, J. R. Kiros & G. E. Hinton, arXiv 1607.06450",
        also={
            f"share of saturated {found.name}": (found.share, after),
            "largest exponent (nats/step)": (_largest(patient), _largest(changed)),
        },
    )


def _normalized(cell: Any, letter: str, gain: float) -> Any:
    """The cell with the arguments of one of its functions normalised, scale `gain`, all else as it is."""
    cells = cells_package()
    scale = {f"gamma_{letter}" if letter else "gamma": np.full((cell.hidden_size, 1), gain)}
    if hasattr(cell, "normalized"):
        return dataclasses.replace(cell, normalized=cell.normalized + letter, **scale)
    fields = {f.name: getattr(cell, f.name) for f in dataclasses.fields(cell)}
    kind = type(cell).__name__
    if kind == "Elman":
        return cells.LayerNormElman(**fields, **scale, epsilon=EPSILON)
    if kind == "LSTM":
        return cells.LayerNormLSTM(**fields, **scale, normalized=letter, epsilon=EPSILON)
    reset = "after" if kind == "GRUResetAfter" else "before"
    return cells.LayerNormGRU(**fields, **scale, normalized=letter, reset=reset, epsilon=EPSILON)


def _largest(patient: Patient) -> float:
    return float(patient.lyapunov.exponents[0])
