"""Compiled kernels: rows `low` to `high` of a CSR matrix times dense columns. Import costs numba; nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compile_kernel(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compiled without the interpreter lock, kept on disk where there is a place for it."""
    settings: dict[str, Any] = {"nogil": True, "boundscheck": False}
    try:
        return numba.njit(cache=True, **settings)(kernel)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return numba.njit(**settings)(kernel)  # type: ignore[no-any-return]


@compile_kernel
def one_column(indptr: Any, indices: Any, data: Any, x: Any, out: Any, low: int, high: int) -> None:
    """out[low:high] = M[low:high] x."""
    zero = data.dtype.type(0)
    for i in range(low, high):
        total = zero
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * x[indices[k]]
        out[i] = total


@compile_kernel
def many_columns(indptr: Any, indices: Any, data: Any, X: Any, out: Any, low: int, high: int) -> None:
    """out[low:high] = M[low:high] X, four entries of a row at a time: their sum is kept in registers between them."""
    width = X.shape[1]
    for i in range(low, high):
        y = out[i]
        for j in range(width):
            y[j] = 0
        k, end = indptr[i], indptr[i + 1]
        while k + 4 <= end:
            a0, a1, a2, a3 = data[k], data[k + 1], data[k + 2], data[k + 3]
            x0, x1, x2, x3 = X[indices[k]], X[indices[k + 1]], X[indices[k + 2]], X[indices[k + 3]]
            for j in range(width):
                y[j] = (((y[j] + a0 * x0[j]) + a1 * x1[j]) + a2 * x2[j]) + a3 * x3[j]
            k += 4
        while k < end:
            a0, x0 = data[k], X[indices[k]]
            for j in range(width):
                y[j] += a0 * x0[j]
            k += 1
