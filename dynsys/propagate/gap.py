"""The eigenvalues that decide how fast a signal collapses: the largest beside the trivial one, and the smallest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.propagate.operator import Propagator


@final
@dataclass(frozen=True)
class Gap:
    """lambda_2 and lambda_min of A outside its trivial subspace; lambda_star, the larger modulus; their error."""

    lambda_2: float
    lambda_min: float
    error: float

    @property
    def lambda_star(self) -> float:
        """max |lambda| outside the trivial subspace; 0 where there is nothing outside."""
        return max(abs(self.lambda_2), abs(self.lambda_min))


def gap_of(A: Propagator) -> Gap:
    """The spectral gap of a propagation matrix."""
    values = np.linalg.eigvals(A.matrix.toarray()).real
    values = np.sort(values)[: A.n - A.count]
    return Gap(float(values[-1]), float(values[0]), 1e-12) if len(values) else Gap(0.0, 0.0, 0.0)
