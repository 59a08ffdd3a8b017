"""Which graph frequencies a signal is made of: its energy seen through smooth windows that add up to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dynsys.errors import InputError
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State
from dynsys.types import AnyArray, Array

EDGES = (-1.0, -0.25, 0.25, 0.75, 0.95, 1.0)
DEGREE = 64  # of the Chebyshev windows; their edges are about pi / DEGREE wide in arccos of the eigenvalue


def checked_edges(edges: Sequence[float]) -> Array:
    """Band limits, increasing from -1 to 1."""
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or len(limits) < 2 or limits[0] != -1 or limits[-1] != 1 or (np.diff(limits) <= 0).any():
        raise InputError(f"`bands` are limits that increase from -1 to 1, got {list(edges)}.")
    return limits


def band_shares(
    A: Propagator, state: State, product: AnyArray, multiply: Callable[[AnyArray], AnyArray], edges: Array
) -> Array:
    """(bands,) shares of |H|^2, with sum 1, by eigenvalue of A: <H, g_b(A) H> / |H|^2.

    g_b is the Chebyshev series of the band's indicator function to degree DEGREE with Jackson's damping, which is
    positive and adds up to 1 over the bands. Half as many products as the degree, by T_2k = 2 T_k^2 - 1.
    """
    unit = state.log_unit
    own = math.exp(min(max(2 * (state.log_t - unit), -745.0), 0.0))
    moments = own * _moments(A, state.T, product, multiply)
    # The trivial part has eigenvalue 1, where every T_k is 1.
    p = A.coefficients(state.T)
    inside = state.C * math.exp(min(state.log_c - unit, 0.0)) + p * math.sqrt(own)
    if A.symmetric:
        moments += float((inside**2).sum()) - own * float((p**2).sum())
    else:
        weight = np.bincount(A.labels, A.weights * A.trivial**2, minlength=A.count)[:, np.newaxis]
        lone = state.C * math.exp(min(state.log_c - unit, 0.0))
        cross = A.coefficients(state.T, A.trivial * A.weights) * math.sqrt(own)
        moments += float((weight * lone**2).sum()) + 2 * float((lone * cross).sum())
    if not moments[0] > 0:
        return np.full(len(edges) - 1, np.nan)
    windows = _windows(edges) @ moments / moments[0]
    return np.asarray(windows)


def _moments(A: Propagator, T: AnyArray, product: AnyArray, multiply: Callable[[AnyArray], AnyArray]) -> Array:
    """<T, T_k(A) T> in the weights of A, k = 0 to DEGREE - 1."""
    moments = np.zeros(DEGREE)

    def inner(a: AnyArray, b: AnyArray) -> float:
        if A.symmetric:
            return float(np.einsum("ij,ij->", a, b, dtype=np.float64))
        return float(np.einsum("i,ij,ij->", A.weights, a, b, dtype=np.float64, optimize=False))

    before, now = T, product
    moments[0], moments[1] = inner(T, T), inner(T, product)
    for k in range(1, DEGREE // 2):
        moments[2 * k] = 2 * inner(now, now) - moments[0]
        following: Any = multiply(now)
        following *= 2
        following -= before
        moments[2 * k + 1] = 2 * inner(following, now) - moments[1]
        before, now = now, following
    return moments


def _windows(edges: Array) -> Array:
    """(bands, DEGREE) coefficients of the windows."""
    k = np.arange(1, DEGREE)
    theta = np.arccos(edges)[:, np.newaxis]
    integral = np.concatenate([-theta, -np.sin(k * theta) * 2 / k], axis=1) / np.pi
    angle = np.pi / (DEGREE + 1)
    order = np.arange(DEGREE)
    jackson = ((DEGREE - order + 1) * np.cos(order * angle) + np.sin(order * angle) / np.tan(angle)) / (DEGREE + 1)
    return np.asarray(jackson * np.diff(integral, axis=0))
