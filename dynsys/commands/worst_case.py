"""`dynsys worst-case`: what inputs from a box can do to differences and gradients."""

from __future__ import annotations

from pathlib import Path

import click

import dynsys
from dynsys.commands.common import json_option, loaded, model_options, read_trials, show, trials_option, vector
from dynsys.errors import InputError


@click.command("worst-case")
@model_options
@trials_option
@click.option("--low", metavar="U0,U1,...", help="Least inputs, or one number for all [default: range of the trials].")
@click.option("--high", metavar="U0,U1,...", help="Largest inputs, likewise.")
@json_option
def worst_case(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    trials: Path | None,
    low: str | None,
    high: str | None,
    as_json: bool,
) -> None:
    """Bound how much any inputs between --low and --high can stretch differences of states, and gradients, of MODEL."""
    f = loaded(model, module, nonlinearity)
    sequences = read_trials(trials, f)
    if sequences is None and (low is None or high is None):
        raise InputError("say which inputs: --low and --high, or --trials FILE whose range is the box.")
    least, most = (_side(text, option) for text, option in ((low, "--low"), (high, "--high")))
    inputs = None if sequences is None else sequences.inputs
    show(dynsys.worst_case(f, inputs, least, most, seed=seed), as_json, f)


def _side(text: str | None, option: str) -> list[float] | float | None:
    values = vector(text, option)
    return values[0] if values is not None and len(values) == 1 else values
