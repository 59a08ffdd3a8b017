"""One Newton iteration on a batch, against nothing but the linear solves it needs.

    python benchmarks/newton.py [--units 256] [--starts 64]

One iteration evaluates F and its Jacobian at every state, subtracts the identity and solves. The bare side solves the
same systems with NumPy's batched LU, the Jacobians being there already; for cells with nested products it also forms
one matrix product per state, which those Jacobians cannot do without. Both sides run in turn, on one BLAS thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
from timing import interleaved

import cells
import dynsys
from dynsys.root_search import newton_step

BAR = 1.2
NESTED = {"GRU"}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--units", type=int, default=256)
    arguments.add_argument("--starts", type=int, default=64)
    arguments.add_argument("--repeats", type=int, default=11)
    chosen = arguments.parse_args()
    n, count = chosen.units, chosen.starts
    generator = np.random.default_rng(0)
    print(f"{n} state variables, {count} states; CPU ms per iteration, median of {chosen.repeats}\n")
    print(f"{'cell':<22} {'Newton':>8} {'bare':>8} {'ratio':>6}  (bar <= {BAR})")
    cases = {
        "Elman": cells.Elman.random(n, 2, seed=0),
        "Elman, ReLU": dataclasses.replace(cells.Elman.random(n, 2, seed=0), activation="relu"),
        "LSTM": cells.LSTM.random(n // 2, 2, seed=0),
        "GRUResetAfter": cells.GRUResetAfter.random(n, 2, seed=0),
        "GRU": cells.GRU.random(n, 2, seed=0),
    }
    for name, cell in cases.items():
        f = dynsys.as_map(cell)
        x = generator.uniform(-1, 1, (f.state_size, count))
        column = np.zeros((2, 1))
        jacobians = np.ascontiguousarray(f.jacobian(x.T)) - np.eye(f.state_size)
        rights = generator.standard_normal((count, f.state_size, 1))
        weights = generator.standard_normal((f.state_size, f.state_size))

        def bare(matrices: np.ndarray, b: np.ndarray, factor: np.ndarray, nested: bool) -> Callable[[], object]:
            def run() -> None:
                if nested:
                    for matrix in matrices:
                        factor @ matrix
                np.linalg.solve(matrices, b)

            return run

        def newton(system: dynsys.Map, states: np.ndarray, input: np.ndarray) -> Callable[[], object]:
            return lambda: newton_step(system, states, input)

        took = interleaved(
            {"newton": newton(f, x, column), "bare": bare(jacobians, rights, weights, name in NESTED)}, chosen.repeats
        )
        ratio = took["newton"] / took["bare"]
        print(f"{name:<22} {1e3 * took['newton']:8.1f} {1e3 * took['bare']:8.1f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
