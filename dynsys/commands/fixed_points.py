"""`dynsys fixed-points`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import dynsys
from dynsys.commands.common import (
    cycles_option,
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


@click.command("fixed-points")
@model_options
@input_option
@trials_option
@click.option(
    "--starts", default=1024, show_default=True, type=click.IntRange(min=0), help="Uniform starts in the reachable box."
)
@click.option("--tol", default=1e-12, show_default=True, help="Largest residual, relative to 1 + max|x|.")
@cycles_option
@duration_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.npz", help="Also save states, modes and Jacobians."
)
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
    longest: int,
    step_duration: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the fixed points of MODEL at a constant input."""
    f = loaded(model, module, nonlinearity)
    given = None
    sequences = read_trials(trials, f)
    if sequences is not None:
        given = dynsys.simulate(f, None, sequences.inputs).reshape(-1, f.state_size)[:: max(1, sequences.length // 16)]
    found = dynsys.find_fixed_points(f, vector(input_), given, starts, tol, seed, step_duration=step_duration)
    cycles: dict[int, Any] = {}
    if longest > 1:
        more = {"step_duration": step_duration}
        cycles = dynsys.find_cycles(f, range(2, longest + 1), vector(input_), given, starts, tol, seed, **more)
    if out is not None:
        _save_points(found, cycles, out)
    if not as_json:
        show(found, False)
        for orbits in cycles.values():
            click.echo()
            show(orbits, False)
        return
    from dynsys.jsonable import dumps

    listed = {"cycles": {str(p): orbits.to_dict() for p, orbits in cycles.items()}} if cycles else {}
    click.echo(dumps(found.to_dict() | listed))


def _save_points(found: Any, cycles: dict[int, Any], out: Path) -> None:
    """The fields of the points under their names, those of the cycles of period p as `cycles_p_NAME`."""
    import dataclasses

    import numpy as np

    arrays = {field.name: np.asarray(getattr(found.points, field.name)) for field in dataclasses.fields(found.points)}
    names = ("states", "residuals", "errors", "multipliers", "multiplier_errors", "right_modes", "left_modes")
    for p, orbits in cycles.items():
        for name in (*names, "n_unstable", "undecided", "kinds", "hits", "found_by", "jacobians"):
            arrays[f"cycles_{p}_{name}"] = np.asarray(getattr(orbits, name))
    try:
        with out.open("wb") as file:
            np.savez_compressed(file, input=found.input, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}.") from None
