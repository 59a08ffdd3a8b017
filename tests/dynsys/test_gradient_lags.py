"""The gradient by lag: closed forms of linear networks, parts that add up, and truncation measured the plain way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys


def linear(U: Any) -> Any:
    return cells.Elman(U=U, W=np.ones((len(U), 1)), activation="identity")


def profile(cell: Any, steps: int = 12, at: Any = "last", **settings: Any) -> Any:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((steps, 3, cell.input_size))
    V = generator.standard_normal((2, cell.hidden_size))
    targets = generator.standard_normal((*((steps,) if at == "all" else ()), 3, 2))
    return dynsys.bptt(cell, (V, np.zeros(2)), inputs, targets, "squared", at=at, **settings)


def test_a_linear_network_forgets_by_its_weight() -> None:
    """h' = u h + x: |dL/dh| falls by log u at every lag; dL/dW at lag tau is u^tau times that at lag 0 on average."""
    result = profile(linear([[0.8]]), steps=20)
    np.testing.assert_allclose(result.lags.log_norms, math.log(0.8) * np.arange(20), atol=1e-12)
    # All of its way goes through the matrix U: nothing comes along a path of the unit's own.
    assert np.isneginf(result.lags.direct_log_norms[1:]).all()


def test_a_thousand_steps_do_not_underflow() -> None:
    inputs = np.ones((1000, 1))
    result = dynsys.bptt(linear([[0.2]]), [[1.0]], inputs, np.zeros((1, 1)), "squared", at="last")
    np.testing.assert_allclose(result.lags.log_norms, math.log(0.2) * np.arange(1000), rtol=1e-12)
    last = result.log_norms[-1]
    np.testing.assert_allclose(result.log_norms[:0:-1] - last, math.log(0.2) * np.arange(1000), rtol=1e-12, atol=1e-12)
    growing = dynsys.bptt(linear([[5.0]]), [[1.0]], np.ones((200, 1)), np.zeros((1, 1)), "squared", at="last")
    np.testing.assert_allclose(growing.lags.log_norms, math.log(5) * np.arange(200), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [cells.LSTM, cells.GRU, cells.GRUResetAfter, cells.Elman])
def test_the_parts_by_lag_add_up_to_the_gradient(kind: Any) -> None:
    """With every loss followed, truncation after the whole length misses nothing; after none, everything."""
    result = profile(kind.random(4, 2, seed=1), at="all", lags=99)
    assert result.lags.steps == tuple(range(12))
    assert result.lags.truncation_error[0] == 1.0
    assert result.lags.truncation_error[-1] < 1e-12
    assert result.lags.share.sum() == pytest.approx(1.0)
    for shares in result.lags.shares.values():
        assert shares.sum() == pytest.approx(1.0)
    assert profile(kind.random(4, 2, seed=1), at="all", lags=3).lags.steps == (0, 6, 11)
    assert profile(kind.random(4, 2, seed=1), lags=0).lags is None


def test_truncation_is_what_a_truncated_sequence_gives() -> None:
    """A loss at the end, seen over the last K steps only: the same as starting there from the state reached."""
    cell = cells.GRU.random(4, 2, seed=1)
    generator = np.random.default_rng(0)
    inputs, V = generator.standard_normal((12, 1, 2)), generator.standard_normal((2, 4))
    target = generator.standard_normal((1, 2))
    states = dynsys.simulate(cell, None, inputs)
    whole = dynsys.bptt(cell, V, inputs, target, "squared", at="last")
    size = math.sqrt(sum(np.square(g).sum() for g in whole.parameters.values()))
    for K in (1, 3, 11):
        short = dynsys.bptt(cell, V, inputs[-K:], target, "squared", at="last", start=states[12 - K])
        missed = sum(np.square(whole.parameters[name] - short.parameters[name]).sum() for name in whole.parameters)
        assert whole.lags.truncation_error[K] == pytest.approx(math.sqrt(missed) / size, rel=1e-9)


def test_the_direct_path_of_an_lstm_is_its_forget_gate() -> None:
    """Without recurrent weights the cell state's gradient falls by the forget gate, all of it on the direct path."""
    zero = {name: np.zeros((1, 1)) for name in cells.LSTM.random(1, 1).parameters}
    cell = cells.LSTM(**zero | {"b_f": np.full((1, 1), 2.0), "b_g": np.full((1, 1), 0.5)})
    result = dynsys.bptt(cell, [[1.0]], np.zeros((30, 1)), np.ones((1, 1)), "squared", at="last").lags
    kept = -math.log1p(math.exp(-2.0))
    np.testing.assert_allclose(np.diff(result.log_norms)[1:], kept, atol=1e-12)
    np.testing.assert_allclose(result.direct_log_norms, result.log_norms, atol=1e-12)
    assert result.lag_95 > 5


def test_with_recurrent_weights_the_gates_carry_the_rest() -> None:
    """Direct and whole differ where gradients also go through the gates, and agree at lag 0."""
    result = profile(cells.LSTM.random(4, 2, gain=2.0, seed=1)).lags
    assert result.direct_log_norms[0] == pytest.approx(result.log_norms[0], abs=1e-12)
    assert abs(result.direct_log_norms[-1] - result.log_norms[-1]) > 0.01


def test_a_map_without_parameters_has_lags_all_the_same() -> None:
    result = dynsys.bptt(dynsys.as_map(np.tanh, 1), [[1.0]], np.zeros((5, 0)), np.ones((1, 1)), "squared", at="last")
    assert result.lags is not None
    assert result.lags.shares == {}
    assert result.lags.share.shape == (5,)
