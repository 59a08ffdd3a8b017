"""`dynsys cells`."""

from __future__ import annotations

import json

import click

from dynsys.commands.common import (
    json_option,
)


@click.command("cells")
@json_option
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
