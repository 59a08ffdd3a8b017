"""Cells under the names of their own fields: what is saved comes back, and what makes no cell is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
from dynsys.errors import InputError, LoadError
from dynsys.loaders import load
from dynsys.loaders.save import save_npz
from dynsys.model import Model

pytestmark = pytest.mark.filterwarnings("error")
Arrays = dict[str, Any]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def save_and_load(arrays: Arrays, **options: Any) -> Model:
        with open(tmp_path / "model.npz", "wb") as file:
            np.savez(file, **arrays)
        return load(tmp_path / "model.npz", **options)

    return save_and_load


OWN = [
    cells.Elman.random(4, 2, seed=1),
    cells.Elman(U=np.eye(3), activation="relu"),
    cells.LSTM.random(3, 2, seed=2),
    cells.GRU.random(3, 2, seed=3),
    cells.GRU(**{**cells.GRU.random(3, 1, seed=3).parameters, "update": "takes-new"}),
    cells.GRUResetAfter.random(3, 2, seed=4),
    cells.AntisymmetricRNN.random(3, 2, epsilon=0.2),
    cells.CFN.random(3, 2),
    cells.ContextRNN.random(3, 2),
    cells.CoupledLSTM.random(3, 2),
    cells.DiagonalSSM.random(3, 2),
    cells.EchoState.random(3, 2, alpha=0.5),
    cells.GatelessLSTM.random(3, 2, shows="candidate"),
    cells.LatentRNN.random(6, 2, rank=2),
    cells.LeakyRNN.random(3, 2, equation="currents"),
    cells.LeakyRNN.dale(5, 2),
    cells.Linear.random(3, 2),
    cells.LowRankRNN.random(5, 2, rank=2),
    cells.MGU.random(3, 2),
    cells.OrthogonalRNN.random(3, 2, gain=0.9, activation="modrelu"),
    cells.PLRNN.random(3, 2),
    cells.PeepholeLSTM.random(3, 2, gate_activation="hard_sigmoid"),
    cells.ProjectedLSTM.random(4, 2),
    cells.RecurrentMLP.random(3, 2, second=2),
    cells.ReducedGRU.random(3, 2, gates="bias"),
]


@pytest.mark.parametrize("cell", OWN, ids=lambda cell: type(cell).__name__)
def test_a_saved_cell_comes_back(cell: Any, tmp_path: Path) -> None:
    readout = (np.arange(2.0 * cell.output_size).reshape(2, -1), np.array([1.0, -1.0]))
    start = np.linspace(-1, 1, cell.state_size)
    save_npz(cell, tmp_path / "cell", readout, initial_state=start)
    model = load(tmp_path / "cell")
    (back,) = model.layers
    assert type(back) is type(cell)
    assert vars(back).keys() == vars(cell).keys()
    for name, value in vars(cell).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    np.testing.assert_array_equal(model.readout.V, readout[0])
    np.testing.assert_array_equal(model.readout.c[:, 0], readout[1])
    np.testing.assert_array_equal(model.initial_state, start)
    assert model.source.cells == (type(cell).__name__,)
    assert model.notes == ()


def test_a_loaded_readout_can_be_saved_again(tmp_path: Path) -> None:
    cell = cells.GRU.random(3, 2)
    save_npz(cell, tmp_path / "a.npz", np.ones((1, 3)))
    save_npz(cell, tmp_path / "b.npz", load(tmp_path / "a.npz").readout)
    assert load(tmp_path / "b.npz").source.sha256 == load(tmp_path / "a.npz").source.sha256


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no cell",), "writes a cell"),
        ((OWN[0], lambda h: h), "affine"),
        ((OWN[0], np.ones((2, 3))), "3 values"),
    ],
)
def test_what_cannot_be_saved_is_refused(arguments: tuple[Any, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        save_npz(arguments[0], tmp_path / "x.npz", *arguments[1:])
    with pytest.raises(InputError, match="initial_state"):
        save_npz(OWN[0], tmp_path / "x.npz", initial_state=np.ones(3))


def test_safetensors_hold_our_schema_too(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    cell = cells.GRU.random(3, 2, seed=5)
    texts = {"cell": "GRU", "update": "takes-new"}
    save_file({**cell.parameters, "V": np.ones((1, 3))}, tmp_path / "cell.safetensors", metadata=texts)
    model = load(tmp_path / "cell.safetensors")
    assert type(model.layers[0]) is cells.GRU
    assert model.layers[0].update == "takes-new"
    np.testing.assert_array_equal(model.parameters["U_h"], cell.U_h)
    assert model.readout is not None


def test_the_class_may_be_left_out_where_the_fields_fit_one_cell_only(read: Any) -> None:
    assert type(read({"U": [[0, 1], [-1, 0]]}).layers[0]) is cells.Elman
    assert type(read(dict(cells.LSTM.random(3, 2).parameters)).layers[0]) is cells.LSTM
    assert type(read(dict(cells.GRUResetAfter.random(3, 2).parameters)).layers[0]) is cells.GRUResetAfter
    with pytest.raises(LoadError, match=r"GRU, GRUResetAfter.*cell='GRU'"):
        read(dict(cells.GRU.random(3, 2).parameters))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"cell": "GRU", "U_z": np.eye(2)}, "also needs U_h, U_r"),
        ({"cell": "Elman", "U": np.ones((2, 3))}, r"Elman\.U has shape"),
        ({"cell": "Elman", "U": np.array([[np.nan]])}, "U .*not finite"),
        ({"cell": "Elman", "U": np.eye(2), "activation": "gelu"}, "activation"),
        ({"cell": "Elman", "U": np.eye(2), "activation": np.ones(3)}, "cannot load"),
        ({"cell": "Elman", "U": np.eye(2), "V": np.ones((1, 5))}, "readout takes 5"),
        ({"cell": "Elman", "U": np.eye(2), "V": np.ones(2)}, r"\(r, n\)"),
        ({"cell": "Elman", "U": np.eye(2), "V": np.ones((1, 2)), "c": np.ones(2)}, "c has 2"),
        ({"cell": "Elman", "U": np.eye(2), "initial_state": np.ones(3)}, "initial_state"),
        ({"cell": "Elman", "U": np.array([["a"]])}, "stored as <U1"),
        ({"cell": "Elman", "U": np.ones((0, 0))}, "no units"),
        ({"U": np.ones((0, 0))}, "no units"),
    ],
)
def test_own_files_that_make_no_cell_are_refused(read: Any, arrays: Arrays, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        read(arrays)
