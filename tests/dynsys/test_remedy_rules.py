"""Single rules on networks whose answer is known in closed form, before and after the change."""

from __future__ import annotations

import dataclasses
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


@pytest.mark.parametrize(("lag", "b", "tau"), [(3, 1.0, 3.19222), (40, 2.0, 7.87848)])
def test_gates_that_start_half_open_get_the_bias_of_the_table(lag: int, b: float, tau: float) -> None:
    """Without weights the gate is the bias alone: tau = -1/log sigmoid(b) of the table, exactly on the copy."""
    found = only(dynsys.remedies(weightless_lstm(3, b_g=0.4), noise(60, 3, 2), task_lag=lag), "forget-bias-start")
    np.testing.assert_allclose(found.settings["layer0.b_f"], b, rtol=1e-12)
    assert found.before == pytest.approx(1.44270, abs=5e-6)
    assert found.predicted == pytest.approx(tau, abs=5e-6)
    assert found.after == pytest.approx(found.predicted, rel=1e-10)
    assert "bias_ih and bias_hh" in found.change


def test_networks_as_pytorch_starts_them_are_half_open() -> None:
    """LSTM and GRU of default weights; a GRU that takes the new with z gets the opposite sign."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    inputs = noise(60, 8, 3)
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        found = only(dynsys.remedies(dynsys.as_map(kind(3, 32)), inputs), "forget-bias-start")
        assert found.agrees
        assert found.after > 5 * found.before
    gru = cells.GRU.random(8, 3, gain=0.3, seed=1, update="takes-new")
    gru = cells.GRU(**(gru.parameters | {"W_z": 0.3 * gru.W_z}), update="takes-new")
    found = only(dynsys.remedies(gru, inputs), "forget-bias-start")
    np.testing.assert_allclose(found.settings["layer0.b_z"], -2.0)
    assert found.agrees


@pytest.mark.parametrize("b_f", [-1.0, 1.0, 4.0])
def test_gates_that_have_a_bias_keep_it(b_f: float) -> None:
    result = dynsys.remedies(weightless_lstm(3, b_f=b_f, b_g=0.4), noise(60, 3, 2))
    assert "forget-bias-start" not in {r.id for r in result}
    assert any("half open" in line for line in result.healthy)


def gates_alone(kind: Any, **options: Any) -> Any:
    """A network whose candidates and other gates hear the input alone, the gates that keep the state too."""
    cell = kind.random(6, 2, gain=3.0, seed=5, **options)
    keep = "U_f" if kind is cells.LSTM else "U_z"
    return dataclasses.replace(
        cell, **{k: np.zeros_like(v) for k, v in cell.parameters.items() if k[0] == "U" and k != keep}
    )


@pytest.mark.parametrize("rule", ["forget-bias", "forget-bias-single"])
@pytest.mark.parametrize(
    "f",
    [
        gates_alone(cells.LSTM),
        gates_alone(cells.GRU, update="takes-new"),
        gates_alone(cells.GRUResetAfter),
        dynsys.stack(gates_alone(cells.GRU), cells.LSTM.random(4, 6, gain=0.0, seed=1)),
    ],
    ids=["lstm", "gru", "gru-reset-after", "stack"],
)
def test_gates_that_follow_what_they_hold_are_predicted_exactly(f: Any, rule: str) -> None:
    """Where nothing but these gates hears the state, the prediction is the measurement; without following it is not."""
    found = only(dynsys.remedies(f, noise(60, 4, 2, seed=3), task_lag=30), rule)
    assert found.after == pytest.approx(found.predicted, rel=1e-9)
    assert found.tolerance >= 0.25 * found.predicted


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("scored", [False, True])
def test_closed_output_gates_are_opened_half(scored: bool) -> None:
    """Without weights c stays 0, and what enters it of a gradient on h is o f exactly, of whatever loss."""
    cell, inputs = weightless_lstm(4, b_f=7.0, b_i=-4.0, b_o=-3.0), noise(50, 2, 2)
    task: dict[str, Any] = {"targets": noise(50, 2, 3), "loss": "squared", "readout": (noise(3, 4), np.zeros(3))}
    found = only(dynsys.remedies(cell, inputs, **(task if scored else {})), "output-bias")
    assert found.before == pytest.approx(sigmoid(-3.0) * sigmoid(7.0), rel=1e-10)
    assert found.predicted == pytest.approx(0.5 * sigmoid(7.0), rel=1e-10)
    assert found.after == pytest.approx(found.predicted, rel=1e-10)
    assert found.also["median opening of the output gates"] == (pytest.approx(sigmoid(-3.0)), pytest.approx(0.5))
    np.testing.assert_allclose(found.settings["b_o"], 0.0, atol=1e-12)
    assert ("gradient of the loss" if scored else "no targets") in found.trigger
    forgetful = dynsys.remedies(weightless_lstm(4, b_f=0.0, b_i=-4.0, b_o=-3.0), inputs)
    assert "output-bias" not in {r.id for r in forgetful}  # nothing that has entered is left at the lag
    open_gates = dynsys.remedies(weightless_lstm(4, b_f=7.0, b_i=-4.0), inputs)
    assert "output-bias" not in {r.id for r in open_gates}


@pytest.mark.parametrize(("u", "cut"), [(0.3, 0.5), (0.2, 0.25), (1.0, 0.75), (0.05, None)])
def test_a_gradient_through_h_that_drowns_the_one_along_c_is_cut(u: float, cut: float | None) -> None:
    """At h = c = 0 with U_g = u I: e = dc + o dh goes back by f + o i u, along c by f; cut, by f + (1 - p) o i u."""
    cell = weightless_lstm(3, b_f=6.0)
    cell = dataclasses.replace(cell, U_g=u * np.eye(3))
    result = dynsys.remedies(cell, noise(60, 4, 2))
    if cut is None:
        assert "h-detach" not in {r.id for r in result}
        assert any(line.startswith("gradient through h: 59 steps back") for line in result.healthy)
        return
    found, f, i, o = only(result, "h-detach"), sigmoid(6.0), 0.5, 0.5

    def over(p: float) -> float:
        through = (1 - p) * i * u
        return math.log(math.hypot(f, through) / f) + 58 * math.log((f + o * through) / f)

    assert found.settings == {"probability": cut, "lag": 59}
    assert found.before == pytest.approx(over(0.0), abs=1e-9)
    assert found.predicted == pytest.approx(over(cut), abs=1e-9)
    assert found.after == pytest.approx(over(cut), abs=1e-9)


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


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_a_normalised_layer_without_recurrence_does_exactly_what_is_predicted(activation: str) -> None:
    """No state feeds back, so the recorded arguments are those of the copy; no share is above Chebyshev's bound."""
    cell = cells.Elman(U=np.zeros((8, 8)), W=200 * noise(8, 3), activation=activation)
    found = only(dynsys.remedies(cell, noise(50, 4, 3, seed=1)), "layer-norm")
    assert found.before < -100
    assert found.after == pytest.approx(found.predicted, rel=1e-12)
    share = found.also["share of saturated units"]
    assert share[0] > 0.3
    assert share[1] <= 0.1
    # The term itself, from the definition: a over its own mean and deviation, at every step.
    a = np.einsum("ij,tbj->tbi", cell.W, noise(50, 4, 3, seed=1))
    y = (a - a.mean(axis=2, keepdims=True)) / np.sqrt(a.var(axis=2, keepdims=True) + found.settings["epsilon"])
    y *= found.settings["gamma"]
    slope = 1 / np.cosh(y) ** 2 if activation == "tanh" else 1 / (2 + 2 * np.cosh(y))
    assert found.after == pytest.approx(np.log(slope).mean() * 8, rel=1e-10)


@pytest.mark.parametrize("kind", [cells.Elman, cells.LSTM, cells.GRU, cells.GRUResetAfter])
def test_a_layer_norm_is_tried_where_functions_are_flat(kind: Any) -> None:
    """The copy is the same network with one norm more; asked again, it needs no other."""
    cell = kind.random(6, 2, seed=3)
    names = [name for name in cell.parameters if name.endswith(("_g", "_h", "_hn")) or kind is cells.Elman]
    loud = type(cell)(**{k: v * (60.0 if k in names else 1.0) for k, v in cell.parameters.items()})
    found = only(dynsys.remedies(loud, noise(60, 4, 2)), "layer-norm")
    assert found.agrees
    (share,) = [pair for name, pair in found.also.items() if name.startswith("share")]
    assert share[0] > 0.8
    assert share[1] <= 0.1
    kept = {name: value for name, value in loud.parameters.items() if value.any()}
    suffix = {cells.Elman: "", cells.LSTM: "_g"}.get(kind, "_h")
    options = {} if kind is cells.Elman else {"normalized": suffix[1:]}
    options |= {"reset": "before"} if kind is cells.GRU else {}
    copy = getattr(cells, found.settings["cell"])(
        **kept, **options, **{f"gamma{suffix}": np.full(6, found.settings[f"gamma{suffix}"])}
    )
    again = dynsys.remedies(copy, noise(60, 4, 2))
    assert not {"layer-norm", "unsaturate"} & {r.id for r in again}
    assert "largest exponent (nats/step)" in found.also
    assert again.largest_exponent == pytest.approx(found.also["largest exponent (nats/step)"][1], abs=1e-9)


BUDGETS: dict[str, Any] = {
    "elman": lambda: cells.Elman.random(7, 2, gain=1.3, seed=1),
    "elman-sigmoid": lambda: cells.Elman.random(7, 2, gain=1.3, seed=1, activation="sigmoid"),
    "lstm": lambda: cells.LSTM.random(5, 2, gain=1.3, seed=1),
    "gru": lambda: cells.GRU.random(6, 2, gain=1.3, seed=1),
    "gru-takes-new": lambda: cells.GRUResetAfter.random(6, 2, gain=1.3, seed=1, update="takes-new"),
    "stack": lambda: dynsys.stack(cells.GRU.random(4, 2, seed=1), cells.LSTM.random(3, 4, seed=2)),
}


@pytest.mark.parametrize("kind", BUDGETS)
def test_the_budget_adds_up_to_the_sum_of_all_exponents(kind: str) -> None:
    """Exactly, at every length: over the same sequences from the same start."""
    f, inputs = dynsys.as_map(BUDGETS[kind]()), noise(30, 4, 2)
    budget = dynsys.remedies(f, inputs).budget
    assert budget is not None
    assert budget.places == 120
    spectrum = dynsys.lyapunov_spectrum(f, None, inputs, k=f.state_size, discard=0)
    assert budget.total == pytest.approx(float(spectrum.by_sequence.sum(axis=1).mean()), abs=1e-9)
    assert len(budget.terms) >= 2
    assert math.fsum(budget.terms.values()) == pytest.approx(budget.total, abs=1e-12)


def test_the_terms_of_a_weightless_network_are_its_biases() -> None:
    """f = sigmoid(b_f), o = sigmoid(b_o); without recurrent weights det U_o is zero, and so is the whole."""
    budget = dynsys.remedies(weightless_lstm(3, b_f=1.0, b_o=-2.0, b_g=0.4), noise(20, 2, 2)).budget
    assert budget is not None
    assert budget.terms["forget gates (log f)"] == pytest.approx(-3 * math.log1p(math.exp(-1.0)))
    assert budget.terms["slopes of the output gates"] == pytest.approx(-3 * math.log(2 + 2 * math.cosh(2.0)))
    assert budget.total == -math.inf
    assert dynsys.remedies(cells.MGU.random(3, 2), noise(20, 2, 2)).budget is None


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
    cell = cells.Elman.random(16, 2, gain=1.4, seed=2)
    inputs = noise(60, 16, 2, size=0.2)
    found = only(dynsys.remedies(cell, inputs), "floss")
    assert found.after < 0.2 * found.before
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
