"""Lyapunov spectra: the average exponential rates at which nearby orbits part, by the discrete QR method."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from dynsys import seeds
from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import AnalysisError, InputError
from dynsys.limits import one_blas_thread
from dynsys.lyapunov_at_rest import fixed_point, is_linear, is_repelling, of_eigenvalues
from dynsys.lyapunov_averages import (
    batch_means_error,
    invariants,
    running_estimates,
    sorted_averages,
    spread_error,
    sum_rule_residual,
)
from dynsys.lyapunov_finite_time import EXACT, finite_time_spectrum, is_short, label
from dynsys.lyapunov_result import AGREEMENT, LyapunovSpectrum
from dynsys.lyapunov_run import EPS, Run, Task
from dynsys.lyapunov_small import SmallRun, small_run
from dynsys.maps import Map
from dynsys.orbits import constant_input, orbit_columns, sequence, start_columns
from dynsys.types import Array, ArrayLike, Progress

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum"]

FULL_SPECTRUM = 256  # state size up to which all exponents are the default
MODERATE = 128  # state size up to which 10^4 steps take seconds
SETTLE = 5  # one part in so many of what is discarded is for the state alone, the rest for the frames too


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
        steps: averaged over (default 10 000, beyond 128 variables 2000, or what `inputs` leaves). discard: steps taken
            first while the state settles and the frame aligns (default a quarter of `steps`, from 500 to 2500, or a
            tenth of `inputs`).
        seed: of the random start frames, and of the push off a default start that is an unstable fixed point.
        drive: what the inputs are, in words, for the result (an exponent of a driven network means little without it).
        step_duration: seconds per step, adds times in ms.
        progress: called with (steps done, steps in all, message).

    Returns: LyapunovSpectrum, nats per step (divide by log 2 for bits). Given `inputs` without `drive`, of fewer than
        ten times the slowest time constant, it is of finite time, and its `method` says so: without `steps` and
        `discard` then from the whole of each sequence, by singular values.
    Accuracy: the error of a chaotic average falls like 1/sqrt(steps). Cost: O(n^2 k) per step.
    Sources: Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9-20, 21-30; Engelken, Wolf & Abbott,
        Physical Review Research 5 (2023) 043044 (recurrent networks).
    """
    f = as_map(f)
    step_duration = checked_duration(step_duration)
    driving = None if inputs is None else sequence(f, inputs)
    unsaid, whole = drive is None and driving is not None, steps is None and discard is None
    steps, discard = _durations(f, driving, steps, discard)
    k = _how_many(f, k)
    state, _ = start_columns(f, start, driving)
    if drive is None:
        count = 0 if driving is None else driving.shape[1]
        drive = "autonomous, zero input" if not count else f"driven by {count} given sequence{'s' * (count > 1)}"
    with one_blas_thread(), np.errstate(over="ignore"):
        if is_linear(f, state, driving):
            way = "the map is linear: exponents are log|eigenvalues| of its Jacobian along every orbit, to rounding"
            found = of_eigenvalues(f, state, driving, k, steps, discard, seed, drive, way)
            return replace(found, step_duration=step_duration)
        settling, at_rest, notes = _settling(f, state, driving, discard // 2, seed, start is None)
        if at_rest is not None:
            rest = None if driving is None else driving[discard // 2 :]
            way = "the orbit settles at a fixed point: exponents are log|multipliers| there, to rounding"
            found = of_eigenvalues(f, at_rest, rest, k, steps, discard, seed, drive, way)
            return replace(found, step_duration=step_duration, notes=(*notes, *found.notes))
        settle = discard // SETTLE
        rest = None if driving is None else driving[settle:]
        task = Task(
            f=f,
            state=settling[settle],
            driving=rest,
            k=k,
            align=discard - settle,
            steps=steps,
            seed=seed,
            progress=progress,
            first=settle,
        )
        run = small_run(task) or Run(task)
        found = _of_run(f, run, rest, k, steps, discard, seed, drive, list(notes))
        if unsaid and driving is not None and is_short(found.exponents, steps + discard):
            if whole and steps + discard <= EXACT:
                found = finite_time_spectrum(f, state, driving, k, seed, drive, notes)
            else:
                found = replace(found, method=f"{label(steps + discard)}; {found.method}")
        return replace(found, step_duration=step_duration)


def _settling(
    f: Map, state: Array, driving: Array | None, steps: int, seed: int, default: bool
) -> tuple[Array, Array | None, tuple[str, ...]]:
    """The orbit (steps + 1, n, B) on which the state settles, the fixed points (n, B) it settles at, if so, and notes.

    A `default` start that happens to be an unstable fixed point, where no real orbit stays, is left by a small push.
    """
    begin, rest = (None, None) if driving is None else (driving[:steps], driving[steps:])
    settling = orbit_columns(f, state, begin, steps)
    if not np.isfinite(settling[-1]).all():
        raise AnalysisError("the orbit runs off to infinity: an unbounded orbit has no Lyapunov exponents.")
    at_rest = fixed_point(f, settling[-1], rest)
    if at_rest is None or not default or not is_repelling(f, at_rest, rest):
        return settling, at_rest, ()
    away = settling[-1] + 1e-3 * seeds.generator(seed).standard_normal(state.shape)
    leaving = orbit_columns(f, away, begin, steps)
    if not np.isfinite(leaving[-1]).all():
        return settling, at_rest, ("the default start is an unstable fixed point; what leaves it runs off to infinity",)
    pushed = ("the default start is an unstable fixed point: the orbit starts a random 10^-3 away from it",)
    return leaving, fixed_point(f, leaving[-1], rest), pushed


def default_steps(f: Map) -> tuple[int, int]:
    """Steps and discarded steps for an orbit that may be as long as one likes."""
    steps = 10_000 if f.state_size <= MODERATE else 2000
    return steps, steps // 4


def _durations(f: Map, driving: Array | None, steps: int | None, discard: int | None) -> tuple[int, int]:
    steps = None if steps is None else whole_number("steps", steps, 1)
    discard = None if discard is None else whole_number("discard", discard, 0)
    if driving is None:
        steps = default_steps(f)[0] if steps is None else steps
        discard = min(2500, max(500, steps // 4)) if discard is None else discard
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
    k = whole_number("k", k)
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
    by_sequence, blocks, apart, below, completed = sorted_averages(run, n, steps, lost)
    mean = by_sequence.mean(axis=0)
    taken = run.block_steps > 0
    within = blocks[taken].mean(axis=1)
    finite = np.isfinite(mean)
    over_time = batch_means_error(np.where(finite & np.isfinite(within), within, 0.0))
    halves = [half.mean(axis=0) for half in np.array_split(within, 2)] if len(within) > 1 else [mean, mean]
    below &= finite
    apart = np.where(finite, apart, 0.0)
    disagree = np.flatnonzero((apart > AGREEMENT) | below)
    log_det = -math.inf if lost else float(run.log_det.mean() / steps)
    known = lost > 0 or math.isfinite(log_det)
    dimension, entropy, reasons = invariants(mean, n)
    notes = [*notes, *reasons]
    if k == n and not known:
        notes.append("no sum-rule residual: det J is zero to rounding somewhere on the orbit")
    errors = np.maximum(
        np.maximum(over_time, spread_error(by_sequence)), n * EPS
    )  # never better than one QR's rounding
    if (apart > AGREEMENT).any():
        notes.append(_on_frames(apart, errors))
    if completed:
        notes.append("no sum-rule residual: log|det J| gave the one exponent that is below rounding")
    if below.any():
        notes.append(f"{int(below.sum())} exponents are below rounding: they are known to be small, not how small")
    return LyapunovSpectrum(
        exponents=mean,
        standard_errors=errors,
        frame_differences=apart,
        by_sequence=by_sequence,
        halves=np.where(finite, np.stack(halves), mean),
        running=running_estimates(blocks[taken].mean(axis=1), run.block_steps[taken], mean),
        running_steps=np.cumsum(run.block_steps[taken]).astype(np.int64),
        kaplan_yorke=dimension,
        entropy=entropy,
        residual=sum_rule_residual(mean, log_det) if k == n and known and not completed else None,
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
            f"discrete QR over {steps} steps after {discard} discarded, {run.decomposition} every "
            f"{'step' if run.interval == 1 else f'{run.interval} steps'}, two random frames"
            f"{f' (the second over the first {run.checked} steps)' if run.checked < steps else ''}, standard errors "
            f"from {len(within)} batch means"
        ),
        notes=tuple(notes),
    )


def _on_frames(apart: Array, errors: Array) -> str:
    """What the differences (k,) of two random frames mean beside the standard errors (k,)."""
    first = int(np.flatnonzero(apart > AGREEMENT)[0])
    worst = int(np.argmax(apart))
    said = f"from exponent {first} on two random frames differ, by {apart[first]:.1e} nats/step there"
    said += f" and at most by {apart[worst]:.1e} (exponent {worst})" if worst != first else ""
    if (apart <= errors).all():
        return f"{said}: less than the standard errors. A longer `discard` lets the frames align first"
    return (
        f"{said}: a longer `discard` lets the frames align first; near-equal exponents need many steps, their sum is "
        "more accurate"
    )
