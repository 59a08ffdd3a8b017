"""Lyapunov spectra: the average exponential rates at which nearby orbits part, by the discrete QR method."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import AnalysisError, InputError
from dynsys.frames import jacobians_along
from dynsys.limits import one_blas_thread
from dynsys.lyapunov_averages import (
    invariants,
    running_estimates,
    sorted_averages,
    spread,
    spread_error,
    sum_rule_residual,
)
from dynsys.lyapunov_run import EPS, TINY, Run
from dynsys.lyapunov_small import SmallRun, small_run
from dynsys.maps import Map
from dynsys.orbits import constant_input, orbit_columns, sequence, start_columns
from dynsys.rank import RankLoss
from dynsys.types import Array, ArrayLike, Integers, Progress

AGREEMENT = 1e-6  # nats per step, to which two random frames must agree
FULL_SPECTRUM = 256  # state size up to which all exponents are the default


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class LyapunovSpectrum:
    """Lyapunov exponents of an orbit, or of a driven orbit given its input (conditional exponents).

    Attributes:
        exponents: (k,) nats per step, largest first; -inf for directions that are lost exactly.
        standard_errors: (k,) nats per step, from batch means over time (and the spread over sequences).
        by_sequence: (sequences, k). halves: (2, k), the estimate over each half of the time.
        running: (checkpoints, k), the estimate after `running_steps` (checkpoints,) steps: how it converged.
        kaplan_yorke: dimension, in state dimensions, or None with the reason in `notes`.
        entropy: sum of the positive exponents, nats per step (an upper bound on the Kolmogorov-Sinai entropy), or None.
        residual: |sum of exponents - mean log|det J||, nats per step; None for k < n.
        trusted: leading exponents on which two random frames agree to 1e-6 nats per step.
        lost: exponents that are -inf by structure.
        steps, discard, k, n: what was averaged. qr_interval: steps between QR decompositions.
        input: (m,), the constant input; None where it changes with time (then `drive` says what it is).
        method: in words, with the drive. notes: reasons and remarks.
        step_duration: seconds per step, or None.
    """

    exponents: Array
    standard_errors: Array
    by_sequence: Array
    halves: Array
    running: Array
    running_steps: Integers
    kaplan_yorke: float | None
    entropy: float | None
    residual: float | None
    trusted: int
    lost: int
    steps: int
    discard: int
    n: int
    qr_interval: int
    seed: int
    map_name: str
    input: Array | None
    drive: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    @property
    def spread(self) -> Array:
        """(k,) standard deviation over the sequences, nats per step; zeros for a single one, and for what is -inf."""
        return spread(self.by_sequence)

    @property
    def times(self) -> Array:
        """(k,) steps in which a difference along each direction changes by a factor e: 1 / |exponent|."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / np.abs(self.exponents))

    @property
    def k(self) -> int:
        """How many exponents there are here."""
        return len(self.exponents)

    @property
    def chaotic(self) -> bool:
        """Whether the data bear the word: largest exponent positive by 3 errors, over 10^4 steps and in both halves."""
        if self.steps < 10_000 or not self.k or self.qr_interval == 0:
            return False  # too short to say, or an orbit at rest
        leading = min(self.exponents[0], *self.halves[:, 0])
        return bool(leading - 3 * self.standard_errors[0] > 0)

    def to_dict(self) -> dict[str, Any]:
        """All fields, the spread over sequences, times and the verdict `chaotic`, for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out |= {"spread": self.spread, "times": self.times, "chaotic": self.chaotic}
        return out if self.step_duration is None else out | {"times_ms": 1e3 * self.step_duration * self.times}

    def __str__(self) -> str:
        lines = [f"{self.map_name}: {self.k} of {self.n} Lyapunov exponents, {self.drive}"]
        for i, (value, error) in enumerate(zip(self.exponents, self.standard_errors, strict=True)):
            ms = "" if self.step_duration is None else f"   e-fold in {1e3 * self.step_duration * self.times[i]:.4g} ms"
            trust = "" if i < self.trusted else "   (untrusted)"
            lines.append(f"{i:4d}  {value: .6f} +- {error:.1e} nats/step{ms}{trust}")
        if len(self.by_sequence) > 1:
            count, spread = len(self.by_sequence), self.spread[0]
            lines.append(f"over {count} sequences the largest varies by {spread:.1e} nats/step (standard deviation)")
        residual = "not available for k < n" if self.residual is None else f"{self.residual:.1e} nats/step"
        lines.append(f"determinant sum-rule residual {residual}; {self.method}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def lyapunov_spectrum(
    f: Any,
    start: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
    k: int | None = None,
    steps: int | None = None,
    discard: int | None = None,
    *,
    seed: int = 0,
    drive: str | None = None,
    step_duration: float | None = None,
    progress: Progress | None = None,
) -> LyapunovSpectrum:
    """Leading Lyapunov exponents of `f` along the orbit of `start`.

    Args:
        f: the map (anything `as_map` reads).
        start: (n,) or (batch, n), model units; None is the model's own initial state, else zeros.
        inputs: (T, m) or (T, batch, m) with T = discard + steps; None is the zero input.
        k: how many; None is all for n <= 256, else 32.
        steps: averaged over (default 2000, or what `inputs` leaves). discard: steps taken first while the state
            settles and the frame aligns (default 500, or a tenth of `inputs`).
        seed: of the random start frames. drive: what the inputs are, in words, for the result (an exponent of a driven
            network means little without it). step_duration: seconds per step, adds times in ms.
        progress: called with (steps done, steps in all, message).

    Returns: LyapunovSpectrum, nats per step (divide by log 2 for bits).
    Accuracy: the error of a chaotic average falls like 1/sqrt(steps). Cost: O(n^2 k) per step.
    Sources: Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9-20, 21-30; Engelken, Wolf & Abbott,
        Physical Review Research 5 (2023) 043044 (recurrent networks).
    """
    f = as_map(f)
    step_duration = checked_duration(step_duration)
    driving = None if inputs is None else sequence(f, inputs)
    steps, discard = _durations(driving, steps, discard)
    k = _how_many(f, k)
    state, _ = start_columns(f, start, driving)
    if drive is None:
        count = 0 if driving is None else driving.shape[1]
        drive = "autonomous, zero input" if not count else f"driven by {count} given sequence{'s' * (count > 1)}"
    with one_blas_thread(), np.errstate(over="ignore"):
        settled = orbit_columns(f, state, None if driving is None else driving[: discard // 2], discard // 2)[-1]
        if not np.isfinite(settled).all():
            raise AnalysisError("the orbit runs off to infinity: an unbounded orbit has no Lyapunov exponents.")
        rest = None if driving is None else driving[discard // 2 :]
        at_rest = _fixed_point(f, settled, rest)
        pushed: tuple[str, ...] = ()
        if at_rest is not None and start is None and _repelling(f, at_rest, rest):
            # The default start happens to be an unstable fixed point, where no real orbit stays.
            pushed = ("the default start is an unstable fixed point: the orbit starts a random 10^-3 away from it",)
            away = settled + 1e-3 * seeds.generator(seed).standard_normal(settled.shape)
            settled = orbit_columns(f, away, None if driving is None else driving[: discard // 2], discard // 2)[-1]
            at_rest = _fixed_point(f, settled, rest)
        if at_rest is not None:
            found = _of_fixed_point(f, at_rest, rest, k, steps, discard, seed, drive)
            return replace(found, step_duration=step_duration)
        align = discard - discard // 2
        run = small_run(f, settled, rest, k, align, steps, seed, progress) or Run(
            f, settled, rest, k, align, steps, seed, progress, first=discard // 2
        )
        found = _of_run(f, run, rest, k, steps, discard, seed, drive, list(pushed))
        return replace(found, step_duration=step_duration)


def _durations(driving: Array | None, steps: int | None, discard: int | None) -> tuple[int, int]:
    if driving is None:
        steps, discard = 2000 if steps is None else steps, 500 if discard is None else discard
    else:
        total = len(driving)
        if discard is None:
            discard = total // 10 if steps is None else total - steps
        if steps is None:
            steps = total - discard
        if steps + discard != total:
            raise InputError(
                f"`inputs` has {total} steps, but discard + steps = {discard} + {steps} = {discard + steps}."
            )
    if steps < 1 or discard < 0:
        raise InputError(f"need steps >= 1 and discard >= 0, got steps={steps}, discard={discard}.")
    return steps, discard


def _how_many(f: Map, k: int | None) -> int:
    if k is None:
        return f.state_size if f.state_size <= FULL_SPECTRUM else 32
    if not 1 <= k <= f.state_size:
        raise InputError(f"`k` must be between 1 and the state size {f.state_size}, got {k}.")
    return k


def _fixed_point(f: Map, state: Array, driving: Array | None) -> Array | None:
    """The settled states (n, B) if a constant input holds them at fixed points, to rounding."""
    if f.period > 1 or (driving is not None and (driving != driving[:1]).any()):
        return None
    input = np.zeros((f.input_size, 1)) if driving is None else driving[0].T if len(driving) else None
    if input is None:
        return None

    def at_rest(x: Array) -> bool:
        with np.errstate(all="ignore"):  # a state that runs off is not at rest
            return bool((np.abs(f.advance(x, input) - x) <= 1e-13 * (1.0 + np.abs(x))).all())

    # What has decayed to nothing is zero: at exactly zero the equations show what rank is lost there.
    cleaned = np.where(np.abs(state) < 1e-15, 0.0, state)
    return cleaned if at_rest(cleaned) else state if at_rest(state) else None


def _repelling(f: Map, state: Array, driving: Array | None) -> bool:
    jacobians = next(jacobians_along(f, state, driving, 1)).jacobians
    return bool((np.abs(np.linalg.eigvals(jacobians[0])) > 1.0 + 1e-9).any())


def _of_fixed_point(
    f: Map, state: Array, driving: Array | None, k: int, steps: int, discard: int, seed: int, drive: str
) -> LyapunovSpectrum:
    """At a fixed point the exponents are log|multipliers|, exactly."""
    stretch = next(jacobians_along(f, state, driving, 1))
    dense = stretch.jacobians
    values = np.abs(np.linalg.eigvals(dense[0]))
    with np.errstate(divide="ignore"):
        spectra = -np.sort(-np.log(values), axis=1)
    lost = np.zeros(len(spectra), dtype=np.int64)
    for b, spectrum in enumerate(spectra):
        rank = RankLoss(f.state_size)
        rank.watch(dense[:1, b], None if stretch.lost is None else stretch.lost[:1, b])
        lost[b] = rank.lost
        spectrum[f.state_size - rank.lost :] = -np.inf
    mean = spectra.mean(axis=0)
    log_det = float(np.linalg.slogdet(dense[0])[1].mean()) if not lost.any() else -math.inf
    dimension, entropy, notes = invariants(mean, f.state_size)
    floor = math.log(f.state_size * EPS * max(float(np.linalg.norm(dense[0], 2, axis=(1, 2)).max()), TINY))
    below = np.flatnonzero((mean < floor) & np.isfinite(mean))
    if len(below):
        notes.append(f"{len(below)} exponents are below rounding: they are known to be small, not how small")
    return LyapunovSpectrum(
        exponents=mean[:k],
        standard_errors=np.maximum(spread_error(spectra), f.state_size * EPS)[:k],
        by_sequence=spectra[:, :k],
        halves=np.stack([mean[:k], mean[:k]]),
        running=mean[np.newaxis, :k],
        running_steps=np.array([steps]),
        kaplan_yorke=dimension,
        entropy=entropy,
        residual=sum_rule_residual(mean, log_det) if k == f.state_size and not len(below) else None,
        trusted=min(k, int(below[0])) if len(below) else k,
        lost=int(lost.max()),
        steps=steps,
        discard=discard,
        n=f.state_size,
        qr_interval=0,
        seed=seed,
        map_name=f.name,
        input=constant_input(f, driving),
        drive=drive,
        method="the orbit settles at a fixed point: exponents are log|multipliers| there, to rounding",
        notes=tuple(notes),
    )


def _of_run(
    f: Map,
    run: Run | SmallRun,
    driving: Array | None,
    k: int,
    steps: int,
    discard: int,
    seed: int,
    drive: str,
    notes: list[str],
) -> LyapunovSpectrum:
    n = f.state_size
    lost = int(max(rank.lost for rank in run.ranks))
    by_sequence, blocks, apart, below = sorted_averages(run, n, steps, lost)
    mean = by_sequence.mean(axis=0)
    taken = run.block_steps > 0
    within = blocks[taken].mean(axis=1)
    finite = np.where(np.isfinite(within), within, 0.0)
    over_time = finite.std(axis=0, ddof=1) / math.sqrt(len(finite)) if len(finite) > 1 else np.full(k, np.inf)
    halves = [half.mean(axis=0) for half in np.array_split(within, 2)] if len(within) > 1 else [mean, mean]
    below &= np.isfinite(mean)
    apart = np.where(np.isfinite(mean), apart, 0.0)
    disagree = np.flatnonzero((apart > AGREEMENT) | below)
    log_det = -math.inf if lost else float(run.log_det.mean() / steps)
    known = lost > 0 or math.isfinite(log_det)
    dimension, entropy, reasons = invariants(mean, n)
    notes = [*notes, *reasons]
    if k == n and not known:
        notes.append("no sum-rule residual: det J is zero to rounding somewhere on the orbit")
    if disagree.size:
        notes.append(
            f"from exponent {disagree[0]} on two random frames may differ by {apart.max():.1e} nats/step: a longer "
            "`discard` lets the frames align first; near-equal exponents need many steps, their sum is more accurate"
        )
    if below.any():
        notes.append(f"{int(below.sum())} exponents are below rounding: they are known to be small, not how small")
    return LyapunovSpectrum(
        exponents=mean,
        # A mean of logarithms is never better than the rounding of one QR.
        standard_errors=np.maximum(np.maximum(over_time, spread_error(by_sequence)), n * EPS),
        by_sequence=by_sequence,
        halves=np.stack(halves),
        running=running_estimates(blocks[taken].mean(axis=1), run.block_steps[taken], mean),
        running_steps=np.cumsum(run.block_steps[taken]).astype(np.int64),
        kaplan_yorke=dimension,
        entropy=entropy,
        residual=sum_rule_residual(mean, log_det) if k == n and known else None,
        trusted=int(disagree[0]) if disagree.size else k,
        lost=lost,
        steps=steps,
        discard=discard,
        n=n,
        qr_interval=run.interval,
        seed=seed,
        map_name=f.name,
        input=constant_input(f, driving),
        drive=drive,
        method=(
            f"discrete QR over {steps} steps after {discard} discarded, QR every "
            f"{'step' if run.interval == 1 else f'{run.interval} steps'}, two random frames"
            f"{f' (the second over the first {run.checked} steps)' if run.checked < steps else ''}, standard errors "
            f"from {len(within)} batch means"
        ),
        notes=tuple(notes),
    )
