"""Similarity of neighbours: the mean average distance of directions, and Rusch's measure of differences."""

from __future__ import annotations

import math
from typing import final

import numpy as np

from dynsys import seeds
from dynsys.propagate.chunks import blocks, over
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State
from dynsys.types import Integers

MOST = 200_000  # edges up to which all are taken
SAMPLE = 4_000  # else this many, drawn at random


@final
class Pairs:
    """The edges on which neighbours are compared, all of them or a sample."""

    def __init__(self, A: Propagator, seed: int) -> None:
        edges: Integers = A.graph.edges
        self.sampled = edges.shape[1] > MOST
        if self.sampled:
            chosen = np.sort(seeds.generator(seed).choice(edges.shape[1], SAMPLE, replace=False))
            edges = edges[:, chosen]
        self._A, self._edges, self._m = A, edges, A.graph.n_edges

    def compare(self, state: State) -> tuple[float, float, float]:
        """(MAD, its standard error, log of Rusch's measure).

        MAD: mean of 1 - cos(h_i, h_j) over edges whose rows are both non-zero; NaN where there is none. It is no norm:
        0 for any one-dimensional signal of one sign. Rusch: sqrt(1/n sum_i sum_j in N_i |h_i - h_j|^2).
        """
        edges, unit = self._edges, state.log_unit
        if not edges.shape[1]:
            return math.nan, 0.0, -math.inf

        # A dead row comes back from its two parts as rounding, which points anywhere.
        least = 256 * float(np.finfo(state.T.dtype).eps) / math.sqrt(self._A.n)

        def work(part: slice) -> tuple[float, float, int, float]:
            one, other = (state.rows(self._A, ends[part], unit) for ends in edges)
            sizes = [np.sqrt(np.einsum("ij,ij->i", h, h)) for h in (one, other)]
            defined = (sizes[0] > least) & (sizes[1] > least)
            a, b = (h[defined] / size[defined, np.newaxis] for h, size in zip((one, other), sizes, strict=True))
            turned = 0.5 * np.square(a - b).sum(axis=1)  # 1 - cos, without its cancellation
            return (
                float(turned.sum()),
                float(np.square(turned).sum()),
                int(defined.sum()),
                float(np.square(one - other).sum()),
            )

        parts = over(work, blocks(edges.shape[1], state.T.shape[1]))
        total, squares, count, apart = (sum(part[i] for part in parts) for i in range(4))
        mean = total / count if count else math.nan
        error = 0.0
        if self.sampled and count > 1:
            error = math.sqrt(max(squares / count - mean * mean, 0.0) / count)
        every = apart * 2 * self._m / edges.shape[1] / self._A.n
        return mean, error, 0.5 * math.log(every) + unit if every > 0 else -math.inf
