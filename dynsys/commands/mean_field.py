"""`dynsys mean-field`: theory of random networks, and random networks measured."""

from __future__ import annotations

from pathlib import Path

import click

from dynsys.commands.common import json_option, picture_option, progress, show
from dynsys.errors import InputError


@click.command("mean-field")
@click.option("--gains", default="0.5,0.75,1,1.25,1.5,2,3", show_default=True, metavar="G1,G2,...")
@click.option("--bias", default=0.0, show_default=True, help="Standard deviation of the biases.")
@click.option("--activation", default="tanh", show_default=True, help="As the cells name it.")
@click.option(
    "--units", default=0, type=click.IntRange(min=0), help="Also draw networks of this size and measure them."
)
@click.option("--networks", default=3, show_default=True, type=click.IntRange(min=1), help="How many at each gain.")
@click.option("--steps", default=1000, show_default=True, type=click.IntRange(min=10), help="Of each measurement.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of weights and starts.")
@picture_option("--out")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def mean_field(
    gains: str,
    bias: float,
    activation: str,
    units: int,
    networks: int,
    steps: int,
    seed: int,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Say what theory expects of a large random network at each gain.

    With --units, networks are drawn and their largest Lyapunov exponents measured beside it.
    """
    from dynsys.random_networks_measured import draw, gain_sweep

    try:
        wanted = [float(g) for g in gains.split(",")]
    except ValueError:
        raise InputError(f"--gains must be numbers with commas between them, got {gains!r}.") from None
    sweep = gain_sweep(
        wanted, bias, activation, units=units, networks=networks, steps=steps, seed=seed, progress=progress(quiet)
    )
    if out is not None:
        draw(sweep, out)
    show(sweep, as_json)
