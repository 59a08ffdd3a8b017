"""The public door to the remedies."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import AnalysisError, InputError
from dynsys.through_time import targets_by_step
from dynsys.treatment.chaos_rules import critical, forcing_interval
from dynsys.treatment.flossing_rule import flossing
from dynsys.treatment.gate_rules import forget_bias, single_forget_bias
from dynsys.treatment.half_open_rule import half_open
from dynsys.treatment.identity_rule import identity_relu
from dynsys.treatment.layer_norm_rule import layer_norm
from dynsys.treatment.layer_rules import residual
from dynsys.treatment.loss_rules import clipping, truncation
from dynsys.treatment.patient import QUICK, WHOLE, Patient
from dynsys.treatment.remedy import Remedies, Remedy, Skipped
from dynsys.treatment.saturation_rule import saturation
from dynsys.treatment.split_rules import h_detach, output_bias
from dynsys.treatment.sum_rule import budget
from dynsys.treatment.task import Task
from dynsys.treatment.weight_rules import clipped_singular_values, critical_gain, orthogonal
from dynsys.trials import as_trials
from dynsys.types import Progress

LEAST_LAG = 3
"""Steps that a task must ask to remember: gates' biases spread over lags from 1 to the task's, less 1."""
RULES = (
    critical,
    clipping,
    truncation,
    half_open,
    forget_bias,
    single_forget_bias,
    output_bias,
    h_detach,
    orthogonal,
    identity_relu,
    critical_gain,
    clipped_singular_values,
    saturation,
    layer_norm,
    residual,
    flossing,
    forcing_interval,
)


def remedies(
    f: Any,
    inputs: Any,
    targets: Any = None,
    loss: Literal["cross-entropy", "squared"] | None = None,
    *,
    at: Literal["all", "last"] = "all",
    readout: Any = None,
    task_lag: int | None = None,
    quick: bool = False,
    step_duration: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Remedies:
    """What to change in a network whose training does not hold, tried on a copy and measured again.

    Every rule starts from a measurement; where it passes its threshold, the change is made on a copy, its effect
    predicted by a formula and then measured. The network itself is never touched.

    Args:
        f: the map (anything `as_map` reads). inputs: (T, m), (T, batch, m), or integer tokens.
        targets, loss, at: as for `bptt`; without them the rules on gradients are skipped.
        readout: (V, c) or a function; by default the model's own.
        task_lag: how many steps the task asks to remember; the length of the sequences by default.
        quick: measure on 64 sequences and 2000 steps at most, and leave out what has to be found by gradient steps;
            for reports. step_duration: seconds per step, adds times in ms.
        seed: of frames and orders. progress: called with (rules done, rules in all, message).

    Sources: each remedy names its own.
    """
    f = as_map(f)
    trials = as_trials(f, inputs)
    if task_lag is None and trials.length < LEAST_LAG:
        raise InputError(
            f"the sequences have {trials.length} steps, and remedies are about remembering over {LEAST_LAG} or more: "
            "pass longer ones, or the `task_lag` of the task they are cut from."
        )
    lag = trials.length if task_lag is None else whole_number("task_lag", task_lag, LEAST_LAG)
    if (targets is None) != (loss is None):
        raise InputError("pass `targets` and `loss` together, or neither.")
    own = getattr(f, "readout", None)
    shown = readout if readout is not None else own
    if targets is not None and shown is None:
        raise InputError("a loss needs a readout: pass `readout=(V, c)`, the model has none of its own.")
    wanted = None if targets is None else np.asarray(targets)
    if wanted is not None and trials.count == 1 and np.asarray(inputs).ndim < 3:
        wanted = wanted[:, np.newaxis] if at == "all" else wanted[np.newaxis]
    if wanted is not None and loss is not None:
        targets_by_step(wanted, loss, at, trials.length, trials.count)  # a mistake in them is the caller's, at the door
    task = Task(trials.inputs, wanted, loss, at, shown)
    duration = checked_duration(step_duration)
    limits = QUICK if quick else WHOLE
    patient = Patient(f, task.part(slice(0, limits.sequences)) if quick else task, lag, seed, limits)
    found: list[Remedy] = []
    healthy: list[str] = []
    skipped: list[str] = []
    for i, rule in enumerate(RULES):
        if progress is not None:
            progress(i, len(RULES), rule.__name__.replace("_", " "))
        try:
            answer = rule(patient)
        except AnalysisError as error:
            answer = Skipped(f"{rule.__name__.replace('_', ' ')}: could not be measured ({error})")
        if isinstance(answer, Remedy):
            found.append(answer)
        elif isinstance(answer, Skipped):
            skipped.append(answer)
        else:
            healthy.append(answer)
    if progress is not None:
        progress(len(RULES), len(RULES), "done")
    return Remedies(
        remedies=tuple(found),
        healthy=tuple(dict.fromkeys(healthy)),
        skipped=tuple(dict.fromkeys(skipped)),
        largest_exponent=float(patient.lyapunov.exponents[0]),
        standard_error=float(patient.lyapunov.standard_errors[0]),
        map_name=f.name,
        task_lag=lag,
        sequences=int(patient.task.inputs.shape[1]),
        step_duration=duration,
        budget=budget(patient),
    )
