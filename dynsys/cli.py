"""The command line: `dynsys COMMAND MODEL`. Results go to stdout, progress and errors to stderr.

Exit codes: 0 done; 1 the analysis failed, or findings reached `--fail-on`; 2 the caller's mistake or a bad file.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dynsys
from dynsys.commands.models import model_options
from dynsys.errors import DynsysError, InputError, MissingPackageError

if TYPE_CHECKING:
    from dynsys.types import Array

SEVERITIES = ("info", "warning", "critical")


class Commands(click.Group):
    """A group that turns our own errors into one message and an exit code, with no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, MissingPackageError) as error:
            _fail(ctx, str(error), 2)
        except DynsysError as error:
            _fail(ctx, str(error), 1)
        except ValueError as error:
            # The cells' own errors are ValueErrors of a package that this one does not import.
            if type(error).__name__ != "ParameterError":
                raise
            _fail(ctx, str(error), 2)
        except BrokenPipeError:
            # The reader of our output has left (`| head`): nothing more to say, and no complaint at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


def _fail(ctx: click.Context, message: str, code: int) -> None:
    click.echo(f"dynsys: {message}", err=True)
    ctx.exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dynsys.__version__, prog_name="dynsys")
def main() -> None:
    """Read a trained recurrent network as a dynamical system.

    MODEL is a .pt/.pth (weights only), .safetensors or .npz file, or mycell.py:MyCell, a cell or function in a Python
    file of yours, which is run. Start with:

        dynsys report MODEL --out reports/model
    """


def _model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that takes a model has in common."""
    options = [
        click.argument("model", type=click.Path(path_type=Path)),
        click.option("--module", metavar="PREFIX", help="Which recurrent module, if the file has several."),
        click.option("--nonlinearity", type=click.Choice(("tanh", "relu")), help="Of plain RNNs: files do not say."),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of all random choices."),
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    ]
    return functools.reduce(lambda f, option: option(f), reversed(options), model_options(command))


_input = click.option("--input", "input_", metavar="U0,U1,...", help="The constant input; zero if left out.")
_trials = click.option(
    "--trials",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Arrays `inputs` (trials, steps, m) or `tokens`.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
_duration = click.option(
    "--step-duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Length of a step: adds times in ms.",
)


@main.command()
@_model_options
@click.option("--out", type=str, help="Folder for the files [default: reports/NAME].")
@click.option("--format", "formats", multiple=True, type=click.Choice(("html", "pdf", "json")), help="Repeatable; all.")
@_trials
@_input
@click.option(
    "--starts",
    default=1024,
    show_default=True,
    type=click.IntRange(min=0),
    help="Uniform starts of the fixed-point search.",
)
@_duration
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit with 1 if a finding is at least this grave.")
@_json
def report(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    out: str | None,
    formats: tuple[str, ...],
    trials: Path | None,
    input_: str | None,
    starts: int,
    step_duration: float | None,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Write a stability report of MODEL as HTML, PDF and JSON."""
    f = _loaded(model, module, nonlinearity)
    from dynsys.jsonable import dumps

    made = dynsys.report(
        f,
        Path("reports") / model.stem if out is None else out,
        formats or _available_formats(),
        trials=_read_trials(trials, f),
        input=_vector(input_),
        n_starts=starts,
        seed=seed,
        step_duration=step_duration,
        command=" ".join(["dynsys", *sys.argv[1:]]),
        progress=_progress(quiet),
    )
    if as_json:
        click.echo(dumps(made.document.data))
    else:
        click.echo(str(made))
        for path in made.files.values():
            click.echo(str(path))
    if fail_on is not None:
        grave = SEVERITIES[SEVERITIES.index(fail_on) :]
        reached = [finding.id for finding in made.findings if finding.severity in grave]
        if reached:
            click.echo(f"dynsys: findings reach --fail-on {fail_on}: {', '.join(reached)}", err=True)
            sys.exit(1)


@main.command("fixed-points")
@_model_options
@_input
@_trials
@click.option(
    "--starts", default=1024, show_default=True, type=click.IntRange(min=0), help="Uniform starts in the reachable box."
)
@click.option("--tol", default=1e-12, show_default=True, help="Largest residual, relative to 1 + max|x|.")
@_duration
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.npz", help="Also save states, modes and Jacobians."
)
@_json
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
    as_json: bool,
) -> None:
    """Find the fixed points of MODEL at a constant input."""
    f = _loaded(model, module, nonlinearity)
    given = None
    sequences = _read_trials(trials, f)
    if sequences is not None:
        given = dynsys.simulate(f, None, sequences.inputs).reshape(-1, f.state_size)[:: max(1, sequences.length // 16)]
    found = dynsys.find_fixed_points(f, _vector(input_), given, starts, tol, seed, step_duration=step_duration)
    if out is not None:
        _save_points(found, out)
    _show(found, as_json)


@main.command()
@_model_options
@_input
@_trials
@click.option(
    "--steps", type=click.IntRange(min=1), help="Steps averaged over [default: 2000, or what the trials leave]."
)
@click.option(
    "--discard", type=click.IntRange(min=0), help="Steps taken first and not averaged [default: 500, or a tenth]."
)
@click.option("-k", type=int, help="How many exponents [default: all up to 256 state variables, else 32].")
@_json
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
    as_json: bool,
) -> None:
    """Measure the Lyapunov spectrum of MODEL.

    Along the trials, run one after the other without reset and repeated as often as --steps asks; else at the constant
    input.
    """
    import numpy as np

    f = _loaded(model, module, nonlinearity)
    sequences, constant = _trials_or_constant(trials, input_, f)
    inputs, drive = None, None
    if sequences is not None:
        whole = sequences.length * sequences.count
        burn = whole // 10 if discard is None else discard
        if steps is None and burn >= whole:
            raise InputError(f"--discard {burn} leaves nothing of the {whole} steps of the trials.")
        total = whole if steps is None else burn + steps
        inputs, drive = sequences.joined(total), sequences.joined_name
        steps, discard = total - burn, burn
    elif constant is not None:
        steps, discard = 2000 if steps is None else steps, 500 if discard is None else discard
        inputs = np.broadcast_to(f.input_vector(constant), (max(steps + discard, 1), f.input_size))
        drive = "constant input"
    result = dynsys.lyapunov_spectrum(
        f, None, inputs, k, steps, discard, seed=seed, drive=drive, progress=_progress(quiet)
    )
    _show(result, as_json, f)


@main.command()
@_model_options
@_input
@_trials
@click.option(
    "--lags", default="1,2,5,10,20,50,100", show_default=True, metavar="L1,L2,...", help="Increasing, in steps."
)
@click.option("-k", type=int, help="How many singular values to keep [default: all].")
@_json
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
    as_json: bool,
) -> None:
    """Measure how gradients of MODEL survive over time lags."""
    import numpy as np

    f = _loaded(model, module, nonlinearity)
    try:
        wanted = [int(lag) for lag in lags.split(",")]
    except ValueError:
        raise InputError(f"--lags must be whole numbers with commas between them, got {lags!r}.") from None
    sequences, constant = _trials_or_constant(trials, input_, f)
    inputs: Array | None = None
    if sequences is not None:
        inputs = sequences.inputs
        short = [lag for lag in wanted if lag > sequences.length]
        if short and len(short) < len(wanted):
            click.echo(f"dynsys: trials have {sequences.length} steps: lags {short} are left out.", err=True)
            wanted = [lag for lag in wanted if lag <= sequences.length]
    elif constant is not None:
        inputs = np.broadcast_to(f.input_vector(constant), (max(wanted), f.input_size))
    _show(dynsys.gradient_spectrum(f, None, inputs, wanted, k, seed=seed, progress=_progress(quiet)), as_json, f)


@main.command("cells")
@_json
def list_cells(as_json: bool) -> None:
    """List the cells that dynsys knows: equations, shapes, conventions, source."""
    from dynsys.cell_list import known_cells

    known = known_cells()
    if as_json:
        click.echo(json.dumps(known, ensure_ascii=False))
        return
    for cell in known:
        click.echo(cell["name"])
        click.echo("    " + cell["description"].replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n")


def _available_formats() -> tuple[str, ...]:
    """All formats, less PDF where its optional package is missing; asked for by name, that is an error."""
    from importlib.util import find_spec

    if find_spec("typst") is not None:
        return ("html", "pdf", "json")
    click.echo("dynsys: no PDF without typst (pip install typst); writing HTML and JSON.", err=True)
    return ("html", "json")


def _loaded(model: Path, module: str | None, nonlinearity: str | None) -> Any:
    from dynsys.commands.models import loaded_model

    return loaded_model(model, module, nonlinearity)


def _read_trials(path: Path | None, f: Any) -> Any:
    if path is None:
        return None
    from dynsys.trials import SAME_REPLAY, load_trials, replay_deviation

    trials = load_trials(path, f)
    deviation = replay_deviation(f, trials)
    if deviation is not None and deviation > SAME_REPLAY:
        click.echo(f"dynsys: WARNING: the recorded states are not reproduced (off by up to {deviation:.2g}).", err=True)
    return trials


def _trials_or_constant(trials: Path | None, input_: str | None, f: Any) -> tuple[Any, list[float] | None]:
    """What drives the network: trials, or a constant input, or neither."""
    if trials is not None and input_ is not None:
        raise InputError("pass --trials or --input, not both.")
    return _read_trials(trials, f), _vector(input_)


def _vector(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--input must be numbers with commas between them, got {text!r}.") from None


def _show(result: Any, as_json: bool, f: Any = None) -> None:
    """The result, and with the text form how the model was read: that decides what the numbers are about."""
    from dynsys.jsonable import dumps

    click.echo(dumps(result.to_dict()) if as_json else str(result))
    if f is not None and not as_json:
        for note in f.notes:
            click.echo(f"Note: {note}")


def _save_points(found: Any, out: Path) -> None:
    import dataclasses

    import numpy as np

    arrays = {field.name: np.asarray(getattr(found.points, field.name)) for field in dataclasses.fields(found.points)}
    try:
        with out.open("wb") as file:
            np.savez_compressed(file, input=found.input, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}.") from None


def _progress(quiet: bool) -> Callable[[int, int, str], None] | None:
    """Progress on stderr: one line that is rewritten on a terminal, else a line at most every 30 seconds."""
    if quiet:
        return None
    terminal = sys.stderr.isatty()
    last = [time.monotonic()]

    def show(done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if terminal:
            end = "\n" if done >= total else ""
            click.echo(f"\r\x1b[K[{done}/{total}] {message}{end}", err=True, nl=False)
        elif now - last[0] > 30:
            click.echo(f"[{done}/{total}] {message}", err=True)
            last[0] = now

    return show
