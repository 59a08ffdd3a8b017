"""`dynsys remedies`: what to change, tried on a copy and measured again."""

from __future__ import annotations

from pathlib import Path

import click

import dynsys
from dynsys.commands.common import (
    duration_option,
    json_option,
    loaded,
    model_options,
    progress,
    read_trials,
    show,
    warn,
)


@click.command()
@model_options
@click.option(
    "--trials",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Arrays `inputs` or `tokens`; and `targets` or `labels` for the rules on gradients.",
)
@click.option("--task-lag", type=click.IntRange(min=3), help="Steps to be remembered [default: length of a trial].")
@duration_option
@json_option
def remedies(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    trials: Path,
    task_lag: int | None,
    step_duration: float | None,
    as_json: bool,
) -> None:
    """Say what to change in MODEL so that its training holds: each change is tried on a copy and measured again."""
    from dynsys.treatment.task_file import load_task

    f = loaded(model, module, nonlinearity)
    read_trials(trials, f)  # says so where the recorded states are not reproduced
    task = load_task(trials, f)
    if task["targets"] is not None and getattr(f, "readout", None) is None:
        warn("the model has no readout: rules on gradients are skipped.")
        task |= {"targets": None, "loss": None}
    found = dynsys.remedies(
        f, **task, task_lag=task_lag, step_duration=step_duration, seed=seed, progress=progress(quiet)
    )
    show(found, as_json, f)
