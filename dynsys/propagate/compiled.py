"""Compiled passes over large signals, rows `low` to `high`. Import costs numba; nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.graphs.compiled import compile_kernel


@compile_kernel
def sums(T: Any, product: Any, u: Any, labels: Any, squares: Any, energy: Any, p: Any, low: int, high: int) -> None:
    """squares (d,) += t^2, energy (d,) += t (t - a), p (count, d) += u t, in float64, for t in T and a in A T."""
    width = T.shape[1]
    for i in range(low, high):
        t, a, weight = T[i], product[i], u[i]
        own = p[labels[i]]
        for j in range(width):
            value = np.float64(t[j])
            squares[j] += value * value
            energy[j] += value * (value - np.float64(a[j]))
            own[j] += weight * value


@compile_kernel
def relu_difference(Z: Any, base: Any, u: Any, labels: Any, low: int, high: int) -> None:
    """Z = relu(u base + Z) - relu(u base), with no rounding but the last."""
    width = Z.shape[1]
    zero = Z.dtype.type(0)
    for i in range(low, high):
        z, shared, weight = Z[i], base[labels[i]], u[i]
        for j in range(width):
            m = weight * shared[j]
            step = z[j]
            moved = m + step
            below = moved if moved > zero else zero
            above = step if moved > zero else -m
            z[j] = above if m > zero else below
