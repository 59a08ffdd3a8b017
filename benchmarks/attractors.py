"""Finding attractors, against nothing but stepping the same orbits for the same number of steps.

    python benchmarks/attractors.py [--starts 64] [--steps 3000]

CPU seconds of this process, one BLAS thread. The bare side steps all starts together for `--steps` steps and looks at
nothing. Ours follows them until they arrive, goes on where they have not, polishes what is periodic, tells the other
limit sets apart, and measures their Lyapunov exponents over 10,000 steps. The fixed points are searched beforehand and
given to it. Where orbits come to rest early, ours is the faster one.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np

import cells
import dynsys

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def bare(f: dynsys.Map, starts: np.ndarray, steps: int) -> float:
    """CPU seconds of `steps` steps of all starts (k, n) at zero input."""
    state, column = np.ascontiguousarray(starts.T), np.zeros((f.input_size, 1))
    began = time.process_time()
    for _ in range(steps):
        state = f.advance(state, column)
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    cases = {
        "flip-flop GRU, 16": dynsys.load(EXAMPLES / "flipflop_gru.safetensors"),
        "tanh gain 1.5, 64": cells.Elman.random(64, 0, gain=1.5, seed=0),
        "tanh gain 3, 64": cells.Elman.random(64, 0, gain=3.0, seed=0),
        "digits LSTM, 96": dynsys.load(EXAMPLES / "digits_lstm.safetensors"),
        "char GRU, 192": dynsys.load(EXAMPLES / "char_gru.pt"),
    }
    print(f"{options.starts} starts, {options.steps} steps; CPU seconds")
    print(f"{'network, state variables':<26} {'ours':>7} {'bare':>7} {'ratio':>6}  attractors")
    for name, model in cases.items():
        f = dynsys.as_map(model)
        points = dynsys.find_fixed_points(f)
        began = time.process_time()
        found = dynsys.find_attractors(f, fixed_points=points, n_starts=options.starts, steps=options.steps)
        ours = time.process_time() - began
        alone = bare(f, found.starts, options.steps)
        kinds = ", ".join(f"{found.kinds.count(kind)} {kind}" for kind in dict.fromkeys(found.kinds))
        print(f"{name:<26} {ours:7.2f} {alone:7.2f} {ours / alone:6.1f}  {kinds}", flush=True)


if __name__ == "__main__":
    main()
