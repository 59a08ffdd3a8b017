"""`dynsys fixed-points`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import dynsys
from dynsys.commands.common import (
    duration_option,
    input_option,
    json_option,
    loaded,
    model_options,
    read_trials,
    show,
    trials_option,
    vector,
)
from dynsys.errors import InputError
from dynsys.jsonable import dumps


@click.command("fixed-points")
@model_options
@input_option
@trials_option
@click.option(
    "--starts", default=1024, show_default=True, type=click.IntRange(min=0), help="Uniform starts in the reachable box."
)
@click.option("--tol", default=1e-12, show_default=True, help="Largest residual, relative to 1 + max|x|.")
@duration_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.npz", help="Also save states, modes and Jacobians."
)
@click.option("--certify", is_flag=True, help="Prove each point; to 6 state variables also that there are no others.")
@json_option
def fixed_points(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    input_: str | None,
    trials: Path | None,
    starts: int,
    tol: float,
    step_duration: float | None,
    out: Path | None,
    certify: bool,
    as_json: bool,
) -> None:
    """Find the fixed points of MODEL at a constant input."""
    f = loaded(model, module, nonlinearity)
    given = None
    sequences = read_trials(trials, f)
    if sequences is not None:
        given = dynsys.simulate(f, None, sequences.inputs).reshape(-1, f.state_size)[:: max(1, sequences.length // 16)]
    found = dynsys.find_fixed_points(
        f, vector(input_), given, starts, tol, seed, step_duration=step_duration, prove=certify
    )
    if out is not None:
        _save_points(found, out)
    if not certify:
        show(found, as_json)
        return
    certificates = dynsys.certify(f, found)
    if as_json:
        click.echo(dumps(found.to_dict() | {"certificates": certificates}))
    else:
        click.echo(f"{found}\n{certificates}")


def _save_points(found: Any, out: Path) -> None:
    import dataclasses

    import numpy as np

    arrays = {field.name: np.asarray(getattr(found.points, field.name)) for field in dataclasses.fields(found.points)}
    try:
        with out.open("wb") as file:
            np.savez_compressed(file, input=found.input, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}.") from None
