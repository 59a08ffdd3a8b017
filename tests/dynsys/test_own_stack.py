"""Stacks of cells are saved and come back: the same numbers, and damaged files by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, LoadError

EXAMPLES = Path(__file__).parents[2] / "examples"


def deep(skip: bool) -> Any:
    return dynsys.stack(
        cells.GRU.random(3, 2, seed=1),
        cells.LSTM.random(2, 3 + 2 * skip),
        cells.Jordan.random(3, 2 + 2 * skip),
        skip=skip,
    )


@pytest.mark.parametrize("skip", [False, True])
def test_a_stack_comes_back_as_it_was(tmp_path: Path, skip: bool) -> None:
    f, start = deep(skip), np.linspace(-1, 1, 10)
    dynsys.save_npz(f, tmp_path / "deep.npz", readout=(np.ones((2, 3)), [1.0, 2.0]), initial_state=start)
    g: Any = dynsys.load(tmp_path / "deep.npz")
    u = np.array([0.3, -0.4])
    np.testing.assert_array_equal(g.step(start, u), f.step(start, u))
    np.testing.assert_array_equal(g.jacobian(start, u), f.jacobian(start, u))
    np.testing.assert_array_equal(g.initial_state, start)
    np.testing.assert_array_equal(g.readout.c[:, 0], [1.0, 2.0])
    assert g.source.cells == ("GRU", "LSTM", "Jordan")
    assert g.notes == f.notes


def test_a_loaded_network_of_layers_is_saved_as_it_is(tmp_path: Path) -> None:
    model: Any = dynsys.load(EXAMPLES / "char_gru.pt")
    dynsys.save_npz(model, tmp_path / "char.npz", readout=model.readout)
    again: Any = dynsys.load(tmp_path / "char.npz")
    state, u = np.full(model.state_size, 0.1), np.full(model.input_size, 0.2)
    np.testing.assert_array_equal(again.step(state, u), model.step(state, u))
    dynsys.save_npz(dynsys.as_map(cells.Elman(U=[[0.5]])), tmp_path / "one.npz")
    assert dynsys.load(tmp_path / "one.npz").layers[0].U == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("layer1.U_f"), "layer 1.*U_f"),
        (lambda a: a.update({"layer1.cell": np.array("Other")}), "layer 1 is of class 'Other'"),
        (lambda a: a.update({"layer1.W_f": np.ones((2, 7))}), "layer 1"),
        (lambda a: a.pop("layer1.cell"), "layer 1|takes"),
        (lambda a: a.update({"V": np.ones((2, 9))}), "readout takes 9"),
        (lambda a: a.update({"initial_state": np.ones(3)}), "initial_state"),
        (lambda a: a.update({"skip": np.array("True")}), "takes 3 inputs"),
    ],
)
def test_a_damaged_stack_is_refused_by_name(tmp_path: Path, change: Any, message: str) -> None:
    dynsys.save_npz(deep(False), tmp_path / "deep.npz", readout=np.ones((2, 3)))
    with np.load(tmp_path / "deep.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(tmp_path / "deep.npz", **arrays)
    with pytest.raises(LoadError, match=message):
        dynsys.load(tmp_path / "deep.npz")


def test_what_is_no_stack_of_cells_is_refused(tmp_path: Path) -> None:
    for f in (dynsys.close_loop(cells.GRU.random(2, 2), np.eye(2)), np.sin, dynsys.stack(dynsys.as_map(np.sin, 1))):
        with pytest.raises(InputError, match="cell"):
            dynsys.save_npz(f, tmp_path / "x.npz")
