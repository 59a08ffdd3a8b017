"""Time constants of gates: the forget bias by formula, both conventions of the GRU, and a trained network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError

EXAMPLES = Path(__file__).parents[2] / "examples"

# Forget bias, gate, time constant: J. Gers / Hochreiter's error carousel with a leak
FORGET = [
    (0.0, 0.5, 1.44270),
    (1.0, 0.731059, 3.19222),
    (2.0, 0.880797, 7.87848),
    (3.0, 0.952574, 20.58149),
    (5.0, 0.993307, 148.9126),
]


def bare(kind: Any, **values: float) -> Any:
    cell = kind.random(1, 1)
    zero = {name: np.zeros((1, 1)) for name in cell.parameters}
    return dataclasses.replace(cell, **zero | {name: np.full((1, 1), v) for name, v in values.items()})


@pytest.mark.parametrize(("bias", "gate", "tau"), FORGET)
def test_the_forget_bias_sets_the_time_constant(bias: float, gate: float, tau: float) -> None:
    times = dynsys.gate_time_constants(bare(cells.LSTM, b_f=bias))
    assert times.units.tolist() == [1]
    assert times.blocks == ("c",)
    assert times.retention[0] == pytest.approx(gate, abs=6e-7)
    assert times.time_constants[0] == pytest.approx(tau, rel=1e-5)
    np.testing.assert_allclose(times.interval[0], times.time_constants[0], rtol=1e-9)


def test_the_update_gate_keeps_or_replaces_by_convention() -> None:
    keeps = dynsys.gate_time_constants(bare(cells.GRU, b_z=2.0))
    replaces = dynsys.gate_time_constants(dataclasses.replace(bare(cells.GRU, b_z=2.0), update="takes-new"))
    assert keeps.retention[0] == pytest.approx(0.880797, abs=6e-7)
    assert replaces.retention[0] == pytest.approx(1 - 0.880797, abs=6e-7)


def test_a_plain_network_keeps_nothing_and_a_stack_keeps_where_it_has_gates() -> None:
    assert len(dynsys.gate_time_constants(cells.Elman.random(3, 1)).units) == 0
    assert "no unit" in str(dynsys.gate_time_constants(cells.Elman.random(3, 1)))


def test_the_own_path_is_the_gate_along_the_orbit() -> None:
    """The measured mean of log z is that of the gate's own formula on the same states."""
    cell = cells.GRU.random(5, 2, gain=2.0, seed=3)
    inputs = np.random.default_rng(0).standard_normal((40, 6, 2))
    times = dynsys.gate_time_constants(cell, None, inputs)
    states = dynsys.simulate(cell, None, inputs)[:-1]
    z = 1 / (1 + np.exp(-(inputs @ cell.W_z.T + states @ cell.U_z.T + cell.b_z.T)))
    np.testing.assert_allclose(times.retention, np.exp(np.log(z).mean(axis=(0, 1))), rtol=1e-12)
    assert (times.interval[:, 0] < times.time_constants).all()
    assert (times.time_constants < times.interval[:, 1]).all()
    np.testing.assert_allclose(times.spread, np.quantile(z.reshape(-1, 5), (0.05, 0.5, 0.95), axis=0).T, rtol=1e-12)


def test_the_digits_network_has_forget_gates_of_many_scales() -> None:
    f = dynsys.load(EXAMPLES / "digits_lstm.safetensors")
    with np.load(EXAMPLES / "digits_lstm_trials.npz") as file:
        inputs = file["inputs"].swapaxes(0, 1).astype(float)
    times = dynsys.gate_time_constants(f, None, inputs)
    assert len(times.units) == 48
    assert set(times.blocks) == {"c"}
    cell, states = f.layers[0], dynsys.simulate(f, None, inputs)[:-1]
    gate = 1 / (1 + np.exp(-(inputs @ cell.W_f.T + states[..., :48] @ cell.U_f.T + cell.b_f.T)))
    np.testing.assert_allclose(times.time_constants, -1 / np.log(gate).mean(axis=(0, 1)), rtol=1e-9)


def test_layers_keep_their_own() -> None:
    f = dynsys.load(EXAMPLES / "char_gru.pt")
    times = dynsys.gate_time_constants(f)
    assert set(times.blocks) == {"layer0.h", "layer1.h"}
    assert len(times.units) == 192


def test_where_paths_cannot_be_told_it_is_said() -> None:
    with pytest.raises(AnalysisError, match="own path"):
        dynsys.gate_time_constants(dynsys.as_map(lambda h: np.cumsum(np.sin(h), axis=0), 2))


def test_times_in_ms_where_a_step_has_a_length() -> None:
    cell = cells.LSTM.random(4, 2, seed=0)
    times = dynsys.gate_time_constants(cell, step_duration=0.02)
    np.testing.assert_allclose(times.to_dict()["time_constants_ms"], 20 * times.time_constants, rtol=1e-14)
    assert f"{20 * times.time_constants.max():.4g} ms" in str(times)
    assert "time_constants_ms" not in dynsys.gate_time_constants(cell).to_dict()
    with pytest.raises(InputError, match="step_duration"):
        dynsys.gate_time_constants(cell, step_duration=-1.0)


def test_hard_gates_that_close_have_a_time_constant_of_zero_and_no_interval() -> None:
    cell = cells.LSTM.random(2, 1, seed=0, gate_activation="hard_sigmoid")
    shut = dataclasses.replace(cell, b_f=np.array([[-2.9], [5.0]]), W_f=np.array([[4.0], [0.0]]))
    times = dynsys.gate_time_constants(shut, None, np.random.default_rng(0).standard_normal((60, 3, 1)))
    assert times.time_constants.tolist() == [0.0, np.inf]
    assert np.isnan(times.interval[0]).all()
    assert "forget-bias" not in {r.id for r in dynsys.remedies(shut, np.zeros((30, 2, 1)))}
