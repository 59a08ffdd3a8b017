"""Lyapunov spectra against the bare matrix products and QR decompositions that they need.

    python benchmarks/lyapunov.py [--peer] [--repeats 3] [--steps 200]

CPU time, one BLAS thread, each row from one run in turns. The floor of a full spectrum is one product per step with
the cell's own recurrent matrices (n directions) and one dgeqrf + dorgqr per QR, for as many steps and QRs as the
spectrum took. `--peer` adds pynamicalsys, where it is installed: its fastest method, with map and Jacobian compiled by
numba, after a first call that compiles.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
from scipy.linalg import lapack
from timing import interleaved

import cells
import dynsys

PLAIN, GATED = 1.05, 1.25
"""Bars of the ratio to the floor."""
PEER = 2.0
"""How many times as long as ours the peer must take."""


def floor(products: list[tuple[int, int]], n: int, k: int, interval: int, steps: int) -> Callable[[], None]:
    """Nothing but products of the given shapes (rows, columns) with k directions, and QRs of (n, k)."""
    generator = np.random.default_rng(0)
    pairs = []
    for rows, columns in products:
        weights = np.asfortranarray(generator.standard_normal((rows, columns)))
        directions = np.asfortranarray(generator.standard_normal((columns, k)))
        pairs.append((weights, directions, np.empty((rows, k), order="F")))
    frame = np.asfortranarray(generator.standard_normal((n, k)))
    room = np.empty_like(frame)

    def run() -> None:
        for t in range(steps):
            for weights, directions, out in pairs:
                np.matmul(weights, directions, out=out)
            if (t + 1) % interval == 0:
                room[...] = frame
                packed, scales, _, _ = lapack.dgeqrf(room, lwork=64 * k, overwrite_a=True)
                lapack.dorgqr(packed, scales, lwork=64 * k, overwrite_a=True)

    return run


def full_spectra(steps: int, repeats: int) -> None:
    """All exponents of random networks."""
    print(f"{'network':26} {'n':>5} {'k':>5} {'QR every':>8} {'ours ms':>8} {'floor ms':>8} {'ratio':>6}  bar")
    for name, n, cell, products, bar in (
        ("Elman, g = 1.5", 256, cells.Elman.random(256, 0, gain=1.5, seed=0), [(256, 256)], PLAIN),
        ("Elman, g = 3", 256, cells.Elman.random(256, 0, gain=3.0, seed=0), [(256, 256)], PLAIN),
        ("Elman, g = 1.5", 512, cells.Elman.random(512, 0, gain=1.5, seed=0), [(512, 512)], PLAIN),
        ("LSTM, gain 3", 256, cells.LSTM.random(128, 0, gain=3.0, seed=0), [(512, 128)], GATED),
        ("GRUResetAfter, gain 3", 256, cells.GRUResetAfter.random(256, 0, gain=3.0, seed=0), [(768, 256)], GATED),
        ("GRU, gain 3", 256, cells.GRU.random(256, 0, gain=3.0, seed=0), [(512, 256), (256, 256)], GATED),
        ("LSTM, gain 3", 512, cells.LSTM.random(256, 0, gain=3.0, seed=0), [(1024, 256)], GATED),
        ("GRU, gain 3", 512, cells.GRU.random(512, 0, gain=3.0, seed=0), [(1024, 512), (512, 512)], GATED),
    ):
        row(name, n, n, cell, products, bar, steps if n < 512 else steps // 2, repeats)


def row(
    name: str, n: int, k: int, cell: Any, products: list[tuple[int, int]], bar: float, steps: int, repeats: int
) -> None:
    """One line of the table: both sides in turns."""
    start = np.random.default_rng(1).uniform(-0.5, 0.5, n)
    discard = steps // 5
    aligned = steps + discard - discard // 2
    ours = lambda: dynsys.lyapunov_spectrum(cell, start, k=k, steps=steps, discard=discard)  # noqa: E731
    interval = max(1, ours().qr_interval)
    t = interleaved({"ours": ours, "floor": floor(products, n, k, interval, aligned)}, repeats)
    print(
        f"{name:26} {n:5} {k:5} {interval:8} {1e3 * t['ours'] / aligned:8.2f} {1e3 * t['floor'] / aligned:8.2f} "
        f"{t['ours'] / t['floor']:6.2f}  <= {bar}",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=400)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--peer", action="store_true", help="also time pynamicalsys")
    chosen = arguments.parse_args()
    full_spectra(chosen.steps, chosen.repeats)


if __name__ == "__main__":
    main()
