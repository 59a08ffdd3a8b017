"""The analyses behind a report, run in one go and kept together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.alignment import Alignment, mode_alignment
from dynsys.attractors import Attractors, find_attractors, known_orbits
from dynsys.bare import bare
from dynsys.basins import Basins, basins_of
from dynsys.combinators import as_map
from dynsys.covariant import CovariantVectors, covariant_vectors
from dynsys.cure import remedies
from dynsys.cycles import Cycles
from dynsys.errors import AnalysisError
from dynsys.fixed_points import FixedPoints, find_fixed_points
from dynsys.function_maps import FunctionMap
from dynsys.gate_times import GateTimes, gate_time_constants
from dynsys.gradients import GradientSpectrum, gradient_spectrum, lag_ladder
from dynsys.lyapunov import LyapunovSpectrum, default_steps, lyapunov_spectrum
from dynsys.maps import Map
from dynsys.orbits import simulate
from dynsys.proofs.certificates import Certificates
from dynsys.proofs.local import certify
from dynsys.reporting.exact_section import exact_points
from dynsys.search_box import search_box
from dynsys.slow_sets import SlowManifold, slow_manifolds
from dynsys.stability import TransientGrowth, transient_growth
from dynsys.treatment.remedy import Remedies
from dynsys.trials import Trials, replay_deviation
from dynsys.types import Array, ArrayLike, Progress
from dynsys.unstable_branches import Wiring, wiring
from dynsys.worst import WorstCase, worst_case

STAGES = 7
GRADIENT_TRIALS = 8
FULL_ORBITS = 64  # state variables up to which 512 orbits are followed to their ends
FREE_LAG = 100
MOST_CERTIFICATES, LARGEST_CERTIFIED = 128, 128  # points and state variables: seconds at most
LARGEST_PROVEN = 3  # state variables for which a report also proves that there are no other fixed points
WORST_TRIALS, LARGEST_WORST = 4, 128  # trials and state variables: a second at most
LARGEST_COVARIANT, COVARIANT_STEPS = 32, 500  # state variables, and steps of the window, before and after it
SHORTEST_TASK = 3  # steps; over fewer there is nothing to remember
LARGEST_STATE = 256  # beyond this the full spectra of the gradient section take leading values only where they can


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """Everything a report shows, as results.

    Attributes:
        f: the map. visited: (T + 1, trials, n) states on the trials, or on free orbits without trials.
        replay: largest deviation of the simulated outputs from recorded ones, or None.
        exact: formulas and exact fixed points of a map of one or two variables, else None.
        worst_case: over inputs in the range of the trials; None without trials, or for large maps.
        remedies: on the trials, measured on some of them; None without trials, or where they were not asked for.
        gate_times: along the trials or a free orbit; None where the map does not tell units' own paths.
        certificates: of the fixed points, or None where the map is too large for the time of a report.
        covariant: vectors of small maps whose largest exponent is above zero, on the drive of `lyapunov`; else None.
        cycles: by period: those that orbits end on, and those asked for.
        growth: transient growth at each fixed point. lyapunov, gradients: None where they failed, with the reason in
            `failures`.
    """

    f: Map
    trials: Trials | None
    visited: Array
    replay: float | None
    fixed_points: FixedPoints
    attractors: Attractors
    basins: Basins
    wiring: Wiring
    manifolds: tuple[SlowManifold, ...]
    alignment: Alignment
    growth: tuple[TransientGrowth, ...]
    lyapunov: LyapunovSpectrum | None
    gradients: GradientSpectrum | None
    failures: tuple[str, ...]
    seed: int
    step_duration: float | None
    exact: Any = None
    certificates: Certificates | None = None
    gate_times: GateTimes | None = None
    remedies: Remedies | None = None
    worst_case: WorstCase | None = None
    covariant: CovariantVectors | None = None
    cycles: dict[int, Cycles] = field(default_factory=dict)


ORDERS = 5  # in which trials are run one after the other: exponents of a driven network depend on the sequence
LARGE_STATE = 128  # state size beyond which one order has to do: a step costs too much


def run_study(
    f: Any,
    *,
    input: ArrayLike | None = None,
    trials: Trials | None = None,
    n_starts: int = 1024,
    seed: int = 0,
    step_duration: float | None = None,
    progress: Progress | None = None,
    cycles: int = 0,
    task: Mapping[str, Any] | None = None,
) -> Study:
    """Run the analyses of a report on `f` at the constant `input`, and on `trials` where they are given.

    `task`: targets, loss and at, as `remedies` takes them, to try remedies on the trials; None tries none.
    Cycles are looked for of the periods that orbits end on, and of all periods up to `cycles`.
    """
    from dynsys.reporting.cycles_section import report_cycles

    f = as_map(f)
    say = progress or (lambda done, total, message: None)
    vector = f.input_vector(input)
    say(0, STAGES, "following the network on its trials" if trials else "following free orbits")
    visited = _visited(f, trials, vector, seed)
    say(1, STAGES, "searching for fixed points")
    sample = visited.reshape(-1, f.state_size)
    generator = seeds.generator(seed)
    starts = sample[generator.permutation(len(sample))[: n_starts // 2]]
    small = f.state_size <= LARGEST_PROVEN
    found = find_fixed_points(f, vector, starts, n_starts, seed=seed, step_duration=step_duration, prove=small)
    say(2, STAGES, "following orbits to where they end")
    count, exponent_steps = _orbit_budget(f.state_size)
    attractors = find_attractors(f, fixed_points=found, n_starts=count, exponent_steps=exponent_steps, seed=seed + 1)
    listed = report_cycles(f, vector, attractors, cycles, n_starts, seed, step_duration)
    attractors = attractors.matched(known_orbits(found, listed))
    wired = wiring(f, found, cycles=listed, attractors=attractors, exponent_steps=exponent_steps, seed=seed)
    manifolds = slow_manifolds(f, found, seed=seed)
    V = getattr(getattr(f, "readout", None), "V", None)
    alignment = mode_alignment(found.points, V, f.output)
    growth = tuple(transient_growth(J) for J in found.points.jacobians)
    failures: list[str] = []
    say(3, STAGES, "measuring Lyapunov exponents")
    lyapunov = _tried(failures, "Lyapunov exponents", lambda: _lyapunov(f, trials, vector, seed))
    covariant = _tried(failures, "covariant vectors", lambda: _covariant(f, lyapunov, trials, vector, seed))
    say(4, STAGES, "measuring gradients by lag")
    gradients = _tried(failures, "gradient spectrum", lambda: _gradients(f, trials, vector, seed))
    gate_times = _gate_times(f, trials, vector, seed, step_duration)
    worst = None if trials is None else _tried(failures, "worst case", lambda: _worst_case(f, trials, seed))
    say(5, STAGES, "trying remedies")
    helpful = _tried(failures, "remedies", lambda: _remedies(f, trials, task, seed, step_duration))
    say(6, STAGES, "writing")
    return Study(
        f=f,
        trials=trials,
        visited=visited,
        replay=None if trials is None else replay_deviation(f, trials, visited),
        fixed_points=found,
        attractors=attractors,
        basins=basins_of(attractors, len(found)),
        wiring=wired,
        manifolds=manifolds,
        alignment=alignment,
        growth=growth,
        lyapunov=lyapunov,
        gradients=gradients,
        failures=tuple(failures),
        seed=seed,
        step_duration=step_duration,
        exact=exact_points(f, vector),
        certificates=_certificates(f, found),
        gate_times=gate_times,
        remedies=helpful,
        worst_case=worst,
        covariant=covariant,
        cycles=listed,
    )


def _orbit_budget(n: int) -> tuple[int, int]:
    """Starts followed to their ends, and steps of an exponent: fewer where a step costs more."""
    count = int(np.clip(512 * (FULL_ORBITS / n) ** 2, 48, 512)) if n else 512
    return count, 10_000 if n <= LARGEST_STATE else 2000


def _tried(failures: list[str], what: str, analysis: Callable[[], Any]) -> Any:
    """One analysis that fails does not take the others with it; the report says why it is missing."""
    try:
        return analysis()
    except AnalysisError as error:
        failures.append(f"{what}: {error}")
        return None


def _certificates(f: Map, found: FixedPoints) -> Certificates | None:
    if len(found) > MOST_CERTIFICATES or f.state_size > LARGEST_CERTIFIED:
        return None
    return certify(f, found)


def _visited(f: Map, trials: Trials | None, input: Array, seed: int) -> Array:
    """(T + 1, trials, n): states on the trials, or 64 free orbits of 100 steps from random states."""
    if trials is not None:
        states = simulate(f, None, trials.inputs)
        return states if states.ndim == 3 else states[:, np.newaxis]
    box = search_box(f, input, np.zeros((0, f.state_size)), seed)
    starts = seeds.generator(seed).uniform(box.low, box.high, (64, f.state_size))
    driving = np.broadcast_to(input, (FREE_LAG, 1, f.input_size))
    with np.errstate(all="ignore"):
        orbits = simulate(f, starts, driving)
    bounded = np.isfinite(orbits).all(axis=(0, 2)) & (np.abs(orbits).max(axis=(0, 2)) < 1e6)
    return orbits[:, bounded]


def _lyapunov(f: Map, trials: Trials | None, input: Array, seed: int) -> LyapunovSpectrum:
    """On a stationary drive: the trials run one after the other without reset, else the constant input."""
    if trials is None:
        steps, discard = default_steps(f)
        driving = np.broadcast_to(input, (steps + discard, f.input_size))
        return lyapunov_spectrum(
            f, _typical(f, input, seed), driving, steps=steps, discard=discard, seed=seed, drive="constant input"
        )
    length = max(trials.length * trials.count, 2000)
    orders = ORDERS if trials.count > 1 and f.state_size <= LARGE_STATE else 1
    enough = trials.joined_in_orders(length, orders, seed)
    drive = trials.joined_name + (f", in {orders} orders" if orders > 1 else "")
    return lyapunov_spectrum(f, None, enough, discard=min(500, length // 4), seed=seed, drive=drive)


def _covariant(
    f: Map, lyapunov: LyapunovSpectrum | None, trials: Trials | None, input: Array, seed: int
) -> CovariantVectors | None:
    """Where something grows: between that and what shrinks there are angles worth knowing."""
    if lyapunov is None or f.state_size > LARGEST_COVARIANT:
        return None
    if lyapunov.exponents[0] - 2 * lyapunov.standard_errors[0] <= 0:
        return None
    total = 3 * COVARIANT_STEPS
    driving = np.broadcast_to(input, (total, f.input_size)) if trials is None else trials.joined(total)
    start = _typical(f, input, seed) if trials is None else None
    return covariant_vectors(f, start, driving, None, *(COVARIANT_STEPS,) * 3, seed=seed)


def _typical(f: Map, input: Array, seed: int) -> Array:
    """A start for autonomous orbits that is not a symmetric point such as the origin, which may be unstable."""
    box = search_box(f, input, np.zeros((0, f.state_size)), seed)
    return seeds.generator(seed).uniform(box.low, box.high)


def _gradients(f: Map, trials: Trials | None, input: Array, seed: int) -> GradientSpectrum:
    """Over the first trials, each from its own start; without trials over 100 steps at the constant input."""
    if trials is None:
        driving = np.broadcast_to(input, (FREE_LAG, 1, f.input_size))
        return gradient_spectrum(f, _typical(f, input, seed), driving, lag_ladder(FREE_LAG), seed=seed)
    some = trials.inputs[:, :GRADIENT_TRIALS]
    return gradient_spectrum(f, None, some, lag_ladder(trials.length), seed=seed)


def _gate_times(
    f: Map, trials: Trials | None, input: Array, seed: int, step_duration: float | None
) -> GateTimes | None:
    """Along the trials, or the free orbit of the gradients; None where a map does not tell units' own paths."""
    if isinstance(bare(f), FunctionMap):
        return None  # a function has no gates
    try:
        if trials is not None:
            return gate_time_constants(f, None, trials.inputs, step_duration=step_duration)
        driving = np.broadcast_to(input, (FREE_LAG, 1, f.input_size))
        return gate_time_constants(f, _typical(f, input, seed), driving, step_duration=step_duration)
    except AnalysisError:
        return None


def _remedies(
    f: Map, trials: Trials | None, task: Mapping[str, Any] | None, seed: int, step_duration: float | None
) -> Remedies | None:
    """On the first trials; with targets for fewer steps than the trials have, on the steps that have one."""
    if trials is None or task is None or trials.length < SHORTEST_TASK:
        return None
    inputs, targets = trials.inputs, task.get("targets")
    if targets is not None and task.get("at") != "last":
        inputs = inputs[: len(targets)]
    return remedies(f, inputs, **task, quick=True, seed=seed, step_duration=step_duration)


def _worst_case(f: Map, trials: Trials, seed: int) -> WorstCase | None:
    """Measured on the first trials, for inputs in the range of all."""
    if f.state_size > LARGEST_WORST or not trials.length:
        return None
    low, high = trials.inputs.min(axis=(0, 1)), trials.inputs.max(axis=(0, 1))
    return worst_case(f, trials.inputs[:, :WORST_TRIALS], low, high, lags=(1,), seed=seed)
