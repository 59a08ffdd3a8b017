"""What a search may have missed: three statements that are never merged into one.

Hit counts give a lower bound on the number of points this search could still meet; the index test can prove that a
list is wrong, never that it is whole; a proof is neither, and belongs to `certify`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.batched_solves import inverse_of_each
from dynsys.types import Array, Booleans, Integers

EPS = float(np.finfo(np.float64).eps)


@final
@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How complete a list of fixed points may be.

    Attributes:
        found: fixed points in the list.
        estimate, interval: bias-corrected Chao1 from the hits of independent uniform starts, with its log-normal 95 %
            interval: a lower bound on the points whose basin (under this search) such starts can meet. None without
            such starts.
        singletons: points met by exactly one uniform start; many of them mean that much is unseen.
        unseen_mass_bound: with no singletons, 95 % upper bound 3 / n_starts on the share of starts that would lead to
            a point not in the list; None otherwise.
        index_sum: the sum over the points of sign det(I - J).
        index_expected: 1 where the index test is valid, else None, with the reason in `index_note`.
        proven: whether the list has been proven complete; only a proof sets this.
    """

    found: int
    estimate: float | None
    interval: tuple[float, float] | None
    singletons: int | None
    unseen_mass_bound: float | None
    index_sum: int | None
    index_expected: int | None
    index_note: str
    proven: bool = False

    @property
    def index_passed(self) -> bool | None:
        """None where the test does not apply. True is necessary for a complete list, not sufficient."""
        return None if self.index_expected is None else self.index_sum == self.index_expected


def accounted(
    found: int, hits: Integers, n_starts: int, index_sum: int | None, *, valid: bool, note: str
) -> Completeness:
    """The account of a search that listed `found` entries, from the hits of its independent starts and its index sum.

    Where no uniform start arrived anywhere, hits say nothing. `valid`: whether the index test applies; `note`: why.
    """
    arrived = bool(hits.any())
    estimate, interval = chao1(hits) if arrived else (None, None)
    singletons = int((hits == 1).sum()) if arrived else None
    return Completeness(
        found=found,
        estimate=estimate,
        interval=interval,
        singletons=singletons,
        unseen_mass_bound=3.0 / n_starts if singletons == 0 else None,
        index_sum=index_sum,
        index_expected=1 if valid else None,
        index_note=note,
    )


def chao1(hits: Integers) -> tuple[float, tuple[float, float]]:
    """Bias-corrected Chao1 and its log-normal 95 % interval, from how often each point was hit.

    Sources: A. Chao, Scandinavian Journal of Statistics 11 (1984) 265-270; Biometrics 43 (1987) 783-791 (interval);
    the interval without singletons: R. K. Colwell, EstimateS user's guide, appendix B.
    """
    hits = np.asarray(hits)[np.asarray(hits) > 0]
    seen, draws = len(hits), int(hits.sum())
    if not seen:
        return 0.0, (0.0, math.inf)
    once, twice = int((hits == 1).sum()), int((hits == 2).sum())
    share = (draws - 1) / draws
    unseen = share * once * (once - 1) / (2 * (twice + 1))
    if unseen == 0:
        # Every point was hit again: the classical interval for a sample that looks whole.
        p = math.exp(-draws / seen)
        if p == 1.0:
            return float(seen), (float(seen), math.inf)
        middle, spread = seen / (1 - p), 1.96 * math.sqrt(seen * p) / (1 - p)
        return float(seen), (max(float(seen), middle - spread), middle + spread)
    variance = (
        unseen
        + share**2 * once * (2 * once - 1) ** 2 / (4 * (twice + 1) ** 2)
        + share**2 * once**2 * twice * (once - 1) ** 2 / (4 * (twice + 1) ** 4)
    )
    factor = math.exp(1.96 * math.sqrt(math.log1p(variance / unseen**2)))
    return seen + unseen, (seen + unseen / factor, seen + unseen * factor)


def index_signs(jacobians: Array) -> tuple[Integers, Booleans]:
    """sign det(I - J) of each Jacobian (k, n, n), and whether it clears rounding."""
    shifted = np.eye(jacobians.shape[-1]) - jacobians
    return signs_of(shifted, inverse_of_each(shifted))


def signs_of(shifted: Array, inverses: Array) -> tuple[Integers, Booleans]:
    """The same from I - J and its inverses (k, n, n).

    A change of J by rounding, n eps |J|, must leave the matrix regular: its relative distance to a singular one is the
    reciprocal condition number.
    """
    n = shifted.shape[-1]
    conditions = np.abs(shifted).sum(axis=1).max(axis=-1, initial=0) * np.abs(inverses).sum(axis=1).max(-1, initial=0)
    return np.linalg.slogdet(shifted)[0].astype(np.int64), np.asarray(conditions * 100 * n * EPS < 1.0)
