"""`dynsys report`: all analyses, written up."""

from __future__ import annotations

import sys
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
    progress,
    read_trials,
    trials_option,
    vector,
)
from dynsys.commands.models import box_option

SEVERITIES = ("info", "warning", "critical")


@click.command()
@model_options
@click.option("--out", type=str, help="Folder for the files [default: reports/NAME].")
@click.option("--format", "formats", multiple=True, type=click.Choice(("html", "pdf", "json")), help="Repeatable; all.")
@trials_option
@input_option
@click.option(
    "--starts",
    default=1024,
    show_default=True,
    type=click.IntRange(min=0),
    help="Uniform starts of the fixed-point search.",
)
@box_option
@cycles_option
@duration_option
@click.option(
    "--training", type=click.Path(path_type=Path), metavar="FILE", help="What dynsys.watch wrote: adds a timeline."
)
@click.option("--no-remedies", is_flag=True, help="Do not try what would help training.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit with 1 if a finding is at least this grave.")
@json_option
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
    longest: int,
    step_duration: float | None,
    training: Path | None,
    no_remedies: bool,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Write a stability report of MODEL as HTML, PDF and JSON."""
    f = loaded(model, module, nonlinearity)
    from dynsys.jsonable import dumps

    task = {} if trials is None or no_remedies else _task(trials, f)
    made = dynsys.report(
        f,
        Path("reports") / model.stem if out is None else out,
        formats or _available_formats(),
        trials=read_trials(trials, f),
        input=vector(input_),
        n_starts=starts,
        cycles=longest,
        seed=seed,
        step_duration=step_duration,
        training=training,
        remedies=not no_remedies,
        **task,
        command=" ".join(["dynsys", *sys.argv[1:]]),
        progress=progress(quiet),
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


def _task(trials: Path, f: Any) -> dict[str, Any]:
    """Targets, loss and at of the trials file; nothing without a loss, or for a model without a readout."""
    from dynsys.treatment.task_file import load_task

    task = load_task(trials, f)
    if task["loss"] is None or getattr(f, "readout", None) is None:
        return {}
    return {name: task[name] for name in ("targets", "loss", "at")}


def _available_formats() -> tuple[str, ...]:
    """All formats, less PDF where its optional package is missing; asked for by name, that is an error."""
    from importlib.util import find_spec

    if find_spec("typst") is not None:
        return ("html", "pdf", "json")
    click.echo("dynsys: no PDF without typst (pip install typst); writing HTML and JSON.", err=True)
    return ("html", "json")
