"""Sizes of a signal at one layer: norm, distance to the trivial subspace, Dirichlet energy, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.propagate.chunks import blocks, compiled_kernels, few_blocks, over
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State, project
from dynsys.types import AnyArray, Array

MOSTLY = 0.1  # share of |T|^2 outside the trivial subspace below which T is projected again
COMPILED = 2_000_000  # entries of a signal from which the compiled passes are worth loading
LARGEST_TABLE = 1_000_000  # entries of one thread's table of component sums
CANCELS = {"float32": 1e-3, "float64": 1e-9}
"""Energy over |T|^2 below which the difference |T|^2 - T.AT loses too many digits, and edges are summed instead."""


@final
@dataclass(frozen=True)
class Sizes:
    """In logarithms (nats): log_norm of |H|_F, log_distance of d_M(H), log_energy of E(H); rayleigh, dimensionless."""

    log_norm: float
    log_distance: float
    log_energy: float
    rayleigh: float


def sizes(A: Propagator, state: State, product: AnyArray) -> Sizes:
    """Measure the signal; projects T (and A T) again where it has drifted into the trivial subspace."""
    sums = _sums(A, state, product)
    raw, p = sums.squares, sums.p
    outside = raw - float((p * p).sum())
    if raw > 0 and outside < MOSTLY * raw:
        project(A, state, product, p)
        sums = _sums(A, state, product)
        outside = max(sums.squares - float((sums.p**2).sum()), 0.0)
    outside = max(outside, 0.0)
    energy = max(sums.energy, 0.0)
    if sums.weighted > 0 and energy < CANCELS[state.T.dtype.name] * sums.weighted:
        energy = edge_energy(A, state.T)
    unit = state.log_unit
    C = state.C * _exp(state.log_c - unit) + sums.p * _exp(state.log_t - unit)
    inside = float((C * C).sum())
    rest = outside * _exp(2 * (state.log_t - unit))
    norm = weighted = inside + rest
    if not A.symmetric:
        weighted = _weighted_norm(A, state, sums, unit)
    log_energy = _log(energy) + 2 * state.log_t
    return Sizes(
        log_norm=0.5 * _log(norm) + unit,
        log_distance=0.5 * _log(outside) + state.log_t,
        log_energy=log_energy,
        rayleigh=math.exp(min(log_energy - _log(weighted) - 2 * unit, 700.0)) if weighted > 0 else math.nan,
    )


@dataclass
class _Sums:
    squares: float  # |T|^2
    weighted: float  # |T|^2 in the weights
    energy: float  # <T, T - A T> in the weights
    p: Array  # (count, d) coefficients of T
    q: Array | None  # (count, d) coefficients of the weighted T


def _sums(A: Propagator, state: State, product: AnyArray) -> _Sums:
    T = state.T
    if A.symmetric and T.size > COMPILED and A.count * T.shape[1] <= LARGEST_TABLE:
        kernels = compiled_kernels()
        if kernels is not None:
            return _compiled_sums(kernels, A, T, product)
    d = T.shape[1]
    one = A.count == 1

    def work(rows: slice) -> tuple[float, float, float, Any, Any]:
        t = T[rows].astype(np.float64)
        moved = t - product[rows]
        u = A.trivial[rows]
        if A.symmetric:
            squares = float(np.vdot(t, t))
            return squares, squares, float(np.vdot(t, moved)), u @ t if one else None, None
        w = A.weights[rows]
        own = np.einsum("ij,ij->i", t, t)
        energy = float(w @ np.einsum("ij,ij->i", t, moved))
        return float(own.sum()), float(w @ own), energy, u @ t if one else None, (u * w) @ t if one else None

    parts = over(work, blocks(len(T), d))
    squares, weighted, energy = (math.fsum(part[i] for part in parts) for i in range(3))
    if one:
        p = np.sum([part[3] for part in parts], axis=0)[np.newaxis]
        q = None if A.symmetric else np.sum([part[4] for part in parts], axis=0)[np.newaxis]
    else:
        p = A.coefficients(T)
        q = None if A.symmetric else A.coefficients(T, A.trivial * A.weights)
    return _Sums(squares, weighted, energy, p, q)


def _compiled_sums(kernels: Any, A: Propagator, T: AnyArray, product: AnyArray) -> _Sums:
    d = T.shape[1]

    def work(rows: slice) -> tuple[Array, Array, Array]:
        tables = np.zeros(d), np.zeros(d), np.zeros((A.count, d))
        kernels.sums(T, product, A.trivial, A.labels, *tables, rows.start, rows.stop)
        return tables

    parts = over(work, few_blocks(len(T)))
    squares, energy = (math.fsum(float(part[i].sum()) for part in parts) for i in range(2))
    return _Sums(squares, squares, energy, np.sum([part[2] for part in parts], axis=0), None)


def _weighted_norm(A: Propagator, state: State, sums: _Sums, unit: float) -> float:
    """|H|^2 in the weights of A, over exp(2 unit)."""
    C, log = state.C * _exp(state.log_c - unit), _exp(state.log_t - unit)
    shared = np.bincount(A.labels, A.weights * A.trivial**2, minlength=A.count)
    cross = 0.0 if sums.q is None else float((C * sums.q).sum()) * log
    return float((shared[:, np.newaxis] * C * C).sum()) + 2 * cross + sums.weighted * log * log


def edge_energy(A: Propagator, H: AnyArray) -> float:
    """E = sum over edges of a_ij |h_i / sqrt(d_i + 1) - h_j / sqrt(d_j + 1)|^2, a sum of squares: nothing cancels.

    Under "sym" with d in place of d + 1; under "row+loops" sum of a_ij |h_i - h_j|^2.
    """
    with np.errstate(divide="ignore"):
        added = 1.0 if A.normalization.endswith("+loops") else 0.0
        root = np.sqrt(A.graph.degrees + added)
        scale = np.where(root > 0, 1.0 / root, 0.0) if A.symmetric else np.ones(A.n)
    (left, right), weights = A.graph.edges, A.graph.weights

    def work(part: slice) -> float:
        i, j = left[part], right[part]
        apart = scale[i, np.newaxis] * H[i] - scale[j, np.newaxis] * H[j]
        return float(weights[part] @ np.einsum("ij,ij->i", apart, apart))

    return math.fsum(over(work, blocks(len(left), H.shape[1])))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _exp(log: float) -> float:
    return math.exp(min(max(log, -745.0), 700.0)) if log > -math.inf else 0.0
