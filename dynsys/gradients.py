"""How gradients survive through time: singular values of the transfer over a lag, and the horizon they allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import InputError
from dynsys.frames import Stretch, jacobians_along, stretches
from dynsys.lags import increasing_lags
from dynsys.leading_gradients import leading_spectra
from dynsys.limits import one_blas_thread
from dynsys.maps import Map
from dynsys.orbits import constant_input, sequence, start_columns, trials_came_first
from dynsys.read_only import read_only
from dynsys.types import Array, ArrayLike, Integers, Progress
from dynsys.uncoupled import UncoupledProduct, uncoupled_groups

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
        lags: (n_lags,) steps. log_singular_values: (n_lags, k) nats, largest first, the mean over the starts that still
            carry anything at that lag; -inf where one of these has lost rank exactly.
        by_start: (starts, n_lags, k), each start by itself.
        horizon: the largest of the lags at which the largest gain is still at least 0.01, in steps; None if it never
            falls below within the lags. horizon_first: the lag before it first falls below; differs where it recovers.
            Of several starts both are the median (the shorter of the two in the middle); `horizon_range` has the ends.
        trusted: (n_lags,) leading values on which two frames agree to 1e-6 nats, the fewest over starts.
        lost: (n_lags,) values that are -inf by structure, the most over starts.
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
        ordered = _ordered(horizons(list(self.lags), one[:, 0])[0] for one in self.by_start)
        return ordered[0], ordered[-1]

    @property
    def isometry(self) -> dict[str, Array]:
        """How far each lag's transfer is from preserving lengths, (n_lags,) each, dimensionless or nats.

        log_mean_square: log of the mean squared singular value, nats, 0 for an isometry. log_condition: log of largest
        over smallest, nats, inf where rank is lost. Both are medians over starts. near_one: share of the singular
        values of all starts between 1/e and e.

        Raises: InputError where only some of the values are known (k < n).
        Source: J. Pennington, S. Schoenholz & S. Ganguli, NeurIPS 2017, arXiv 1711.04735.
        """
        values = self.by_start
        if values.shape[2] < self.n:
            raise InputError(
                f"isometry is a matter of all {self.n} singular values, only {values.shape[2]} were asked for: call "
                "gradient_spectrum without `k`."
            )
        square = np.logaddexp.reduce(2 * values, axis=2) - math.log(self.n)
        full = np.isfinite(values[:, :, -1])
        spread = np.where(full, values[:, :, 0], np.inf) - np.where(full, values[:, :, -1], 0.0)
        return {
            "log_mean_square": _median(square),
            "log_condition": _median(spread),
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
        if len(self.by_start) > 1 and self.horizon_range[0] != self.horizon_range[1]:
            low, high = ("beyond" if h is None else h for h in self.horizon_range)
            horizon += f" (median over {len(self.by_start)} starts: {low} to {high})"
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
    lags: Iterable[int] = (1, 2, 5, 10, 20, 50, 100),
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
    wanted = increasing_lags(lags)
    driving = None if inputs is None else sequence(f, inputs)
    if driving is not None and len(driving) < wanted[-1]:
        hint = trials_came_first("inputs", driving.shape[1] >= wanted[-1])
        raise InputError(f"`inputs` has {len(driving)} steps, fewer than the largest lag {wanted[-1]}.{hint}")
    keep = f.state_size if k is None else whole_number("k", k, 1, "of values", most=f.state_size)
    vectors = whole_number("vectors", vectors, 0, "of pairs", most=f.state_size)
    state, _ = start_columns(f, start, driving)
    with one_blas_thread():
        groups = _groups(f, state, driving, wanted[-1])
        few = len(groups) == 1 and _few_are_cheaper(f.state_size, max(keep, vectors), wanted)
        if few:
            values, trusted, lost, pairs = leading_spectra(
                f, state, driving, wanted, max(keep, vectors), vectors, seeds.generator(seed), progress
            )
        else:
            values, trusted, lost, pairs = _spectra(f, state, driving, wanted, groups, vectors, seed, progress)
    values = values[:, :, :keep]
    mean, notes = _over_starts(values, wanted)
    crossings = [horizons(wanted, one[:, 0]) for one in values]
    last, first = (_ordered(side)[(len(values) - 1) // 2] for side in zip(*crossings, strict=True))
    worst = int((np.minimum(trusted, keep) < np.minimum(keep, f.state_size - lost)).sum())
    if worst:
        notes.append(f"at {worst} lags the smallest values are below what float64 Jacobians determine")
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


def horizons(lags: Sequence[int], largest: Array) -> tuple[int | None, int | None]:
    """Last and first crossing of the largest log gain below log 0.01; None where it stays above to the last lag."""
    above = largest >= FORGOTTEN
    last = None if above[-1] else int(np.asarray(lags)[above].max(initial=0))
    below = np.flatnonzero(~above)
    if not len(below):
        return last, None
    return last, int(lags[below[0] - 1]) if below[0] else 0


def _ordered(found: Iterable[int | None]) -> list[int | None]:
    """Horizons from the shortest on; None, which the lags do not reach, comes last."""
    return sorted(found, key=lambda h: math.inf if h is None else h)


def _median(by_start: Array) -> Array:
    """The median over starts (starts, n_lags) of what may be infinite; the smaller of the two in the middle."""
    return np.asarray(np.sort(by_start, axis=0)[(len(by_start) - 1) // 2])


def _over_starts(values: Array, lags: list[int]) -> tuple[Array, list[str]]:
    """The mean (n_lags, k) of values (starts, n_lags, k) over starts that are not lost whole; what is to be said."""
    starts, notes = len(values), []
    dead = np.isneginf(values[:, :, 0])
    alive = np.where(dead.all(axis=0), True, ~dead)
    mean = np.array([of_lag[kept].mean(axis=0) for of_lag, kept in zip(values.swapaxes(0, 1), alive.T, strict=True)])
    whole, some = int(dead[:, -1].sum()), int(np.isneginf(values[:, -1]).any(axis=1).sum())
    if starts > 1 and some:
        notes.append(f"{some} of {starts} starts have lost dimensions exactly (-inf) by lag {lags[-1]}")
    if 0 < whole < starts:
        notes.append(f"{whole} of {starts} starts carry nothing at all to lag {lags[-1]}: means are over the others")
    return mean, notes


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


def _groups(f: Map, state: Array, driving: Array | None, steps: int) -> list[Integers]:
    """The groups of units that never touch each other along the orbits."""
    pattern = np.eye(f.state_size, dtype=bool)
    groups = uncoupled_groups(pattern)
    for piece in jacobians_along(f, state, driving, steps):
        seen = (piece.jacobians != 0).any(axis=(0, 1)) & ~pattern
        if seen.any():
            pattern |= seen
            groups = uncoupled_groups(pattern)
        if len(groups) == 1:
            break
    return groups


def _spectra(
    f: Map,
    state: Array,
    driving: Array | None,
    lags: list[int],
    groups: list[Integers],
    vectors: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Array, Integers, Integers, Array]:
    """Log singular values (B, n_lags, n) of the first frame; trusted and lost counts (n_lags,) over all starts; left
    and right vectors (2, B, n_lags, n, v)."""
    generator = seeds.generator(seed)
    products = [UncoupledProduct(groups, generator, lags[-1]) for _ in range(state.shape[1])]
    lost = np.zeros(len(lags), dtype=np.int64)
    for t, step in _steps(f, state, driving, lags[-1], progress):
        for b, product in enumerate(products):
            product.extend(step.jacobian(b), step.known(b), step.regular)
        if t in lags:
            lost[lags.index(t)] = max(product.lost for product in products)
            for product in products:
                product.keep(vectors)
    begins = [product.second_begins for product in products]
    begin = min((b for b in begins if b is not None), default=lags[-1])
    if begin < lags[-1]:
        for t, step in _steps(f, state, driving, lags[-1], progress):
            for b, product in enumerate(products):
                if t > begin and begins[b] is not None:
                    product.follow(step.jacobian(b), t)
                    if t in lags:
                        product.check(lags.index(t), t)
    found = [product.spectra() for product in products]
    return (
        np.array([values for values, _ in found]),
        np.min([trusted for _, trusted in found], axis=0),
        lost,
        np.array([product.vectors() for product in products]).swapaxes(0, 1),
    )


@final
class _Step:
    """One step of all orbits. regular: no Jacobian has a zero row or column."""

    def __init__(self, stretch: Stretch, at: int, regular: bool, room: Array) -> None:
        self._stretch, self._at, self._room, self.regular = stretch, at, room, regular

    def jacobian(self, b: int) -> Array:
        """(n, n) of sequence b, in memory that the next one takes."""
        self._stretch.steps.fill(self._at * self._stretch.batch + b, self._room)
        return self._room

    def known(self, b: int) -> Integers | None:
        """(1,) dimensions that the map says this step destroys, or None."""
        lost = self._stretch.lost
        return None if lost is None else lost[self._at : self._at + 1, b]


def _steps(
    f: Map, state: Array, driving: Array | None, longest: int, progress: Progress | None
) -> Iterator[tuple[int, _Step]]:
    """The steps along the orbits, counted from 1."""
    n = f.state_size
    t, room = 0, np.empty((n, n), order="F")
    for stretch in stretches(f, state, driving, longest):
        regular = stretch.lost is not None and stretch.steps.has_no_dead_rows_or_columns()
        for at in range(stretch.count):
            t += 1
            yield t, _Step(stretch, at, regular, room)
        if progress is not None:
            progress(t, longest, "gradients by lag")
