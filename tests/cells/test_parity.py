"""Our cells step as PyTorch, Keras and onnxruntime do, float32, from committed results and from the frameworks."""

from __future__ import annotations

import dataclasses
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys

FIXTURES = Path(__file__).parents[1] / "fixtures"
Case = dict[str, np.ndarray]


def committed() -> dict[str, Case]:
    found: dict[str, Case] = {}
    with np.load(FIXTURES / "parity.npz") as file:
        for key in file.files:
            name, _, array = key.partition("/")
            found.setdefault(name, {})[array] = file[key].astype(np.float64)
    return found


CASES = committed()


def split(letter: str, gates: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The row blocks of one stacked array under our names, in the framework's order of `gates`."""
    return {f"{letter}_{gate}": part for gate, part in zip(gates, np.split(rows, len(gates)), strict=True)}


def from_torch(case: Case) -> Any:
    W, U = case["weight_ih_l0"], case["weight_hh_l0"]
    b, c = case["bias_ih_l0"], case["bias_hh_l0"]
    if len(W) == 3 * U.shape[1]:
        gates = split("W", "rzh", W) | split("U", "rzh", U) | split("b", "rzh", b + c)
        return cells.GRUResetAfter(**(gates | {"b_h": np.split(b, 3)[2], "b_hn": np.split(c, 3)[2]}))
    gates = split("W", "ifgo", W) | split("U", "ifgo", U) | split("b", "ifgo", b + c)
    return cells.ProjectedLSTM(P=case["weight_hr_l0"], **gates) if "weight_hr_l0" in case else cells.LSTM(**gates)


def from_torch_rnn(activation: str) -> Callable[[Case], Any]:
    return lambda case: cells.Elman(
        W=case["weight_ih_l0"],
        U=case["weight_hh_l0"],
        b=case["bias_ih_l0"] + case["bias_hh_l0"],
        activation=activation,
    )


def from_keras_gru(case: Case) -> Any:
    gates = split("W", "zrh", case["kernel"].T) | split("U", "zrh", case["recurrent_kernel"].T)
    if case["bias"].ndim == 1:
        return cells.GRU(**gates, **split("b", "zrh", case["bias"]))
    b, c = case["bias"]
    both = split("b", "zrh", b + c) | {"b_h": np.split(b, 3)[2], "b_hn": np.split(c, 3)[2]}
    return cells.GRUResetAfter(**gates, **both)


def from_keras_lstm(**options: str) -> Callable[[Case], Any]:
    return lambda case: cells.LSTM(
        **split("W", "ifgo", case["kernel"].T),
        **split("U", "ifgo", case["recurrent_kernel"].T),
        **split("b", "ifgo", case["bias"]),
        **options,  # type: ignore[arg-type]
    )


def onnx_gates(case: Case, gates: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    b, c = np.split(case["B"][0], 2)
    return split("W", gates, case["W"][0]) | split("U", gates, case["R"][0]), b, c


def from_onnx_lstm(**options: str) -> Callable[[Case], Any]:
    def build(case: Case) -> Any:
        gates, b, c = onnx_gates(case, "iofg")
        gates |= split("b", "iofg", b + c)
        return (
            cells.PeepholeLSTM(**gates, **split("p", "iof", case["P"][0]))
            if "P" in case
            else cells.LSTM(
                **gates,
                **options,  # type: ignore[arg-type]
            )
        )

    return build


def from_onnx_coupled(case: Case) -> Any:
    """f = 1 - i from the input gate: as sigmoid(-a) = 1 - sigmoid(a), ours is that gate with its signs turned."""
    gates, b, c = onnx_gates(case, "iofg")
    gates |= split("b", "iofg", b + c)
    if "P" in case:
        gates |= split("p", "iof", case["P"][0])
    kept = {name: value for name, value in gates.items() if name[-1] in "og"}
    return cells.CoupledLSTM(**kept, **{f"{k[0]}_f": -v for k, v in gates.items() if k[-1] == "i"})


def from_onnx_gru(after: bool) -> Callable[[Case], Any]:
    def build(case: Case) -> Any:
        gates, b, c = onnx_gates(case, "zrh")
        if not after:
            return cells.GRU(**gates, **split("b", "zrh", b + c))
        both = split("b", "zrh", b + c) | {"b_h": np.split(b, 3)[2], "b_hn": np.split(c, 3)[2]}
        return cells.GRUResetAfter(**gates, **both)

    return build


READ: dict[str, Callable[[Case], Any]] = {
    "torch-rnn-tanh": from_torch_rnn("tanh"),
    "torch-rnn-relu": from_torch_rnn("relu"),
    "torch-lstm": from_torch,
    "torch-lstm-projected": from_torch,
    "torch-gru": from_torch,
    "keras-rnn": lambda case: cells.Elman(W=case["kernel"].T, U=case["recurrent_kernel"].T, b=case["bias"]),
    "keras-lstm": from_keras_lstm(),
    "keras-lstm-hard": from_keras_lstm(gate_activation="hard_sigmoid"),
    "keras-gru-after": from_keras_gru,
    "keras-gru-before": from_keras_gru,
    "onnx-lstm-peepholes": from_onnx_lstm(),
    "onnx-lstm-coupled": from_onnx_coupled,
    "onnx-lstm-coupled-peepholes": from_onnx_coupled,
    "onnx-lstm-hard": from_onnx_lstm(gate_activation="hard_sigmoid_fifth", activation="softsign"),
    "onnx-gru-before": from_onnx_gru(after=False),
    "onnx-gru-after": from_onnx_gru(after=True),
}


def states_of(cell: Any, case: Case) -> np.ndarray:
    return np.asarray(dynsys.simulate(cell, case["states"][0], case["inputs"]))


@pytest.mark.parametrize("name", READ)
def test_states_are_those_of_the_framework(name: str) -> None:
    """Six steps, to the rounding of float32: 1e-6."""
    case = CASES[name]
    np.testing.assert_allclose(states_of(READ[name](case), case), case["states"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("framework", "needs"), [("torch", "torch"), ("keras", "keras"), ("onnx", "onnxruntime")])
def test_states_are_those_of_the_installed_framework(
    framework: str, needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, computed now, with whatever version is installed."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch" if framework == "keras" else needs)
    pytest.importorskip(needs)
    spec = importlib.util.spec_from_file_location("make_parity", FIXTURES / "make_parity.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the frameworks
        made = dict(maker.MAKERS[framework]())
    assert set(made) == {name for name in READ if name.startswith(framework)}
    for name, arrays in made.items():
        case = {key: value.astype(np.float64) for key, value in arrays.items()}
        np.testing.assert_allclose(states_of(READ[name](case), case), case["states"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in READ if "gru" in name])
def test_another_convention_gives_other_states(name: str) -> None:
    """Swapping the update, or the place of the reset gate, changes the states by far more than the tolerance above."""
    case, cell = CASES[name], READ[name](CASES[name])
    other = cells.GRU if isinstance(cell, cells.GRUResetAfter) else cells.GRUResetAfter
    shared = {key: value for key, value in cell.parameters.items() if key in other.shapes()}
    swapped = dataclasses.replace(cell, update="takes-new")
    for wrong in (swapped, other(**shared)):
        assert np.abs(states_of(wrong, case) - case["states"]).max() > 1e-2


@pytest.mark.parametrize("name", ["onnx-lstm-peepholes", "onnx-lstm-coupled-peepholes"])
def test_peepholes_are_not_confused_with_each_other(name: str) -> None:
    """ONNX stacks them i, o, f: read in the order i, f, o they give other states."""
    case = CASES[name]
    i, o, f = np.split(case["P"], 3, axis=1)
    wrong = READ[name](case | {"P": np.concatenate([i, f, o], axis=1)})
    assert np.abs(states_of(wrong, case) - case["states"]).max() > 1e-2


def test_conventions_are_named() -> None:
    """The class and the report's words say which convention is in use."""
    assert cells.GRU.random(2, 1).conventions == ["reset gate before the recurrent product", "update keeps-old"]
    assert cells.GRUResetAfter.random(2, 1, update="takes-new").conventions == [
        "reset gate after the recurrent product",
        "update takes-new",
    ]
