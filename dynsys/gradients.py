"""How gradients survive through time: singular values of the transfer over a lag, and the horizon they allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.checked_product import CheckedProduct, agreeing, distance
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import InputError
from dynsys.frames import jacobians_along, stretches
from dynsys.leading_gradients import leading_spectra
from dynsys.limits import one_blas_thread
from dynsys.log_svd import GradedProduct
from dynsys.maps import Map
from dynsys.orbits import constant_input, sequence, start_columns, trials_came_first
from dynsys.rank import RankLoss
from dynsys.read_only import read_only
from dynsys.types import Array, ArrayLike, Integers, Progress

LONGEST = 10_000_000  # steps; a typing mistake, not a plan
ONE_PASS = "one graded QR pass (P = Q exp(L) X Q0^T), SVD of the graded triangle at each lag, two frames compared"
ROUND_TRIPS = "round trips of a graded frame along the orbit and back, until no value changes by 1e-9 nats"
FEW = 6  # one in so many values, or fewer, may be found by round trips, without the others
A_STEP = 1e6  # floating-point operations in the time that one step takes whatever the size
FORGOTTEN = math.log(0.01)  # nats: the memory horizon is where the largest gain falls below one hundredth


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class GradientSpectrum:
    """Log singular values of P_tau = J_tau ... J_1: how much a perturbation, or backward a gradient, is stretched.

    Attributes:
        lags: (n_lags,) steps. log_singular_values: (n_lags, k) nats, largest first, the mean over starts; -inf where
            rank is lost exactly.
        by_start: (starts, n_lags, k).
        horizon: the largest of the lags at which the largest gain is still at least 0.01, in steps; None if it never
            falls below within the lags. horizon_first: the lag before it first falls below; differs where it recovers.
        trusted: (n_lags,) leading values on which two frames agree to 1e-6 nats.
        lost: (n_lags,) values that are -inf by structure.
        left_vectors, right_vectors: (starts, n_lags, n, v), columns in the order of the values, or None if they were
            not asked for. Right: which directions of the start are remembered; left: as what, and where a gradient
            enters to get there. NaN for what is lost exactly. The sign of a pair is arbitrary.
        input: (m,), the constant input; None where it changes with time.
        step_duration: seconds per step, or None.
    """

    lags: Integers
    log_singular_values: Array
    by_start: Array
    horizon: int | None
    horizon_first: int | None
    trusted: Integers
    lost: Integers
    left_vectors: Array | None
    right_vectors: Array | None
    n: int
    map_name: str
    input: Array | None
    drive: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    @property
    def horizon_range(self) -> tuple[int | None, int | None]:
        """Shortest and longest horizon over the starts, steps; None for one that the lags do not reach."""
        found = [horizons(list(self.lags), one[:, 0])[0] for one in self.by_start]
        ordered = sorted(found, key=lambda h: math.inf if h is None else h)
        return ordered[0], ordered[-1]

    @property
    def isometry(self) -> dict[str, Array]:
        """How far each lag's transfer is from preserving lengths, (n_lags,) each; needs all values (k = n).

        log_mean_square: log of the mean squared singular value, nats, 0 for an isometry. log_condition: log of largest
        over smallest, nats, inf where rank is lost. near_one: share of the singular values between 1/e and e.
        Source: J. Pennington, S. Schoenholz & S. Ganguli, NeurIPS 2017, arXiv 1711.04735.
        """
        values = self.by_start
        square = np.logaddexp.reduce(2 * values, axis=2) - math.log(values.shape[2])
        return {
            "log_mean_square": square.mean(axis=0),
            "log_condition": (values[:, :, 0] - values[:, :, -1]).mean(axis=0),
            "near_one": (np.abs(values) <= 1.0).mean(axis=(0, 2)),
        }

    @property
    def finite_time_exponents(self) -> Array:
        """(n_lags, k) nats per step: log singular values divided by the lag."""
        return np.asarray(self.log_singular_values / np.maximum(self.lags, 1)[:, np.newaxis])

    def to_dict(self) -> dict[str, Any]:
        """All fields, and with a step duration the horizon in ms, for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.step_duration is None or self.horizon is None:
            return out
        return out | {"horizon_ms": 1e3 * self.step_duration * self.horizon}

    def __str__(self) -> str:
        horizon = "beyond the largest lag" if self.horizon is None else f"{self.horizon} steps"
        if self.horizon is not None and self.step_duration is not None:
            horizon += f" = {1e3 * self.step_duration * self.horizon:.4g} ms"
        lines = [f"{self.map_name}: gradient spectrum, {self.drive}; memory horizon (gain >= 0.01): {horizon}"]
        for lag, values in zip(self.lags, self.log_singular_values, strict=True):
            whole = len(values) == self.n
            rest = f"median {np.median(values):.4f}, least" if whole else f"number {len(values)} of {self.n}:"
            lines.append(f"lag {lag:6d}: log gain {values[0]: .4f} nats ({rest} {values[-1]:.4f})")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def gradient_spectrum(
    f: Any,
    start: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
    lags: Sequence[int] = (1, 2, 5, 10, 20, 50, 100),
    k: int | None = None,
    *,
    vectors: int = 0,
    seed: int = 0,
    step_duration: float | None = None,
    progress: Progress | None = None,
) -> GradientSpectrum:
    """Log singular values of the state-to-state transfer over each lag, from `start`.

    Args:
        f: the map (anything `as_map` reads).
        start: (n,) or (batch, n), model units; None is the model's own initial state, else zeros.
        inputs: (T, m) or (T, batch, m), T at least the largest lag; None is the zero input.
        lags: increasing integers, steps. k: how many leading values to keep; None is all.
        vectors: how many leading pairs of singular vectors to return, for every start and lag.
        seed: of the frames. step_duration: seconds per step, adds the horizon in ms.
        progress: called with (steps done, steps in all, message).

    Returns: GradientSpectrum. Never under- or overflows. Cost: O(n^3) per step and per lag; for k at most n / 6 of a
        coupled network O(n^2 k) per step, a few times over each lag, where that is less.
    Sources: Y. Bengio, P. Simard & P. Frasconi, IEEE Transactions on Neural Networks 5 (1994) 157-166; R. Pascanu,
        T. Mikolov & Y. Bengio, ICML 2013, arXiv 1211.5063; products: G. W. Stewart, ETNA 5 (1997) 29-47.
    """
    f = as_map(f)
    step_duration = checked_duration(step_duration)
    wanted = _checked_lags(lags)
    driving = None if inputs is None else sequence(f, inputs)
    if driving is not None and len(driving) < wanted[-1]:
        hint = trials_came_first("inputs", driving.shape[1] >= wanted[-1])
        raise InputError(f"`inputs` has {len(driving)} steps, fewer than the largest lag {wanted[-1]}.{hint}")
    keep = f.state_size if k is None else k
    if not 1 <= keep <= f.state_size:
        raise InputError(f"`k` must be between 1 and the state size {f.state_size}, got {k}.")
    if not 0 <= vectors <= f.state_size:
        raise InputError(f"`vectors` must be between 0 and the state size {f.state_size}, got {vectors}.")
    state, _ = start_columns(f, start, driving)
    with one_blas_thread():
        coupled = _coupled(f, state, driving, wanted[-1])
        few = _groups(coupled) == 1 and _few_are_cheaper(f.state_size, max(keep, vectors), wanted)
        if few:
            values, trusted, lost, pairs = leading_spectra(
                f, state, driving, wanted, max(keep, vectors), vectors, seeds.generator(seed), progress
            )
        else:
            values, trusted, lost, pairs = _spectra(f, state, driving, wanted, coupled, vectors, seed, progress)
    values = values[:, :, :keep]
    mean = values.mean(axis=0)
    last, first = horizons(wanted, mean[:, 0])
    worst = int((np.minimum(trusted, keep) < np.minimum(keep, f.state_size - lost)).sum())
    notes = [f"at {worst} lags the smallest values are below what float64 Jacobians determine"] if worst else []
    return GradientSpectrum(
        lags=np.array(wanted, dtype=np.int64),
        log_singular_values=mean,
        by_start=values,
        horizon=last,
        horizon_first=first,
        trusted=np.minimum(trusted, keep),
        lost=lost,
        left_vectors=pairs[0] if vectors else None,
        right_vectors=pairs[1] if vectors else None,
        n=f.state_size,
        map_name=f.name,
        input=constant_input(f, driving),
        drive="zero input" if driving is None else "driven by the given inputs",
        method=ROUND_TRIPS if few else ONE_PASS,
        notes=tuple(notes),
        step_duration=step_duration,
    )


def _checked_lags(lags: Sequence[int]) -> list[int]:
    if not isinstance(lags, Iterable):
        raise InputError(f"`lags` must be a list of increasing positive integers, got {lags!r}.")
    wanted = [int(lag) for lag in lags]
    if wanted != list(lags) or not wanted or wanted[0] < 1 or any(b <= a for a, b in itertools.pairwise(wanted)):
        raise InputError(f"`lags` must be increasing positive integers, got {list(lags)[:10]}.")
    if wanted[-1] > LONGEST:
        raise InputError(f"the largest lag is {wanted[-1]}; lags beyond {LONGEST} are refused.")
    return wanted


def horizons(lags: Sequence[int], largest: Array) -> tuple[int | None, int | None]:
    """Last and first crossing of the largest log gain below log 0.01; None where it stays above to the last lag."""
    above = largest >= FORGOTTEN
    last = None if above[-1] else int(np.asarray(lags)[above].max(initial=0))
    below = np.flatnonzero(~above)
    if not len(below):
        return last, None
    return last, int(lags[below[0] - 1]) if below[0] else 0


def lag_ladder(longest: int) -> list[int]:
    """About 24 lags from 1 to `longest`, even in their logarithm."""
    return sorted({round(float(lag)) for lag in np.geomspace(1, longest, 24)})


def _few_are_cheaper(n: int, k: int, lags: list[int]) -> bool:
    """Whether three round trips with k + 8 columns over each lag cost less than one pass with all n, two frames."""
    if k * FEW > n:
        return False
    trips = 6.0 * sum(lags) * (3.0 * n * n * (k + 8) + A_STEP)
    whole = lags[-1] * (11.0 * n**3 + 3 * A_STEP) + 25.0 * n**3 * len(lags)
    return trips < whole


def _groups(coupled: Array) -> int:
    """How many groups of units never touch each other."""
    from scipy.sparse.csgraph import connected_components

    return int(connected_components(coupled, directed=False, return_labels=False))


def _coupled(f: Map, state: Array, driving: Array | None, steps: int) -> Array:
    """(n, n) bool: entries of the Jacobians that are nonzero along the orbits, until they leave no group apart."""
    pattern = np.eye(f.state_size, dtype=bool)
    for piece in jacobians_along(f, state, driving, steps):
        pattern |= (piece.jacobians != 0).any(axis=(0, 1))
        if _groups(pattern) == 1:
            break
    return pattern


def _spectra(
    f: Map,
    state: Array,
    driving: Array | None,
    lags: list[int],
    coupled: Array,
    vectors: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Array, Integers, Integers, Array]:
    """Log singular values (B, n_lags, n) of the first frame; trusted and lost counts (n_lags,) over all starts; left
    and right vectors (2, B, n_lags, n, v)."""
    n, batch = state.shape
    generator = seeds.generator(seed)
    pairs = [CheckedProduct(coupled, generator, lags[-1]) for _ in range(batch)]
    values = np.empty((batch, len(lags), n))
    trusted, lost = np.full(len(lags), n), np.zeros(len(lags), dtype=np.int64)
    sides = np.empty((2, batch, len(lags), n, vectors))
    for t, ranks in _followed(f, state, driving, lags[-1], pairs, 0, progress):
        if t in lags:
            at = lags.index(t)
            for b, pair in enumerate(pairs):
                values[b, at], reliable = pair.log_singular_values()
                if vectors:
                    sides[:, b, at] = pair.first.leading(vectors)[1:]
                trusted[at] = min(trusted[at], reliable)
                lost[at] = max(lost[at], ranks[b].lost)
    if any(pair.wants_second for pair in pairs):
        begin = pairs[0].checked
        for t, _ in _followed(f, state, driving, lags[-1], [pair.second for pair in pairs], begin, progress):
            if t > begin and t in lags:
                at = lags.index(t)
                apart = [distance(values[b, at], pair.second.log_singular_values()) for b, pair in enumerate(pairs)]
                trusted[at] = min(agreeing(a) for a in apart)
    return values, trusted, lost, sides


def _followed(
    f: Map,
    state: Array,
    driving: Array | None,
    longest: int,
    products: Sequence[CheckedProduct | GradedProduct],
    begin: int,
    progress: Progress | None,
) -> Iterator[tuple[int, list[RankLoss]]]:
    """Extends each sequence's product by the Jacobians along the orbits after step `begin`; yields after each step."""
    n, batch = state.shape
    ranks = [RankLoss(n) for _ in range(batch)]
    jacobian = np.empty((n, n), order="F")
    t = 0
    for stretch in stretches(f, state, driving, longest):
        regular = stretch.lost is not None and stretch.steps.has_no_dead_rows_or_columns()
        for step in range(stretch.count):
            t += 1
            for b, product in enumerate(products):
                known = None if stretch.lost is None else stretch.lost[step : step + 1, b]
                plain = known is not None and regular and not ranks[b].follows_zeros
                if t > begin or not plain:
                    stretch.steps.fill(step * batch + b, jacobian)
                if plain and known is not None:
                    ranks[b].watch_known(known)
                else:
                    ranks[b].watch(jacobian[np.newaxis], known)
                if t > begin:
                    product.extend(jacobian, n - ranks[b].lost)
            yield t, ranks
        if progress is not None:
            progress(t, longest, "gradients by lag")
