"""Many linear systems of one size: each solved by the LAPACK routine that suits it, without a needless copy.

For few unknowns NumPy's batched solver is fastest, its loop being in C. Beyond, one call per matrix costs less than
what NumPy spends on copying each matrix column by column, and positive definite systems take half the work.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from dynsys.types import Array

GENERAL, POSITIVE = 48, 12  # unknowns up to which NumPy's batched solver is the faster one
PIECE = 1 << 22  # bytes of matrices copied at a time, to stay in the processor's cache
LONG = 128  # unknowns from which one triangle of J^T J is formed instead of both


def solve_each(matrices: Array, rights: Array) -> Array:
    """The solutions (B, n) of matrices (B, n, n) for right sides (B, n); NaN where a matrix is singular."""
    if matrices.shape[-1] > GENERAL:
        return _solve_one_by_one(matrices, rights)
    try:
        return np.asarray(np.linalg.solve(matrices, rights[:, :, np.newaxis])[:, :, 0])
    except np.linalg.LinAlgError:
        return _solve_one_by_one(matrices, rights)


def _solve_one_by_one(matrices: Array, rights: Array) -> Array:
    out = np.full(rights.shape, np.nan)
    for b, right in enumerate(rights):
        # The copy is row by row; read column by column it is the transpose, which LAPACK factors in place.
        factors, pivots, info = lapack.dgetrf(np.array(matrices[b], order="C").T, overwrite_a=True)
        if info == 0:
            out[b] = lapack.dgetrs(factors, pivots, right, trans=1)[0]
    return out


def inverse_of_each(matrices: Any) -> Any:
    """The inverse of each matrix (k, n, n), real or complex; NaN where there is none."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        out = np.full_like(matrices, np.nan)
        for k, matrix in enumerate(matrices):
            with contextlib.suppress(np.linalg.LinAlgError):
                out[k] = np.linalg.inv(matrix)
        return out


def normal_equations(jacobians: Array, F: Array) -> tuple[Array, Array]:
    """J^T J (B, n, n), whose upper triangle alone is promised, and J^T F (B, n), for J (B, n, n) and F (B, n)."""
    transposed = jacobians.swapaxes(1, 2)
    gradient = (transposed @ F[:, :, np.newaxis])[:, :, 0]
    if jacobians.shape[-1] < LONG:
        return transposed @ jacobians, gradient
    normal = np.empty(jacobians.shape)
    for b, jacobian in enumerate(jacobians):
        # Columns of the transposed copy are rows of J: its lower triangle, transposed back, is the upper one.
        normal[b] = blas.dsyrk(1.0, np.ascontiguousarray(jacobian).T, lower=1).T
    return normal, gradient


def solve_positive(normal: Array, shift: Array, rights: Array) -> Array:
    """Solutions (B, n) of (normal + diag(shift)) x = right, of which only the upper triangles (B, n, n) are read.

    `shift` is (B, n). NaN where the sum is not positive definite.
    """
    n = normal.shape[-1]
    diagonal = np.arange(n)
    if n <= POSITIVE:
        shifted = normal.copy()
        shifted[:, diagonal, diagonal] += shift
        return solve_each(shifted, rights)
    out = np.full(rights.shape, np.nan)
    width = max(1, PIECE // (8 * n * n))
    for start in range(0, len(rights), width):
        piece = slice(start, start + width)
        shifted = np.array(normal[piece], order="C")
        shifted[:, diagonal, diagonal] += shift[piece]
        # One call per matrix: little may stand in this loop.
        systems = zip(shifted.swapaxes(1, 2), rights[piece], strict=True)
        solved = [lapack.dposv(one, right, 1, 1, 0) for one, right in systems]
        out[piece] = [answer for _, answer, _ in solved]
        out[piece][[info != 0 for _, _, info in solved]] = np.nan
    return out
