"""Exponents of sequences too short for a limit: how far differences grow over each, from its own start to its end."""

from __future__ import annotations

import numpy as np

from dynsys.frames import stretches
from dynsys.gradients import gradient_spectrum
from dynsys.lyapunov_averages import invariants, spread_error, sum_rule_residual
from dynsys.lyapunov_result import LyapunovSpectrum
from dynsys.maps import Map
from dynsys.orbits import constant_input
from dynsys.types import Array

LONG = 10.0  # times its slowest time constant, from which on a sequence is long enough for a limit
EXACT = 1000  # steps up to which short sequences are measured anew, by singular values
EPS = float(np.finfo(np.float64).eps)


def is_short(exponents: Array, steps: int) -> bool:
    """Whether `steps` are fewer than ten times the slowest time constant 1 / |largest exponent|."""
    return bool(len(exponents) and np.isfinite(exponents[0]) and abs(float(exponents[0])) * steps < LONG)


def label(steps: int) -> str:
    """What to say of exponents over so few steps."""
    return f"finite-time exponents: {steps} steps are fewer than ten times the slowest time constant"


def finite_time_spectrum(
    f: Map, state: Array, driving: Array, k: int, seed: int, drive: str, notes: tuple[str, ...] = ()
) -> LyapunovSpectrum:
    """Log singular values of each sequence's whole transfer, divided by its steps; nothing is discarded.

    No frame has to align for them. Starts (n, B), inputs (T, B or 1, m). Standard errors are those of the mean over the
    sequences.
    """
    steps, n = len(driving), f.state_size
    found = gradient_spectrum(f, state.T, np.broadcast_to(driving, (steps, state.shape[1], f.input_size)), [steps], k)
    by_sequence = found.by_start[:, 0] / steps
    mean = by_sequence.mean(axis=0)
    lost, trusted = int(found.lost[0]), int(found.trusted[0])
    dimension, entropy, reasons = invariants(mean, n)
    log_det = -np.inf if lost else _log_det(f, state, driving) / steps
    whole = k == n and (lost > 0 or np.isfinite(log_det))
    return LyapunovSpectrum(
        exponents=mean,
        standard_errors=np.maximum(spread_error(by_sequence), n * EPS),
        frame_differences=np.where(np.arange(k) < trusted, 0.0, np.inf),
        by_sequence=by_sequence,
        halves=np.stack([mean, mean]),
        running=mean[np.newaxis],
        running_steps=np.array([steps]),
        kaplan_yorke=dimension,
        entropy=entropy,
        residual=sum_rule_residual(mean, float(log_det)) if whole else None,
        trusted=trusted,
        lost=lost,
        steps=steps,
        discard=0,
        n=n,
        qr_interval=1,
        seed=seed,
        map_name=f.name,
        input=constant_input(f, driving),
        drive=drive,
        method=f"{label(steps)}; log singular values of each sequence from its own start, over its steps",
        notes=(*notes, *reasons, *found.notes),
    )


def _log_det(f: Map, state: Array, driving: Array) -> float:
    """Sum of log|det J| over the steps, nats, the mean over the sequences."""
    total = np.zeros(state.shape[1])
    for stretch in stretches(f, state, driving, len(driving)):
        closed = stretch.log_abs_det()
        logs = [np.linalg.slogdet(p.jacobians)[1] for p in stretch.pieces()] if closed is None else [closed]
        total += np.concatenate(logs).sum(axis=0)
    return float(total.mean())
