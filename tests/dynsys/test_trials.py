"""Trials: time first inside, trials first in files, and every wrong array named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, LoadError, ShapeError
from dynsys.trials import as_trials, load_trials, replay_deviation

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.standard_normal((7, 4, 3))  # 7 steps, 4 trials, 3 inputs


@pytest.fixture(scope="module")
def f() -> dynsys.Map:
    return dynsys.as_map(cells.GRU.random(5, 3, seed=0))


@pytest.fixture(scope="module")
def reader() -> Any:
    """A network with an embedding of 86 characters."""
    return dynsys.load(EXAMPLES / "char_gru.pt")


def test_arrays_are_time_first(f: dynsys.Map) -> None:
    trials = as_trials(f, INPUTS)
    np.testing.assert_array_equal(trials.inputs, INPUTS)
    assert (trials.length, trials.count) == (7, 4)


def test_one_sequence_is_one_trial(f: dynsys.Map) -> None:
    trials = as_trials(f, INPUTS[:, 0])
    np.testing.assert_array_equal(trials.inputs, INPUTS[:, :1])


def test_the_drive_in_words(f: dynsys.Map) -> None:
    one, two = (as_trials(f, np.zeros((6, count, f.input_size))) for count in (1, 2))
    assert one.joined_name == "driven by one trial over and over, without reset"
    assert two.joined_name == "driven by the 2 trials one after the other, without reset"


def test_files_are_trials_first(f: dynsys.Map, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", inputs=INPUTS.swapaxes(0, 1), unrelated=np.zeros(3))
    trials = load_trials(tmp_path / "t.npz", f)
    np.testing.assert_array_equal(trials.inputs, INPUTS)
    assert trials.origin == "t.npz"


def test_a_file_with_one_sequence(f: dynsys.Map, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", inputs=INPUTS[:, 0])
    np.testing.assert_array_equal(load_trials(tmp_path / "t.npz", f).inputs, INPUTS[:, :1])


@pytest.mark.parametrize("compressed", [False, True])
def test_integer_inputs_and_hidden_states_become_float64(f: dynsys.Map, tmp_path: Path, compressed: bool) -> None:
    save = np.savez_compressed if compressed else np.savez
    hidden = GENERATOR.standard_normal((4, 7, 5)).astype(np.float32)
    save(tmp_path / "t.npz", inputs=np.ones((4, 7, 3), dtype=np.int8), hidden=hidden)
    trials = load_trials(str(tmp_path / "t.npz"), f)
    assert trials.inputs.dtype == np.float64
    np.testing.assert_array_equal(trials.hidden, hidden.swapaxes(0, 1))


def test_hidden_is_the_output_or_the_whole_state() -> None:
    """Of an LSTM h may be recorded, or h and c."""
    f = dynsys.as_map(cells.LSTM.random(5, 3, seed=0))
    states = dynsys.simulate(f, None, INPUTS)[1:]
    for hidden in (states, states[..., :5]):
        assert replay_deviation(f, as_trials(f, INPUTS, hidden)) == 0.0
        assert replay_deviation(f, as_trials(f, INPUTS, hidden + 0.5)) == pytest.approx(0.5)
    with pytest.raises(ShapeError, match="hidden"):
        as_trials(f, INPUTS, np.zeros((7, 4, 7)))


def test_recorded_states_of_the_example_are_reproduced() -> None:
    """What the file recorded is what the loaded network does on its inputs."""
    f = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    trials = load_trials(EXAMPLES / "flipflop_gru_trials.npz", f)
    np.testing.assert_allclose(dynsys.simulate(f, None, trials.inputs)[1:], trials.hidden, atol=1e-5)


def test_tokens_go_through_the_embedding(reader: Any) -> None:
    tokens = GENERATOR.integers(0, 86, (9, 2))
    trials = as_trials(reader, tokens)
    assert trials.inputs.shape == (9, 2, 16)
    np.testing.assert_array_equal(trials.inputs, reader.encode(tokens))


def test_one_sequence_of_tokens_is_one_trial(reader: Any) -> None:
    tokens = np.arange(9)
    np.testing.assert_array_equal(as_trials(reader, tokens).inputs[:, 0], reader.encode(tokens))


def test_tokens_in_files_are_trials_first(reader: Any, tmp_path: Path) -> None:
    tokens = GENERATOR.integers(0, 86, (2, 9))
    np.savez(tmp_path / "t.npz", tokens=tokens)
    np.testing.assert_array_equal(load_trials(tmp_path / "t.npz", reader).inputs, reader.encode(tokens.T))


def test_embedded_values_can_be_given_as_they_are(reader: Any) -> None:
    values = GENERATOR.standard_normal((9, 2, 16))
    np.testing.assert_array_equal(as_trials(reader, values).inputs, values)


@pytest.mark.parametrize("token", [-1, 86])
def test_a_token_out_of_the_vocabulary_is_an_input_error(reader: Any, token: int) -> None:
    with pytest.raises(InputError, match=r"86|token"):
        as_trials(reader, np.array([0, token]))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.zeros((7, 4, 2)), "takes 3 inputs"),
        (np.zeros(7), "sequences of 3"),
        (np.zeros((7, 4, 3, 1)), "sequences of 3"),
        (np.float64(1), "sequences of 3"),
        (np.full((7, 4, 3), np.nan), "not finite"),
        (np.full((7, 4, 3), np.inf), "not finite"),
        (np.zeros((0, 4, 3)), "empty"),
        (np.zeros((7, 0, 3)), "empty"),
        (np.zeros((7, 4, 3), dtype=complex), "real"),
        (np.full((7, 4, 3), "x"), "real|number"),
    ],
)
def test_wrong_inputs_are_named(f: dynsys.Map, inputs: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_trials(f, inputs)


@pytest.mark.parametrize(
    "hidden", [np.zeros((7, 4, 3)), np.zeros((4, 7, 5)), np.zeros((7, 5)), np.zeros(5), np.full((7, 4, 5), np.nan)]
)
def test_wrong_recordings_are_named(f: dynsys.Map, hidden: Any) -> None:
    with pytest.raises(InputError, match="hidden"):
        as_trials(f, INPUTS, hidden)


def test_trials_of_a_network_without_inputs_have_a_length() -> None:
    autonomous = dynsys.as_map(cells.Elman.random(4, 0, seed=0))
    assert as_trials(autonomous, np.zeros((7, 2, 0))).length == 7


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and nothing behind", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_trials_are_load_errors(f: dynsys.Map, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(LoadError, match=r"t\.npz") as caught:
        load_trials(tmp_path / "t.npz", f)
    assert "allow_pickle" not in str(caught.value)


def test_a_file_cut_short_anywhere_is_a_load_error(f: dynsys.Map, tmp_path: Path) -> None:
    whole = (EXAMPLES / "flipflop_gru_trials.npz").read_bytes()
    for length in np.linspace(0, len(whole) - 1, 25).astype(int):
        (tmp_path / "t.npz").write_bytes(whole[:length])
        with pytest.raises(LoadError, match=r"t\.npz"):
            load_trials(tmp_path / "t.npz", f)


def test_flipped_bytes_are_trials_or_an_input_error(f: dynsys.Map, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", inputs=INPUTS.swapaxes(0, 1), hidden=np.zeros((4, 7, 5)))
    whole = bytearray((tmp_path / "whole.npz").read_bytes())
    for at in GENERATOR.integers(0, len(whole), 200):
        damaged = whole.copy()
        damaged[at] ^= 255
        (tmp_path / "t.npz").write_bytes(damaged)
        try:
            trials = load_trials(tmp_path / "t.npz", f)
        except InputError:
            continue
        assert np.isfinite(trials.inputs).all()


@pytest.mark.parametrize("path", ["missing.npz", ".", "zero\0byte.npz", "x" * 5000])
def test_paths_that_lead_nowhere(f: dynsys.Map, tmp_path: Path, path: str) -> None:
    with pytest.raises(LoadError, match="trials"):
        load_trials(tmp_path / path, f)


TURNED = INPUTS.swapaxes(0, 1)  # trials first: 4 steps of 7 trials, as dynsys reads it


@pytest.mark.parametrize(
    "call",
    [
        lambda f: dynsys.gradient_spectrum(f, None, TURNED, [1, 6]),
        lambda f: dynsys.simulate(f, None, TURNED, steps=7),
        lambda f: dynsys.simulate(f, np.zeros((4, 5)), TURNED),
        lambda f: as_trials(f, INPUTS, np.zeros((4, 7, 5))),
        lambda f: dynsys.bptt(f, np.ones((2, 5)), INPUTS, np.zeros((4, 7)), "cross-entropy"),
        lambda f: dynsys.bptt(f, np.ones((2, 5)), TURNED, np.zeros(4), "cross-entropy", at="last"),
    ],
)
def test_arrays_with_trials_first_are_recognised_where_they_would_fit(f: dynsys.Map, call: Any) -> None:
    with pytest.raises(InputError, match=r"fit with trials first; here time comes first.*swapaxes\(0, 1\)"):
        call(f)


def test_no_hint_where_turning_would_not_help(f: dynsys.Map) -> None:
    for call in (
        lambda: dynsys.gradient_spectrum(f, None, TURNED, [1, 50]),
        lambda: dynsys.simulate(f, np.zeros((3, 5)), INPUTS),
        lambda: as_trials(f, INPUTS, np.zeros((4, 6, 5))),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert "trials first" not in str(error.value)


def test_inputs_on_another_axis_than_the_last_are_recognised(f: dynsys.Map) -> None:
    with pytest.raises(ShapeError, match=r"moveaxis\(inputs, 0, -1\)"):
        dynsys.simulate(f, None, INPUTS[:, 0].T)
    with pytest.raises(ShapeError, match=r"moveaxis\(inputs, 1, -1\)"):
        dynsys.simulate(f, None, INPUTS.swapaxes(1, 2))
