"""What the names in a state dict mean: layers, wrappers, readout, embedding, initial state."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dynsys
from dynsys.errors import LoadError
from dynsys.loaders import load
from dynsys.model import Model

pytestmark = pytest.mark.filterwarnings("error")
Arrays = dict[str, Any]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(kind: str = "GRU", n: int = 4, m: int = 3, layers: int = 1, prefix: str = "rnn.") -> Arrays:
    rng, rows = np.random.default_rng(0), GATES[kind] * n
    found: Arrays = {}
    for k in range(layers):
        found[f"{prefix}weight_ih_l{k}"] = rng.normal(size=(rows, n if k else m))
        found[f"{prefix}weight_hh_l{k}"] = rng.normal(size=(rows, n))
        found[f"{prefix}bias_ih_l{k}"] = rng.normal(size=rows)
        found[f"{prefix}bias_hh_l{k}"] = rng.normal(size=rows)
    return found


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def save_and_load(arrays: Arrays, **options: Any) -> Model:
        with open(tmp_path / "model.npz", "wb") as file:
            np.savez(file, **arrays)
        return load(tmp_path / "model.npz", **options)

    return save_and_load


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_an_lstm_step_is_that_of_pytorchs_documentation(read: Any) -> None:
    """Rows i, f, g, o; both biases added; h before c."""
    arrays = recurrent("LSTM", prefix="")
    h, c, x = np.array([0.1, -0.2, 0.3, 0.4]), np.array([0.5, -0.6, 0.7, -0.8]), np.array([1.0, -1.0, 0.5])
    total = arrays["weight_ih_l0"] @ x + arrays["weight_hh_l0"] @ h + arrays["bias_ih_l0"] + arrays["bias_hh_l0"]
    i, f, g, o = np.split(total, 4)
    c = logistic(f) * c + logistic(i) * np.tanh(g)
    expected = np.concatenate([logistic(o) * np.tanh(c), c])
    got = read(arrays).step(np.concatenate([h, [0.5, -0.6, 0.7, -0.8]]), x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


def test_a_gru_step_is_that_of_pytorchs_documentation(read: Any) -> None:
    """Rows r, z, n; the recurrent bias of n stays inside the reset gate's product."""
    arrays = recurrent("GRU", prefix="")
    h, x = np.array([0.1, -0.2, 0.3, 0.4]), np.array([1.0, -1.0, 0.5])
    of_x, of_h = (np.split(arrays[f"weight_{s}_l0"] @ v + arrays[f"bias_{s}_l0"], 3) for s, v in (("ih", x), ("hh", h)))
    r, z = logistic(of_x[0] + of_h[0]), logistic(of_x[1] + of_h[1])
    expected = (1 - z) * np.tanh(of_x[2] + r * of_h[2]) + z * h
    np.testing.assert_allclose(read(arrays).step(h, x), expected, rtol=0, atol=1e-14)


def test_the_nonlinearity_of_a_plain_rnn_is_asked_told_or_assumed(read: Any) -> None:
    arrays = recurrent("RNN")
    assumed = read(arrays)
    assert assumed.layers[0].activation == "tanh"
    assert "the file does not say tanh or ReLU; tanh is assumed (nonlinearity='relu' to change)" in assumed.notes
    for model in (read(arrays, nonlinearity="relu"), read({**arrays, "nonlinearity": "relu"})):
        assert model.layers[0].activation == "relu"
        assert not any("assumed" in note for note in model.notes)
    assert read({**arrays, "nonlinearity": "relu"}, nonlinearity="tanh").layers[0].activation == "tanh"
    with pytest.raises(LoadError, match="'gelu'"):
        read(arrays, nonlinearity="gelu")
    with pytest.raises(LoadError, match="Leave it out"):
        read(recurrent("GRU"), nonlinearity="tanh")


def test_biases_may_be_absent(read: Any) -> None:
    arrays = {name: value for name, value in recurrent("LSTM").items() if "bias" not in name}
    assert not read(arrays).parameters["b_f"].any()


def test_slashes_of_nested_archives_are_dots(read: Any) -> None:
    assert read(recurrent(prefix="params/rnn/")).source.prefix == "params.rnn"


def test_one_of_several_modules_is_chosen_by_name(read: Any) -> None:
    encoder, decoder = recurrent(prefix="encoder.rnn."), recurrent("LSTM", n=5, prefix="decoder.rnn.")
    both = {**encoder, **decoder, "decoder.out.weight": np.ones((2, 5)), "encoder.emb.weight": np.ones((9, 3))}
    with pytest.raises(LoadError, match=r"2 recurrent modules: encoder\.rnn, decoder\.rnn.*module='encoder\.rnn'"):
        read(both)
    first, second = read(both, module="encoder.rnn"), read(both, module="decoder.rnn")
    assert (first.source.cells, second.source.cells) == (("GRUResetAfter",), ("LSTM",))
    assert first.embedding is not None
    assert first.readout is None, "the readout beside the decoder is not the encoder's"
    assert second.readout is not None
    with pytest.raises(LoadError, match=r"'other'; there is encoder\.rnn"):
        read(both, module="other")
    with pytest.raises(LoadError, match="Leave it out"):
        read({"U": np.eye(2)}, module="rnn")


def test_the_readout_is_the_one_linear_layer_left_over(read: Any) -> None:
    model = read({**recurrent(), "head.weight": np.arange(8.0).reshape(2, 4), "head.bias": np.array([1.0, 2.0])})
    np.testing.assert_array_equal(model.readout(np.ones(4)), [7.0, 24.0])
    assert read({**recurrent(), "head.weight": np.ones((2, 4))}).readout.c.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"a.weight": (2, 4), "b.weight": (5, 4)}, "several linear layers"),
        ({"head.0.weight": (7, 4), "head.0.bias": (7,), "head.2.weight": (2, 7)}, "several layers"),
    ],
)
def test_an_unclear_readout_is_left_out_and_said_so(read: Any, extra: dict[str, tuple[int, ...]], words: str) -> None:
    model = read({**recurrent(), **{name: np.ones(shape) for name, shape in extra.items()}})
    assert model.readout is None
    assert any(words in note for note in model.notes)


def test_what_is_not_used_is_named_with_its_shape(read: Any) -> None:
    model = read({**recurrent(), "classifier.weight": np.ones((10, 20)), "norm.weight": np.ones(4)})
    assert "not used: classifier.weight (10, 20), norm.weight (4,)" in model.notes


def test_the_embedding_is_found_by_name_or_by_being_the_only_one(read: Any) -> None:
    table, head = np.arange(21.0).reshape(7, 3), {"out.weight": np.ones((7, 4))}
    np.testing.assert_array_equal(read({**recurrent(), "token_embedding.weight": table, **head}).embedding, table)
    np.testing.assert_array_equal(read({**recurrent(), "wte.weight": table, **head}).embedding, table)
    two = read({**recurrent(), "emb_a.weight": table, "emb_b.weight": table})
    assert two.embedding is None
    assert any("several matrices" in note for note in two.notes)
    biased = read({**recurrent(), "encoder.weight": table, "encoder.bias": np.ones(7)})
    assert biased.embedding is None, "an embedding has no bias"


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4)])
@pytest.mark.parametrize("name", ["initial_hiddens_1xd", "net.h0", "init_h", "initial_state"])
def test_a_learned_initial_state_is_taken(read: Any, shape: tuple[int, ...], name: str) -> None:
    model = read({**recurrent(), name: np.arange(4.0).reshape(shape)})
    np.testing.assert_array_equal(model.initial_state, np.arange(4.0))


def test_a_stacks_initial_state_is_put_layer_by_layer(read: Any) -> None:
    h, c = np.arange(8.0).reshape(2, 1, 4), 10 + np.arange(8.0).reshape(2, 1, 4)
    model = read({**recurrent("LSTM", layers=2), "h0": h, "c0": c})
    expected = np.concatenate([h[0, 0], c[0, 0], h[1, 0], c[1, 0]])
    np.testing.assert_array_equal(model.initial_state, expected)
    alone = read({**recurrent("LSTM"), "h0": np.ones((1, 4))})
    np.testing.assert_array_equal(alone.initial_state, [1, 1, 1, 1, 0, 0, 0, 0])
    assert any("zeros are assumed" in note for note in alone.notes)


def test_an_initial_state_per_sample_is_not_one(read: Any) -> None:
    model = read({**recurrent(), "h0": np.ones((1, 32, 4))})
    assert model.initial_state is None
    assert "not used: h0 (1, 32, 4)" in model.notes


def _without(arrays: Arrays, name: str) -> Arrays:
    return {key: value for key, value in arrays.items() if key != name}


def _with_nan(name: str) -> Arrays:
    arrays = {**recurrent(), "head.weight": np.ones((2, 4))}
    arrays[name] = arrays[name].copy()
    arrays[name].flat[5] = np.nan
    return arrays


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({**recurrent(), "rnn.weight_ih_l0_reverse": np.ones((12, 3))}, "bidirectional"),
        ({**recurrent("LSTM"), "rnn.weight_hr_l0": np.ones((2, 4))}, r"weight_hr_l0 \(2, 4\) and .*\(16, 4\)"),
        (_without(recurrent(), "rnn.weight_ih_l0"), r"rnn\.weight_ih_l0 is missing"),
        (_without(recurrent(), "rnn.weight_hh_l0"), r"rnn\.weight_hh_l0 is missing"),
        (_without(recurrent(), "rnn.bias_hh_l0"), r"rnn\.bias_hh_l0 is missing"),
        ({k: v for k, v in recurrent(layers=3).items() if "l1" not in k}, "layer 1 .* is missing"),
        ({k: v for k, v in recurrent(layers=2).items() if "l0" not in k}, "layer 0 .* is missing"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones((8, 4))}, r"rnn\.weight_hh_l0 has shape \(8, 4\)"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones(12)}, r"rnn\.weight_hh_l0 has shape \(12,\)"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones((0, 0))}, r"\(0, 0\)"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones((0, 4))}, r"\(0, 4\)"),
        ({**recurrent(), "rnn.weight_ih_l0": np.ones((11, 3))}, r"rnn\.weight_ih_l0 has shape \(11, 3\)"),
        ({**recurrent(), "rnn.bias_ih_l0": np.ones((12, 1))}, r"rnn\.bias_ih_l0 has shape \(12, 1\)"),
        ({**recurrent(layers=2), "rnn.weight_ih_l1": np.ones((12, 5))}, r"weight_ih_l1 takes 5 inputs"),
        ({**recurrent(layers=2), "rnn.weight_hh_l1": np.ones((16, 4))}, "type LSTM"),
        (_with_nan("rnn.weight_hh_l0"), r"rnn\.weight_hh_l0.*not finite"),
        (_with_nan("head.weight"), r"head\.weight.*not finite"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones((12, 4), dtype=np.int8)}, "int8"),
        ({**recurrent(), "rnn.weight_hh_l0": np.ones((12, 4), dtype=complex)}, "complex"),
        ({**recurrent(), "rnn.bias_hh_l0": np.full(12, 1.7e308), "rnn.bias_ih_l0": np.full(12, 1.7e308)}, "finite"),
        ({"a": np.ones((3, 2)), "b": np.ones(3)}, r"no recurrent layer: found a \(3, 2\), b \(3,\)"),
        ({}, "without arrays"),
        ({"rnn.weight_hh_l0": np.ones((4, 4)), "rnn.weight_hh": np.ones((4, 4))}, "both claim"),
        ({**recurrent(), "rnn.weight_hh_l0_g": np.ones(3), "rnn.weight_hh_l0_v": np.ones((12, 4))}, None),
        ({"weight_hh_l0_g": np.ones((3, 1)), "weight_hh_l0_v": np.ones((12, 4))}, "weight norm"),
        ({"weight_hh_l0_g": np.ones((12, 1)), "weight_hh_l0_v": np.zeros((12, 4))}, "length zero"),
    ],
)
def test_state_dicts_that_make_no_network_are_refused(read: Any, arrays: Arrays, words: str | None) -> None:
    if words is None:
        assert isinstance(read(arrays), Model)
        return
    with pytest.raises(LoadError, match=words):
        read(arrays)


def test_a_stranger_named_cells_is_pointed_out(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = types.ModuleType("cells")
    stranger.__file__ = "/home/somebody/project/cells.py"
    monkeypatch.setitem(sys.modules, "cells", stranger)
    for arrays in (recurrent(), {"U": np.eye(2)}):
        with pytest.raises(LoadError, match=r"in the way: /home/somebody/project/cells\.py.*rename"):
            read(arrays)


def test_loaded_layers_are_ordinary_cells(read: Any) -> None:
    model = read(recurrent("LSTM", layers=2))
    again = dynsys.stack(*model.layers)
    state = np.linspace(-0.5, 0.5, 16)
    np.testing.assert_array_equal(again.step(state), model.step(state))
