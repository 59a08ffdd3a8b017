"""MODEL on the command line: a file of weights, or something in the user's own Python file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dynsys.errors import InputError

_KEY = "dynsys.own_code"


def _kept(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Kept beside the call: only `loaded_model` wants these, not the commands."""
    ctx.meta.setdefault(_KEY, {})[param.name] = value
    return value


MORE_MODEL_OPTIONS = [
    click.option(
        "--params",
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        expose_value=False,
        callback=_kept,
        help="Fields of the class that MODEL names in a Python file.",
    ),
    click.option(
        "--state-size",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_kept,
        help="State variables of the function that MODEL names.",
    ),
    click.option(
        "--input-size",
        type=click.IntRange(min=0),
        expose_value=False,
        callback=_kept,
        help="Inputs of that function [default: 0].",
    ),
    click.option(
        "--direction",
        metavar="NAME",
        expose_value=False,
        callback=_kept,
        help="Of a bidirectional network: forward, backward, layer1.backward.",
    ),
]
"""For a MODEL in a Python file, and for one direction of a bidirectional network."""


def _box(ctx: click.Context, param: click.Parameter, value: tuple[str, str] | None) -> None:
    sides = None
    if value is not None:
        try:
            sides = [[float(number) for number in side.split(",")] for side in value]
        except ValueError:
            raise click.BadParameter(f"need numbers, as -2 2 or -1,0 1,5; got {' '.join(value)!r}.") from None
    _kept(ctx, param, sides)


box_option = click.option(
    "--box",
    nargs=2,
    metavar="LOW HIGH",
    expose_value=False,
    callback=_box,
    help="Where to look for states: two numbers, or L0,L1,... H0,H1,...  [default: what the equations say, or a guess]",
)
"""For the commands that search."""


def given_box() -> Any:
    """(low, high) of `--box`, or None where it was left out."""
    return click.get_current_context().meta.get(_KEY, {}).get("box")


def loaded_model(model: Path, module: str | None, nonlinearity: str | None) -> Any:
    """The map that MODEL stands for."""
    import dynsys
    from dynsys.combinators import as_map
    from dynsys.loaders.own_code import is_own_code, load_own_code

    own = click.get_current_context().meta.get(_KEY, {})
    box = given_box()
    if is_own_code(str(model)):
        pytorch = {"--module": module, "--nonlinearity": nonlinearity, "--direction": own.get("direction")}
        for name, value in pytorch.items():
            if value is not None:
                raise InputError(f"{name} is for files of weights from PyTorch, not for a Python file. Leave it out.")
        return load_own_code(
            str(model),
            params=own.get("params"),
            state_size=own.get("state_size"),
            input_size=own.get("input_size") or 0,
            box=box,
        )
    direction = own.pop("direction", None)
    given = [f"--{name.replace('_', '-')}" for name, value in own.items() if value is not None and name != "box"]
    if given:
        raise InputError(f"{', '.join(given)}: only for a MODEL in a Python file, such as mycell.py:MyCell.")
    made = dynsys.load(model, nonlinearity=nonlinearity, module=module, direction=direction)
    return as_map(made, box=box)  # which says what to choose where the file holds more than one map, or needs a graph
