"""What the commands share: their options, how models and trials are opened, how results and progress are shown."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dynsys.commands.models import MORE_MODEL_OPTIONS, loaded_model
from dynsys.errors import InputError


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that takes a model has in common."""
    options = [
        click.argument("model", type=click.Path(path_type=Path)),
        click.option("--module", metavar="PREFIX", help="Which recurrent module, if the file has several."),
        click.option("--nonlinearity", type=click.Choice(("tanh", "relu")), help="Of plain RNNs: files do not say."),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of all random choices."),
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    ]
    return functools.reduce(lambda f, option: option(f), reversed([*options, *MORE_MODEL_OPTIONS]), command)


input_option = click.option("--input", "input_", metavar="U0,U1,...", help="The constant input; zero if left out.")
trials_option = click.option(
    "--trials",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Arrays `inputs` (trials, steps, m) or `tokens`.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
duration_option = click.option(
    "--step-duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Length of a step: adds times in ms.",
)


def _picture(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        from dynsys.reporting.spectra_figures import check

        check(value)
    return value


def picture_option(name: str) -> Callable[[Any], Any]:
    """An option that names a picture to be drawn; refused at once if it cannot be written."""
    return click.option(
        name,
        type=click.Path(path_type=Path),
        callback=_picture,
        metavar="FILE.svg",
        help="Also draw it (svg, png or pdf).",
    )


plot_option = picture_option("--plot")


def _longest(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value == 1:
        raise click.BadParameter("cycles begin with period 2; a cycle of period 1 is a fixed point.")
    return value


cycles_option = click.option(
    "--cycles",
    "longest",
    default=0,
    callback=_longest,
    type=click.IntRange(min=0),
    metavar="P",
    help="Also find the cycles of periods 2 to P.",
)


def loaded(model: Path, module: str | None, nonlinearity: str | None) -> Any:
    """What MODEL stands for."""
    return loaded_model(model, module, nonlinearity)


_WARNINGS = "dynsys.warnings"


def warn(text: str) -> None:
    """Said on stderr, and kept for the JSON of the result: a program that reads that does not see stderr."""
    click.echo(f"dynsys: WARNING: {text}", err=True)
    click.get_current_context().meta.setdefault(_WARNINGS, []).append(text)


def with_warnings(data: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a result, with `warnings` where there were any."""
    said = click.get_current_context().meta.get(_WARNINGS, [])
    return data | {"warnings": said} if said else data


def read_trials(path: Path | None, f: Any) -> Any:
    """The trials of a file, or None; with a warning where its recorded states are not reproduced."""
    if path is None:
        return None
    from dynsys.trials import SAME_REPLAY, load_trials, replay_deviation

    trials = load_trials(path, f)
    deviation = replay_deviation(f, trials)
    if deviation is not None and deviation > SAME_REPLAY:
        warn(f"the recorded states are not reproduced (off by up to {deviation:.2g}).")
    return trials


def trials_or_constant(trials: Path | None, input_: str | None, f: Any) -> tuple[Any, list[float] | None]:
    """What drives the network: trials, or a constant input, or neither."""
    if trials is not None and input_ is not None:
        raise InputError("pass --trials or --input, not both.")
    return read_trials(trials, f), vector(input_)


def vector(text: str | None, option: str = "--input") -> list[float] | None:
    """The numbers of an option, or None where it was left out."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} must be numbers with commas between them, got {text!r}.") from None


def show(result: Any, as_json: bool, f: Any = None) -> None:
    """The result, and with the text form how the model was read: that decides what the numbers are about."""
    from dynsys.jsonable import dumps

    click.echo(dumps(with_warnings(result.to_dict())) if as_json else str(result))
    if f is not None and not as_json:
        for note in f.notes:
            click.echo(f"Note: {note}")


def draw(result: Any, path: Path | None) -> None:
    """The picture of a spectrum, where a file for it was named."""
    if path is not None:
        from dynsys.reporting.spectra_figures import save

        save(result, path)


def progress(quiet: bool) -> Callable[[int, int, str], None] | None:
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
