"""Gradient spectra against the bare products, QR decompositions and triangular products that they need.

    python benchmarks/gradients.py [--lag 1000] [--repeats 3]

CPU time, one BLAS thread, both sides in turns. The floor of all log singular values over a lag is, at each step, one
product of n by n matrices, one dgeqrf + dorgqr and one dtrmm, and one SVD at the end. Ours carries two frames, so that
it can say which values float64 determines.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
from scipy.linalg import blas, lapack, svdvals
from timing import interleaved

import cells
import dynsys

BAR = 1.15


def floor(n: int, steps: int) -> Callable[[], None]:
    """Nothing but the LAPACK and BLAS calls."""
    generator = np.random.default_rng(0)
    a, b, c = (np.asfortranarray(generator.standard_normal((n, n))) for _ in range(3))
    out, room, x = np.empty_like(a), np.empty_like(a), np.empty_like(a)

    def run() -> None:
        for _ in range(steps):
            np.matmul(a, b, out=out)
            room[...] = b
            packed, scales, _, _ = lapack.dgeqrf(room, lwork=64 * n, overwrite_a=True)
            lapack.dorgqr(packed, scales, lwork=64 * n, overwrite_a=True)
            x[...] = c
            blas.dtrmm(1.0, a, x, overwrite_b=True)
        svdvals(a)

    return run


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lag", type=int, default=1000)
    arguments.add_argument("--repeats", type=int, default=3)
    chosen = arguments.parse_args()
    print(f"{'network':26} {'n':>5} {'lag':>6} {'ours s':>8} {'floor s':>8} {'ratio':>6}  bar {BAR}")
    for name, n, cell in (
        ("Elman, g = 1.2", 256, cells.Elman.random(256, 0, gain=1.2, seed=0)),
        ("Elman, g = 1.5", 256, cells.Elman.random(256, 0, gain=1.5, seed=0)),
        ("Elman, g = 2", 256, cells.Elman.random(256, 0, gain=2.0, seed=0)),
        ("Elman, g = 3", 256, cells.Elman.random(256, 0, gain=3.0, seed=0)),
        ("LSTM, gain 3", 256, cells.LSTM.random(128, 0, gain=3.0, seed=0)),
        ("GRUResetAfter, gain 3", 256, cells.GRUResetAfter.random(256, 0, gain=3.0, seed=0)),
    ):
        start = np.random.default_rng(1).uniform(-0.5, 0.5, n)
        t = interleaved(
            {
                "ours": lambda cell=cell, start=start: dynsys.gradient_spectrum(cell, start, None, [chosen.lag]),
                "floor": floor(n, chosen.lag),
            },
            chosen.repeats,
        )
        print(
            f"{name:26} {n:5} {chosen.lag:6} {t['ours']:8.2f} {t['floor']:8.2f} {t['ours'] / t['floor']:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
