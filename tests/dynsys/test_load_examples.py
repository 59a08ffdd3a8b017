"""The example networks give back the trials that were recorded from them, whatever format they are read from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.loaders import load
from dynsys.maps import Map
from dynsys.model import Model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("error")

FLIPFLOP = ["flipflop_gru.pt", "flipflop_gru.safetensors"]


@pytest.mark.parametrize("name", FLIPFLOP)
def test_the_flip_flop_network_repeats_its_recorded_trials(name: str) -> None:
    """Recorded in float32 over 64 steps: states in (-1, 1) agree to 1e-6, outputs alike."""
    model, trials = load(EXAMPLES / name), np.load(EXAMPLES / "flipflop_gru_trials.npz")
    states = dynsys.simulate(model, None, model.encode(trials["inputs"]).swapaxes(0, 1))[1:].swapaxes(0, 1)
    assert model.readout is not None
    np.testing.assert_allclose(states, trials["hidden"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.readout(states[..., model.output]), trials["output"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FLIPFLOP)
def test_the_flip_flop_fixed_points_are_fixed(name: str) -> None:
    points = np.load(EXAMPLES / "flipflop_gru_fixed_points.npz")["fixed_points"]
    assert np.abs(load(EXAMPLES / name).step(points) - points).max() < 1e-11


def test_the_digits_network_repeats_its_recorded_logits() -> None:
    """Logits up to 11, from the h after 64 steps in float32: 2e-5."""
    model, trials = load(EXAMPLES / "digits_lstm.safetensors"), np.load(EXAMPLES / "digits_lstm_trials.npz")
    last = dynsys.simulate(model, None, model.encode(trials["inputs"]).swapaxes(0, 1))[-1]
    assert model.readout is not None
    np.testing.assert_allclose(model.readout(last[:, model.output]), trials["logits"], rtol=0, atol=2e-5)


def test_the_character_network_repeats_its_recorded_logits() -> None:
    """Logits up to 21, two layers, 256 tokens in float32: 5e-5. Tokens go through the embedding of the file."""
    model, trials = load(EXAMPLES / "char_gru.pt"), np.load(EXAMPLES / "char_gru_trials.npz")
    states = dynsys.simulate(model, None, model.encode(trials["tokens"]))[1:]
    assert model.readout is not None
    np.testing.assert_allclose(model.readout(states[:, model.output]), trials["logits"], rtol=0, atol=5e-5)


def test_three_formats_of_one_network_give_identical_parameters(tmp_path: Path) -> None:
    first, second = (load(EXAMPLES / name) for name in FLIPFLOP)
    arrays = _torch_names(second)
    np.savez(tmp_path / "model.npz", **arrays)
    third = load(tmp_path / "model.npz")
    for other in (second, third):
        assert first.parameters.keys() == other.parameters.keys()
        for name, value in first.parameters.items():
            np.testing.assert_array_equal(other.parameters[name], value)
        assert first.readout is not None
        assert other.readout is not None
        np.testing.assert_array_equal(other.readout.V, first.readout.V)
        np.testing.assert_array_equal(other.initial_state, first.initial_state)


def _torch_names(model: Model) -> dict[str, np.ndarray]:
    """The network as PyTorch names it, in float64, put together from the cell's own fields."""
    (cell,) = model.layers
    zero = np.zeros_like(cell.b_z)
    assert model.readout is not None
    return {
        "rnn.weight_ih_l0": np.concatenate([cell.W_r, cell.W_z, cell.W_h]),
        "rnn.weight_hh_l0": np.concatenate([cell.U_r, cell.U_z, cell.U_h]),
        "rnn.bias_ih_l0": np.concatenate([cell.b_r, cell.b_z, cell.b_h])[:, 0],
        "rnn.bias_hh_l0": np.concatenate([zero, zero, cell.b_hn])[:, 0],
        "readout.weight": model.readout.V,
        "readout.bias": model.readout.c[:, 0],
        "initial_hiddens_1xd": model.initial_state[np.newaxis],
    }


@pytest.mark.parametrize("name", [*FLIPFLOP, "digits_lstm.safetensors"])
def test_the_format_is_told_by_content_not_by_name(name: str, tmp_path: Path) -> None:
    for wrong in ("model", "model.bin", "model.npz", "model.pt"):
        shutil.copyfile(EXAMPLES / name, tmp_path / wrong)
        assert load(tmp_path / wrong).source.sha256 == load(EXAMPLES / name).source.sha256


def test_a_model_says_what_it_is_and_where_it_came_from() -> None:
    path = str(EXAMPLES / "char_gru.pt")
    model = load(path)
    assert model.name == "2 layers of GRUResetAfter with 96 units and 16 inputs"
    assert model.blocks == (("layer0.h", slice(0, 96)), ("layer1.h", slice(96, 192)))
    assert (model.state_size, model.input_size, model.output) == (192, 16, slice(96, 192))
    assert (model.source.path, model.source.format, model.source.prefix) == (path, "pt", "gru")
    assert (model.source.dtype, model.source.cells) == ("float32", ("GRUResetAfter", "GRUResetAfter"))
    assert len(model.source.sha256) == 64
    assert "weights are stored as float32 and were converted to float64" in model.notes
    assert load(EXAMPLES / "flipflop_gru.pt").name == "GRUResetAfter with 16 units and 3 inputs"
    assert load(EXAMPLES / "digits_lstm.safetensors").name == "LSTM with 48 units and 1 input"


def test_metadata_of_safetensors_survives() -> None:
    assert load(EXAMPLES / "flipflop_gru.safetensors").source.metadata["task"] == "3-bit flip-flop"


def test_the_learned_initial_state_is_where_the_orbit_starts() -> None:
    model = load(EXAMPLES / "flipflop_gru.pt")
    assert model.initial_state is not None
    assert model.initial_state.any()
    np.testing.assert_array_equal(dynsys.simulate(model, None, steps=1)[0], model.initial_state)
    assert load(EXAMPLES / "char_gru.pt").initial_state is None


@pytest.mark.parametrize("name", ["flipflop_gru.pt", "digits_lstm.safetensors", "char_gru.pt"])
def test_a_model_is_a_map_with_the_derivatives_of_its_layers(name: str) -> None:
    model = load(EXAMPLES / name)
    assert isinstance(model, Map)
    assert dynsys.as_map(model) is model
    rng = np.random.default_rng(0)
    state, input = rng.uniform(-0.5, 0.5, model.state_size), rng.normal(size=model.input_size)
    along, step = rng.normal(size=model.state_size), 1e-5
    by_difference = (model.step(state + step * along, input) - model.step(state - step * along, input)) / (2 * step)
    np.testing.assert_allclose(model.jacobian(state, input) @ along, by_difference, rtol=0, atol=1e-8)
    assert model.box(np.zeros(model.input_size), np.zeros(model.input_size)).invariant
    assert model.parameter_gradients(state, along, input).keys() == model.parameters.keys()


def test_the_loop_closes_through_the_readout_that_came_with_the_model() -> None:
    model = load(EXAMPLES / "flipflop_gru.pt")
    looped, state = dynsys.close_loop(model), np.linspace(-0.5, 0.5, 16)
    assert model.readout is not None
    np.testing.assert_allclose(looped.step(state), model.step(state, model.readout(state)), rtol=0, atol=1e-15)


def test_tokens_become_rows_of_the_embedding() -> None:
    model = load(EXAMPLES / "char_gru.pt")
    assert model.embedding is not None
    assert model.embedding.shape == (86, 16)
    np.testing.assert_array_equal(model.encode([3, 0]), model.embedding[[3, 0]])
    tokens = np.array([[1, 2], [3, 4], [5, 85]], dtype=np.uint8)
    assert model.encode(tokens).shape == (3, 2, 16)
    numbers = np.ones((4, 16))
    np.testing.assert_array_equal(model.encode(numbers), numbers)


@pytest.mark.parametrize("tokens", [[86], [-1], [[0, 400]]])
def test_tokens_outside_the_vocabulary_are_refused(tokens: object) -> None:
    with pytest.raises(InputError, match="0 to 85"):
        load(EXAMPLES / "char_gru.pt").encode(np.asarray(tokens))


def test_tokens_of_a_strange_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="tokens"):
        load(EXAMPLES / "char_gru.pt").encode(np.zeros((2, 2, 2), dtype=int))


def test_without_an_embedding_integers_are_numbers_or_an_error() -> None:
    model = load(EXAMPLES / "flipflop_gru.pt")
    assert model.encode(np.ones((5, 2, 3), dtype=np.int8)).dtype == np.float64
    with pytest.raises(InputError, match="no embedding"):
        model.encode(np.zeros(5, dtype=int))


def test_the_door_stays_open_once_its_parts_are_imported() -> None:
    """Importing a package binds its name: `dynsys.load` must stay the function."""
    assert dynsys.load(EXAMPLES / "flipflop_gru.pt").state_size == 16
    assert dynsys.load(EXAMPLES / "char_gru.pt", module="gru").state_size == 192


def test_what_the_user_sees_of_a_model_cannot_be_changed() -> None:
    model = load(EXAMPLES / "flipflop_gru.pt")
    assert model.initial_state is not None
    with pytest.raises(ValueError, match="read-only"):
        model.initial_state[0] = 1.0
    for value in model.parameters.values():
        assert not value.flags.writeable
