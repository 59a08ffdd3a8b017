"""Rank that a product of Jacobians loses exactly: by structure, never by a small number that rounding produced."""

from __future__ import annotations

import numpy as np

from dynsys.types import Array, Integers


class RankLoss:
    """Watches a sequence of Jacobians for exact rank loss: zero rows and columns, and singular weight matrices.

    A unit that is dead makes a row of J exactly zero, which the sparsity of the running product shows. A singular
    recurrent matrix makes every J singular: cells say so themselves (`Map.lost_rank`). Only where a map cannot tell,
    the rank of J is judged numerically, after its rows and columns are scaled to the same size.

    Attributes:
        lost: dimensions, so far. follows_zeros: whether a zero row or column has been seen, so that all later patterns
            of zeros matter too.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._pattern: Array | None = None
        self.follows_zeros = False
        self._by_weights: int | None = None
        self.lost = 0

    def watch(self, jacobians: Array, known: Integers | None) -> None:
        """Take in further Jacobians (T, n, n), in time order, with what the map knows of each (T,), or None."""
        zero = jacobians == 0
        dead = zero.all(axis=2) | zero.all(axis=1)
        if dead.any() or self.follows_zeros:
            self._follow_pattern(~zero, dead.any(axis=1))
        if known is not None:
            self.lost = max(self.lost, int(known.max(initial=0)))
            return
        for t in {0, len(jacobians) // 2, len(jacobians) - 1}:
            missing = int(deficiency(jacobians[t]))
            self._by_weights = missing if self._by_weights is None else min(self._by_weights, missing)
        self.lost = max(self.lost, self._by_weights or 0)

    def watch_known(self, known: Integers) -> None:
        """Take in further Jacobians without a zero row or column, of which the map tells what each destroys (T,)."""
        self.lost = max(self.lost, int(known.max(initial=0)))

    def _follow_pattern(self, nonzero: Array, dead: Array) -> None:
        self.follows_zeros = True
        running = np.eye(self._n) if self._pattern is None else self._pattern
        for pattern, has_dead in zip(nonzero, dead, strict=True):
            running = np.minimum(pattern.astype(np.float64) @ running, 1.0)
            if has_dead:
                empty = max(int((running.max(axis=1) == 0).sum()), int((running.max(axis=0) == 0).sum()))
                self.lost = max(self.lost, empty)
        self._pattern = running


def deficiency(jacobians: Array) -> Integers:
    """(...,) n - rank of matrices (..., n, n), their rows and columns scaled to norm one."""
    scaled = jacobians.copy()
    n = scaled.shape[-1]
    if not scaled.size:
        return np.zeros(scaled.shape[:-2], dtype=np.int64)
    for axis in (-2, -1, -2, -1):
        norms = np.linalg.norm(scaled, axis=axis, keepdims=True)
        scaled /= np.where(norms > 0, norms, 1.0)
    singular = np.linalg.svd(scaled, compute_uv=False)
    return np.asarray((singular <= n * np.finfo(np.float64).eps * singular[..., :1]).sum(axis=-1))
