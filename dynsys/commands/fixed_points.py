"""`dynsys fixed-points`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

import dynsys
from dynsys.commands.common import (
    cycles_option,
    duration_option,
    json_option,
    loaded,
    model_options,
    progress,
    read_trials,
    show,
    trials_option,
    vector,
    with_warnings,
)
from dynsys.commands.models import box_option, given_box
from dynsys.errors import InputError
from dynsys.jsonable import dumps


@click.command("fixed-points")
@model_options
@click.option(
    "--input", "inputs", multiple=True, metavar="U0,U1,...",
    help="The constant input; zero if left out. Repeatable: a table of how the portrait changes.",
)  # fmt: skip
@trials_option
@click.option(
    "--starts", default=1024, show_default=True, type=click.IntRange(min=0), help="Uniform starts in the reachable box."
)
@click.option("--tol", default=1e-12, show_default=True, help="Largest residual, relative to 1 + max|x|.")
@box_option
@cycles_option
@duration_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.npz",
    help="Also save states, modes and Jacobians. A search that was broken off is taken up again by the same call.",
)  # fmt: skip
@click.option(
    "--certify", is_flag=True, help="Prove each point and cycle; to 6 state variables also that the list is whole."
)
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Also draw them, as SVG files.")
@json_option
def fixed_points(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    inputs: tuple[str, ...],
    trials: Path | None,
    starts: int,
    tol: float,
    longest: int,
    step_duration: float | None,
    out: Path | None,
    certify: bool,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Find the fixed points of MODEL, and its cycles, at one or more constant inputs."""
    from dynsys.checkpoint import Checkpoint
    from dynsys.portraits import Portrait

    f = loaded(model, module, nonlinearity)
    given = _visited(f, read_trials(trials, f))
    if not starts and given is None:
        raise InputError("--starts 0 leaves nothing to start from: give --trials as well, or a number of starts.")
    if plots is not None:
        from dynsys.reporting.plots import plot_folder

        plot_folder(plots)  # a mistake there is better known before a long search
    vectors = [f.input_vector(vector(text)) for text in inputs or (None,)]
    source = getattr(f, "source", None)
    kept = Checkpoint(
        out,
        {
            "model": None if source is None else source.sha256, "name": f.name, "module": module, "seed": seed,
            "box": given_box(), "starts": starts, "tol": tol, "trials": None if given is None else _digest(given),
            "step_duration": step_duration, "certify": certify, "dynsys": dynsys.__version__,
        },
    )  # fmt: skip
    say = progress(quiet) or (lambda done, total, message: None)
    stages = len(vectors) * (1 + (longest > 1) + certify + (plots is not None))
    portraits: list[Portrait] = []
    done = 0
    for k, constant in enumerate(vectors):
        where = f"input {k + 1} of {len(vectors)}: " if len(vectors) > 1 else ""
        say(done, stages, f"{where}searching for fixed points")
        depends: dict[str, Any] = {"input": constant.tolist(), "prove": certify}
        search = partial(
            dynsys.find_fixed_points, f, constant, given, starts, tol, seed, step_duration=step_duration, prove=certify,
            keep=kept.stages("fixed-points", depends),
        )  # fmt: skip
        found = kept.part("fixed-points", depends, search)
        done += 1
        cycles: dict[int, Any] = {}
        if longest > 1:
            say(done, stages, f"{where}searching for cycles")
            periods = range(2, longest + 1)
            depends = {"input": constant.tolist(), "longest": longest}
            search = partial(
                dynsys.find_cycles, f, periods, constant, given, starts, tol, seed, step_duration=step_duration,
                keep=kept.stages("cycles", depends),
            )  # fmt: skip
            cycles = kept.part("cycles", depends, search)
            done += 1
        proofs = None
        of_cycles: dict[int, Any] = {}
        if certify:
            say(done, stages, f"{where}proving")
            proofs = dynsys.certify(f, found)
            of_cycles = {p: dynsys.certify(f, orbits) for p, orbits in cycles.items()}
            done += 1
        portraits.append(Portrait(found, cycles, proofs, of_cycles))
        if plots is not None:
            say(done, stages, f"{where}following orbits for the plots")
            _draw(f, portraits[-1], plots, f"input{k}-" if len(vectors) > 1 else "", seed)
            done += 1
    say(stages, stages, "done" + f", {kept.resumed} parts of it before" * bool(kept.resumed))
    if out is not None:
        _save(portraits, out)
    kept.finish()
    _show(portraits, as_json)


def _visited(f: Any, sequences: Any) -> Any:
    """States on the trials, thinned, as further starts; None without trials."""
    if sequences is None:
        return None
    return dynsys.simulate(f, None, sequences.inputs).reshape(-1, f.state_size)[:: max(1, sequences.length // 16)]


def _digest(array: Any) -> str:
    import hashlib

    return hashlib.sha256(array.tobytes()).hexdigest()


def _draw(f: Any, portrait: Any, folder: Path, lead: str, seed: int) -> None:
    from dynsys.reporting.plots import pictured, save_plots

    save_plots(pictured(f, portrait.fixed_points, portrait.cycles or None, seed=seed), folder, lead)


def _save(portraits: list[Any], out: Path) -> None:
    import numpy as np

    from dynsys.portraits import arrays

    special = out.exists() and not out.is_file()  # a device, a pipe
    half = out if special else out.with_name(f".{out.name}.half")
    try:
        with half.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays(portraits))
        if not special:
            half.replace(out)  # whole, or what was there before
    except OSError as error:
        if not special:
            half.unlink(missing_ok=True)
        raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}.") from None


def _show(portraits: list[Any], as_json: bool) -> None:
    from dynsys.portraits import changes, changes_text

    if len(portraits) == 1:
        show(portraits[0], as_json)
    elif as_json:
        name = portraits[0].fixed_points.map_name
        click.echo(dumps(with_warnings({"model": name, "changes": changes(portraits), "portraits": portraits})))
    else:
        click.echo(changes_text(portraits))
