"""`dynsys propagate`: a graph, features on it, and the layers of a network."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

import dynsys
from dynsys.commands.common import json_option, progress
from dynsys.errors import InputError

NORMALIZATIONS = ("sym+loops", "sym", "row+loops")


def _number(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number of seconds.")
    return value


@click.command()
@click.argument("graph", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--features", type=click.Path(path_type=Path), metavar="FILE.npz", help="The signal, an array (n, d).")
@click.option("--rows-to-one", is_flag=True, help="Divide each row of the features by its sum.")
@click.option("--depth", type=click.IntRange(min=1), help="Layers [default: the model's own, else 64].")
@click.option("--normalization", default="sym+loops", show_default=True, type=click.Choice(NORMALIZATIONS))
@click.option("--nonlinearity", type=click.Choice(("relu", "tanh")), help="Between the layers: files do not say.")
@click.option("--module", metavar="PREFIX", help="Which part of the model's file.")
@click.option("--out", type=str, help="Folder for the report [default: reports/NAME].")
@click.option("--format", "formats", multiple=True, type=click.Choice(("html", "pdf", "json")), help="Repeatable; all.")
@click.option("--quick", is_flag=True, help="Only follow the signal; no report.")
@click.option("--symmetrise", is_flag=True, help="Read a directed graph as undirected.")
@click.option(
    "--budget-seconds", type=click.FloatRange(min=0), callback=_number, help="Parts that begin later are left out."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of all random choices.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--fail-on", type=click.Choice(("info", "warning", "critical")), help="Exit with 1 at this severity.")
@json_option
def propagate(
    graph: Path,
    model: Path | None,
    features: Path | None,
    rows_to_one: bool,
    depth: int | None,
    normalization: str,
    nonlinearity: str | None,
    module: str | None,
    out: str | None,
    formats: tuple[str, ...],
    quick: bool,
    symmetrise: bool,
    budget_seconds: float | None,
    seed: int,
    quiet: bool,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Report what the layers of MODEL, or plain propagation, do to features on GRAPH.

    GRAPH is an .npz, .csv or .graphml file, MODEL a file with graph convolutions. Without --features the graph's own
    file is searched for them.
    """
    from dynsys.jsonable import dumps, jsonable
    from dynsys.propagate.signals import read_signals

    network = None if model is None else _network(model, nonlinearity, module)
    if network is None and (nonlinearity is not None or module is not None):
        raise InputError("--nonlinearity and --module are about a MODEL; none was given.")
    net = dynsys.graphs.as_graph(graph, directed="symmetrise" if symmetrise else "refuse")
    # Without features a random signal stands in, as wide as the model takes it.
    width = None if network is None else network.widths[0]
    signals = read_signals(features, graph, net.n_nodes, seed, rows_to_one=rows_to_one, width=width)
    if quick:
        result = dynsys.propagation(
            network, net, signals.features, depth, normalization=normalization, labels=signals.labels,
            train=signals.train, test=signals.test, seed=seed, progress=progress(quiet),
        )  # fmt: skip
        click.echo(dumps(result.to_dict()) if as_json else _in_words(result, signals))
        return
    from dynsys.commands.report import SEVERITIES, _available_formats
    from dynsys.reporting.graph_report import propagation_report

    name = graph.stem if model is None else f"{graph.stem}_{model.stem}"
    made = propagation_report(
        net, network, signals, Path("reports") / name if out is None else out, formats or _available_formats(),
        title=name, depth=depth, normalization=normalization, budget_seconds=budget_seconds, seed=seed,
        command=" ".join(["dynsys", *sys.argv[1:]]), progress=progress(quiet),
    )  # fmt: skip
    if as_json:
        # The propagation itself stands at top level, as with every command; the rest of the report beside it.
        click.echo(dumps(jsonable(made.study.propagation) | made.document.data))
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


def _in_words(result: Any, signals: Any) -> str:
    return "\n".join([str(result), f"Signal: {signals.origin}.", *(f"Note: {note}" for note in signals.notes)])


def _network(model: Path, nonlinearity: str | None, module: str | None) -> Any:
    network = dynsys.load(model, nonlinearity=nonlinearity, module=module)
    if not hasattr(network, "as_cell"):
        raise InputError(f"{model} holds {network.name}, no graph convolutions: use `dynsys report {model}`.")
    return network
