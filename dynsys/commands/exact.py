"""`dynsys exact`: the formulas of a small network and what follows from them."""

from __future__ import annotations

from pathlib import Path

import click

from dynsys.commands.common import input_option, json_option, loaded, model_options, vector
from dynsys.errors import AnalysisError


@click.command()
@model_options
@input_option
@click.option("--symbols", metavar="U,b,...", help='Parameters kept as symbols, or "all".')
@click.option("--parameter", metavar="b", help="Also the bifurcations in this symbol.")
@json_option
def exact(
    model: Path,
    module: str | None,
    nonlinearity: str | None,
    seed: int,
    quiet: bool,
    input_: str | None,
    symbols: str | None,
    parameter: str | None,
    as_json: bool,
) -> None:
    """Write a small MODEL as formulas: exact fixed points, multipliers, bifurcations."""
    from dynsys.exact import symbolic
    from dynsys.exact_text import bifurcations_text, equations_text, points_text
    from dynsys.jsonable import dumps

    f = loaded(model, module, nonlinearity)
    names = "all" if symbols == "all" else [] if symbols is None else symbols.split(",")
    formulas = symbolic(f, vector(input_), symbols=names)
    turning = None if parameter is None else formulas.bifurcations(parameter)
    if as_json:
        data = formulas.to_dict()
        click.echo(dumps(data if turning is None else data | {"bifurcations": [b.to_dict() for b in turning]}))
        return
    click.echo(equations_text(formulas))
    if turning is not None:
        click.echo(bifurcations_text(turning))
    try:
        click.echo(points_text(formulas, formulas.fixed_points()))
    except AnalysisError as error:
        if turning is None:
            raise
        click.echo(f"Fixed points: {error}")
