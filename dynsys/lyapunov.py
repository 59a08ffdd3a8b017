"""Lyapunov spectra: the average exponential rates at which nearby orbits part, by the discrete QR method."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from dynsys import seeds
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import AnalysisError, InputError
from dynsys.limits import one_blas_thread
from dynsys.lyapunov_at_rest import fixed_point, is_linear, is_repelling, of_eigenvalues
from dynsys.lyapunov_averages import invariants, running_estimates, sorted_averages, spread_error, sum_rule_residual
from dynsys.lyapunov_result import LyapunovSpectrum
from dynsys.lyapunov_run import EPS, Run
from dynsys.lyapunov_small import SmallRun, small_run
from dynsys.maps import Map
from dynsys.orbits import constant_input, orbit_columns, sequence, start_columns
from dynsys.types import Array, ArrayLike, Progress

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum"]

AGREEMENT = 1e-6  # nats per step, to which two random frames must agree
FULL_SPECTRUM = 256  # state size up to which all exponents are the default


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
        seed: of the random start frames, and of the push off a default start that is an unstable fixed point.
        drive: what the inputs are, in words, for the result (an exponent of a driven network means little without it).
        step_duration: seconds per step, adds times in ms.
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
    with one_blas_thread():
        if is_linear(f, state, driving):
            way = "the map is linear: exponents are log|eigenvalues| of its Jacobian along every orbit, to rounding"
            found = of_eigenvalues(f, state, driving, k, steps, discard, seed, drive, way)
            return replace(found, step_duration=step_duration)
        settled = orbit_columns(f, state, None if driving is None else driving[: discard // 2], discard // 2)[-1]
        if not np.isfinite(settled).all():
            raise AnalysisError("the orbit runs off to infinity: an unbounded orbit has no Lyapunov exponents.")
        rest = None if driving is None else driving[discard // 2 :]
        at_rest = fixed_point(f, settled, rest)
        notes: tuple[str, ...] = ()
        if at_rest is not None and start is None and is_repelling(f, at_rest, rest):
            # The default start happens to be an unstable fixed point, where no real orbit stays.
            away = settled + 1e-3 * seeds.generator(seed).standard_normal(settled.shape)
            left = orbit_columns(f, away, None if driving is None else driving[: discard // 2], discard // 2)[-1]
            if np.isfinite(left).all():
                notes = ("the default start is an unstable fixed point: the orbit starts a random 10^-3 away from it",)
                settled, at_rest = left, fixed_point(f, left, rest)
            else:
                notes = ("the default start is an unstable fixed point; what leaves it runs off to infinity",)
        if at_rest is not None:
            way = "the orbit settles at a fixed point: exponents are log|multipliers| there, to rounding"
            found = of_eigenvalues(f, at_rest, rest, k, steps, discard, seed, drive, way)
            return replace(found, step_duration=step_duration, notes=(*notes, *found.notes))
        align = discard - discard // 2
        run = small_run(f, settled, rest, k, align, steps, seed, progress) or Run(
            f, settled, rest, k, align, steps, seed, progress, first=discard // 2
        )
        found = _of_run(f, run, rest, k, steps, discard, seed, drive, list(notes))
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
