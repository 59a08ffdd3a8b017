"""The rule on layers that live on different time scales: connections past them."""

from __future__ import annotations

import itertools
import math

import numpy as np

from dynsys.lyapunov import lyapunov_spectrum
from dynsys.orbits import orbit_columns
from dynsys.readings.linear import Linearization
from dynsys.treatment.patient import Patient
from dynsys.treatment.records import layer_records
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

APART = 0.5
"""Nats per step between the largest exponents of two layers from which they are on different time scales."""
CLOSE = 0.25
"""Relative deviation of the gain that the changed states of the upper layers explain."""
STEPS = 20
"""Steps at which the gain is taken."""


def residual(patient: Patient) -> Remedy | str:
    """Residual connections across layers whose exponents differ."""
    stacked, cells = patient.stacked, patient.cells
    if stacked is None or cells is None or len(cells) < 2:
        return Skipped("layers: one, so nothing to connect across")
    exponents = _exponents(patient)
    apart = max(exponents) - min(exponents)
    said = f"largest exponents of the layers {', '.join(f'{e:.3g}' for e in exponents)} nats/step"
    if apart <= APART:
        return f"layers: {said}, no further apart than {APART:g}"
    if stacked.skip or stacked.residual:
        return f"layers: {said}; there are connections past them already"
    if not patient.f.input_size:
        return Skipped(f"layers: {said}; without inputs there is no gain from them to the top")
    if len({c.output_size for c in cells}) > 1:
        return Skipped(f"layers: {said}; residual connections need layers of one width")
    changed = patient.with_cells(cells, residual=True)
    before, predicted = _gains(patient)
    after = _shown_gain(changed)
    return Remedy(
        id="residual-connections",
        title="Residual connections across layers",
        trigger=f"{said}: {apart:.3g} apart (threshold {APART:g})",
        change=(
            "let each layer hear the sum of the outputs of all layers below it (`stack(..., residual=True)`), and the "
            "readout the sum of all; a gradient then reaches every layer past the ones that forget. In plain "
            "networks also make each layer's recurrent matrix orthogonal"
        ),
        settings={"residual": True},
        quantity="log gain from the input to what the readout sees, within one step (nats)",
        before=before,
        predicted=predicted,
        after=after,
        tolerance=math.log1p(CLOSE),
        basis="product of (I + dh/dx) over the layers, at the recorded states; tolerance a quarter, as they change",
        source="K. He et al., CVPR 2016, arXiv 1512.03385; M. Chen et al., ICML 2018, arXiv 1806.05394",
    )


def _exponents(patient: Patient) -> list[float]:
    """The largest exponent of each layer, driven by the layers below: a stack has those of its layers together."""
    inputs, seed = patient.task.inputs, patient.seed
    whole = inputs.swapaxes(0, 1).reshape(inputs.shape[0] * inputs.shape[1], inputs.shape[2])
    steps = min(max(len(whole), 2000), patient.limits.steps)
    driving = whole[np.resize(np.arange(len(whole)), steps)][:, np.newaxis]
    records = layer_records(patient.f, patient.stacked, patient.cells or (), driving)
    discard = min(500, steps // 4)
    return [
        float(
            lyapunov_spectrum(r.cell, r.before[0, :, 0], r.heard[:, :, 0], 1, discard=discard, seed=seed).exponents[0]
        )
        for r in records
    ]


def _chosen(steps: int) -> Array:
    return np.unique(np.linspace(steps // 4, steps - 1, STEPS).astype(int))


def _gains(patient: Patient) -> tuple[float, float]:
    """Log gain from the input to the top, as it is and with the identity beside each upper layer."""
    from dynsys.combinators import as_map

    squares = np.zeros(2)
    chosen = _chosen(len(patient.some.inputs))
    for t in chosen:
        plain = past = None
        for record in patient.records:
            f = as_map(record.cell)
            slope = f.linearize_columns(record.before[t], record.heard[t]).dense_input()[:, f.output]
            plain = slope if plain is None else slope @ plain
            past = slope if past is None else slope @ past + past
        assert plain is not None
        assert past is not None
        squares += np.square(plain).sum(axis=(1, 2)).mean(), np.square(past).sum(axis=(1, 2)).mean()
    m = patient.f.input_size
    before, predicted = 0.5 * np.log(squares / len(chosen) / m)
    return float(before), float(predicted)


def _shown_gain(patient: Patient) -> float:
    """The same on the changed network, by tangents of its whole step: to the sum of all layers' outputs."""
    inputs = patient.some.inputs
    f, stacked = patient.f, patient.stacked
    assert stacked is not None
    start = np.zeros((f.state_size, inputs.shape[1]))
    if f.initial_state is not None:
        start = start + f.initial_state[:, np.newaxis]
    orbit = orbit_columns(f, start, inputs, len(inputs))
    ends = np.cumsum([0, *(g.state_size for g in stacked.layers)])
    square, m = 0.0, f.input_size
    chosen = _chosen(len(inputs))
    for t in chosen:
        link: Linearization = f.linearize_columns(orbit[t], inputs[t].T)
        unit = np.broadcast_to(np.eye(m)[:, np.newaxis], (m, inputs.shape[1], m))
        moved = link.push(None, unit)
        shown = sum(moved[a:b][g.output] for g, (a, b) in zip(stacked.layers, itertools.pairwise(ends), strict=True))
        square += float(np.square(shown).sum(axis=(0, 2)).mean())
    return 0.5 * math.log(square / len(chosen) / m)
