"""The whole fixed-point search, eigenvalues and completeness included, on the example flip-flop network.

    python benchmarks/fixed_points.py [--seeds 10] [--peer]

CPU time of this process, one BLAS thread, 1024 starts, tolerance 1e-12, per seed. The network has 27 known fixed
points. `--peer` adds the usual way in PyTorch, from uniform starts in the cube: Adam on q = |F(x) - x|^2 / 2 in
float64, until every start has q < 1e-12 or the steps are over, then eigenvalues at the distinct ends; and counts how
many of its ends are fixed points of the reachable cube to a residual of 1e-6.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np

import dynsys

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STARTS = 1024
TOL = 1e-12
BAR_SECONDS = 0.1
BAR_RATIO = 30
ADAM_STEPS = 5_000
SAME = 1e-3  # two ends of Adam nearer than this are one


def met(states: np.ndarray, reference: np.ndarray) -> int:
    """How many of the known points are among `states` (k, n)."""
    if not len(states):
        return 0
    return int((np.abs(reference[:, np.newaxis] - states).max(axis=2).min(axis=1) < SAME).sum())


def ours(f: dynsys.Map, seed: int) -> tuple[float, dynsys.fixed_points.FixedPoints]:
    """CPU seconds, and what was found."""
    began = time.process_time()
    found = dynsys.find_fixed_points(f, n_starts=STARTS, tol=TOL, seed=seed)
    return time.process_time() - began, found


def adam(f: dynsys.Map, starts: np.ndarray) -> tuple[float, np.ndarray, int, int]:
    """CPU seconds, the distinct ends (k, n) that reached the tolerance, how many starts did, and the steps taken."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.GRU(f.input_size, f.state_size).double()
    from safetensors.torch import load_file

    weights = load_file(EXAMPLES / "flipflop_gru.safetensors")
    model.load_state_dict({k.removeprefix("rnn."): v.double() for k, v in weights.items() if k.startswith("rnn.")})
    zero = torch.zeros(1, len(starts), f.input_size, dtype=torch.float64)
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    began = time.process_time()
    x = torch.tensor(starts, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=0.01)
    steps = 0
    for steps in range(1, ADAM_STEPS + 1):
        optimiser.zero_grad()
        q = 0.5 * (model(zero, x[np.newaxis])[1][0] - x).square().sum(dim=1)
        if steps % 50 == 0 and bool((q < TOL).all()):
            break
        q.sum().backward()
        optimiser.step()
    ends = x.detach()[q.detach() < TOL].numpy()
    kept: list[np.ndarray] = []
    for end in ends:
        if all(np.abs(end - other).max() > SAME for other in kept):
            kept.append(end)
    distinct = np.array(kept).reshape(-1, f.state_size)
    one = torch.zeros(1, 1, f.input_size, dtype=torch.float64)
    jacobians = [
        torch.autograd.functional.jacobian(lambda h: model(one, h[np.newaxis, np.newaxis])[1][0, 0], torch.tensor(end))
        for end in distinct
    ]
    for J in jacobians:
        np.linalg.eigvals(J.numpy())
    return time.process_time() - began, distinct, len(ends), steps


def main() -> None:
    """Print the table, and the ratio to the peer where it is asked for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--peer", action="store_true", help="also time Adam on q in PyTorch")
    chosen = arguments.parse_args()
    f = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    with np.load(EXAMPLES / "flipflop_gru_fixed_points.npz") as file:
        reference = file["fixed_points"]
    ours(f, 0)  # the first call also imports

    print(f"{f.name}: {STARTS} starts, tolerance {TOL:g}, one BLAS thread\n")
    print(f"{'seed':>4} {'CPU s':>7} {'points':>7} {'of 27':>6} {'0/1/2/3 unstable':>17} {'residual':>9}")
    times = []
    for seed in range(chosen.seeds):
        seconds, found = ours(f, seed)
        times.append(seconds)
        by_class = "/".join(str(int((found.n_unstable == k).sum())) for k in range(4))
        worst = found.residuals.max() if len(found) else float("nan")
        print(
            f"{seed:4} {seconds:7.3f} {len(found):7} {met(found.states, reference):6} {by_class:>17} {worst:9.1e}",
            flush=True,
        )
    print(f"\nmedian {statistics.median(times):.3f} s, worst {max(times):.3f} s  (bar <= {BAR_SECONDS} s)")
    if chosen.peer:
        starts = np.random.default_rng(0).uniform(-1, 1, (STARTS, f.state_size))
        seconds, ends, arrived, steps = adam(f, starts)
        true = sum(np.abs(f.step(end) - end).max() < 1e-6 and np.abs(end).max() < 1 for end in ends)
        print(f"\nAdam on q: {seconds:.1f} s CPU, {steps} steps; {arrived} of {STARTS} starts reach q < {TOL:g}")
        print(f"{len(ends)} distinct ends, {true} of them in the cube with residual < 1e-6", end="; ")
        print(f"{met(ends, reference)} of the 27 known points")
        print(f"ratio to ours: {seconds / statistics.median(times):.0f}  (bar >= {BAR_RATIO})")


if __name__ == "__main__":
    main()
