"""The command line: `dynsys COMMAND MODEL`. Results go to stdout, progress and errors to stderr.

Exit codes: 0 done; 1 the analysis failed, or findings reached `--fail-on`; 2 the caller's mistake or a bad file.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

import dynsys
from dynsys.commands.cells import list_cells
from dynsys.commands.covariant import covariant
from dynsys.commands.exact import exact
from dynsys.commands.fixed_points import fixed_points
from dynsys.commands.gradients import gradients
from dynsys.commands.lyapunov import lyapunov
from dynsys.commands.mean_field import mean_field
from dynsys.commands.propagate import propagate
from dynsys.commands.remedies import remedies
from dynsys.commands.report import report
from dynsys.commands.worst_case import worst_case
from dynsys.errors import DynsysError, InputError, MissingPackageError


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
    """Read a trained recurrent or graph network as a dynamical system.

    MODEL is a .pt/.pth (weights only), .safetensors or .npz file, or mycell.py:MyCell, a cell or function in a Python
    file of yours, which is run. Start with:

        dynsys report MODEL --out reports/model
    """


COMMANDS = (
    report, fixed_points, lyapunov, covariant, gradients, worst_case, exact, mean_field, remedies, propagate,
    list_cells,
)  # fmt: skip
for command in COMMANDS:
    main.add_command(command)
