"""How many directions a signal still has: stable rank, effective rank, distance to rank one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.limits import one_blas_thread
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State
from dynsys.types import Array

BLOCK = 8192  # rows of one QR
SMALL = 1_000_000  # operations up to which BLAS stays in one thread by itself


@final
@dataclass(frozen=True)
class Ranks:
    """stable = |H|_F^2 / |H|_2^2; effective = exp(entropy of sigma / sum sigma); rank_one = ROD; all dimensionless."""

    stable: float
    effective: float
    rank_one: float


def ranks(A: Propagator, state: State) -> Ranks:
    """The rank measures of a signal; NaN for the zero signal.

    From a QR of the signal in blocks of rows, never from the Gram matrix, which would lose half of the digits.
    """
    unit = state.log_unit
    n, d = state.T.shape
    whole: Array | None = None
    row, column = np.zeros(d), np.zeros(d)
    longest = -1.0
    # Setting the threads takes longer than a small matrix, which has one anyway.
    with one_blas_thread() if n * d * min(n, d) > SMALL else contextlib.nullcontext():
        for first in range(0, n, max(BLOCK, 2 * d)):
            H = state.rows(A, slice(first, first + max(BLOCK, 2 * d)), unit)
            lengths = np.abs(H).sum(axis=1)
            if lengths.max() > longest:
                longest, row = float(lengths.max()), H[int(np.argmax(lengths))]
            column += np.abs(H).sum(axis=0)
            stacked = H if whole is None else np.vstack([whole, H])
            whole = stacked if len(stacked) <= d else np.asarray(np.linalg.qr(stacked, mode="r"))
        assert whole is not None
        return _of_triangle(whole, row, int(np.argmax(column)))


def _of_triangle(R: Array, row: Array, column: int) -> Ranks:
    """From R of H = Q R, the largest row of H, and the number of its largest column."""
    sigma = np.linalg.svd(R, compute_uv=False)
    if not sigma[0] > 0:
        return Ranks(np.nan, np.nan, np.nan)
    shares = sigma / sigma.sum()
    live = shares[shares > 0]
    # Y = x_j x_i^T has the one singular value |x_j| |x_i|; Q leaves nuclear norms as they are.
    toward = R[:, column]
    sign = np.sign(row[column]) or 1.0
    Y = sign * np.outer(toward / np.linalg.norm(toward), row / np.linalg.norm(row))
    return Ranks(
        stable=float(np.square(sigma).sum() / sigma[0] ** 2),
        effective=float(np.exp(-(live * np.log(live)).sum())),
        rank_one=float(np.linalg.svd(R / sigma.sum() - Y, compute_uv=False).sum()),
    )


def cost(n: int, d: int) -> float:
    """Rough number of operations of one `ranks`."""
    short = min(n, d)
    return 1.0 * n * d * short + 8.0 * short**2 * d
