"""How many fixed points of random networks the search finds, of those that a far longer one finds.

    python benchmarks/points_found.py [--seeds 3] [--units 16] [--gains 3 6] [--paths 1500]

Nobody knows the true number for these networks. The reference is everything that any road here found: `--paths`
continuation paths from random states (Chow, Mallet-Paret, Yorke) each followed through many fixed points, 8192 uniform
starts, and the search itself. It may miss some too: its own index sum is shown, which is 1 for a complete list. `hits`
are the points that the search met by uniform starts alone; seconds are CPU time, one BLAS thread.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np

import cells
import dynsys
from dynsys.homotopy import from_states
from dynsys.points import measure
from dynsys.root_search import NEARBY, distinct, polish, search

CELLS = {"tanh": cells.Elman, "GRU": cells.GRU, "GRUResetAfter": cells.GRUResetAfter}
SAME = 1e-6


def roots(f: dynsys.Map, ends: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The known points (k, n) and what Newton makes of states (m, n), where that is a fixed point in the cube."""
    input = np.zeros(f.input_size)
    states = polish(f, ends[distinct(ends, SAME)[0]], input)
    there = measure(f, states, input)
    size = 1.0 + np.abs(states).max(axis=1, initial=0.0)
    good = (there.residuals <= 1e-12 * size) & (there.errors + there.rounding <= 1e-6 * size)
    every = np.concatenate([known, states[good & (np.abs(states) <= 1.0).all(axis=1)]])
    return every[distinct(every, SAME)[0]]


def reference(f: dynsys.Map, found: np.ndarray, paths: int) -> np.ndarray:
    """Everything that any road finds, (k, n)."""
    generator, input = np.random.default_rng(12345), np.zeros(f.input_size)
    known = found
    for first in range(0, paths, 256):
        states = generator.uniform(-1, 1, (min(256, paths - first), f.state_size))
        known = roots(f, np.clip(from_states(f, states, input, 2000, 400)[0], -1, 1), known)
    ended = search(f, generator.uniform(-1, 1, (8192, f.state_size)), input, None, close=NEARBY)
    return roots(f, ended.states[ended.met_root], known)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--gains", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--paths", type=int, default=1500)
    options = parser.parse_args()
    print(f"{'network':<28} {'found':>5} {'of':>5} {'hits':>5} {'index':>6} {'of all':>6} {'CPU s':>6}")
    met = whole = 0
    for name, cell in CELLS.items():
        for gain in options.gains:
            for seed in range(options.seeds):
                f = dynsys.as_map(cell.random(options.units, 2, gain=gain, seed=seed))
                began = time.process_time()
                found = dynsys.find_fixed_points(f)
                took = time.process_time() - began
                with np.errstate(all="ignore"):
                    every = reference(f, found.states, options.paths)
                    total = int(measure(f, every, found.input).signs.sum())
                met, whole = met + len(found), whole + len(every)
                print(
                    f"{f'{name}, gain {gain:g}, seed {seed}':<28} {len(found):5} {len(every):5} "
                    f"{int((found.hits > 0).sum()):5} {found.completeness.index_sum:6} {total:6} {took:6.2f}",
                    flush=True,
                )
    print(f"\n{met} of {whole} points ({100 * met / whole:.1f} %)")


if __name__ == "__main__":
    main()
