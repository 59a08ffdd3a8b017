"""The one public door."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cells
import dynsys

HEAVY = ["scipy", "sympy", "matplotlib", "networkx", "torch", "jinja2", "click", "safetensors", "latex2mathml", "cells"]


def test_all_is_what_is_there() -> None:
    assert len(set(dynsys.__all__)) == len(dynsys.__all__)
    assert dir(dynsys) == sorted(dynsys.__all__)
    for name in dynsys.__all__:
        assert getattr(dynsys, name) is not None


def test_public_names_are_documented() -> None:
    for name in set(dynsys.__all__) - {"__version__"}:
        assert (getattr(dynsys, name).__doc__ or "").strip()


def test_promised_names_are_there() -> None:
    promised = {"as_map", "load", "simulate", "find_fixed_points", "lyapunov_spectrum", "gradient_spectrum", "bptt"}
    assert promised | {"drive", "iterate", "close_loop", "stack", "Map"} <= set(dynsys.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        dynsys.no_such_thing  # noqa: B018 (the access is the test)


def test_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from dynsys import *", names)
    assert set(dynsys.__all__) - {"__version__"} <= set(names)


@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_costs_numpy_alone(heavy: str) -> None:
    """In a fresh process; nothing heavy before it is used."""
    program = f"import sys, dynsys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_dynsys_reads_cells_it_does_not_import() -> None:
    """Analysing a user's own cell never imports `cells`."""
    program = """
import sys, numpy as np, dynsys
class Own:
    state_blocks, input_size, hidden_size, outputs, parameters = {"h": 2}, 0, 2, "h", {}
    def step(self, h, x): return np.tanh(2.0 * h)
    def range(self, low, high): return None
assert len(dynsys.find_fixed_points(Own())) == 9
sys.exit("cells" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_all_of_cells_is_there() -> None:
    for name in cells.__all__:
        assert getattr(cells, name).__doc__


def test_errors_have_one_root_and_the_builtin_meaning() -> None:
    from dynsys import errors

    assert issubclass(errors.ShapeError, (errors.InputError,))
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.AnalysisError, RuntimeError)
    assert issubclass(errors.MissingPackageError, ImportError)
    for kind in (errors.InputError, errors.AnalysisError, errors.MissingPackageError, errors.LoadError):
        assert issubclass(kind, errors.DynsysError)
