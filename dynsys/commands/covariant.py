"""`dynsys covariant`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import dynsys
from dynsys.commands.common import (
    draw,
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
@click.option("--steps", type=click.IntRange(min=1), default=500, show_default=True, help="Of the window looked at.")
@click.option(
    "--discard", type=click.IntRange(min=0), default=500, show_default=True, help="Before it, while directions settle."
)
@click.option(
    "--align",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="After it, from whose end one goes back.",
)
@click.option("-k", type=int, help="How many vectors [default: all up to 64 state variables, else 16].")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.npz", help="Also write the vectors there.")
@plot_option
@json_option
def covariant(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    input_: str | None,
    trials: Path | None,
    steps: int,
    discard: int,
    align: int,
    k: int | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Find the covariant Lyapunov vectors of MODEL, and the angles between them.

    The direction that grows at each exponent's rate, at every state of an orbit: along the trials, run one after the
    other without reset; else at the constant input. Where directions that grow and that shrink come close, the orbit is
    not hyperbolic.
    """
    import numpy as np

    from dynsys.jsonable import dumps

    if out is not None and (out.suffix != ".npz" or not out.absolute().parent.is_dir()):
        raise InputError(f"--out must be an .npz file in a folder that exists, got {str(out)!r}.")
    f = loaded(model, module, nonlinearity)
    sequences, constant = trials_or_constant(trials, input_, f)
    inputs, total = None, discard + steps + align
    if sequences is not None:
        inputs = sequences.joined(total)
    elif constant is not None:
        inputs = np.broadcast_to(f.input_vector(constant), (total, f.input_size))
    result = dynsys.covariant_vectors(f, None, inputs, k, steps, discard, align, seed=seed, progress=progress(quiet))
    if out is not None:
        arrays: dict[str, Any] = {
            name: value for name, value in result.to_dict().items() if isinstance(value, np.ndarray)
        }
        np.savez_compressed(out, **arrays)
    draw(result, plot)
    if as_json:
        click.echo(dumps(result.summary()))
    else:
        show(result, False, f)
