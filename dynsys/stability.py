"""Stability of a fixed point from the Jacobian there: multipliers, modes, kinds, time scales, transient growth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.batched_solves import inverse_of_each
from dynsys.read_only import read_only
from dynsys.types import Array, Complex, Integers

EPS = float(np.finfo(np.float64).eps)
ILL = 1e3  # condition of some multiplier above which the others are looked at one by one
SIMPLE = 1e-3  # distance to all others, relative to |J|, from which on a multiplier stands alone


@final
@read_only
@dataclass(frozen=True, eq=False)
class Modes:
    """The eigendecomposition of k Jacobians (k, n, n), sorted by falling modulus.

    Attributes:
        multipliers: (k, n) complex, dimensionless, per step.
        right_modes, left_modes: (k, n, n), columns paired with the multipliers, left^H right = I; right ones have
            length 1. NaN where the Jacobian is defective and no left modes exist.
        condition: (k, n), |left| |right| of each multiplier: how much a change of J moves it. 1 is the best; inf where
            there is no left mode.
    """

    multipliers: Complex
    right_modes: Complex
    left_modes: Complex
    condition: Array


def modes(jacobians: Array, eigen: Mapping[int, tuple[Complex, Complex]] | None = None) -> Modes:
    """Multipliers and modes of each Jacobian (k, n, n); `eigen` has those already known."""
    jacobians = np.asarray(jacobians, dtype=np.float64)
    if not len(jacobians):
        n = jacobians.shape[-1]
        empty = np.zeros((0, n, n), dtype=np.complex128)
        return Modes(np.zeros((0, n), dtype=np.complex128), empty, empty, np.zeros((0, n)))
    if eigen:
        pairs = [eigen[k] if k in eigen else np.linalg.eig(J) for k, J in enumerate(jacobians)]
        values, right = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
    else:
        values, right = np.linalg.eig(jacobians)
    values, right = values.astype(np.complex128), right.astype(np.complex128)
    # Conjugate pairs stay together, the positive imaginary part first.
    order = by_modulus(values)
    values = np.take_along_axis(values, order, axis=-1)
    right = np.take_along_axis(right, order[:, np.newaxis, :], axis=-1)
    left = inverse_of_each(right).conj().swapaxes(1, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        condition = np.linalg.norm(left, axis=-2)
    condition = np.where(np.isfinite(condition), condition, np.inf)
    for k in np.flatnonzero((condition > ILL).any(axis=1)):
        condition[k] = np.fmin(condition[k], _conditions_of_simple(jacobians[k], values[k]))
    return Modes(values, right, left, condition)


def _conditions_of_simple(jacobian: Array, values: Complex) -> Array:
    """1 / |y^H x| of each multiplier that stands alone, from left modes of its own; inf for the others.

    Where some multipliers coincide (zeros of a low-rank Jacobian), the inverse of all right modes says nothing, not
    even of a multiplier far from these.
    """
    from scipy.linalg import eig

    n = len(values)
    own, left, right = eig(jacobian, left=True, right=True)
    apart = np.abs(own[:, np.newaxis] - own) + np.where(np.eye(n), np.inf, 0.0)
    with np.errstate(divide="ignore"):
        found = 1.0 / np.abs((left.conj() * right).sum(axis=0))
    alone = apart.min(axis=1) > SIMPLE * np.linalg.norm(jacobian)
    found = np.where(alone & np.isfinite(found), found, np.inf)
    return np.asarray(found[np.abs(values[:, np.newaxis] - own).argmin(axis=1)])


def by_modulus(values: Complex) -> Integers:
    """The order (along the last axis) that sorts by falling modulus, conjugate pairs with the positive part first."""
    return np.lexsort((-values.imag, -_rounded(np.abs(values))), axis=-1)


def _rounded(moduli: Array) -> Array:
    """Moduli to 13 significant digits, so that the two of a conjugate pair are equal."""
    with np.errstate(divide="ignore"):
        digits = 12.0 - np.floor(np.log10(np.where(moduli > 0, moduli, 1.0)))
    scale = 10.0 ** np.clip(digits, -300, 300)
    return np.asarray(np.round(moduli * scale) / scale)


def multiplier_errors(jacobians: Array, condition: Array, drift: Array) -> Array:
    """How far each multiplier may be off, (k, n): condition x (n eps |J| + change of J over the state's error).

    For defective multipliers instead the bound of Elsner, (|A| + |B|)^(1-1/n) |A - B|^(1/n), Linear Algebra and its
    Applications 71 (1985) 77-80.

    Args:
        drift: (k,) |change of J| over the distance to the true fixed point.
    """
    n = jacobians.shape[-1]
    norms = _norms(jacobians)
    change = n * EPS * norms + drift
    with np.errstate(invalid="ignore", over="ignore"):
        simple = condition * change[:, np.newaxis]
    # Where a multiplier is (nearly) defective its condition says nothing; this bound holds for any matrix.
    any_matrix = (2.0 * norms + change) ** (1.0 - 1.0 / n) * change ** (1.0 / n) if n else norms
    return np.asarray(np.fmin(simple, any_matrix[:, np.newaxis]))


def _norms(jacobians: Array) -> Array:
    """|J|_2 (k,); beyond 256 state variables, where its singular values take long, sqrt(|J|_1 |J|_inf), a bound."""
    if jacobians.shape[-1] <= 256:
        return np.asarray(np.linalg.norm(jacobians, ord=2, axis=(1, 2))) if len(jacobians) else np.zeros(0)
    size = np.abs(jacobians)
    return np.asarray(np.sqrt(size.sum(axis=1).max(axis=-1) * size.sum(axis=2).max(axis=-1)))


def count_unstable(multipliers: Complex, errors: Array) -> tuple[Integers, Integers]:
    """(k,) multipliers outside the unit circle beyond their error, and (k,) within their error of it."""
    distance = np.abs(multipliers) - 1.0
    return (distance > errors).sum(axis=1), (np.abs(distance) <= errors).sum(axis=1)


def kinds(n_unstable: Sequence[int] | Integers, undecided: Sequence[int] | Integers, n: int) -> tuple[str, ...]:
    """ "attractor", "saddle", "repeller" or "undecided", from the counts of `count_unstable`."""

    def one(unstable: int, open_: int) -> str:
        if open_ and unstable in (0, n - open_):
            return "undecided"
        if open_ == 0 and unstable == 0:
            return "attractor"
        return "repeller" if unstable == n else "saddle"

    return tuple(one(int(a), int(b)) for a, b in zip(n_unstable, undecided, strict=True))


def time_constants(multipliers: Complex) -> Array:
    """Steps in which a perturbation along each mode falls (or, negative, grows) by a factor e: -1 / log|mu|."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(multipliers))
        return np.asarray(np.where(logs == 0, np.inf, -1.0 / logs))


def rotation_periods(multipliers: Complex) -> Array:
    """Steps per turn of each mode: 2 pi / |arg mu|; inf for positive real multipliers, 2 for negative ones."""
    with np.errstate(divide="ignore"):
        return np.asarray(2.0 * math.pi / np.abs(np.angle(multipliers)))


def henrici(jacobians: Array) -> Array:
    """Departure from normality, sqrt(|J|_F^2 - sum |mu|^2) / |J|_F, in [0, 1); 0 is a normal matrix. (k,)

    Source: P. Henrici, Numerische Mathematik 4 (1962) 24-40.
    """
    norms = np.square(jacobians).sum(axis=(1, 2))
    spectrum = np.square(np.abs(np.linalg.eigvals(jacobians))).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, np.sqrt(np.maximum(norms - spectrum, 0.0) / norms), 0.0)


@final
@read_only
@dataclass(frozen=True)
class TransientGrowth:
    """The largest amplification max_k |J^k|_2 over k = 0, 1, ...

    Attributes:
        peak: dimensionless, at least 1; inf where a multiplier lies outside the unit circle.
        at: the step where it is reached, or None for inf.
        settled: whether the powers were followed until all later ones are known to stay below the peak.
    """

    peak: float
    at: int | None
    settled: bool


def transient_growth(jacobian: Array, steps: int = 2000) -> TransientGrowth:
    """max_k |J^k|_2 by repeated products, until a power has norm below 1 or `steps` are over."""
    radius = float(np.abs(np.linalg.eigvals(jacobian)).max(initial=0.0))
    if radius > 1.0 + 1e-9:
        return TransientGrowth(math.inf, None, True)
    power, peak, at = np.eye(len(jacobian)), 1.0, 0
    for k in range(1, steps + 1):
        power = power @ jacobian
        norm = float(np.linalg.norm(power, 2))
        if norm > peak:
            peak, at = norm, k
        # Every later power is a product of this one and earlier ones: it stays below the peak.
        if norm < 1.0:
            return TransientGrowth(peak, at, True)
    return TransientGrowth(peak, at, False)
