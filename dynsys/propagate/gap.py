"""The eigenvalues that decide how fast a signal collapses: the largest beside the trivial one, and the smallest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.errors import InputError
from dynsys.graphs.extremes import GraphSpectrum, spectrum
from dynsys.propagate.operator import Propagator


@final
@dataclass(frozen=True)
class Gap:
    """lambda_2 and lambda_min of A outside its trivial subspace, 0 where nothing is outside.

    `error`: no eigenvalue lies further out than this, except with probability 10^-3 over a random start.
    """

    lambda_2: float
    lambda_min: float
    error: float

    @property
    def lambda_star(self) -> float:
        """max |lambda| outside the trivial subspace."""
        return max(abs(self.lambda_2), abs(self.lambda_min))


def gap_of(A: Propagator, known: GraphSpectrum | None = None, tol: float = 1e-4, seed: int = 0) -> Gap:
    """The spectral gap of a propagation matrix, from a spectrum that is `known` or measured now."""
    if known is None:
        known = spectrum(A.graph, A.normalization, tol, seed=seed)
    if known.normalization != A.normalization or known.vectors.shape[1] != A.n:
        raise InputError(
            f"the spectrum is of {known.vectors.shape[1]} nodes under {known.normalization!r}, the propagation on "
            f"{A.n} under {A.normalization!r}."
        )
    ends = [0.0 if np.isnan(value) else value for value in (known.lambda_2, known.lambda_min)]
    return Gap(ends[0], ends[1], float(known.unseen.max(initial=0.0)))
