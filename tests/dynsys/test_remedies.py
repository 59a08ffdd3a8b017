"""Remedies: each is triggered by what it is for, does what it says on a copy, and its prediction holds there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.treatment.task_file import load_task

EXAMPLES = Path(__file__).parents[2] / "examples"


def noise(*shape: int, size: float = 1.0) -> Any:
    return size * np.random.default_rng(0).standard_normal(shape)


def ids(result: Any) -> set[str]:
    return {r.id for r in result}


def only(result: Any, name: str) -> Any:
    (found,) = [r for r in result if r.id == name]
    return found


def test_a_network_that_forgets_gets_orthogonal_weights() -> None:
    """The sum rule predicts the mean exponent of the changed network; the whole spectrum confirms it."""
    cell = cells.Elman.random(24, 3, gain=0.6, seed=1)
    found = only(dynsys.remedies(cell, noise(100, 8, 3)), "orthogonal-weights")
    U = found.settings["U"]
    np.testing.assert_allclose(U @ U.T, np.eye(24), atol=1e-12)
    assert found.agrees
    assert found.after > found.before
    old, new = found.also["largest exponent (nats/step)"]
    assert old < new < 0


RELU = cells.Elman.random(32, 3, gain=1.0, seed=1, activation="relu")
LOW_RANK = noise(16, 3) @ noise(3, 16) / 40


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (RELU, "units at rest"),
        (replace(RELU, b=np.full((32, 1), -50.0)), "units at rest"),
        (cells.Elman(U=np.zeros((16, 16)), W=noise(16, 3)), "rank 0 of 16"),
        (cells.Elman(U=LOW_RANK, W=noise(16, 3)), "rank 3 of 16"),
        (cells.Elman(U=[[0.5]], W=[[0.3, 0.2, 0.1]]), "of one unit"),
    ],
)
def test_orthogonal_weights_are_not_offered_where_they_say_nothing(cell: Any, why: str) -> None:
    result = dynsys.remedies(cell, noise(60, 8, 3))
    assert "orthogonal-weights" not in ids(result)
    assert any(line.startswith("recurrent matrix") and why in line for line in result.skipped)
    assert all(math.isfinite(r.predicted) and math.isfinite(r.after) for r in result)


def test_orthogonal_weights_of_rectified_units_that_never_rest() -> None:
    """ReLU with all units on is linear: the mean exponent is log|det U| / n before, and 0 with an orthogonal U."""
    U = np.abs(noise(6, 6)) / 20
    cell = cells.Elman(U=U, W=np.ones((6, 1)), b=np.full((6, 1), 9.0), activation="relu")
    inputs = np.abs(noise(60, 4, 1))
    assert (np.linalg.svd(U)[0] @ np.linalg.svd(U)[2]).sum(axis=1).min() > -1  # the changed units stay on, or it skips
    result = dynsys.remedies(cell, inputs)
    found = [r for r in result if r.id == "orthogonal-weights"]
    for one in found:
        assert one.before == pytest.approx(np.linalg.slogdet(U)[1] / 6, abs=1e-12)
        assert (one.predicted, one.after) == (0.0, pytest.approx(0.0, abs=1e-12))
        assert one.agrees
    assert found


@pytest.mark.parametrize("value", [-math.inf, math.inf, math.nan])
def test_what_is_not_finite_is_never_as_predicted(value: float) -> None:
    one = next(iter(dynsys.remedies(cells.Elman.random(8, 1, gain=0.5, seed=2), noise(50, 4, 1))))
    assert one.agrees
    for tolerance in (math.inf, 0.0):
        assert not replace(one, predicted=value, after=value, tolerance=tolerance).agrees


def test_a_network_of_rectified_units_that_explodes_is_scaled_to_its_critical_gain() -> None:
    """sqrt(2) by theory, at any drive; measured within the tolerance for finite size."""
    cell = cells.Elman.random(64, 3, gain=1.6, seed=1, activation="relu")
    found = only(dynsys.remedies(cell, noise(60, 8, 3)), "critical-gain")
    gain = np.linalg.norm(cell.U) / math.sqrt(64)
    assert found.settings["scale"] * gain == pytest.approx(math.sqrt(2), abs=1e-5)
    assert found.agrees


def test_sequences_too_short_to_remember_over_are_said_to_be() -> None:
    """Not that a `task_lag` is wrong, which nobody gave; with one given they are taken."""
    cell = cells.Elman.random(4, 1)
    with pytest.raises(InputError, match="the sequences have 1 steps") as raised:
        dynsys.remedies(cell, noise(1, 5, 1))
    assert "must be" not in str(raised.value)
    assert dynsys.remedies(cell, noise(1, 5, 1), task_lag=5).task_lag == 5


def test_a_chaotic_network_is_brought_to_the_edge_and_forced_in_time() -> None:
    cell = cells.Elman.random(48, 3, gain=4.0, seed=1)
    result = dynsys.remedies(cell, noise(100, 8, 3, size=0.1))
    gain, force = only(result, "critical-gain"), only(result, "force-sparsely")
    assert gain.agrees
    assert gain.settings["scale"] < 0.5
    assert force.settings["interval"] == round(math.log(2) / result.largest_exponent)
    assert force.agrees
    assert "orthogonal-weights" not in ids(result)


def test_transient_growth_ends_where_no_singular_value_exceeds_one() -> None:
    U = 0.8 * np.eye(10) + np.triu(0.9 * noise(10, 10), 1)
    found = only(dynsys.remedies(cells.Elman(U=U, W=0.1 * noise(10, 2)), noise(60, 4, 2)), "clip-singular-values")
    assert found.before > math.log(3)
    assert found.after <= 0.0
    assert found.agrees
    assert np.linalg.norm(found.settings["U"], 2) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [cells.LSTM, cells.GRU, cells.GRUResetAfter])
@pytest.mark.parametrize("update", ["keeps-old", "takes-new"])
def test_gates_that_close_too_soon_are_opened(kind: Any, update: str) -> None:
    cell = kind.random(12, 2, seed=1)
    if hasattr(cell, "update"):
        cell = type(cell)(**dict(cell.parameters) | {"update": update})
    result = dynsys.remedies(cell, noise(80, 6, 2))
    found = only(result, "forget-bias")
    assert found.agrees
    assert found.after > 5 * found.before
    assert found.also["slowest gate (steps)"][1] > 40


def test_enough_memory_asks_for_no_change() -> None:
    cell = cells.LSTM.random(6, 2, seed=1)
    open_ = type(cell)(**dict(cell.parameters) | {"b_f": np.full((6, 1), 6.0)})
    result = dynsys.remedies(open_, noise(30, 4, 2), task_lag=30)
    assert "forget-bias" not in ids(result)
    assert any(line.startswith("gates: the slowest keeps") for line in result.healthy)


def test_the_flip_flop_may_be_truncated_and_the_digits_not() -> None:
    """95 % of the flip-flop's gradient comes over few steps, of the digits' over nearly all; the other half agrees."""
    network = dynsys.load(EXAMPLES / "flipflop_gru.pt")
    task = load_task(EXAMPLES / "flipflop_gru_trials.npz", network)
    task |= {name: task[name][:, :8] for name in ("inputs", "targets")}
    found = only(dynsys.remedies(network, **task), "truncate")
    assert found.settings["truncation"] < 12
    assert found.agrees
    assert found.after < 0.05
    digits = dynsys.load(EXAMPLES / "digits_lstm.safetensors")
    task = load_task(EXAMPLES / "digits_lstm_trials.npz", digits)
    task |= {"inputs": task["inputs"][:, :24], "targets": task["targets"][:24]}
    result = dynsys.remedies(digits, **task)
    assert "truncate" not in ids(result)
    clip = only(result, "clip-gradients")
    assert clip.agrees
    assert any("critical within its error" in line for line in result.healthy)


def test_tokens_ask_for_the_next_one() -> None:
    network = dynsys.load(EXAMPLES / "char_gru.pt")
    task = load_task(EXAMPLES / "char_gru_trials.npz", network)
    assert task["loss"] == "cross-entropy"
    assert task["targets"].shape == (255, 1)
    assert task["inputs"].shape[0] == 255


def test_the_network_is_not_touched_and_failed_predictions_are_said() -> None:
    cell = cells.Elman.random(8, 1, gain=0.5, seed=2)
    before = cell.U.copy()
    result = dynsys.remedies(cell, noise(50, 4, 1))
    np.testing.assert_array_equal(cell.U, before)
    one = next(iter(result))
    wrong = replace(one, predicted=one.after + 2 * one.tolerance + 1.0)
    assert not wrong.agrees
    assert "NOT as predicted" in str(wrong)
    assert wrong.to_dict()["agrees"] is False


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_lag": 1}, "task_lag"),
        ({"targets": np.zeros((20, 2, 1))}, "together"),
        ({"targets": np.zeros((20, 2, 1)), "loss": "squared"}, "readout"),
        ({"targets": np.full((20, 2, 1), np.nan), "loss": "squared", "readout": np.ones((1, 3))}, "`targets`"),
        ({"targets": np.zeros((19, 2, 1)), "loss": "squared", "readout": np.ones((1, 3))}, "targets"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.remedies(cells.Elman.random(3, 1), noise(20, 2, 1), **settings)
