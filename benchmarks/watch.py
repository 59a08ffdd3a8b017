"""What `dynsys.watch` costs a training loop, step by step beside the same training without it.

    python benchmarks/watch.py [--blocks 12] [--network "GRU 128"]

Two copies of one PyTorch network are trained on the same batches from the same weights, one of them watched at the
default of a record every 100 steps (`overhead=1`, so that the watcher leaves out none of them to keep its share). They
take turns at every step, in an order that turns round too, so that a slow moment of the machine hits both; measured is
CPU time, with one thread. A block of 100 steps, with one record, gives a ratio; printed are the median of the blocks,
its 95 % bootstrap interval, and how many blocks lie below the bar. The first pass, which `watch` makes when it is
called, is a cost of the beginning and given in steps. Exit code 1 where an interval lies above the bar.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
import torch

import dynsys

BAR, EVERY, DRAWS, WARM = 1.05, 100, 4000, 20
FEATURES, CLASSES = 16, 8
NETWORKS = {
    "GRU 64": (torch.nn.GRU, 64, 32, 50),
    "GRU 128": (torch.nn.GRU, 128, 32, 50),
    "LSTM 128": (torch.nn.LSTM, 128, 32, 50),
    "GRU 256": (torch.nn.GRU, 256, 32, 50),
    "LSTM 256": (torch.nn.LSTM, 256, 32, 50),
}
"""Layer, hidden units, sequences of a batch, steps of a sequence."""


class Training:
    """A network in training: the same weights and batches for the same numbers of steps."""

    def __init__(self, kind: Any, hidden: int, batch: int, length: int) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.ModuleDict({"rnn": kind(FEATURES, hidden), "out": torch.nn.Linear(hidden, CLASSES)})
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)
        self.inputs = torch.randn(4, length, batch, FEATURES)
        self.classes = torch.randint(CLASSES, (4, batch))

    def step(self, number: int, watcher: Callable[..., object] | None) -> float:
        """CPU seconds of one step."""
        began = time.process_time()
        shown = self.model["out"](self.model["rnn"](self.inputs[number % 4])[0][-1])
        loss = torch.nn.functional.cross_entropy(shown, self.classes[number % 4])
        self.optimizer.zero_grad()
        loss.backward()
        if watcher is not None:
            watcher(number, loss=loss.item())
        self.optimizer.step()
        return time.process_time() - began


def ratios(settings: tuple[Any, int, int, int], blocks: int, file: Path) -> tuple[np.ndarray, float, float]:
    """Watched over not watched, one per block; seconds of an unwatched step, and of the first pass."""
    plain, watched = Training(*settings), Training(*settings)
    began = time.process_time()
    watcher = dynsys.watch(watched.model, file, watched.inputs[0].numpy(), every=EVERY, overhead=1.0)
    first_pass = time.process_time() - began
    watcher(0)
    times = np.zeros((2, blocks * EVERY))
    for at in range(WARM + blocks * EVERY):
        number = at + 1 - WARM + EVERY  # the record of a block is made in its last step
        turns: list[tuple[int, Training, Any]] = [(0, plain, None), (1, watched, watcher)]
        for who, training, own in turns if at % 2 else reversed(turns):
            took = training.step(number, own)
            if at >= WARM:
                times[who, at - WARM] = took
    weights = (list(t.model.parameters()) for t in (plain, watched))
    if not all(torch.equal(a, b) for a, b in zip(*weights, strict=True)):
        raise RuntimeError("the watched network has been trained to other weights")
    sums = times.reshape(2, blocks, EVERY).sum(axis=2)
    return sums[1] / sums[0], float(np.median(times[0])), first_pass


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="several times for several [all]")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'network':10} {'batch':>5} {'T':>4} {'step ms':>8} {'start':>11} {'ratio':>7} {'95 %':>15}  below {BAR}")
    missed = False
    for name in chosen.network or NETWORKS:
        settings = NETWORKS[name]
        with tempfile.TemporaryDirectory() as folder:
            found, step, first = ratios(settings, chosen.blocks, Path(folder) / "training.jsonl")
        low, high = interval(found)
        missed |= low > BAR
        print(
            f"{name:10} {settings[2]:5} {settings[3]:4} {1e3 * step:8.1f} {first / step:5.1f} steps"
            f" {np.median(found):7.4f}  {low:.4f}-{high:.4f}  {int((found < BAR).sum())} of {len(found)}",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
