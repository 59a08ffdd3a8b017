"""What each cell obeys beyond its derivatives: exact solutions, limits in which it is another cell, its own laws."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import cells
import dynsys
from cells.activations import ACTIVATIONS


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def filled(cell: Any, seed: int = 3) -> Any:
    """The cell with every parameter drawn anew, biases too."""
    values = {k: 0.6 * drawn(*v.shape, seed=seed + i) for i, (k, v) in enumerate(cell.parameters.items())}
    return dataclasses.replace(cell, **values)


def assert_same_map(one: Any, other: Any, atol: float = 1e-14) -> None:
    """Steps and Jacobians agree at random states and inputs."""
    f, g = dynsys.as_map(one), dynsys.as_map(other)
    states, inputs = drawn(5, f.state_size, seed=8), drawn(5, f.input_size, seed=9)
    np.testing.assert_allclose(f.step(states, inputs), g.step(states, inputs), rtol=0, atol=atol)
    np.testing.assert_allclose(f.jacobian(states, inputs), g.jacobian(states, inputs), rtol=0, atol=10 * atol)


def same_numbers(one: Any, other: Any, atol: float = 1e-10) -> None:
    """Two lists of complex numbers, each as often as in the other, in any order."""
    left, right = list(np.ravel(one)), list(np.ravel(other))
    assert len(left) == len(right)
    for value in left:
        k = int(np.argmin(np.abs(np.array(right) - value)))
        assert abs(right.pop(k) - value) < atol


# Activations


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("hard_tanh", [-3, -0.5, 0.5, 3], [-1, -0.5, 0.5, 1]),
        ("hard_sigmoid", [-3, 0, 1.5, 3], [0, 0.5, 0.75, 1]),  # torch.nn.functional.hardsigmoid
        ("hard_sigmoid_fifth", [-2.5, 0, 1, 2.5], [0, 0.5, 0.7, 1]),  # ONNX HardSigmoid, alpha 0.2, beta 0.5
        ("leaky_relu", [-2, 3], [-0.02, 3]),
        ("softsign", [-1, 3], [-0.5, 0.75]),
        ("softplus", [0, 800], [np.log(2), 800]),
        ("elu", [-1, 0, 2], [np.exp(-1) - 1, 0, 2]),
    ],
)
def test_activations_have_the_values_of_their_definitions(name: str, x: list[float], y: list[float]) -> None:
    np.testing.assert_allclose(ACTIVATIONS[name](np.array(x, dtype=float)), y, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(("name", "slope"), [("elu", 1.0), ("softplus", 0.5), ("softsign", 1.0), ("hard_tanh", 1.0)])
def test_smooth_activations_have_their_slope_at_zero(name: str, slope: float) -> None:
    """Also where the formula is made of pieces that are not smooth there."""
    f = dynsys.as_map(cells.Elman(U=[[1.0]], activation=name))
    assert f.jacobian([0.0])[0, 0] == slope
    assert f.jvp([0.0], [1.0])[0] == slope


# Linear maps


@pytest.mark.parametrize(("slope", "point", "kind"), [(0.8, 5.0, "attractor"), (1.4, -2.5, "repeller")])
def test_the_two_examples_of_the_lectures(slope: float, point: float, kind: str) -> None:
    """0.8 h + 1 comes to 5, 1.4 h + 1 leaves -2.5."""
    cell = cells.Linear(U=[[slope]], b=[1.0])
    assert cell.fixed_point() == pytest.approx(point, rel=1e-14)
    found = dynsys.find_fixed_points(cell).points
    assert found.states[0, 0] == pytest.approx(point, rel=1e-12)
    assert found.kinds == (kind,)
    assert found.multipliers[0, 0] == pytest.approx(slope)


def test_motion_mode_by_mode_is_the_orbit() -> None:
    """h_t = h* + sum of lambda_k^t w_k (h_0 - h*) v_k."""
    cell = dataclasses.replace(cells.Linear.random(5, 2, gain=0.9, seed=1), b=drawn(5))
    start, u = drawn(5, seed=2), drawn(2, seed=3)
    orbit = dynsys.simulate(cell, start, np.tile(u, (12, 1)))
    values, right, left, condition = cell.modes()
    rest = cell.fixed_point(u)
    for t in (0, 1, 12):
        moved = rest + (right @ (values**t * (left @ (start - rest)))).real
        np.testing.assert_allclose(moved, orbit[t], atol=1e-12 * condition)
        np.testing.assert_allclose(cell.after(t, start, u), orbit[t], atol=1e-12)
    assert (np.diff(np.abs(values)) <= 1e-15).all()


def test_a_defective_map_with_eigenvalue_one_has_its_closed_form() -> None:
    """A Jordan block: position grows by velocity. Modes say that they are worth nothing; `after` is exact."""
    cell = cells.Linear(U=[[1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(cell.after(1000, [0.0, 1.0]), [1000.0, 1.0])
    assert cell.modes().condition > 1e15
    with pytest.raises(cells.ParameterError, match="eigenvalue 1"):
        cell.fixed_point()


# IRNN


def test_the_irnn_keeps_what_is_positive() -> None:
    """Le et al. 2015: at zero input h' = h for h >= 0, and J is the identity where h > 0."""
    irnn = cells.Elman.identity(4, 2)
    h = np.abs(drawn(4)) + 0.1
    np.testing.assert_array_equal(dynsys.as_map(irnn).step(h), h)
    np.testing.assert_array_equal(dynsys.as_map(irnn).jacobian(h), np.eye(4))
    assert irnn.activation == "relu"


# LSTM and its relatives


def test_peepholes_left_out_are_the_lstm() -> None:
    lstm = filled(cells.LSTM.random(4, 2))
    assert_same_map(lstm, cells.PeepholeLSTM(**lstm.parameters))


def test_coupled_gates_are_an_lstm_whose_input_gate_mirrors_the_forget_gate() -> None:
    """1 - sigmoid(a) = sigmoid(-a)."""
    coupled = filled(cells.CoupledLSTM.random(4, 2))
    mirrored = {f"{k[0]}_i": -v for k, v in coupled.parameters.items() if k.endswith("_f")}
    assert_same_map(coupled, cells.PeepholeLSTM(**coupled.parameters, **mirrored))


def test_a_projection_by_the_identity_is_the_lstm() -> None:
    lstm = filled(cells.LSTM.random(4, 2))
    assert_same_map(lstm, cells.ProjectedLSTM(P=np.eye(4), **lstm.parameters))


def test_a_projected_lstm_has_two_block_sizes() -> None:
    cell = cells.ProjectedLSTM.random(6, 2, outputs=2)
    assert cell.state_blocks == {"h": 2, "c": 6}
    assert (cell.state_size, cell.output_size, cell.hidden_size) == (8, 2, 6)


def test_the_carousel_keeps_every_error_constant() -> None:
    """dc'/dc = 1 exactly: n multipliers are 1, whatever the weights; with all gates open an LSTM is the carousel."""
    carousel = filled(cells.GatelessLSTM.random(3, 2, shows="candidate"))
    f = dynsys.as_map(carousel)
    jacobian = f.jacobian(drawn(6), drawn(2))
    np.testing.assert_array_equal(jacobian[3:, 3:], np.eye(3))
    np.testing.assert_array_equal(jacobian[:3, 3:], 0.0)
    states = dynsys.simulate(carousel, np.zeros(6), drawn(5, 2))
    np.testing.assert_allclose(states[-1, 3:], states[1:, :3].sum(axis=0), atol=1e-14)  # c adds up the h
    memory = dataclasses.replace(carousel, shows="memory")
    open_gates = {f"b_{gate}": np.full(3, 50.0) for gate in "ifo"}
    zeros = {f"U_{gate}": np.zeros((3, 3)) for gate in "ifo"}
    assert_same_map(memory, cells.LSTM(U_g=memory.U, W_g=memory.W, b_g=memory.b, **zeros, **open_gates))


def test_each_function_of_an_lstm_is_used_in_its_place() -> None:
    """With zero weights: i = f = o = s(0), and the biases of g and the memory pass through the other two."""
    none = {f"U_{gate}": np.zeros((1, 1)) for gate in "ifog"}
    cell = cells.LSTM(**none, b_g=[0.4], b_i=[1.0], gate_activation="hard_sigmoid_fifth", activation="identity",
                      output_activation="softsign")  # fmt: skip
    h, c = dynsys.as_map(cell).step([0.0, 0.6])
    assert c == pytest.approx(0.5 * 0.6 + 0.7 * 0.4)
    assert h == pytest.approx(0.5 * c / (1 + c))


# GRU and its relatives


@pytest.mark.parametrize("update", ["keeps-old", "takes-new"])
@pytest.mark.parametrize("gates", ["state+bias", "state", "bias"])
def test_reduced_gates_are_a_gru_with_zeros(gates: str, update: str) -> None:
    reduced = filled(cells.ReducedGRU.random(4, 2, gates=gates, update=update))
    kept = {"state+bias": "Ub", "state": "U", "bias": "b"}[gates]
    assert {k for k in reduced.parameters if k[-1] in "zr"} == {f"{letter}_{g}" for letter in kept for g in "zr"}
    zeros = {f"U_{gate}": np.zeros((4, 4)) for gate in "zr"}
    assert_same_map(reduced, cells.GRU(**(zeros | reduced.parameters), update=update))


def test_reduced_gates_refuse_what_they_do_not_use() -> None:
    with pytest.raises(cells.ParameterError, match=r"ReducedGRU\.b_z is not used by gates='state'"):
        cells.ReducedGRU(U_h=np.eye(2), U_z=np.eye(2), U_r=np.eye(2), b_z=np.ones(2), gates="state")


def test_the_minimal_unit_is_a_gru_with_one_gate() -> None:
    mgu = filled(cells.MGU.random(4, 2))
    gates = {f"{k[0]}_{gate}": v for k, v in mgu.parameters.items() if k[-1] == "f" for gate in "zr"}
    candidate = {k: v for k, v in mgu.parameters.items() if k[-1] == "h"}
    assert_same_map(mgu, cells.GRU(**gates, **candidate, update="takes-new"))


# Leaky networks


def test_without_leak_it_is_the_elman_network() -> None:
    elman = filled(cells.Elman.random(4, 2))
    assert_same_map(elman, cells.LeakyRNN(**elman.parameters, alpha=1.0))
    assert_same_map(cells.LeakyRNN(**elman.parameters, alpha=0.3), cells.EchoState(**elman.parameters, alpha=0.3))


def test_multipliers_at_zero_are_those_of_the_leak() -> None:
    """1 - alpha + alpha mu for every eigenvalue mu of U."""
    cell = cells.LeakyRNN.random(6, 0, gain=1.4, alpha=0.2)
    multipliers = np.linalg.eigvals(dynsys.as_map(cell).jacobian(np.zeros(6)))
    same_numbers(multipliers, 0.8 + 0.2 * np.linalg.eigvals(cell.U))


def test_rates_and_currents_are_one_network_in_two_coordinates() -> None:
    """At a fixed point r of the rates, the currents U r + b + W x rest with the same multipliers."""
    rates = cells.LeakyRNN(U=0.8 * drawn(4, 4), W=drawn(4, 2, seed=1), b=0.3 * drawn(4, seed=2), alpha=0.4)
    u = np.array([0.2, -0.4])
    point = dynsys.simulate(rates, np.zeros(4), np.tile(u, (4000, 1)))[-1]
    assert np.abs(dynsys.as_map(rates).step(point, u) - point).max() < 1e-13, "the drawn network should come to rest"
    currents = dataclasses.replace(rates, equation="currents")
    h = rates.U @ point + rates.W @ u + rates.b[:, 0]
    np.testing.assert_allclose(dynsys.as_map(currents).step(h, u), h, atol=1e-12)
    both = (np.linalg.eigvals(dynsys.as_map(f).jacobian(at, u)) for f, at in ((rates, point), (currents, h)))
    same_numbers(*both)


def test_dales_law_is_checked_column_by_column() -> None:
    cell = cells.LeakyRNN.dale(10, 2, gain=1.2, seed=1)
    assert (cell.U * np.array(cell.signs) >= 0).all()
    assert cell.signs.count(1) == 8
    assert np.abs(np.linalg.eigvals(cell.U)).max() == pytest.approx(1.2)
    wrong = cell.U.copy()
    wrong[3, 9] = 0.5
    with pytest.raises(cells.ParameterError, match=r"U\[3, 9\] is 0.5, but signs\[9\] is -1"):
        dataclasses.replace(cell, U=wrong)
    with pytest.raises(cells.ParameterError, match="needs 10 values, each 1 or -1"):
        dataclasses.replace(cell, signs=(1, 0))


@pytest.mark.parametrize("kind", [cells.LeakyRNN, cells.EchoState, cells.LowRankRNN])
@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, float("nan"), "a"])
def test_impossible_leaks_are_refused(kind: Any, alpha: Any) -> None:
    with pytest.raises(cells.ParameterError, match="alpha"):
        dataclasses.replace(kind.random(3, 1), alpha=alpha)


# Networks of low rank


@pytest.mark.parametrize("equation", ["rates", "currents"])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_the_latent_map_is_exact(equation: str, alpha: float) -> None:
    """Overlaps of the large network move as the small one; its multipliers are those, and n - r times 1 - alpha."""
    large = cells.LowRankRNN.random(30, 2, gain=1.8, seed=2, rank=2, alpha=alpha, equation=equation)
    large = dataclasses.replace(large, b=0.2 * drawn(30))
    small, u = large.latent(), np.array([0.3, -0.2])
    k = dynsys.simulate(small, 0.5 * drawn(2, seed=1), np.tile(u, (600, 1)))
    np.testing.assert_allclose(k[-1], k[-2], atol=1e-10)
    rest = large.lift(k[-1], u)
    np.testing.assert_allclose(dynsys.as_map(large).step(rest, u), rest, atol=1e-9)
    f, g = dynsys.as_map(large), dynsys.as_map(small)
    wanted = [*np.linalg.eigvals(g.jacobian(k[-1], u)), *([1 - alpha] * 28)]
    same_numbers(np.linalg.eigvals(f.jacobian(rest, u)), wanted, 1e-6)
    # Orbits, from any state of the rates, and on the plane of the currents.
    start = drawn(30, seed=4) if equation == "rates" else large.lift(drawn(2, seed=4), u)
    orbit = dynsys.simulate(large, start, np.tile(u, (5, 1)))
    shown = orbit if equation == "rates" else np.tanh(orbit)
    overlaps = shown @ large.N / 30
    if equation == "rates":
        np.testing.assert_allclose(overlaps, dynsys.simulate(small, overlaps[0], np.tile(u, (5, 1))), atol=1e-13)
    else:
        planar = dynsys.simulate(small, drawn(2, seed=4), np.tile(u, (5, 1)))
        np.testing.assert_allclose(orbit, [large.lift(p, u) for p in planar], atol=1e-12)


# Networks with special weights


def test_antisymmetric_multipliers_at_zero() -> None:
    """1 - epsilon gamma + i epsilon w; without diffusion the Euler step makes every one of them grow."""
    cell = cells.AntisymmetricRNN.random(5, 0, epsilon=0.2, gamma=0.1, seed=1)
    turning = np.linalg.eigvals(cell.U - cell.U.T).imag
    multipliers = np.linalg.eigvals(dynsys.as_map(cell).jacobian(np.zeros(5)))
    same_numbers(multipliers, 1 - 0.02 + 0.2j * turning)
    undamped = dynsys.as_map(dataclasses.replace(cell, gamma=0.0)).jacobian(np.zeros(5))
    assert (np.abs(np.linalg.eigvals(undamped)) > 1 - 1e-12).all()


def test_an_orthogonal_network_keeps_lengths() -> None:
    cell = cells.OrthogonalRNN.random(6, 0, gain=0.9, activation="identity", seed=1)
    h = drawn(6)
    assert np.linalg.norm(dynsys.as_map(cell).step(h)) == pytest.approx(0.9 * np.linalg.norm(h))
    np.testing.assert_allclose(np.linalg.svd(dynsys.as_map(cell).jacobian(h))[1], 0.9)
    with pytest.raises(cells.ParameterError, match="not orthogonal: U\\^T U differs from the identity by 3"):
        cells.OrthogonalRNN(U=2 * np.eye(3))


def test_orthogonal_weights_from_free_parameters() -> None:
    A = drawn(4, 4)
    U = cells.OrthogonalRNN.from_skew(A).U
    np.testing.assert_allclose(U, scipy.linalg.expm(A - A.T), atol=1e-14)
    assert np.linalg.det(U) == pytest.approx(1.0)
    Q = np.linalg.qr(drawn(3, 3) + 1j * drawn(3, 3, seed=1))[0]
    cell = cells.OrthogonalRNN.from_unitary(Q, activation="identity")
    z = drawn(3, seed=2) + 1j * drawn(3, seed=3)
    turned = dynsys.as_map(cell).step(np.concatenate([z.real, z.imag]))
    np.testing.assert_allclose(turned[:3] + 1j * turned[3:], Q @ z, atol=1e-14)


def test_modrelu_moves_the_modulus_and_keeps_the_sign() -> None:
    cell = cells.OrthogonalRNN(U=np.eye(3), b=[-0.5, 0.25, -0.5], activation="modrelu")
    np.testing.assert_allclose(dynsys.as_map(cell).step([-2.0, 1.0, 0.4]), [-1.5, 1.25, 0.0])


def test_a_reservoir_has_the_spectral_radius_asked_for() -> None:
    cell = cells.EchoState.random(50, 1, gain=0.9, density=0.1, seed=2)
    assert cell.spectral_radius == pytest.approx(0.9, rel=1e-12)
    assert 0.05 < np.count_nonzero(cell.U) / cell.U.size < 0.15
    contracting = dataclasses.replace(cell, U=cell.U * 0.5 / np.linalg.norm(cell.U, 2), alpha=0.5)
    assert contracting.contraction == pytest.approx(0.75)
    one, other = drawn(2, 50)
    f, u = dynsys.as_map(contracting), np.array([0.3])
    assert np.linalg.norm(f.step(one, u) - f.step(other, u)) <= 0.75 * np.linalg.norm(one - other)


def test_without_input_the_chaos_free_network_falls_to_zero() -> None:
    """|h'_i| < |h_i|, and at zero J = diag(sigmoid(b_theta))."""
    cell = dataclasses.replace(cells.CFN.random(5, 2, gain=4.0, seed=1), b_theta=drawn(5, seed=2))
    f = dynsys.as_map(cell)
    states = 3 * drawn(200, 5, seed=3)
    assert (np.abs(f.step(states)) < np.abs(states)).all()
    np.testing.assert_allclose(f.jacobian(np.zeros(5)), np.diag(1 / (1 + np.exp(-cell.b_theta[:, 0]))), atol=1e-15)


def test_a_piecewise_linear_network_is_affine_in_each_orthant() -> None:
    """J = diag(A) + U diag(z > 0), and the fixed point of an orthant solves a linear equation."""
    cell = dataclasses.replace(cells.PLRNN.random(4, 0, gain=0.5, seed=1), b=drawn(4, seed=2))
    z = drawn(4, seed=3)
    inside = np.diag((z > 0).astype(float))
    np.testing.assert_allclose(dynsys.as_map(cell).jacobian(z), np.diag(cell.A[:, 0]) + cell.U @ inside, atol=1e-15)
    assert_same_map(cell, cells.PLRNN(A=np.diag(cell.A[:, 0]), U=cell.U, b=cell.b))
    with pytest.raises(cells.ParameterError, match="diagonal"):
        cells.PLRNN(A=np.ones((2, 2)), U=np.zeros((2, 2)))


def test_a_diagonal_layer_is_its_complex_recurrence() -> None:
    cell = cells.DiagonalSSM.random(4, 2, gain=0.9, seed=1)
    z, u = drawn(4) + 1j * drawn(4, seed=1), drawn(2, seed=2)
    moved = dynsys.as_map(cell).step(np.concatenate([z.real, z.imag]), u)
    np.testing.assert_allclose(moved[:4] + 1j * moved[4:], cell.eigenvalues * z + (cell.W_re + 1j * cell.W_im) @ u)
    same_numbers(
        np.linalg.eigvals(dynsys.as_map(cell).jacobian(np.zeros(8))), [*cell.eigenvalues, *cell.eigenvalues.conj()]
    )


def test_holding_the_input_is_exact_sampling() -> None:
    """Zero-order hold: the matrix exponential of the equation with its constant input, A = 0 included."""
    A, W = np.array([-0.3 + 2j, -1.5, 0.0]), drawn(3, 1) + 1j * drawn(3, 1, seed=1)
    cell = cells.DiagonalSSM.continuous(A, W, 0.2)
    whole = np.block([[np.diag(A), W], [np.zeros((1, 4))]])
    sampled = scipy.linalg.expm(0.2 * whole)
    np.testing.assert_allclose(cell.eigenvalues, np.diag(sampled)[:3], atol=1e-15)
    np.testing.assert_allclose((cell.W_re + 1j * cell.W_im)[:, 0], sampled[:3, 3], atol=1e-15)
    tustin = cells.DiagonalSSM.continuous(A, W, 0.2, method="bilinear")
    np.testing.assert_allclose(tustin.eigenvalues, (1 + 0.1 * A) / (1 - 0.1 * A), atol=1e-15)


def test_a_context_is_a_bias() -> None:
    cell = filled(cells.ContextRNN.random(4, 2, context=3))
    assert set(cell.parameters) == {"U", "R", "W", "b"}
    assert_same_map(cell, cells.Elman(U=cell.U, W=cell.W, b=cell.b + cell.R @ cell.v))
    other = dataclasses.replace(cell, v=cell.v + 1.0)
    assert np.abs(dynsys.as_map(other).step(np.zeros(4)) - dynsys.as_map(cell).step(np.zeros(4))).max() > 0.05


def test_a_recurrent_perceptron_is_a_stack_of_elman_networks() -> None:
    cell = filled(cells.RecurrentMLP.random(4, 2, second=3))
    layers = (cells.Elman(**{k[0]: v for k, v in cell.parameters.items() if k[-1] == part}) for part in "12")
    assert_same_map(cell, dynsys.stack(*layers))


# Readouts y = g(V h + c)


def test_a_readout_may_end_in_softmax() -> None:
    """Probabilities, with their derivative; an unknown name is refused."""
    V, c = drawn(3, 4), drawn(3, seed=1)
    shown = dynsys.close_loop(cells.Elman.random(4, 3), (V, c, "softmax")).readout
    h = drawn(5, 4, seed=2)
    y = shown(h)
    grown = np.exp(h @ V.T + c)
    np.testing.assert_allclose(y, grown / grown.sum(axis=1, keepdims=True), atol=1e-15)
    with pytest.raises(dynsys.errors.InputError, match="softmax, or a function"):
        dynsys.close_loop(cells.Elman.random(4, 3), (V, c, "softermax"))
