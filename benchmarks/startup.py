"""What it costs to start: `import dynsys`, `dynsys --help`, and a whole `dynsys fixed-points ... --json` process.

    python benchmarks/startup.py [--repeats 15]

CPU seconds (user and system) of child processes, medians; the contestants take turns with bare Python, so that a slow
moment of the machine hits them all alike. Also what of it is over bare Python, and over Python with NumPy.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "flipflop_gru.safetensors"
COMMAND = "from dynsys.cli import main; main(prog_name='dynsys')"
CONTESTANTS = {
    "bare python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import dynsys": ["-c", "import dynsys"],
    "dynsys --help": ["-c", COMMAND, "--help"],
    "dynsys cells": ["-c", COMMAND, "cells"],
    "dynsys fixed-points": ["-c", COMMAND, "fixed-points", str(MODEL), "--json"],
}
BARS = {"import dynsys": 0.15, "dynsys --help": 0.3, "dynsys fixed-points": 1.0}  # seconds over bare Python


def cpu_of(arguments: list[str]) -> float:
    """User and system seconds of one child process."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=15)
    chosen = arguments.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for round_ in range(chosen.repeats + 1):  # the first round warms the file cache and writes the .pyc files
        for name, command in CONTESTANTS.items():
            seconds = cpu_of(command)
            if round_:
                times[name].append(seconds)
    median = {name: statistics.median(t) for name, t in times.items()}
    print(f"{'process':22} {'CPU s':>8} {'over bare':>10} {'over numpy':>11} {'x bare':>7}  bar (over bare)")
    for name, seconds in median.items():
        bare, numpy = median["bare python"], median["import numpy"]
        bar = f"<= {BARS[name]} s" if name in BARS else ""
        print(f"{name:22} {seconds:8.3f} {seconds - bare:10.3f} {seconds - numpy:11.3f} {seconds / bare:7.1f}  {bar}")


if __name__ == "__main__":
    main()
