"""`dynsys gradients`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import dynsys
from dynsys.commands.common import (
    draw,
    duration_option,
    input_option,
    json_option,
    loaded,
    model_options,
    plot_option,
    progress,
    show,
    trials_option,
    trials_or_constant,
    warn,
)
from dynsys.errors import InputError

if TYPE_CHECKING:
    from dynsys.types import Array


@click.command()
@model_options
@input_option
@trials_option
@click.option(
    "--lags", default="1,2,5,10,20,50,100", show_default=True, metavar="L1,L2,...", help="Increasing, in steps."
)
@click.option("-k", type=int, help="How many singular values to find [default: all].")
@duration_option
@plot_option
@json_option
def gradients(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    input_: str | None,
    trials: Path | None,
    lags: str,
    k: int | None,
    step_duration: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure how gradients of MODEL survive over time lags."""
    import numpy as np

    f = loaded(model, module, nonlinearity)
    try:
        wanted = [int(lag) for lag in lags.split(",")]
    except ValueError:
        raise InputError(f"--lags must be whole numbers with commas between them, got {lags!r}.") from None
    sequences, constant = trials_or_constant(trials, input_, f)
    inputs: Array | None = None
    if sequences is not None:
        inputs = sequences.inputs
        wanted = _within(wanted, sequences.length)
    elif constant is not None:
        inputs = np.broadcast_to(f.input_vector(constant), (max(wanted), f.input_size))
    result = dynsys.gradient_spectrum(
        f, None, inputs, wanted, k, seed=seed, step_duration=step_duration, progress=progress(quiet)
    )
    draw(result, plot)
    show(result, as_json, f)


def _within(lags: list[int], length: int) -> list[int]:
    """The lags that trials of this length have; a warning names the others, an error says that none is left."""
    long = ", ".join(str(lag) for lag in lags if lag > length)
    kept = [lag for lag in lags if lag <= length]
    if not kept:
        raise InputError(f"trials have {length} steps: no lag may be longer, got --lags {long}.")
    if long:
        warn(f"trials have {length} steps: {'lags' if ', ' in long else 'lag'} {long} left out.")
    return kept
