"""Paired timing: the contestants take turns, so that a slow moment of the machine hits them all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of this process per call, each contestant called once per round; one round warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(repeats + 1):
        for name, function in contestants.items():
            began = time.process_time()
            function()
            if round_:
                times[name].append(time.process_time() - began)
    return {name: statistics.median(t) for name, t in times.items()}
