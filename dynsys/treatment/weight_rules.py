"""Rules on recurrent weights: orthogonal, at the critical gain, or with singular values clipped."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from dynsys.gradients import gradient_spectrum
from dynsys.log_slopes import LOG_SLOPES
from dynsys.maps import Map
from dynsys.orbits import orbit_columns
from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped
from dynsys.types import Array

LARGEST = 256
"""Units up to which the whole spectrum is measured again."""
PEAK = math.log(3.0)
"""Transient growth, nats, from which differences are badly scattered before they fade."""
PEAK_LAG = 50


def orthogonal(patient: Patient) -> Remedy | str:
    """An orthogonal recurrent matrix where an ungated network forgets sooner than its task asks."""
    cell = plain_cell(patient)
    if cell is None:
        return Skipped(
            "recurrent matrix: the network is gated or has several layers; orthogonal weights are for plain ones"
        )
    n = cell.U.shape[0]
    if n == 1:
        return Skipped("recurrent matrix: of one unit, for which orthogonal leaves nothing but +1 and -1")
    memory = forgets(patient)
    if isinstance(memory, str):
        return memory
    largest = float(patient.lyapunov.exponents[0])
    u, s, vt = np.linalg.svd(cell.U)
    rank = int((s > n * np.finfo(np.float64).eps * s[0]).sum())
    if rank < n:
        return Skipped(f"recurrent matrix: U has rank {rank} of {n}, so its nearest orthogonal matrix is not unique")
    changed = patient.with_cells([dataclasses.replace(cell, U=u @ vt)])
    before = _mean_log_slope(patient, cell) + float(np.linalg.slogdet(cell.U)[1]) / n
    predicted = _mean_log_slope(changed, changed.cells[0] if changed.cells else cell)
    if not (math.isfinite(before) and math.isfinite(predicted)):
        return Skipped(
            "recurrent matrix: units at rest destroy directions, which orthogonal weights do not change: the mean "
            "exponent is minus infinity with them too"
        )
    after = changed.exponents(n, patient.seed)
    measured = float(np.mean(after.exponents))
    return Remedy(
        id="orthogonal-weights",
        title="Make the recurrent matrix orthogonal",
        trigger=f"differences fade within {memory:.3g} steps, the task's lag is {patient.task_lag}",
        change="replace U by its nearest orthogonal matrix (the polar factor); train from there",
        settings={"U": u @ vt},
        quantity="mean Lyapunov exponent (nats/step)",
        before=before,
        predicted=predicted,
        after=measured,
        tolerance=0.02 * max(1.0, abs(predicted)),
        basis="sum rule: log|det U| = 0 leaves the mean of log s'(a), taken along the changed network's states",
        source="A. M. Saxe, J. L. McClelland & S. Ganguli, ICLR 2014, arXiv 1312.6120",
        also={"largest exponent (nats/step)": (largest, float(after.exponents[0]))},
    )


def critical_gain(patient: Patient) -> Remedy | str:
    """Scale recurrent weights down to where mean-field theory has perturbations neither grow nor fade."""
    from dynsys.errors import AnalysisError
    from dynsys.random_networks import mean_field

    cell = plain_cell(patient)
    lyapunov = patient.lyapunov
    largest, error = float(lyapunov.exponents[0]), float(lyapunov.standard_errors[0])
    if cell is None:
        return Skipped("gain: the network is gated, has several layers, or is no network")
    if largest - 2 * error <= 0:
        return f"gain: largest exponent {largest:.3g} +- {error:.2g} nats/step, nothing grows"
    n = cell.U.shape[0]
    gain = float(np.linalg.norm(cell.U)) / math.sqrt(n)
    drive = _drive(patient, cell)

    def growth(scale: float) -> float:
        return mean_field(scale * gain, drive, cell.activation).largest_exponent

    try:
        from scipy.optimize import brentq

        scale = float(brentq(growth, 1e-3, 1.0, xtol=1e-6)) if growth(1.0) > 0 else 1.0 / gain
    except (AnalysisError, ValueError):
        return Skipped("gain: the theory of random networks does not cover this activation at this gain")
    changed = patient.with_cells([dataclasses.replace(cell, U=scale * cell.U)])
    after = changed.lyapunov
    return Remedy(
        id="critical-gain",
        title="Scale the recurrent weights to the edge of chaos",
        trigger=f"largest exponent {largest:.3g} +- {error:.2g} nats/step: differences grow",
        change=f"multiply U by {scale:.4g}: gain {scale * gain:.3g} instead of {gain:.3g}",
        settings={"scale": scale},
        quantity="largest exponent (nats/step)",
        before=largest,
        predicted=0.0,
        after=float(after.exponents[0]),
        tolerance=max(0.1, 3 * float(after.standard_errors[0])),
        basis="mean-field theory: chi = 1 at this gain under the measured drive; tolerance 0.1 for finite size",
        source="S. S. Schoenholz, J. Gilmer, S. Ganguli & J. Sohl-Dickstein, ICLR 2017, arXiv 1611.01232",
    )


def clipped_singular_values(patient: Patient) -> Remedy | str:
    """Clip singular values to one where differences grow for a while before they fade."""
    cell = plain_cell(patient)
    if cell is None:
        return Skipped("transient growth: the bound is for plain networks of one layer")
    lags = [lag for lag in (1, 2, 3, 5, 8, 12, 20, 30, PEAK_LAG) if lag <= patient.task.length]
    peak = _peak(patient, lags)
    if patient.lyapunov.exponents[0] >= 0:
        return "transient growth: differences do not fade at all, the gain is what matters"
    if peak < PEAK:
        return f"transient growth: largest gain {math.exp(peak):.3g}, below {math.exp(PEAK):.3g}"
    u, s, vt = np.linalg.svd(cell.U)
    clipped = (u * np.minimum(s, 1.0)) @ vt
    changed = patient.with_cells([dataclasses.replace(cell, U=clipped)])
    return Remedy(
        id="clip-singular-values",
        title="Clip the singular values of the recurrent matrix",
        trigger=f"differences grow {math.exp(peak):.3g}-fold before they fade (threshold {math.exp(PEAK):.3g})",
        change=f"set the {int((s > 1).sum())} singular values of U above 1 (up to {s[0]:.3g}) to 1",
        settings={"U": clipped},
        quantity="largest log gain over lags to 50 (nats)",
        before=peak,
        predicted=0.0,
        after=_peak(changed, lags),
        tolerance=0.0,
        basis="a product of matrices of norm at most max s' sigma_1(U) = 1 has norm at most 1",
        source="K. Helfrich, D. Willmott & Q. Ye, ICML 2018, arXiv 1707.09520",
        also={"largest singular value of U": (float(s[0]), float(min(s[0], 1.0)))},
    )


def forgets(patient: Patient) -> float | str:
    """How many steps differences last, where that is less than the task asks; else that they last."""
    lyapunov = patient.lyapunov
    largest, error = float(lyapunov.exponents[0]), float(lyapunov.standard_errors[0])
    memory = -1.0 / largest if largest < 0 else math.inf
    if largest + 2 * error >= 0 or memory >= patient.task_lag:
        return f"recurrent matrix: differences last {memory:.3g} steps, the task's lag is {patient.task_lag}"
    return memory


def plain_cell(patient: Patient) -> Any | None:
    """The cell of a plain one-layer network with a slope of at most one, of a size to measure whole; else None."""
    cells = patient.cells
    if cells is None or len(cells) != 1 or type(cells[0]).__name__ not in ("Elman", "IRNN"):
        return None
    cell = cells[0]
    return cell if cell.activation in ("tanh", "relu") and cell.hidden_size <= LARGEST else None


def _pre_activations(patient: Patient, cell: Any) -> Array:
    """(T, n, B) along the task's sequences."""
    f: Map = patient.f
    inputs = patient.task.inputs
    start = np.zeros((f.state_size, inputs.shape[1]))
    if f.initial_state is not None:
        start = start + f.initial_state[:, np.newaxis]
    states = orbit_columns(f, start, inputs, len(inputs))[:-1]
    return np.asarray(np.einsum("ij,tjb->tib", cell.U, states) + np.einsum("ij,tbj->tib", cell.W, inputs) + cell.b)


def _mean_log_slope(patient: Patient, cell: Any) -> float:
    """Mean of log s'(a) over units, in the stationary state: after the first steps, sequences run on without reset."""
    f: Map = patient.f
    given = patient.task.inputs
    inputs = given.swapaxes(0, 1).reshape(given.shape[0] * given.shape[1], given.shape[2])
    steps = max(len(inputs), 2000)
    driving = inputs[np.resize(np.arange(len(inputs)), steps)][:, np.newaxis]
    start = np.zeros((f.state_size, 1)) if f.initial_state is None else f.initial_state[:, np.newaxis]
    states = orbit_columns(f, start, driving, steps)[:-1, :, 0]
    a = states @ cell.U.T + driving[:, 0] @ cell.W.T + cell.b[:, 0]
    a = a[min(500, steps // 4) :]
    if cell.activation == "relu":
        return 0.0 if (a > 0).all() else -math.inf
    return float(np.mean(LOG_SLOPES[cell.activation](a)))


def _drive(patient: Patient, cell: Any) -> float:
    """Standard deviation of what reaches the units from outside: input and bias."""
    outside = np.einsum("ij,tbj->tib", cell.W, patient.task.inputs) + cell.b
    return float(outside.std()) if outside.size else 0.0


def _peak(patient: Patient, lags: list[int]) -> float:
    """The largest log gain over the lags, nats, on the first sequence."""
    spectrum = gradient_spectrum(patient.f, None, patient.task.inputs[:, :1], lags, 1, seed=patient.seed)
    return float(spectrum.by_start[..., 0].max())
