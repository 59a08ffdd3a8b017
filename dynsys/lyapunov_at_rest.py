"""Lyapunov exponents where every step has the same Jacobian: at fixed points, and of linear maps."""

from __future__ import annotations

import math

import numpy as np

from dynsys.frames import jacobians_along
from dynsys.lyapunov_averages import invariants, spread_error, sum_rule_residual
from dynsys.lyapunov_result import LyapunovSpectrum
from dynsys.lyapunov_run import EPS, TINY
from dynsys.maps import Map
from dynsys.orbits import constant_input
from dynsys.rank import RankLoss
from dynsys.types import Array


def fixed_point(f: Map, state: Array, driving: Array | None) -> Array | None:
    """The settled states (n, B) if a constant input holds them at fixed points, to rounding."""
    if f.period > 1 or (driving is not None and (driving != driving[:1]).any()):
        return None
    input = np.zeros((f.input_size, 1)) if driving is None else driving[0].T if len(driving) else None
    if input is None:
        return None

    def at_rest(x: Array) -> bool:
        with np.errstate(all="ignore"):  # a state that runs off is not at rest
            return bool((np.abs(f.advance(x, input) - x) <= 1e-13 * (1.0 + np.abs(x))).all())

    # What has decayed to nothing is zero: at exactly zero the equations show what rank is lost there.
    cleaned = np.where(np.abs(state) < 1e-15, 0.0, state)
    return cleaned if at_rest(cleaned) else state if at_rest(state) else None


def is_repelling(f: Map, state: Array, driving: Array | None) -> bool:
    """Whether the fixed points (n, B) are unstable in the first sequence."""
    jacobians = next(jacobians_along(f, state, driving, 1)).jacobians
    return bool((np.abs(np.linalg.eigvals(jacobians[0])) > 1.0 + 1e-9).any())


def is_linear(f: Map, state: Array, driving: Array | None) -> bool:
    """Whether the equations show that the Jacobian is the same at every state."""
    if f.period > 1:
        return False
    two = np.repeat(state[:, :1], 2, axis=1)
    input = np.zeros((f.input_size, 1)) if driving is None or not len(driving) else driving[0, :1].T
    return f.linearize_columns(two, input).steps().same_everywhere()


def of_eigenvalues(
    f: Map, state: Array, driving: Array | None, k: int, steps: int, discard: int, seed: int, drive: str, method: str
) -> LyapunovSpectrum:
    """Where every step has the same Jacobian the exponents are log|eigenvalues|, exactly."""
    stretch = next(jacobians_along(f, state, driving, 1))
    dense = stretch.jacobians
    moduli, errors = _eigenvalues(dense[0])
    with np.errstate(divide="ignore"):
        spectra = np.log(moduli)
    lost = np.zeros(len(spectra), dtype=np.int64)
    for b, spectrum in enumerate(spectra):
        rank = RankLoss(f.state_size)
        rank.watch(dense[:1, b], None if stretch.lost is None else stretch.lost[:1, b])
        lost[b] = rank.lost
        spectrum[f.state_size - rank.lost :] = -np.inf
    mean = spectra.mean(axis=0)
    log_det = float(np.linalg.slogdet(dense[0])[1].mean()) if not lost.any() else -math.inf
    dimension, entropy, notes = invariants(mean, f.state_size)
    floor = math.log(f.state_size * EPS * max(float(np.linalg.norm(dense[0], 2, axis=(1, 2)).max()), TINY))
    below = np.flatnonzero((mean < floor) & np.isfinite(mean))
    if len(below):
        notes.append(f"{len(below)} exponents are below rounding: they are known to be small, not how small")
    return LyapunovSpectrum(
        exponents=mean[:k],
        standard_errors=np.maximum(spread_error(spectra), errors.max(axis=0))[:k],
        frame_differences=np.zeros(k),
        by_sequence=spectra[:, :k],
        halves=np.stack([mean[:k], mean[:k]]),
        running=mean[np.newaxis, :k],
        running_steps=np.array([steps]),
        kaplan_yorke=dimension,
        entropy=entropy,
        residual=sum_rule_residual(mean, log_det) if k == f.state_size and not len(below) else None,
        trusted=min(k, int(below[0])) if len(below) else k,
        lost=int(lost.max()),
        steps=steps,
        discard=discard,
        n=f.state_size,
        qr_interval=0,
        seed=seed,
        map_name=f.name,
        input=constant_input(f, driving),
        drive=drive,
        method=method,
        notes=tuple(notes),
    )


def _eigenvalues(matrices: Array) -> tuple[Array, Array]:
    """Moduli (B, n), largest first, and the errors of their logarithms by rounding, for matrices (B, n, n).

    To first order an eigenvalue moves by its condition number times eps |J| (left and right vectors, of length one and
    l^H r = 1 over it), and never by more than about the n-th root of eps |J| (Elsner 1985): the least of both.
    """
    n = matrices.shape[-1]
    values, vectors = np.linalg.eig(matrices)
    rounding = EPS * np.linalg.norm(matrices, axis=(1, 2))[:, np.newaxis]
    try:
        condition = np.linalg.norm(np.linalg.inv(vectors), axis=2)
    except np.linalg.LinAlgError:  # not enough vectors: Jordan blocks
        condition = np.full(values.shape, np.inf)
    with np.errstate(all="ignore"):
        moved = np.minimum(rounding * condition, rounding ** (1 / n)) / np.abs(values)
    order = np.argsort(-np.abs(values), axis=1, kind="stable")
    errors = np.maximum(np.where(np.isfinite(moved), moved, 0.0), n * EPS)
    return np.take_along_axis(np.abs(values), order, axis=1), np.take_along_axis(errors, order, axis=1)
