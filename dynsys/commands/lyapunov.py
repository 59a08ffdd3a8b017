"""`dynsys lyapunov`."""

from __future__ import annotations

from pathlib import Path

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
)
from dynsys.errors import InputError


@click.command()
@model_options
@input_option
@trials_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps averaged over [default: 10 000, beyond 128 variables 2000, or what the trials leave].",
)
@click.option(
    "--discard",
    type=click.IntRange(min=0),
    help="Steps taken first and not averaged [default: a quarter of that, or a tenth of the trials].",
)
@click.option("-k", type=int, help="How many exponents [default: all up to 256 state variables, else 32].")
@click.option(
    "--orders",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Run the trials one after the other in so many orders, and give the spread.",
)
@duration_option
@plot_option
@json_option
def lyapunov(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    input_: str | None,
    trials: Path | None,
    steps: int | None,
    discard: int | None,
    k: int | None,
    orders: int,
    step_duration: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure the Lyapunov spectrum of MODEL.

    Along the trials, run one after the other without reset, in several orders, and repeated as often as --steps asks;
    else at the constant input.
    """
    import numpy as np

    from dynsys.lyapunov import default_steps

    f = loaded(model, module, nonlinearity)
    sequences, constant = trials_or_constant(trials, input_, f)
    inputs, drive = None, None
    if sequences is not None:
        whole = sequences.length * sequences.count
        burn = whole // 10 if discard is None else discard
        if steps is None and burn >= whole:
            raise InputError(f"--discard {burn} leaves nothing of the {whole} steps of the trials.")
        total = whole if steps is None else burn + steps
        orders = orders if sequences.count > 1 else 1
        inputs, drive = sequences.joined_in_orders(total, orders, seed), sequences.joined_name
        drive += f", in {orders} orders" * (orders > 1)
        steps, discard = total - burn, burn
    elif constant is not None:
        usual = default_steps(f)
        steps, discard = usual[0] if steps is None else steps, usual[1] if discard is None else discard
        inputs = np.broadcast_to(f.input_vector(constant), (max(steps + discard, 1), f.input_size))
        drive = "constant input"
    result = dynsys.lyapunov_spectrum(
        f,
        None,
        inputs,
        k,
        steps,
        discard,
        seed=seed,
        drive=drive,
        step_duration=step_duration,
        progress=progress(quiet),
    )
    draw(result, plot)
    show(result, as_json, f)
