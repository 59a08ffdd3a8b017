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
import time
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
LEADING_SECONDS, SMALL, FIRST_SECONDS = 30, 1.5, 3
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
    aligned = steps + discard - discard // 5
    ours = lambda: dynsys.lyapunov_spectrum(cell, start, k=k, steps=steps, discard=discard)  # noqa: E731
    interval = max(1, ours().qr_interval)
    t = interleaved({"ours": ours, "floor": floor(products, n, k, interval, aligned)}, repeats)
    print(
        f"{name:26} {n:5} {k:5} {interval:8} {1e3 * t['ours'] / aligned:8.2f} {1e3 * t['floor'] / aligned:8.2f} "
        f"{t['ours'] / t['floor']:6.2f}  <= {bar}",
        flush=True,
    )


def leading(steps: int) -> None:
    """32 of 1024 exponents: seconds for 10 000 steps, from a shorter run."""
    cell = cells.Elman.random(1024, 0, gain=1.5, seed=0)
    start = np.random.default_rng(1).uniform(-0.5, 0.5, 1024)
    dynsys.lyapunov_spectrum(cell, start, k=32, steps=40, discard=20)
    began = time.process_time()
    dynsys.lyapunov_spectrum(cell, start, k=32, steps=steps, discard=steps // 20)
    seconds = time.process_time() - began
    print(f"\nElman, g = 1.5, n = 1024, k = 32: {seconds:.1f} s for {steps} steps, ", end="")
    print(f"{1e4 * seconds / steps:.1f} s for 10 000  (bar <= {LEADING_SECONDS} s)", flush=True)


def small(steps: int, repeats: int) -> None:
    """Both exponents of maps of two variables, against a loop written by hand for numba."""
    import numba

    @numba.njit
    def by_hand(u, steps):  # type: ignore[no-untyped-def]
        x, y = 0.1, 0.1
        a, b, c, d = 1.0, 0.0, 0.0, 1.0  # columns (a, b), (c, d)
        s0 = s1 = 0.0
        for _ in range(steps):
            p = np.tanh(u[0, 0] * x + u[0, 1] * y)
            q = np.tanh(u[1, 0] * x + u[1, 1] * y)
            dp, dq = 1.0 - p * p, 1.0 - q * q
            a, b = dp * (u[0, 0] * a + u[0, 1] * b), dq * (u[1, 0] * a + u[1, 1] * b)
            c, d = dp * (u[0, 0] * c + u[0, 1] * d), dq * (u[1, 0] * c + u[1, 1] * d)
            r0 = np.sqrt(a * a + b * b)
            a, b = a / r0, b / r0
            dot = a * c + b * d
            c, d = c - dot * a, d - dot * b
            r1 = np.sqrt(c * c + d * d)
            c, d = c / r1, d / r1
            s0 += np.log(r0)
            s1 += np.log(r1)
            x, y = p, q
        return s0 / steps, s1 / steps

    u = np.array([[1.9, -2.1], [1.7, 0.4]])
    f = dynsys.as_map(cells.Elman(U=u))
    began = time.perf_counter()
    dynsys.lyapunov_spectrum(f, [0.1, 0.1], steps=steps, discard=100)
    first = time.perf_counter() - began
    t = interleaved(
        {
            "ours": lambda: dynsys.lyapunov_spectrum(f, [0.1, 0.1], steps=steps, discard=100),
            "by hand": lambda: by_hand(u, steps),
        },
        repeats,
    )
    print(f"\n2 tanh units, {steps} steps: ours {t['ours']:.3f} s, by hand {t['by hand']:.3f} s, ", end="")
    print(f"ratio {t['ours'] / t['by hand']:.2f}  (bar <= {SMALL})")
    print(f"first call {first:.1f} s  (bar <= {FIRST_SECONDS} s)", flush=True)


def peer(steps: int, repeats: int) -> None:
    """pynamicalsys on the same networks, map and Jacobian compiled."""
    import numba
    from pynamicalsys import DiscreteDynamicalSystem

    for n in (64, 256):
        u = cells.Elman.random(n, 0, gain=1.5, seed=0).U.copy()
        start = np.random.default_rng(1).uniform(-0.5, 0.5, n)
        # pynamicalsys takes the Jacobian at the state after the step: in these coordinates both are one matrix each.
        f = dynsys.as_map(cells.LeakyRNN(U=u, alpha=1.0, equation="currents"))

        @numba.njit
        def jacobian(x, p, *_):  # type: ignore[no-untyped-def]
            t = np.tanh(x)
            return p.reshape(len(x), len(x)) * (1.0 - t * t)

        system = DiscreteDynamicalSystem(
            mapping=mapping_of(u), jacobian=jacobian, system_dimension=n, parameters=u.ravel()
        )
        contestants: dict[str, Callable[[], object]] = {
            "ours": lambda f=f, start=start: dynsys.lyapunov_spectrum(f, start, steps=steps, discard=steps // 10)
        }
        # Of its methods QR_HH is the fastest by far at these sizes.
        contestants["QR_HH"] = lambda s=system, start=start: s.lyapunov(
            start, steps + steps // 10, method="QR_HH", transient_time=steps // 10
        )
        t = interleaved(contestants, repeats)
        ours = dynsys.lyapunov_spectrum(f, start, steps=steps, discard=steps // 10)
        print(
            f"n = {n}, {steps} steps: ours {t['ours']:.2f} s (sum rule {ours.residual:.0e}), pynamicalsys QR_HH "
            f"{t['QR_HH']:.2f} s; {t['QR_HH'] / t['ours']:.1f} times ours  (bar >= {PEER})",
            flush=True,
        )


def mapping_of(u: np.ndarray) -> Any:
    """x' = U tanh x, compiled, U taken from the parameters."""
    import numba

    @numba.njit
    def mapping(x, p):  # type: ignore[no-untyped-def]
        return p.reshape(len(x), len(x)) @ np.tanh(x)

    return mapping


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=400)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--peer", action="store_true", help="also time pynamicalsys")
    arguments.add_argument("--quick", action="store_true", help="small maps only")
    chosen = arguments.parse_args()
    small(1_000_000, chosen.repeats)
    if chosen.quick:
        return
    full_spectra(chosen.steps, chosen.repeats)
    leading(5 * chosen.steps)
    if chosen.peer:
        peer(5 * chosen.steps, chosen.repeats)


if __name__ == "__main__":
    main()
