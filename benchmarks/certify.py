"""Proofs: the 27 points of the example flip-flop network, one point of a 96-dimensional LSTM, all points of small nets.

    python benchmarks/certify.py [--repeats 3]

CPU seconds of this process, one BLAS thread, the median of the repeats, with the bar and the share of it that was
used; float64 intervals, and Arb balls where python-flint is installed. The last column is what was proven.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np

import cells
import dynsys
from dynsys.readings import arb_arrays

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median CPU seconds, and the last answer."""
    seconds, answer = [], None
    for _ in range(repeats):
        began = time.process_time()
        answer = work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), answer


def show(name: str, seconds: float, bar: float, said: str) -> None:
    print(f"{name:58s} {seconds:7.2f} s of {bar:g} s ({100 * seconds / bar:4.0f} %)  {said}")


def certified(name: str, f: Any, points: Any, bar: float, repeats: int) -> None:
    for arithmetic in ("floats", "balls") if arb_arrays.available() else ("floats",):
        seconds, proofs = timed(lambda how=arithmetic: dynsys.certify(f, points, arithmetic=how), repeats)
        counts = ", ".join(f"{n} {status}" for status, n in proofs.counts.items() if n)
        show(f"{name}, {arithmetic}", seconds, bar, f"{counts}; index of {(proofs.n_unstable >= 0).sum()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats

    flipflop = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    certified("flip-flop GRU, 27 points", flipflop, dynsys.find_fixed_points(flipflop), 3.0, repeats)

    digits = dynsys.load(EXAMPLES / "digits_lstm.safetensors")
    found = dynsys.find_fixed_points(digits, n_starts=64)
    certified("digits LSTM, 96 state variables, 1 point", digits, found.states[:1], 5.0, repeats)

    for u, count in (((0.0, 0.0), 9), ((0.0, 0.6), 3), ((0.6, 0.6), 1)):
        pair = cells.Elman(U=np.diag([2.0, 2.0]), b=np.array(u))
        seconds, every = timed(lambda f=pair: dynsys.all_fixed_points(f), repeats)
        said = f"{len(every)} of {count}, {'complete' if every.complete else 'NOT complete'}, {every.examined} boxes"
        show(f"all points of two tanh units, u = {u}", seconds, 1.0, said)
    for n in (3, 4):
        f = cells.Elman.random(n, 0, gain=2.5, seed=1)
        seconds, every = timed(lambda f=f: dynsys.all_fixed_points(f), repeats)
        said = f"{len(every)}, {'complete' if every.complete else 'NOT complete'}, {every.examined} boxes"
        show(f"all points of {n} random tanh units, gain 2.5", seconds, 5.0, said)


if __name__ == "__main__":
    main()
