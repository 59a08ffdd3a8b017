"""Several runs of a random stack as one answer: means, and the spread over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dynsys.propagate.result import PER_LAYER, Propagation
from dynsys.types import Array


def joined(runs: list[Propagation], seeds: Sequence[int]) -> Propagation:
    """The mean over seeds, with the spread: of logarithms where a field is one, so that it is a geometric mean."""
    if len(runs) == 1:
        return runs[0]
    averaged: dict[str, Any] = {}
    spread: dict[str, Array] = {}
    for name in (*PER_LAYER, "mad_error", "band_energy", "jacobian_singular_values", "jacobian_singular_errors"):
        values = np.stack([getattr(run, name) for run in runs])
        averaged[name], spread[name] = _mean_and_spread(values)
    slopes_ = np.array([run.rate for run in runs if math.isfinite(run.rate)])
    dead = sum(run.log_norm[-1] == -math.inf for run in runs)
    deep = [run.effective_depth for run in runs]
    frequencies = {run.frequency for run in runs}
    averaged["log_distance_bound"] = np.stack([run.log_distance_bound for run in runs]).mean(axis=0)
    known = sorted(d for d in deep if d is not None)
    return dataclasses.replace(
        runs[0],
        **averaged,
        rate=float(slopes_.mean()) if len(slopes_) else -math.inf,
        rate_error=float(slopes_.std(ddof=1) / math.sqrt(len(slopes_))) if len(slopes_) > 1 else 0.0,
        rate_bound=float(np.mean([run.rate_bound for run in runs])),
        effective_depth=known[len(deep) // 2] if len(known) > len(deep) // 2 else None,
        frequency=frequencies.pop() if len(frequencies) == 1 else "mixed",
        spread=spread,
        runs=tuple(runs),
        notes=(
            *runs[0].notes,
            f"means over {len(seeds)} seeds, of logarithms for sizes; rate_error is over seeds",
            *(
                (f"in {dead} of {len(seeds)} seeds the signal is exactly zero in the end; means are over the others",)
                * int(dead > 0)
            ),
        ),
    )


def _mean_and_spread(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the first axis of what is finite; -inf or NaN where nothing is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    some = np.maximum(count, 1)
    kept = np.where(finite, values, 0.0)
    mean = kept.sum(axis=0) / some
    squares = np.where(finite, np.square(values - mean, where=finite, out=np.zeros_like(values)), 0.0).sum(axis=0)
    return np.where(count > 0, mean, values[0]), np.sqrt(squares / np.maximum(count - 1, 1))
