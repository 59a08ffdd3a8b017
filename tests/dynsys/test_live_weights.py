"""Weights of running training loops: what is read from them computes what Keras and Flax computed with them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.live_weights import present_map
from dynsys.training_log import read_training

MADE = dict(np.load(Path(__file__).parents[1] / "fixtures" / "live_weights.npz"))
KERAS = {
    "lstm": ("LSTM", "tanh", True, cells.LSTM),
    "gru": ("GRU", "tanh", True, cells.GRUResetAfter),
    "gru_before": ("GRU", "tanh", False, cells.GRU),
    "rnn": ("SimpleRNN", "relu", True, cells.Elman),
}


def arrays(name: str) -> list[np.ndarray]:
    return [MADE[f"{name}.{i}"] for i in range(3)]


def layer(name: str, **changed: Any) -> Any:
    """An object with what a Keras layer shows of itself: its class' name, functions' names, weights."""
    kind, activation, after, _ = KERAS[name]
    fields: dict[str, Any] = {
        "activation": SimpleNamespace(__name__=activation),
        "recurrent_activation": SimpleNamespace(__name__="sigmoid"),
        "reset_after": after,
        "go_backwards": False,
        "get_weights": lambda: arrays(name),
    }
    return _filled(type(kind, (), {})(), fields | changed)


def _filled(thing: Any, fields: dict[str, Any]) -> Any:
    for key, value in fields.items():
        setattr(thing, key, value)
    return thing


def model(*layers: Any) -> Any:
    return _filled(type("Sequential", (), {})(), {"layers": list(layers), "get_weights": list})


def other(kind: str) -> Any:
    return _filled(type(kind, (), {})(), {"get_weights": list})


def outputs_agree(f: dynsys.Map, name: str) -> None:
    """Keras and Flax run in float32, batch first."""
    states = dynsys.simulate(f, None, MADE["inputs"].swapaxes(0, 1).astype(float))
    np.testing.assert_allclose(states[1:, :, f.output].swapaxes(0, 1), MADE[f"{name}.outputs"], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", KERAS)
def test_keras_layers_are_what_keras_runs(name: str) -> None:
    outputs_agree(present_map(layer(name)), name)
    outputs_agree(present_map(model(other("InputLayer"), layer(name), other("Dense"))), name)
    outputs_agree(present_map(lambda: layer(name)), name)


@pytest.mark.parametrize("name", KERAS)
def test_a_list_as_get_weights_gives_it(name: str) -> None:
    kind = KERAS[name][3]
    template = kind.random(3, 2, seed=5, **({"activation": "relu"} if name == "rnn" else {}))
    outputs_agree(present_map(template, arrays(name)), name)


@pytest.mark.parametrize("name", ["flax_lstm", "flax_gru", "flax_rnn"])
def test_flax_parameters_are_what_flax_runs(name: str) -> None:
    tree: dict[str, dict[str, np.ndarray]] = {}
    for key, value in MADE.items():
        if key.startswith(f"{name}.") and not key.endswith("outputs"):
            _, gate, part = key.split(".")
            tree.setdefault(gate, {})[part] = value
    outputs_agree(present_map(lambda: tree), name)
    outputs_agree(present_map(cells.Elman.random(2, 2), tree), name)


def test_layers_one_after_the_other_are_a_stack() -> None:
    upper = layer("rnn", get_weights=lambda: [np.ones((3, 4)), np.eye(4), np.zeros(4)])
    f = present_map(model(layer("gru"), other("Dropout"), upper))
    assert [name for name, _ in f.blocks] == ["layer0.h", "layer1.h"]
    with pytest.raises(InputError, match="between the recurrent layers stands Dense"):
        present_map(model(layer("gru"), other("Dense"), upper))


def test_names_of_ones_own() -> None:
    """Nested or with dots; what is left out stays; the template is not changed."""
    deep = dynsys.stack(cells.Elman.random(3, 2, seed=0), cells.GRU.random(4, 3, seed=1))
    U = np.arange(9.0).reshape(3, 3)
    for weights in ({"layer0": {"U": U}}, {"layer0.U": U}):
        changed = present_map(deep, weights)
        np.testing.assert_array_equal(changed.parameters["layer0.U"], U)
        np.testing.assert_array_equal(changed.parameters["layer1.U_h"], deep.parameters["layer1.U_h"])
    assert not np.array_equal(deep.parameters["layer0.U"], U)
    loaded = dynsys.load(Path(__file__).parents[2] / "examples" / "flipflop_gru.pt")
    same = present_map(loaded, {"b_z": 0 * loaded.parameters["b_z"]})
    assert same.initial_state is not None
    np.testing.assert_array_equal(same.initial_state, loaded.initial_state)


@pytest.mark.parametrize(
    ("template", "weights", "words"),
    [
        (cells.Elman.random(2, 1), {"V": np.eye(2)}, "no parameter V; it has U, W, b"),
        (cells.Elman.random(2, 1), 3.0, "by name, or a list"),
        (cells.LSTM.random(2, 1), [np.eye(2)], "two or three arrays"),
        (cells.LeakyRNN.random(2, 1), [np.eye(2), np.eye(2)], "needs names"),
        (lambda: {"kernel": np.eye(2)}, None, "Flax LSTMCell"),
        (layer("gru", go_backwards=True), None, "backwards"),
        (layer("rnn", activation=SimpleNamespace(__name__="leaky_relu")), None, "0.2"),
        (model(other("Dense")), None, "no layer that is read"),
        (dynsys.as_map(lambda h: 0.5 * h, state_size=1), {"U": np.eye(1)}, "no parameter U"),
    ],
)
def test_what_is_wrong_is_said(template: Any, weights: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        present_map(template, weights)


def test_a_loop_in_plain_numpy_is_watched(tmp_path: Path) -> None:
    """Gradient descent by hand: every record is that of the weights of its step."""
    from dynsys.training_watch import measured

    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((30, 4, 2))
    weights = {"U": 0.5 * np.eye(3), "W": generator.standard_normal((3, 2)), "b": np.zeros(3)}
    watcher = dynsys.watch(cells.Elman(**weights), tmp_path / "t.jsonl", inputs, every=2, overhead=1.0)
    kept = []
    V, targets = np.ones((1, 3)), inputs[..., :1]
    for step in range(7):
        found = dynsys.bptt(cells.Elman(**weights), V, inputs, targets, "squared")
        if watcher.record(step, weights, loss=found.loss):
            kept.append({name: w.copy() for name, w in weights.items()})
        weights = {name: w - 0.3 * found.parameters[name].reshape(w.shape) for name, w in weights.items()}
    log = read_training(tmp_path / "t.jsonl")
    assert [r["step"] for r in log.records] == [0, 2, 4, 6]
    assert log.records[-1]["loss"] < log.records[0]["loss"]
    for record, then in zip(log.records, kept, strict=True):
        assert record["exponent"] == pytest.approx(measured(dynsys.as_map(cells.Elman(**then)), inputs)["exponent"])
    assert log.records[0]["exponent"] != log.records[-1]["exponent"]
