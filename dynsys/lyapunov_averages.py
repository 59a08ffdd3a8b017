"""What the logarithms of a run add up to: averages, their errors, dimension and entropy."""

from __future__ import annotations

import math

import numpy as np

from dynsys.lyapunov_run import Run
from dynsys.lyapunov_small import SmallRun
from dynsys.types import Array, Booleans

MOST_CORRELATED = 0.9  # of neighbouring batches: beyond, twenty of them tell nothing


def spread(by_sequence: Array) -> Array:
    """(k,) standard deviation over sequences (B, k); zeros for a single one, and for what is -inf in any."""
    if len(by_sequence) < 2:
        return np.zeros(by_sequence.shape[1])
    finite = np.isfinite(by_sequence).all(axis=0)
    return np.asarray(np.where(finite, np.where(finite, by_sequence, 0.0).std(axis=0, ddof=1), 0.0))


def batch_means_error(batches: Array) -> Array:
    """(k,) standard error of the mean of consecutive batches (m, k); inf for a single one.

    Where neighbours go together the batches are shorter than the time over which the orbit forgets: the error is that
    of a first-order autoregression. Source: H. J. Thiébaux & F. W. Zwiers, J. Climate and Applied Meteorology 23
    (1984) 800-811.
    """
    m = len(batches)
    if m < 2:
        return np.full(batches.shape[1], np.inf)
    centred = batches - batches.mean(axis=0)
    variance = (centred**2).sum(axis=0)
    together = (centred[1:] * centred[:-1]).sum(axis=0)
    # What is subtracted with the mean makes independent batches look opposed, by 1/m on average.
    share = np.divide(together, variance, out=np.zeros_like(variance), where=variance > 0) + 1.0 / m
    share = np.clip(share, 0.0, MOST_CORRELATED)
    return np.asarray(np.sqrt(variance / (m - 1) / m * (1 + share) / (1 - share)))


def spread_error(by_sequence: Array) -> Array:
    """(k,) standard error of the mean over sequences, zero for a single one."""
    return np.asarray(spread(by_sequence) / math.sqrt(len(by_sequence)))


def sum_rule_residual(exponents: Array, log_det: float) -> float:
    """|sum of the exponents - log_det|, nats per step; 0 where both are -inf."""
    total = float(exponents.sum())
    return 0.0 if total == log_det else abs(total - log_det)


def invariants(exponents: Array, n: int) -> tuple[float | None, float | None, list[str]]:
    """Kaplan-Yorke dimension and entropy from the exponents found, or None with the reason."""
    sums = np.cumsum(exponents)
    rounding = 1e-13 * n * max(1.0, float(np.abs(exponents[np.isfinite(exponents)]).sum()))
    entropy_known = bool((exponents <= 0).any()) or len(exponents) == n
    notes = []
    entropy = float(exponents[exponents > 0].sum()) if entropy_known else None
    if not entropy_known:
        notes.append("entropy not given: all computed exponents are positive; raise k")
    below = np.flatnonzero(sums < -rounding)
    if len(below):
        j = int(below[0])
        carried = max(0.0, float(sums[j - 1])) if j else 0.0
        return j + carried / abs(float(exponents[j])), entropy, notes
    if len(exponents) == n:
        return float(n), entropy, notes
    notes.append("Kaplan-Yorke dimension not given: the sum of the computed exponents is not negative; raise k")
    return None, entropy, notes


def running_estimates(blocks: Array, lengths: Array, mean: Array) -> Array:
    """(blocks, k): the estimate after each block of time, nats per step; -inf where that is the answer."""
    sums = np.cumsum(blocks * lengths[:, np.newaxis], axis=0)
    return np.where(np.isfinite(mean), sums / np.cumsum(lengths)[:, np.newaxis], mean)


def sorted_averages(run: Run | SmallRun, n: int, steps: int, lost: int) -> tuple[Array, Array, Array, Booleans, bool]:
    """Exponents by sequence and by block of time, differences of the frames, and which exponents are below rounding.

    Largest exponent first. The last is whether one exponent was taken from the determinant.
    """
    blocks = run.blocks / np.maximum(run.block_steps, 1.0)[:, np.newaxis, np.newaxis]
    averages = run.blocks.sum(axis=0) / steps
    for b, rank in enumerate(run.ranks):
        averages[b, max(0, n - rank.lost) :] = -np.inf
        blocks[:, b, max(0, n - rank.lost) :] = 0.0
    completed = _complete_by_determinant(run, averages, n, lost)
    order = np.argsort(-averages.mean(axis=0), kind="stable")
    apart, below = run.apart.max(axis=0), np.asarray(run.below.any(axis=0))
    return averages[:, order], blocks[..., order], apart[order], below[order], completed


def _complete_by_determinant(run: Run | SmallRun, averages: Array, n: int, lost: int) -> bool:
    """A single exponent below rounding is what log|det J| leaves to it. `averages` (B, k), nats per step."""
    if averages.shape[1] != n or lost or not np.isfinite(run.log_det).all():
        return False
    for b in np.flatnonzero(run.below.sum(axis=-1) == 1):
        i = int(np.flatnonzero(run.below[b])[0])
        averages[b, i] = run.log_det[b] / run.block_steps.sum() - (averages[b].sum() - averages[b, i])
    single = run.below.sum(axis=-1, keepdims=True) == 1
    run.below &= ~single
    return bool(single.any())
