"""Finding all cycles of the Henon map up to a period, by multiple shooting and by Newton on f composed p times.

    python benchmarks/cycles.py [--longest 8] [--starts 1024] [--seeds 3]

CPU time of this process, one BLAS thread. Both get the same number of uniform starts in [-2, 2]^2 and the same map; the
counts of cycles in the plane are known (those up to period 8 are tested). `found` is how many of them came out, over
all seeds. Newton on f^p: up to 60 steps from each start, all starts in one batch, the product of the Jacobians written
by hand; an end counts if it solves f^p(x) = x to 1e-10. Ours reads the map from its equations, and its time includes
all stages, the measurements, and the search for shorter orbits.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np

import dynsys
from dynsys.periodic.apart import distinct_orbits, minimal_periods

COUNTS = {1: 2, 2: 1, 3: 0, 4: 1, 5: 0, 6: 2, 7: 4, 8: 7, 9: 6, 10: 10, 11: 14, 12: 19, 13: 32, 14: 44}


def henon(state: Any) -> Any:
    """a = 1.4, b = 0.3."""
    x, y = state
    return [1 - 1.4 * x**2 + y, 0.3 * x]


def newton_on_iterates(period: int, starts: int, seed: int) -> int:
    """How many cycles of that minimal period plain Newton on f^p meets."""
    x = np.random.default_rng(seed).uniform(-2, 2, (starts, 2))
    with np.errstate(all="ignore"):
        for _ in range(60):
            y, P = x, np.broadcast_to(np.eye(2), (len(x), 2, 2))
            for _ in range(period):
                J = np.zeros((len(x), 2, 2))
                J[:, 0, 0], J[:, 0, 1], J[:, 1, 0] = -2.8 * y[:, 0], 1.0, 0.3
                P = J @ P
                y = np.stack(henon(y.T), axis=1)
            shifted = P - np.eye(2)
            good = np.isfinite(y).all(axis=1) & np.isfinite(shifted).all(axis=(1, 2))
            good &= np.abs(np.linalg.det(np.where(good[:, None, None], shifted, 1.0))) > 1e-14
            x, y, shifted = x[good], y[good], shifted[good]
            if not len(x):
                return 0
            x = x - np.linalg.solve(shifted, (y - x)[:, :, None])[:, :, 0]
        orbit = [x]
        for _ in range(period):
            orbit.append(np.stack(henon(orbit[-1].T), axis=1))
    closed = np.abs(orbit[-1] - x).max(axis=1) < 1e-10
    orbits = np.stack(orbit[:-1], axis=1)[closed]
    orbits = orbits[minimal_periods(orbits, 1e-6) == period]
    return len(distinct_orbits(orbits, 1e-6)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=8, choices=range(1, 15))
    parser.add_argument("--starts", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    f = dynsys.as_map(henon, 2, box=(-2, 2))
    print("period  cycles   ours found  seconds   Newton on f^p found  seconds   time ratio ours / Newton")
    for period in range(1, options.longest + 1):
        ours = theirs = 0
        spent, plain = 0.0, 0.0
        for seed in range(options.seeds):
            start = time.process_time()
            ours += len(dynsys.find_cycles(f, period, n_starts=options.starts, seed=seed))
            spent += time.process_time() - start
            start = time.process_time()
            theirs += newton_on_iterates(period, options.starts, seed)
            plain += time.process_time() - start
        whole = COUNTS[period] * options.seeds
        print(
            f"{period:6d}  {COUNTS[period]:6d}   {ours:5d} of {whole:<3d}  {spent / options.seeds:7.3f}   "
            f"{theirs:12d} of {whole:<3d}  {plain / options.seeds:7.3f}   {spent / plain:10.1f}"
        )


if __name__ == "__main__":
    main()
