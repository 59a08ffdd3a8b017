"""Single rules on networks whose answer is known in closed form, before and after the change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.treatment.flossing import Window, finite_exponents, flossed, mean_square

RNG = np.random.default_rng


def noise(*shape: int, size: float = 1.0, seed: int = 0) -> Any:
    return size * RNG(seed).standard_normal(shape)


def only(result: Any, name: str) -> Any:
    (found,) = [r for r in result if r.id == name]
    return found


def weightless_lstm(n: int, **biases: float) -> cells.LSTM:
    """An LSTM whose gates are their biases."""
    zero = {name: np.zeros((n, n)) for name in ("U_i", "U_f", "U_o", "U_g")}
    zero |= {name: np.zeros((n, 2)) for name in ("W_i", "W_f", "W_o", "W_g")}
    return cells.LSTM(**zero, **{name: np.full(n, value) for name, value in biases.items()})


@pytest.mark.parametrize(("T", "b", "before"), [(40, 0.0, 1.44270), (100, 1.0, 3.19222), (500, 3.0, 20.58149)])
def test_one_bias_for_one_lag(T: int, b: float, before: float) -> None:
    """Without weights f is the bias alone: tau of the table, then ln(T - 1), so that 1/(1 - f) = T exactly."""
    result = dynsys.remedies(weightless_lstm(3, b_f=b, b_g=0.4), noise(60, 3, 2), task_lag=T)
    found = only(result, "forget-bias-single")
    assert found.before == pytest.approx(before, abs=5e-6)
    np.testing.assert_allclose(found.settings["layer0.b_f"], math.log(T - 1), rtol=1e-12)
    assert found.predicted == pytest.approx(-1 / math.log(1 - 1 / T), rel=1e-10)
    assert found.after == pytest.approx(found.predicted, rel=1e-10)


def test_closed_output_gates_are_opened_half() -> None:
    found = only(dynsys.remedies(weightless_lstm(4, b_f=7.0, b_i=-4.0, b_o=-3.0), noise(50, 2, 2)), "output-bias")
    assert found.before == pytest.approx(1 / (1 + math.exp(3.0)), rel=1e-12)
    assert found.predicted == found.after == pytest.approx(0.5, rel=1e-12)
    np.testing.assert_allclose(found.settings["b_o"], 0.0, atol=1e-12)
    forgetful = dynsys.remedies(weightless_lstm(4, b_f=0.0, b_i=-4.0, b_o=-3.0), noise(50, 2, 2))
    assert "output-bias" not in {r.id for r in forgetful}  # nothing is held that could be shown


@pytest.mark.parametrize(("activation", "flat"), [("tanh", math.acosh(10.0)), ("sigmoid", 2 * math.acosh(5.0))])
def test_saturated_units_are_scaled_down(activation: str, flat: float) -> None:
    """One unit without recurrence, input uniform on (-1, 1): slope below 0.01 where |w x| > `flat`."""
    w = 4 * flat
    x = np.linspace(-1, 1, 2000)[RNG(0).permutation(2000)].reshape(500, 4, 1)
    found = only(dynsys.remedies(cells.Elman(U=[[0.0]], W=[[w]], activation=activation), x), "unsaturate")
    assert found.before == pytest.approx(0.75, abs=2e-3)
    assert found.settings["factor"] == pytest.approx(1 / 3.6, rel=2e-3)  # then 0.9 of the inputs stay below `flat`
    assert found.after == pytest.approx(0.1, abs=2e-3)
    assert found.agrees
    term = found.also["their term in the sum of exponents (nats/step)"]
    a = w * x
    log_slope = -2 * np.log(np.cosh(a)) if activation == "tanh" else -np.log(2 + 2 * np.cosh(a))
    assert term[0] == pytest.approx(log_slope.mean(), rel=1e-10)
    assert term[1] > term[0]


@pytest.mark.parametrize("kind", [cells.LSTM, cells.GRU, cells.GRUResetAfter])
def test_candidates_that_are_saturated_are_named(kind: Any) -> None:
    """Weights of the candidate times 60: nearly all of its units are flat, and after the change few are."""
    cell = kind.random(6, 2, seed=3)
    names = [name for name in cell.parameters if name.endswith(("_g", "_h", "_hn"))]
    loud = type(cell)(**{k: v * (60.0 if k in names else 1.0) for k, v in cell.parameters.items()})
    found = only(dynsys.remedies(loud, noise(60, 4, 2)), "unsaturate")
    assert set(found.settings["parameters"]) == set(names)
    assert found.before > 0.8
    assert found.agrees


@pytest.mark.parametrize("weights", [(0.05,), (0.05, 0.3)])
def test_residual_connections_past_forgetful_layers(weights: tuple[float, ...]) -> None:
    """Linear layers h' = u h + w x: within one step the gain is the product of the w; with residuals of the 1 + w."""
    eye = np.eye(3)
    layers = [cells.Elman(U=0.9 * eye, W=eye, activation="identity")]
    layers += [cells.Elman(U=0.2 * eye, W=w * eye, activation="identity") for w in weights]
    found = only(dynsys.remedies(dynsys.stack(*layers), noise(60, 4, 3)), "residual-connections")
    assert found.before == pytest.approx(sum(map(math.log, weights)), abs=1e-12)
    assert found.predicted == pytest.approx(sum(map(math.log1p, weights)), abs=1e-12)
    assert found.after == pytest.approx(found.predicted, abs=1e-12)
    assert "1.5" in found.trigger  # ln 0.9 - ln 0.2 = 1.504


def test_layers_of_one_time_scale_stay_as_they_are() -> None:
    eye = np.eye(3)
    layer = cells.Elman(U=0.5 * eye, W=eye, activation="identity")
    result = dynsys.remedies(dynsys.stack(layer, layer), noise(40, 3, 3))
    assert "residual-connections" not in {r.id for r in result}
    assert any(line.startswith("layers: largest exponents") for line in result.healthy)


def test_identity_and_relu_keep_what_the_partial_sums_say() -> None:
    """Inputs without a change of sign: units with W > 0 keep everything for ever, the others nothing."""
    W = np.array([[1.0], [-1.0], [2.0], [-0.5], [0.1]])
    cell = cells.Elman(U=0.3 * np.eye(5), W=W)
    inputs = np.abs(noise(50, 3, 1))
    found = only(dynsys.remedies(cell, inputs), "identity-relu")
    assert (found.before, found.predicted, found.after) == (0.0, pytest.approx(0.6), pytest.approx(0.6))
    assert found.agrees
    none = dynsys.remedies(cells.Elman(U=0.3 * np.eye(20), W=np.r_[np.ones((1, 1)), -np.ones((19, 1))]), inputs)
    assert "identity-relu" not in {r.id for r in none}
    assert any(line.startswith("identity and ReLU: 5 % of the units") for line in none.skipped)
    random = only(dynsys.remedies(cells.Elman.random(24, 3, gain=0.6, seed=1), noise(40, 8, 3)), "identity-relu")
    assert 0 < random.predicted < 0.5
    assert random.after == pytest.approx(random.predicted, abs=1e-12)


def window(n: int, k: int, T: int = 12, batch: int = 3, size: float = 0.5) -> Window:
    frame = np.linalg.qr(noise(n, k, seed=1))[0]
    return Window(noise(T, batch, 2, size=size, seed=2), noise(n, batch, size=0.3, seed=3), frame, 3)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_gradient_of_the_exponents_is_exact(k: int) -> None:
    """Against central differences of the exponents, through states, slopes and QR."""
    cell = cells.Elman.random(5, 2, gain=1.2, seed=4)
    w = window(5, k)
    _, gradient = mean_square(cell, cell.U, w)
    for seed in range(4):
        along = noise(5, 5, seed=seed + 10)
        near, far = (
            (mean_square(cell, cell.U + e * along, w)[0] - mean_square(cell, cell.U - e * along, w)[0]) / (2 * e)
            for e in (2e-5, 4e-5)
        )
        slope = (4 * near - far) / 3
        assert np.sum(gradient * along) == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_exponents_of_a_scaled_rotation_and_their_gradient() -> None:
    """At rest h' = tanh(g Q h) has all exponents log g, and the mean square the gradient 2 log g / n U^-T."""
    Q = np.linalg.qr(noise(6, 6))[0]
    cell = cells.Elman(U=0.4 * Q, W=np.zeros((6, 2)))
    w = Window(np.zeros((10, 1, 2)), np.zeros((6, 1)), np.linalg.qr(noise(6, 6, seed=1))[0], 2)
    np.testing.assert_allclose(finite_exponents(cell, cell.U, w), math.log(0.4), atol=1e-12)
    value, gradient = mean_square(cell, cell.U, w)
    assert value == pytest.approx(math.log(0.4) ** 2)
    np.testing.assert_allclose(gradient, 2 * math.log(0.4) / 6 * np.linalg.inv(cell.U).T, atol=1e-10)
    better = flossed(cell, w, 40, 0.05)
    assert mean_square(cell, better, w)[0] < 0.1 * value


def test_flossing_is_tried_where_the_largest_exponent_is_zero() -> None:
    """A critical network whose transfer is badly conditioned; on other sequences the gain is what was reached."""
    cell = cells.Elman.random(24, 2, gain=1.6, seed=1)
    inputs = noise(60, 16, 2, size=0.3)
    found = only(dynsys.remedies(cell, inputs), "floss")
    assert found.after < 0.8 * found.before
    assert found.agrees
    old, new = found.also["log10 of the condition number"]
    assert old > 6
    assert new < old
    quick = dynsys.remedies(cell, inputs, quick=True)
    assert "floss" not in {r.id for r in quick}
    assert any("flossing" in line for line in quick.skipped)


def test_times_in_ms_where_a_step_has_a_length() -> None:
    result = dynsys.remedies(weightless_lstm(3), noise(60, 3, 2), step_duration=0.002)
    found = only(result, "forget-bias-single")
    assert result.to_dict()["ms"]["forget-bias-single"]["after"] == pytest.approx(2 * found.after)
    assert "in ms: " in str(result)
    with pytest.raises(dynsys.errors.InputError, match="step_duration"):
        dynsys.remedies(weightless_lstm(3), noise(60, 3, 2), step_duration=0.0)
