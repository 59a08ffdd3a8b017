"""Singular values of long products against many-digit arithmetic and closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.special import log_expit

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError
from dynsys.frames import CHUNK_BYTES, stretch_length
from dynsys.readings.linear import Linearization


def linear(U: Any) -> cells.Elman:
    """h' = U h."""
    return cells.Elman(U=U, activation="identity")


class Carried(dynsys.Map):
    """A linear map x' = M x whose input is M, with M as its Jacobian: any product of matrices as an orbit."""

    def __init__(self, n: int, step: Any) -> None:
        self.state_size, self.input_size, self.name = n, n * n, "carried"
        self.blocks, self.output, self._step = (("x", slice(0, n)),), slice(0, n), step

    def advance(self, state: np.ndarray, input: np.ndarray) -> np.ndarray:
        return np.asarray(self._step(state, input))

    def linearize_columns(self, state: np.ndarray, input: np.ndarray) -> Any:
        return Given(self.advance(state, input), input.T.reshape(-1, self.state_size, self.state_size))

    def box(self, low: np.ndarray, high: np.ndarray) -> None:
        return None


class Given(Linearization):
    """Jacobians that are there already."""

    def __init__(self, next_state: np.ndarray, jacobians: np.ndarray) -> None:
        self.next_state, self._jacobians = next_state, jacobians

    def push(self, state: Any, input: Any = None) -> np.ndarray:
        return np.einsum("bij,jbk->ibk", self._jacobians, state)

    def pull(self, cotangent: np.ndarray, *, input: bool = True, parameters: bool = False) -> Any:
        raise NotImplementedError

    def dense(self) -> np.ndarray:
        return self._jacobians

    def dense_input(self) -> np.ndarray:
        raise NotImplementedError


def product_of(matrices: np.ndarray) -> tuple[Any, np.ndarray]:
    """A map whose input carries the matrix of each step, and the inputs (T, n^2) that make it J_t."""
    n = matrices.shape[-1]

    def step(state: Any, entries: Any) -> list[Any]:
        return [sum(entries[n * i + j] * state[j] for j in range(n)) for i in range(n)]

    return dynsys.as_map(step, n, n * n), matrices.reshape(len(matrices), n * n)


def exact_decomposition(jacobians: np.ndarray, digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log singular values, left and right vectors of J_T ... J_1 formed in many digits; exact zeros become -inf."""
    with mpmath.workdps(digits):
        product = mpmath.eye(jacobians.shape[-1])
        for jacobian in jacobians:
            product = mpmath.matrix(jacobian.tolist()) * product
        u, values, vt = mpmath.svd_r(product)
        tiny = values[0] * mpmath.mpf(10) ** (-digits // 2)
        logs = np.array([float(mpmath.log(v)) if v > tiny else -math.inf for v in values])
        return logs, np.array(u.tolist(), dtype=float), np.array(vt.T.tolist(), dtype=float)


def exact_log_singular_values(jacobians: np.ndarray, digits: int) -> np.ndarray:
    """log singular values of J_T ... J_1, from the product formed in many digits; exact zeros become -inf."""
    return exact_decomposition(jacobians, digits)[0]


def random_network(seed: int, n: int, lag: int) -> tuple[cells.Elman, np.ndarray, np.ndarray]:
    """A driven tanh network of gain 3 and its Jacobians along the orbit of zero."""
    cell = cells.Elman.random(n, 2, gain=3.0, seed=seed)
    inputs = np.random.default_rng(seed).standard_normal((lag, 2))
    orbit = dynsys.simulate(cell, None, inputs=inputs)
    return cell, inputs, np.asarray(dynsys.as_map(cell).jacobian(orbit[:-1], inputs))


@pytest.mark.parametrize("seed", range(5))
def test_log_singular_values_of_a_long_product(seed: int) -> None:
    """n = 8, lag 100: 1e-9 from the product in 1400 digits. The two wrong roads are wrong by nats there."""
    cell, inputs, jacobians = random_network(seed, 8, 100)
    exact = exact_log_singular_values(jacobians, 1400)
    result = dynsys.gradient_spectrum(cell, inputs=inputs, lags=[100])
    assert np.abs(result.log_singular_values[0] - exact).max() < 1e-9
    formed, frame, logs = np.eye(8), np.eye(8), np.zeros(8)
    for jacobian in jacobians:
        formed = jacobian @ formed
        frame, r = np.linalg.qr(jacobian @ frame)
        logs += np.log(np.abs(np.diag(r)))
    naive = np.log(np.maximum(np.linalg.svd(formed, compute_uv=False), 1e-320))
    assert np.abs(naive - exact).max() > 1
    assert np.abs(np.sort(logs)[::-1] - exact).max() > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_log_singular_values_of_a_gru(seed: int) -> None:
    """Close, slowly falling values: n = 6, lags 1, 7, 60."""
    cell = cells.GRU.random(6, 2, gain=2.0, seed=seed)
    inputs = np.random.default_rng(seed).standard_normal((60, 2))
    orbit = dynsys.simulate(cell, None, inputs=inputs)
    jacobians = np.asarray(dynsys.as_map(cell).jacobian(orbit[:-1], inputs))
    result = dynsys.gradient_spectrum(cell, inputs=inputs, lags=[1, 7, 60])
    for lag, values in zip((1, 7, 60), result.log_singular_values, strict=True):
        np.testing.assert_allclose(values, exact_log_singular_values(jacobians[:lag], 300), rtol=0, atol=1e-9)


def turning(logs: np.ndarray, seed: int) -> tuple[Any, np.ndarray]:
    """J_t = A_t D_t A_{t-1}^T with orthogonal A_t and D_t = exp(logs[t]): in exact arithmetic the singular values of
    their product are the products of the D_t. The map whose input carries the matrices, and these inputs."""
    steps, n = logs.shape
    turns = np.linalg.qr(np.random.default_rng(seed).standard_normal((steps + 1, n, n)))[0]
    matrices = turns[1:] @ (np.exp(logs)[:, :, np.newaxis] * turns[:-1].swapaxes(1, 2))

    def step(state: Any, entries: Any) -> Any:
        return (entries.reshape(n, n, -1) * state[np.newaxis]).sum(axis=1)

    return Carried(n, step), matrices.reshape(steps, n * n)


@pytest.mark.parametrize(("rate", "steps"), [(0.3, 400), (3.0, 300), (8.0, 200)])
def test_a_large_product_in_turning_coordinates(rate: float, steps: int) -> None:
    """n = 60, where frames are never formed, singular values over up to 1600 nats, with QRs 26, 2 and 1 steps apart."""
    n = 60
    logs = np.linspace(0.0, -rate, n) + 0.05 * rate * np.random.default_rng(7).standard_normal((steps, n))
    f, entries = turning(logs, 0)
    lags = [1, 50, 120, steps]
    result = dynsys.gradient_spectrum(f, np.zeros(n), entries, lags)
    for row, lag in zip(result.log_singular_values, lags, strict=True):
        np.testing.assert_allclose(row, -np.sort(-logs[:lag].sum(axis=0)), rtol=0, atol=1e-9)
    assert result.trusted.tolist() == [n] * len(lags)


def test_what_rounded_jacobians_do_not_determine_is_not_trusted() -> None:
    """Directions that swap their order half way, hidden by rotations: one rounding error of a Jacobian carries what is
    strong in the first half into what is strong in the second, e^-37 of it, and buries the true values."""
    n, steps = 60, 200
    logs = np.tile(np.linspace(0.0, -8.0, n), (steps, 1))
    logs[steps // 2 :] = logs[steps // 2 :, ::-1] / 4
    f, entries = turning(logs, 1)
    result = dynsys.gradient_spectrum(f, np.zeros(n), entries, [steps // 2, steps])
    exact = -np.sort(-logs.sum(axis=0))
    assert np.abs(result.log_singular_values[1] - exact).max() > 1e-3
    right = np.abs(result.log_singular_values[1] - exact) < 1e-5
    assert result.trusted[0] == n
    assert result.trusted[1] <= (n if right.all() else int(np.flatnonzero(~right)[0]))


def test_gates_that_swap_order_in_a_diagonal_cell() -> None:
    """GRU without recurrent weights: log sigma_i = sum of log z_i, exactly, although the order turns at lag 60."""
    zero = np.zeros((3, 3))
    cell = cells.GRU(U_z=zero, U_r=zero, U_h=zero, W_z=[[1.0], [-1.0], [0.2]])
    x = np.concatenate([np.full((60, 1), -3.0), np.full((60, 1), 3.0)])
    result = dynsys.gradient_spectrum(cell, inputs=x, lags=[30, 60, 90, 120])
    for lag, values in zip((30, 60, 90, 120), result.log_singular_values, strict=True):
        wanted = log_expit(x[:lag] * np.array([1.0, -1.0, 0.2])).sum(axis=0)
        np.testing.assert_allclose(values, -np.sort(-wanted), rtol=0, atol=1e-9)


@pytest.mark.parametrize("coupling", [1e-2, 1e-4, 1e-8, 1e-12, 1e-15])
def test_gates_that_swap_order_in_a_coupled_product(coupling: float) -> None:
    """Two rates swap at half time, weakly coupled, lag 120, against 400 digits: right, or marked as untrusted.

    What flows through a coupling c is known to about eps / c.
    """
    generator = np.random.default_rng(0)
    rates = np.array([[-1.5, -0.2, -0.6]] * 60 + [[-0.2, -1.5, -0.6]] * 60)
    matrices = np.exp(rates)[:, :, np.newaxis] * (np.eye(3) + coupling * generator.standard_normal((120, 3, 3)))
    f, entries = product_of(matrices)
    result = dynsys.gradient_spectrum(f, np.zeros(3), entries, lags=[120])
    exact = exact_log_singular_values(matrices, 400)
    trusted = int(result.trusted[0])
    atol = 1e-9 if coupling >= 1e-6 else 1e-6
    np.testing.assert_allclose(result.log_singular_values[0][:trusted], exact[:trusted], rtol=0, atol=atol)


@pytest.mark.parametrize("upper", [True, False])
def test_triangular_product_whose_order_is_wrong_from_the_start(upper: bool) -> None:
    """J = [[a, 1], [0, b]] with a << b (or transposed): the growing direction comes last."""
    J = np.array([[0.01, 1.0], [0.0, 2.0]])
    J = J if upper else J.T
    exact = exact_log_singular_values(np.broadcast_to(J, (200, 2, 2)), 1600)
    result = dynsys.gradient_spectrum(linear(J), lags=[200])
    np.testing.assert_allclose(result.log_singular_values[0], exact, rtol=0, atol=1e-9)


def test_ten_thousand_steps_of_growth_stay_finite() -> None:
    """Symmetric U with eigenvalues e^1.2, e^0.1, e^-2: log sigma = lag times these, far beyond e^709."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    rates = np.array([1.2, 0.1, -2.0])
    result = dynsys.gradient_spectrum(linear(Q @ np.diag(np.exp(rates)) @ Q.T), lags=[10, 1000, 10_000])
    assert np.isfinite(result.log_singular_values).all()
    np.testing.assert_allclose(result.log_singular_values, np.outer([10, 1000, 10_000], rates), rtol=1e-10)
    np.testing.assert_allclose(result.finite_time_exponents, [rates] * 3, rtol=1e-10)


@pytest.mark.parametrize("g", [1.0, 0.9, 1.1])
def test_orthogonal_network_is_an_isometry_at_every_lag(g: float) -> None:
    """All sigma = g^tau (Saxe et al. 2014)."""
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    lags = [1, 10, 100, 1000]
    result = dynsys.gradient_spectrum(linear(g * Q), lags=lags)
    wanted = np.array(lags)[:, np.newaxis] * math.log(g) * np.ones(6)
    np.testing.assert_allclose(result.log_singular_values, wanted, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("lag", [1, 5, 50, 400])
def test_jordan_block_in_closed_form(lag: int) -> None:
    """U = [[a, b], [0, a]]: sigma_1 sigma_2 = a^(2t), sigma_1^2 + sigma_2^2 = 2 a^(2t) + (t b a^(t-1))^2."""
    a, b = 0.9, 0.5
    result = dynsys.gradient_spectrum(linear([[a, b], [0, a]]), lags=[lag])
    s = (lag * b / a) ** 2 / 2 + 1
    half_gap = math.acosh(s) / 2  # sigma_1 / sigma_2 = exp(2 * half_gap)
    wanted = lag * math.log(a) + np.array([half_gap, -half_gap])
    np.testing.assert_allclose(result.log_singular_values[0], wanted, rtol=0, atol=1e-10)


def test_linear_map_has_the_singular_values_of_the_matrix_power() -> None:
    U = np.random.default_rng(5).standard_normal((5, 5)) / math.sqrt(5)
    result = dynsys.gradient_spectrum(linear(U), lags=[1, 3, 6])
    for lag, values in zip((1, 3, 6), result.log_singular_values, strict=True):
        power = np.linalg.matrix_power(U, lag)
        np.testing.assert_allclose(values, np.log(np.linalg.svd(power, compute_uv=False)), atol=1e-9)


# Groups of units that do not touch


def rotation(gain: float, angle: float) -> np.ndarray:
    """gain times a rotation of the plane: both singular values of its power t are gain^t."""
    return gain * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
def test_uncoupled_rotations_keep_their_gains_in_any_order(order: tuple[int, ...]) -> None:
    """sigma = s^t, twice for each block, however the blocks are sorted and the units numbered; vectors stay inside."""
    gains = [0.2, 0.5, 0.9]
    U = block_diag(*(rotation(gains[i], i + 1.0) for i in order))
    shuffled = np.random.default_rng(0).permutation(6)
    lags = [1, 80, 300]
    result = dynsys.gradient_spectrum(linear(U[shuffled][:, shuffled]), np.ones(6), None, lags, vectors=6)
    wanted = np.outer(lags, np.log(np.repeat([0.9, 0.5, 0.2], 2)))
    np.testing.assert_allclose(result.log_singular_values, wanted, rtol=0, atol=1e-10)
    assert result.trusted.tolist() == [6, 6, 6]
    block_of = np.array([gains[order[unit // 2]] for unit in shuffled])
    for side in (result.left_vectors, result.right_vectors):
        assert side is not None
        np.testing.assert_allclose(side[0].swapaxes(1, 2) @ side[0], [np.eye(6)] * 3, atol=1e-12)
        for vector, gain in zip(side[0, 1].T, np.repeat([0.9, 0.5, 0.2], 2), strict=True):
            assert not vector[block_of != gain].any()


def test_diagonal_state_space_model_keeps_its_moduli() -> None:
    """x' = lambda x with complex lambda in pairs of units: sigma = |lambda|^t, twice each."""
    cell = cells.DiagonalSSM.random(6, 2, seed=1)
    moduli = np.abs(np.linalg.eigvals(dynsys.as_map(cell).jacobian(np.zeros(12))))
    result = dynsys.gradient_spectrum(cell, lags=[80])
    np.testing.assert_allclose(result.log_singular_values[0], 80 * -np.sort(-np.log(moduli)), rtol=0, atol=1e-10)
    assert result.trusted.tolist() == [12]


@pytest.mark.parametrize("turn", [1, -1])
def test_lstm_without_recurrence_in_closed_form(turn: int) -> None:
    """d(h, c)_t / d(h, c)_0 of one unit is (o tanh'(c), 1)^T f^t (0, 1): log sigma = t log f + log|(o tanh'(c), 1)|."""
    biases = np.linspace(-3.0, 4.0, 6)[::turn]
    zero, none = np.zeros((6, 6)), np.zeros((6, 1))
    weights = {f"{kind}_{gate}": zero if kind == "U" else none for kind in "UW" for gate in "ifog"}
    cell = cells.LSTM(**weights, b_f=biases)
    result = dynsys.gradient_spectrum(cell, np.concatenate([np.zeros(6), np.ones(6)]), lags=[100])
    slope = 0.5 / np.cosh(np.exp(100 * log_expit(biases))) ** 2
    wanted = 100 * log_expit(biases) + 0.5 * np.log1p(slope**2)
    np.testing.assert_allclose(result.log_singular_values[0, :6], -np.sort(-wanted), rtol=0, atol=1e-10)
    assert np.isneginf(result.log_singular_values[0, 6:]).all()
    assert result.trusted.tolist() == [12]


@pytest.mark.parametrize("sizes", [(26, 26), (50, 6)])
def test_modules_that_do_not_touch_have_the_values_and_vectors_of_each_alone(sizes: tuple[int, int]) -> None:
    """Two tanh networks side by side: the union of their spectra, whichever is first, vectors with zeros beside."""
    generator = np.random.default_rng(0)
    blocks = [
        gain * generator.standard_normal((n, n)) / math.sqrt(n) for gain, n in zip((1.4, 3.0), sizes, strict=True)
    ]
    n, lags = sum(sizes), [10, 60]
    start = generator.uniform(-0.5, 0.5, n)
    parts = np.split(np.arange(n), [sizes[0]])
    alone = [
        dynsys.gradient_spectrum(cells.Elman(U=U), start[at], lags=lags) for U, at in zip(blocks, parts, strict=True)
    ]
    wanted = -np.sort(-np.concatenate([one.log_singular_values for one in alone], axis=1), axis=1)
    together = dynsys.gradient_spectrum(cells.Elman(U=block_diag(*blocks)), start, lags=lags, vectors=1)
    np.testing.assert_allclose(together.log_singular_values, wanted, rtol=0, atol=1e-8)
    assert together.trusted.tolist() == [n, n]
    assert together.left_vectors is not None
    assert together.right_vectors is not None
    weak = parts[int(np.argmin([one.log_singular_values[1, 0] for one in alone]))]
    assert not together.left_vectors[0, 1, weak].any()
    assert not together.right_vectors[0, 1, weak].any()


@pytest.mark.parametrize("seed", range(6))
def test_uncoupled_groups_that_swap_their_order_and_die(seed: int) -> None:
    """Groups of 1 to 3 units, numbered at random, random rates that change half way, a unit off now and then: exact,
    values and vectors, against many digits."""
    generator = np.random.default_rng(seed)
    label = np.array([0, 1, 1, 2, 2, 2])[generator.permutation(6)]
    rates = generator.uniform(-6.0, 2.0, (2, 3))[:, label]
    matrices = generator.standard_normal((60, 6, 6)) * (label[:, np.newaxis] == label)
    matrices *= np.exp(np.repeat(rates, 30, axis=0))[:, :, np.newaxis]
    if seed % 2:
        matrices[generator.integers(60, size=2), generator.integers(6, size=2)] = 0.0
    f, entries = product_of(matrices)
    result = dynsys.gradient_spectrum(f, np.zeros(6), entries, lags=[60], vectors=6)
    exact, left, right = exact_decomposition(matrices, 700)
    np.testing.assert_allclose(result.log_singular_values[0], exact, rtol=0, atol=1e-9)
    assert result.trusted.tolist() == [6]
    assert result.lost.tolist() == [np.isneginf(exact).sum()]
    for side, true in ((result.left_vectors, left), (result.right_vectors, right)):
        assert side is not None
        alive = np.isfinite(exact)
        np.testing.assert_allclose(np.abs((side[0, 0] * true).sum(axis=0))[alive], 1.0, atol=1e-9)
        assert np.isnan(side[0, 0][:, ~alive]).all()


def test_a_singular_group_loses_its_own_rank_alone() -> None:
    """A block of rank 1 beside a block that decays to e^-1000: the map tells of one lost dimension, not whose it is."""
    U = block_diag([[1.0, 2.0], [0.5, 1.0]], rotation(math.exp(-5), 1.0))
    result = dynsys.gradient_spectrum(linear(U), np.ones(4), lags=[200])
    grown = 199 * math.log(2) + math.log(2.5)  # (u v^T)^t = 2^(t - 1) u v^T with |u| |v| = 2.5
    np.testing.assert_allclose(result.log_singular_values[0], [grown, -1000, -1000, -np.inf], rtol=0, atol=1e-9)
    assert result.lost.tolist() == [1]


# Exact zeros


def test_relu_units_that_are_off_are_lost_exactly() -> None:
    """IRNN, U = I: sigma is 0 or 1."""
    cell = cells.Elman(U=np.eye(4), activation="relu")
    result = dynsys.gradient_spectrum(cell, [1.0, -1.0, 2.0, -0.5], lags=[1, 50])
    np.testing.assert_array_equal(result.log_singular_values, [[0, 0, -np.inf, -np.inf]] * 2)
    assert result.lost.tolist() == [2, 2]


def test_a_unit_off_for_one_step_is_lost_and_the_smallest_value_is_kept() -> None:
    """diag(1, e^-2, 1/2), unit 0 off at the first step only: {-tau log 2, -2 tau, -inf}, at every lag."""
    cell = cells.Elman(U=np.diag([1.0, math.exp(-2), 0.5]), W=[[1.0], [0.0], [0.0]], activation="relu")
    x = np.ones((60, 1))
    x[0] = -100.0
    lags = [2, 10, 30, 60]
    result = dynsys.gradient_spectrum(cell, [1.0, 1.0, 1.0], x, lags=lags)
    wanted = [[-lag * math.log(2), -2.0 * lag, -np.inf] for lag in lags]
    np.testing.assert_allclose(result.log_singular_values, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("when", [0, 5, 39])
@pytest.mark.parametrize("seed", range(3))
def test_a_coupled_unit_off_for_one_step_costs_one_value(seed: int, when: int) -> None:
    """Dense ReLU Jacobians diag(d_t) U with one zero in d at one step: n - 1 values, against 400 digits."""
    generator = np.random.default_rng(seed)
    U = generator.standard_normal((5, 5)) * np.exp(-np.arange(5))[:, np.newaxis]
    matrices = np.broadcast_to(U, (40, 5, 5)).copy()
    matrices[when, seed] = 0.0
    exact = exact_log_singular_values(matrices, 800)
    assert np.isneginf(exact).sum() == 1
    f, entries = product_of(matrices)
    result = dynsys.gradient_spectrum(f, np.zeros(5), entries, lags=[40])
    np.testing.assert_allclose(result.log_singular_values[0], exact, rtol=0, atol=1e-8)
    assert result.lost.tolist() == [1]


def test_singular_weights_lose_their_rank_at_every_lag() -> None:
    U = np.outer([1.0, 0.5, -1.0], [0.4, 0.3, -0.8])
    result = dynsys.gradient_spectrum(cells.Elman(U=U, W=np.ones((3, 1))), inputs=np.ones((20, 1)), lags=[1, 5, 20])
    assert np.isneginf(result.log_singular_values).sum(axis=1).tolist() == [2, 2, 2]


# Horizons, batches, mistakes


def test_horizon_is_the_last_lag_with_a_gain_of_one_hundredth() -> None:
    """0.5^6 = 0.0156, 0.5^7 = 0.0078."""
    result = dynsys.gradient_spectrum(linear(0.5 * np.eye(2)), lags=range(1, 21))
    assert (result.horizon, result.horizon_first) == (6, 6)


def test_no_horizon_where_the_gain_does_not_fall() -> None:
    result = dynsys.gradient_spectrum(linear(np.eye(2)), lags=[1, 100])
    assert result.horizon is None


def test_first_and_last_crossing_differ_where_the_gain_recovers() -> None:
    """One factor 0.2 for 5 steps, 5 for 4, then 0.2: above 0.01 at 1-2, below at 3-6, above at 7-11, then below."""
    factors = np.array([0.2] * 5 + [5.0] * 4 + [0.2] * 10)
    gains = np.cumprod(factors)
    f = dynsys.as_map(lambda h, x: x * h, 1, 1)
    result = dynsys.gradient_spectrum(f, [0.0], factors[:, np.newaxis], lags=range(1, 20))
    above = np.flatnonzero(gains >= 0.01) + 1
    assert result.horizon == above.max()
    assert result.horizon_first == np.flatnonzero(gains < 0.01).min()
    assert result.horizon != result.horizon_first


def test_starts_are_analysed_one_by_one() -> None:
    cell = cells.Elman.random(4, 1, gain=1.5)
    starts = np.random.default_rng(0).standard_normal((3, 4))
    together = dynsys.gradient_spectrum(cell, starts, lags=[1, 20])
    for b in range(3):
        alone = dynsys.gradient_spectrum(cell, starts[b], lags=[1, 20])
        np.testing.assert_allclose(together.by_start[b], alone.log_singular_values, atol=1e-10)
    np.testing.assert_allclose(together.log_singular_values, together.by_start.mean(axis=0), atol=1e-13)


def test_leading_values_are_those_of_the_whole() -> None:
    cell = cells.Elman.random(6, 0, gain=1.5)
    whole, few = (dynsys.gradient_spectrum(cell, np.ones(6), lags=[4, 9], k=k) for k in (None, 2))
    np.testing.assert_array_equal(few.log_singular_values, whole.log_singular_values[:, :2])


@pytest.mark.parametrize("kind", [cells.Elman, cells.LSTM, cells.GRU])
def test_a_few_leading_values_and_vectors_are_those_of_the_whole(kind: Any) -> None:
    """Round trips along the orbit find 3 of 120 without the others: the same values, and the same pairs of vectors."""
    cell = kind.random(120 if kind is not cells.LSTM else 60, 2, gain=2.0, seed=2)
    inputs = np.random.default_rng(0).standard_normal((120, 2, 2))
    lags = [1, 5, 60, 120]
    few = dynsys.gradient_spectrum(cell, None, inputs, lags, k=3, vectors=3)
    whole = dynsys.gradient_spectrum(cell, None, inputs, lags, vectors=3)
    assert "round trips" in few.method
    assert "round trips" not in whole.method
    np.testing.assert_allclose(few.by_start, whole.by_start[:, :, :3], rtol=0, atol=1e-8)
    assert few.trusted.tolist() == [3] * 4
    for one, other in ((few.left_vectors, whole.left_vectors), (few.right_vectors, whole.right_vectors)):
        assert one is not None
        assert other is not None
        agreement = np.abs((one[:, 2:] * other[:, 2:]).sum(axis=2))
        np.testing.assert_allclose(agreement, 1.0, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_jacobians_that_must_be_formed_stay_within_the_memory_meant_for_them(batch: int) -> None:
    """A stack has no Jacobian step by step: as many steps are linearized together as the chunk holds, however long."""
    f = dynsys.stack(cells.GRU.random(100, 2, seed=0), cells.GRU.random(100, 100, seed=1))
    length = stretch_length(f, np.zeros((200, batch)), None)
    assert length * batch * 200**2 * 8 <= CHUNK_BYTES
    assert stretch_length(dynsys.as_map(cells.GRU.random(200, 2)), np.zeros((200, batch)), None) > length


def test_few_values_of_a_long_lag_are_the_exponents() -> None:
    """Linear, n = 80, lag 3000: the leading log sigma are lag * log|eigenvalue| up to the conditioning, and finite."""
    generator = np.random.default_rng(1)
    P = np.eye(80) + 0.3 * generator.standard_normal((80, 80)) / math.sqrt(80)
    U = P @ np.diag(np.linspace(1.2, -0.9, 80)) @ np.linalg.inv(P)
    result = dynsys.gradient_spectrum(linear(U), np.zeros(80), None, [3000], k=4)
    np.testing.assert_allclose(result.log_singular_values[0] / 3000, np.log(np.linspace(1.2, -0.9, 80)[:4]), atol=1e-3)


def test_values_do_not_depend_on_which_lags_are_asked_for_nor_on_the_seed() -> None:
    cell, inputs, _ = random_network(0, 6, 60)
    one = dynsys.gradient_spectrum(cell, inputs=inputs, lags=[60])
    many = dynsys.gradient_spectrum(cell, inputs=inputs, lags=range(1, 61), seed=5)
    np.testing.assert_allclose(one.log_singular_values[0], many.log_singular_values[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lags": [5, 3]}, "increasing"),
        ({"lags": [3, 3]}, "increasing"),
        ({"lags": [0, 3]}, "increasing"),
        ({"lags": []}, "increasing"),
        ({"lags": [1.5, 3]}, "whole numbers"),
        ({"lags": "abc"}, "whole numbers"),
        ({"lags": [None]}, "whole numbers"),
        ({"lags": [math.nan]}, "whole numbers"),
        ({"lags": [[1, 2]]}, "whole numbers"),
        ({"lags": 3}, "whole numbers"),
        ({"lags": [3], "k": 0}, "from 1 to 3"),
        ({"lags": [3], "k": 4}, "from 1 to 3"),
        ({"lags": [3], "k": 2.5}, "from 1 to 3"),
        ({"lags": [3], "vectors": 1.5}, "from 0 to 3"),
        ({"lags": [5], "inputs": np.zeros((4, 2))}, "4 steps"),
        ({"lags": [5], "start": np.zeros(5)}, "3"),
    ],
)
def test_mistakes_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.gradient_spectrum(cells.Elman.random(3, 2), **arguments)


def test_a_runaway_orbit_is_an_error_and_no_warning() -> None:
    f = dynsys.as_map(lambda x: x**2 + 1, 1)
    with pytest.raises(AnalysisError, match="range"):
        dynsys.gradient_spectrum(f, [2.0], lags=[100])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lag", [1, 15, 100])
def test_singular_vectors_of_a_long_product(seed: int, lag: int) -> None:
    """n = 6 against the SVD in many digits: the leading vectors, up to the sign of each pair, at every lag."""
    cell, inputs, jacobians = random_network(seed, 6, lag)
    _, left, right = exact_decomposition(jacobians, 700)
    result = dynsys.gradient_spectrum(cell, inputs=inputs, lags=[lag], vectors=6)
    assert result.left_vectors is not None
    assert result.right_vectors is not None
    for i in range(6):
        one, other = result.left_vectors[0, 0, :, i], result.right_vectors[0, 0, :, i]
        sign = np.sign(one @ left[:, i])
        np.testing.assert_allclose(sign * one, left[:, i], atol=1e-7)
        np.testing.assert_allclose(sign * other, right[:, i], atol=1e-7)


def test_vectors_of_a_diagonal_network_are_its_units_and_lost_ones_are_nan() -> None:
    """Gates .9, .5 and a dead unit: unit 0 is remembered best, unit 2 not at all, at a lag of 400."""
    result = dynsys.gradient_spectrum(linear(np.diag([0.5, 0.9, 0.0])), [1.0, 1.0, 1.0], lags=[400], vectors=3)
    assert result.right_vectors is not None
    np.testing.assert_allclose(np.abs(result.right_vectors[0, 0, :, :2]), [[0, 1], [1, 0], [0, 0]], atol=1e-12)
    assert np.isnan(result.right_vectors[0, 0, :, 2]).all()
    assert dynsys.gradient_spectrum(linear(np.eye(2)), lags=[3]).left_vectors is None


def test_isometry_by_lag() -> None:
    """An orthogonal network keeps every length at every lag; gain g stretches by g^lag."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    kept = dynsys.gradient_spectrum(linear(rotation), np.ones(5), lags=[1, 50]).isometry
    np.testing.assert_allclose(kept["log_mean_square"], 0, atol=1e-12)
    np.testing.assert_allclose(kept["log_condition"], 0, atol=1e-10)
    np.testing.assert_allclose(kept["near_one"], 1)
    stretched = dynsys.gradient_spectrum(linear(1.1 * rotation), np.ones(5), lags=[1, 50]).isometry
    np.testing.assert_allclose(stretched["log_mean_square"], 2 * np.array([1, 50]) * math.log(1.1), rtol=1e-10)
    assert stretched["near_one"].tolist() == [1.0, 0.0]


def test_the_horizon_has_a_range_over_starts() -> None:
    """h' = tanh(h): from h = 0 nothing is forgotten; from 3 the slope sech^2 of the first step loses much."""
    result = dynsys.gradient_spectrum(cells.Elman(U=[[1.5]]), [[0.0], [3.0]], lags=[1, 2, 3, 4, 6, 8])
    assert result.horizon_range[1] is None
    assert result.horizon_range[0] in (0, 1, 2)


def test_one_dead_start_among_several_does_not_hide_the_others() -> None:
    """h' = relu(0.9 h): 0.9^t from the positive quadrant, nothing at all from the negative one."""
    lags = [1, 2, 5, 10, 20]
    starts = np.array([[1.0, 1.0]] * 7 + [[-1.0, -1.0]])
    result = dynsys.gradient_spectrum(cells.Elman(U=0.9 * np.eye(2), activation="relu"), starts, None, lags)
    gain = np.outer(lags, [math.log(0.9)] * 2)
    np.testing.assert_allclose(result.log_singular_values, gain, rtol=1e-12)
    assert np.isneginf(result.by_start[7]).all()
    assert result.horizon is None
    assert result.horizon_range == (0, None)
    assert [note[:11] for note in result.notes] == ["1 of 8 star"] * 2
    assert "median over 8 starts: 0 to beyond" in str(result)
    np.testing.assert_allclose(result.isometry["log_condition"], 0, atol=1e-12)
    np.testing.assert_allclose(result.isometry["log_mean_square"], 2 * gain[:, 0], rtol=1e-12)
    np.testing.assert_allclose(result.isometry["near_one"], [7 / 8] * 3 + [0, 0])  # 0.9^10 is below 1/e


def test_where_every_start_is_dead_everything_is_lost() -> None:
    result = dynsys.gradient_spectrum(cells.Elman(U=np.eye(2), activation="relu"), -np.ones((3, 2)), lags=[1, 4])
    assert np.isneginf(result.log_singular_values).all()
    assert (result.horizon, result.horizon_range) == (0, (0, 0))
    assert np.isposinf(result.isometry["log_condition"]).all()
    assert np.isneginf(result.isometry["log_mean_square"]).all()


def test_the_horizon_of_several_starts_is_the_median() -> None:
    """x' = x^2: the gain over t steps, 2^t x^(2^t - 1), falls below 1/100 the sooner the smaller x is."""
    f = dynsys.as_map(lambda x: x**2, 1)
    starts, lags = np.array([[0.004], [0.2], [0.4], [0.7], [0.9]]), list(range(1, 9))
    each = [max([t for t in lags if 2.0**t * x ** (2**t - 1) >= 0.01], default=0) for x in starts[:, 0]]
    assert each == sorted(set(each))
    result = dynsys.gradient_spectrum(f, starts, lags=lags)
    assert result.horizon == each[2]
    assert result.horizon_range == (each[0], each[-1])
    assert dynsys.gradient_spectrum(f, starts[:4], lags=lags).horizon == each[1]


def test_isometry_needs_all_values() -> None:
    result = dynsys.gradient_spectrum(linear(np.diag([1.0, 1.0, 0.1])), lags=[5], k=2)
    with pytest.raises(InputError, match="all 3 singular values, only 2"):
        _ = result.isometry


def test_more_vectors_than_variables_are_refused() -> None:
    with pytest.raises(InputError, match="vectors"):
        dynsys.gradient_spectrum(linear(np.eye(2)), lags=[1], vectors=3)


def test_groups_of_one_size_that_lose_different_ranks() -> None:
    """Pairs of ReLU units, both on, both off, one off, both on: 0, 2, 1 and 0 lost; the rest as each pair alone."""
    pair = np.array([[1.0, 0.5], [0.2, 1.0]])
    starts = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [2.0, 1.0]])
    lags = [1, 3, 40]
    whole = dynsys.gradient_spectrum(
        cells.Elman(U=block_diag(*[pair] * 4), activation="relu"), starts.ravel(), None, lags, vectors=8
    )
    each = dynsys.gradient_spectrum(cells.Elman(U=pair, activation="relu"), starts, None, lags)
    wanted = -np.sort(-each.by_start.swapaxes(0, 1).reshape(3, 8), axis=1)
    np.testing.assert_allclose(whole.log_singular_values, wanted, rtol=0, atol=1e-11)
    assert whole.lost.tolist() == [3, 3, 3]
    assert whole.trusted.tolist() == [8, 8, 8]
    assert whole.right_vectors is not None
    assert np.isnan(whole.right_vectors[0]).all(axis=1).sum(axis=1).tolist() == [3, 3, 3]
