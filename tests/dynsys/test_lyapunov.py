"""Lyapunov spectra against exact sums, exact spectra, and products whose exponents have a known distribution."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy.special import digamma, log_expit, polygamma

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError
from dynsys.lyapunov_averages import batch_means_error


def linear(U: Any) -> cells.Elman:
    """h' = U h."""
    return cells.Elman(U=U, activation="identity")


def product_of(matrices: np.ndarray) -> tuple[Any, np.ndarray]:
    """A map whose input carries the matrix of each step, and the inputs (T, n^2) that make it J_t."""
    n = matrices.shape[-1]

    def step(state: Any, entries: Any) -> list[Any]:
        return [sum(entries[n * i + j] * state[j] for j in range(n)) for i in range(n)]

    return dynsys.as_map(step, n, n * n), matrices.reshape(len(matrices), n * n)


def henon(state: Any) -> Any:
    x, y = state
    return [1 - 1.4 * x**2 + y, 0.3 * x]


def log_sech_squared(a: np.ndarray) -> np.ndarray:
    return 2 * (math.log(2) - np.abs(a) - np.log1p(np.exp(-2 * np.abs(a))))


def log_det(U: np.ndarray) -> float:
    return float(np.linalg.slogdet(U)[1])


# Sum rules, exact at every length of time


@pytest.mark.parametrize(("n", "gain"), [(2, 2.0), (8, 1.5), (32, 1.5)])
def test_sum_of_exponents_of_a_tanh_network(n: int, gain: float) -> None:
    """sum lambda = log|det U| + mean sum log sech^2(a), to 1e-10 of sum |lambda|."""
    generator = np.random.default_rng(n)
    cell = cells.Elman.random(n, 1, gain=gain, seed=n)
    inputs = 0.3 * generator.standard_normal((300, 1))
    result = dynsys.lyapunov_spectrum(cell, np.full(n, 0.1), inputs=inputs, steps=250, discard=50)
    orbit = dynsys.simulate(cell, np.full(n, 0.1), inputs=inputs)
    before = orbit[50:-1] @ cell.U.T + inputs[50:] @ cell.W.T
    wanted = log_det(cell.U) + log_sech_squared(before).sum(axis=1).mean()
    assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())
    assert result.residual is not None
    assert result.residual < 1e-10 * np.abs(result.exponents).sum()


@pytest.mark.parametrize("n", [2, 8, 16])
def test_sum_of_exponents_of_an_lstm(n: int) -> None:
    """sum lambda = mean of sum log f + sum log|tanh(c') o (1 - o)| + log|det U_o|, over 2n exponents."""
    generator = np.random.default_rng(n)
    cell = cells.LSTM.random(n, 1, gain=2.0, seed=n)
    inputs = generator.standard_normal((240, 1))
    result = dynsys.lyapunov_spectrum(cell, np.full(2 * n, 0.1), inputs=inputs, steps=200, discard=40)
    orbit = dynsys.simulate(cell, np.full(2 * n, 0.1), inputs=inputs)[40:]
    h, c_next = orbit[:-1, :n], orbit[1:, n:]
    f = h @ cell.U_f.T + inputs[40:] @ cell.W_f.T
    o = h @ cell.U_o.T + inputs[40:] @ cell.W_o.T
    logs = log_expit(f) + np.log(np.abs(np.tanh(c_next))) + log_expit(o) + log_expit(-o)
    wanted = logs.sum(axis=1).mean() + log_det(cell.U_o)
    assert len(result.exponents) == 2 * n
    assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())


@pytest.mark.parametrize("gain", [1.2, 3.0])
def test_sum_of_exponents_of_a_large_driven_tanh_network(gain: float) -> None:
    """The same where frames are never formed (n = 80) and, at the lower gain, QRs are several steps apart."""
    n, generator = 80, np.random.default_rng(0)
    cell = cells.Elman.random(n, 2, gain=gain, seed=1)
    inputs = 0.3 * generator.standard_normal((460, 2))
    result = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=400, discard=60)
    before = dynsys.simulate(cell, None, inputs=inputs)[60:-1] @ cell.U.T + inputs[60:] @ cell.W.T
    wanted = log_det(cell.U) + log_sech_squared(before).sum(axis=1).mean()
    assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())
    assert (result.qr_interval > 1) == (gain < 2)


@pytest.mark.parametrize(("n", "gain"), [(16, 5.0), (64, 10.0), (128, 10.0), (150, 10.0)])
def test_exponents_of_saturated_networks_are_not_cut_off_at_rounding(n: int, gain: float) -> None:
    """One step spans up to 70 nats, far below rounding of the largest, and every exponent still counts.

    Whole rows are small where units are saturated, which triangular decompositions leave to relative accuracy.
    """
    cell = cells.Elman.random(n, 0, gain=gain, seed=0)
    start = np.random.default_rng(1).uniform(-0.5, 0.5, n)
    result = dynsys.lyapunov_spectrum(cell, start, steps=60, discard=20)
    before = dynsys.simulate(cell, start, steps=80)[20:-1] @ cell.U.T
    wanted = log_det(cell.U) + log_sech_squared(before).sum(axis=1).mean()
    assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())
    assert result.residual is not None
    assert result.residual < 1e-10 * np.abs(result.exponents).sum()
    assert not any("below rounding" in note for note in result.notes)


@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter, cells.MGU])
def test_bursts_of_input_are_taken_in_step_by_step(kind: Any) -> None:
    """Calm stretches with QRs far apart, then inputs that saturate the gates: 40 nats within one step."""
    generator = np.random.default_rng(0)
    inputs = 20 * generator.standard_normal((400, 3)) * (np.arange(400) % 50 == 20)[:, np.newaxis]
    f = dynsys.as_map(kind.random(24, 3, gain=1.0, seed=2))
    result = dynsys.lyapunov_spectrum(f, np.full(24, 0.1), inputs=inputs, discard=50)
    states = dynsys.simulate(f, np.full(24, 0.1), inputs=inputs)[50:-1]
    wanted = np.linalg.slogdet(f.jacobian(states, inputs[50:]))[1].mean()
    assert result.qr_interval > 1
    assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())


def test_sum_of_exponents_of_a_large_lstm_and_gru() -> None:
    """log|det J| by an LU decomposition of each Jacobian, which knows nothing of frames."""
    for cell in (cells.LSTM.random(40, 2, gain=2.0, seed=1), cells.GRU.random(64, 2, gain=2.0, seed=1)):
        f = dynsys.as_map(cell)
        inputs = np.random.default_rng(2).standard_normal((240, 2))
        result = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=200, discard=40)
        states = dynsys.simulate(cell, None, inputs=inputs)[40:-1]
        wanted = np.linalg.slogdet(f.jacobian(states, inputs[40:]))[1].mean()
        assert result.exponents.sum() == pytest.approx(wanted, abs=1e-10 * np.abs(result.exponents).sum())
        assert result.residual is not None
        assert result.residual < 1e-10 * np.abs(result.exponents).sum()


def test_sum_of_exponents_of_henon_is_log_b() -> None:
    """det J = -0.3 everywhere, so the sum is ln 0.3 however long the orbit."""
    result = dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [0.1, 0.1], steps=500, discard=100)
    assert result.exponents.sum() == pytest.approx(math.log(0.3), abs=1e-12)


# Published values


def test_exponents_of_henon() -> None:
    """0.41919(7), -1.62317(7), dimension 1.2583; 12 000 steps know them to a few thousandths."""
    result = dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [0.1, 0.1], steps=12_000, discard=200)
    np.testing.assert_allclose(result.exponents, [0.41919, -1.62317], atol=0.006)
    assert abs(result.exponents[0] - 0.41919) < 5 * result.standard_errors[0]
    assert result.kaplan_yorke == pytest.approx(1.2583, abs=0.005)
    assert result.entropy == pytest.approx(result.exponents[0])
    assert result.chaotic


def test_a_large_random_network_has_the_exponent_and_dimension_of_theory() -> None:
    """x' = U tanh x, N = 512, g = 3: mean-field lambda_1 = 0.31025; D_KY / N is extensive, 0.27 to 0.30 (Engelken)."""
    n, k = 512, 170
    cell = cells.Elman.random(n, 0, gain=3.0, seed=3)
    start = np.random.default_rng(0).uniform(-1, 1, n)
    result = dynsys.lyapunov_spectrum(cell, start, k=k, steps=300, discard=200)
    assert result.exponents[0] == pytest.approx(0.31025, abs=0.03)
    assert result.kaplan_yorke is not None
    assert 0.27 < result.kaplan_yorke / n < 0.30


def test_exponent_of_the_logistic_map_at_4_is_log_2() -> None:
    f = dynsys.as_map(lambda x: 4 * x * (1 - x), 1)
    result = dynsys.lyapunov_spectrum(f, [0.3], steps=10_000, discard=100)
    assert result.exponents[0] == pytest.approx(math.log(2), abs=2e-3)
    assert result.chaotic


def test_a_stable_cycle_has_the_exponent_of_its_multiplier() -> None:
    """Logistic r = 3.3: the 2-cycle {0.4794, 0.8236} has multiplier -0.29 exactly, lambda = ln(0.29) / 2."""
    f = dynsys.as_map(lambda x: 3.3 * x * (1 - x), 1)
    result = dynsys.lyapunov_spectrum(f, [0.3], steps=1000, discard=500)
    assert result.exponents[0] == pytest.approx(math.log(0.29) / 2, abs=1e-12)
    assert not result.chaotic


def test_invariant_circle_has_a_zero_exponent() -> None:
    """h' = tanh(1.1 Rot(0.5) h): 0 along the circle and -0.1971693 across it."""
    c, s = math.cos(0.5), math.sin(0.5)
    cell = cells.Elman(U=1.1 * np.array([[c, -s], [s, c]]))
    result = dynsys.lyapunov_spectrum(cell, [0.3, 0.0], steps=6000, discard=500)
    np.testing.assert_allclose(result.exponents, [0.0, -0.1971693], atol=2e-4)


# Exact spectra


@pytest.mark.parametrize("n", [2, 6])
def test_linear_map_has_the_logs_of_its_eigenvalues(n: int) -> None:
    U = np.random.default_rng(n).standard_normal((n, n))
    result = dynsys.lyapunov_spectrum(linear(U), np.zeros(n))
    np.testing.assert_allclose(result.exponents, -np.sort(-np.log(np.abs(np.linalg.eigvals(U)))), atol=1e-12)


def test_linear_map_along_an_orbit_has_the_logs_of_its_eigenvalues() -> None:
    """The same by the QR recursion, which a moving orbit needs. Real, well separated eigenvalues converge fast."""
    P = np.array([[1.0, 0.4, -0.2], [0.1, 1.0, 0.3], [0.5, -0.3, 1.0]])
    U = P @ np.diag([1.01, 0.7, -0.3]) @ np.linalg.inv(P)
    moving = dynsys.drive(cells.Elman(U=U, W=np.ones((3, 1)), activation="identity"), [[0.1], [-0.2]])
    result = dynsys.lyapunov_spectrum(moving, P[:, 0], steps=400, discard=100)
    assert "QR" in result.method
    np.testing.assert_allclose(result.exponents, np.log([1.01, 0.7, 0.3]), atol=1e-10)


@pytest.mark.parametrize("start", [None, np.full(6, 0.3)])
def test_a_linear_map_has_exponents_though_its_orbit_runs_off(start: np.ndarray | None) -> None:
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    result = dynsys.lyapunov_spectrum(linear(1.5 * Q), start)
    np.testing.assert_allclose(result.exponents, math.log(1.5), atol=1e-13)
    assert "linear" in result.method
    assert result.trusted == 6


def test_jordan_blocks_have_the_logarithm_of_their_eigenvalue_within_the_error() -> None:
    """Growth along an orbit is t 0.9^t: an average over time would be off by log t / t."""
    P = np.random.default_rng(0).standard_normal((2, 2))
    for change in (np.eye(2), P):
        U = change @ np.array([[0.9, 1.0], [0.0, 0.9]]) @ np.linalg.inv(change)
        result = dynsys.lyapunov_spectrum(linear(U), [1.0, 1.0])
        assert (np.abs(result.exponents - math.log(0.9)) <= result.standard_errors).all()
        assert result.standard_errors.max() < 1e-5


def test_an_unstable_origin_whose_orbits_run_off_is_a_fixed_point_all_the_same() -> None:
    """h' = 1.5 h + h^3 leaves floating point from anywhere but zero, which is the default start."""
    result = dynsys.lyapunov_spectrum(dynsys.as_map(lambda x: 1.5 * x + x**3, 1))
    np.testing.assert_allclose(result.exponents, [math.log(1.5)], atol=1e-14)
    assert any("runs off to infinity" in note for note in result.notes)


def test_orthogonal_map_scaled_by_g_has_log_g_n_times() -> None:
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    for g in (0.9, 1.0, 1.02):
        result = dynsys.lyapunov_spectrum(linear(g * Q), np.ones(5), steps=200, discard=20)
        np.testing.assert_allclose(result.exponents, math.log(g), atol=1e-13)


def test_dimension_of_a_neutral_map_is_not_decided_by_rounding() -> None:
    """All exponents zero: the partial sums are never truly negative, the dimension is n (or not given), never 0."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    result = dynsys.lyapunov_spectrum(linear(Q), np.ones(4), steps=200, discard=20)
    assert result.kaplan_yorke in (None, 4.0)


def test_fixed_point_at_a_constant_drive_uses_the_drive() -> None:
    """h' = tanh(h/2 + 1): the exponent is log of the multiplier at the driven fixed point, not at zero input."""
    cell = cells.Elman(U=[[0.5]], W=[[1.0]])
    h = 0.0
    for _ in range(200):
        h = math.tanh(0.5 * h + 1)
    result = dynsys.lyapunov_spectrum(cell, [0.0], inputs=np.ones((1000, 1)))
    assert result.exponents[0] == pytest.approx(math.log(0.5 * (1 - h * h)), abs=1e-12)


def test_two_constant_drives_settle_at_two_fixed_points() -> None:
    cell = cells.Elman(U=[[0.5]], W=[[1.0]])
    inputs = np.broadcast_to([[1.0], [-0.2]], (1000, 2, 1))
    result = dynsys.lyapunov_spectrum(cell, [0.0], inputs=inputs)
    for u, exponent in zip((1.0, -0.2), result.by_sequence[:, 0], strict=True):
        h = 0.0
        for _ in range(200):
            h = math.tanh(0.5 * h + u)
        assert exponent == pytest.approx(math.log(0.5 * (1 - h * h)), abs=1e-12)


def test_stack_at_a_fixed_point_has_the_exponents_of_its_layers() -> None:
    """J is block lower triangular: the spectrum is the union over layers, each at the input it gets."""
    below, above = cells.Elman.random(3, 1, gain=0.7, seed=1), cells.GRU.random(4, 3, gain=0.7, seed=2)
    below = dataclasses.replace(below, b=[0.5, -0.3, 0.2])
    whole = dynsys.lyapunov_spectrum(dynsys.stack(below, above))
    heard = dynsys.simulate(below, None, steps=2000)[-1]
    parts = [
        dynsys.lyapunov_spectrum(below).exponents,
        dynsys.lyapunov_spectrum(dynsys.drive(above, heard)).exponents,
    ]
    np.testing.assert_allclose(whole.exponents, -np.sort(-np.concatenate(parts)), atol=1e-9)


def test_closed_lstm_gates_without_weights_have_the_exponents_of_the_forget_gate() -> None:
    """Recurrent weights 0: eig J = {f_i} and n zeros. b_f = 2: tau = -1/log f = 7.87848 steps."""
    cell = cells.LSTM(U_i=np.zeros((3, 3)), U_f=np.zeros((3, 3)), U_o=np.zeros((3, 3)), U_g=np.zeros((3, 3)),
                      b_f=[0.0, 1.0, 2.0], b_g=[0.3, 0.3, 0.3])  # fmt: skip
    result = dynsys.lyapunov_spectrum(cell)
    np.testing.assert_allclose(-1 / result.exponents[:3], [7.87848, 3.19222, 1.44270], atol=5e-6)
    assert np.isneginf(result.exponents[3:]).all()
    assert result.lost == 3
    assert result.residual == 0


@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter])
@pytest.mark.parametrize(("update", "kept"), [("keeps-old", 1), ("takes-new", -1)])
def test_gru_without_recurrent_weights_keeps_with_z_or_one_minus_z(kind: Any, update: str, kept: int) -> None:
    """J = diag(z), or diag(1 - z)."""
    zero, bias = np.zeros((3, 3)), np.array([2.0, 0.5, -1.0])
    result = dynsys.lyapunov_spectrum(kind(U_z=zero, U_r=zero, U_h=zero, b_z=bias, update=update))
    np.testing.assert_allclose(result.exponents, -np.sort(-log_expit(kept * bias)), atol=1e-12)


@pytest.mark.parametrize(("side", "kept"), [(1.0, 0.0), (-1.0, -np.inf)])
def test_inputs_whose_products_overflow_saturate_gates(side: float, kept: float) -> None:
    """W_z x = +-inf opens z for good (h' = h, exponents 0), or shuts it (h' = tanh(0), -inf), without a warning."""
    zeros, ones = np.zeros((2, 2)), np.full((2, 1), 10.0)
    cell = cells.GRU(W_z=side * ones, U_z=zeros, W_r=0 * ones, U_r=zeros, W_h=0 * ones, U_h=zeros)
    run = dynsys.lyapunov_spectrum(cell, [0.1, 0.2], np.full((30, 1), 1e308), steps=20, discard=10)
    np.testing.assert_array_equal(run.exponents, [kept, kept])


def test_period_three_needs_the_factors_in_the_right_order() -> None:
    """Exponents of three matrices in turn are log|eig(J3 J2 J1)| / 3; transposed or reversed products differ."""
    matrices = np.random.default_rng(3).standard_normal((3, 3, 3))
    f, entries = product_of(matrices)
    result = dynsys.lyapunov_spectrum(f, np.ones(3), inputs=np.tile(entries, (200, 1)), steps=450, discard=150)
    exact = -np.sort(-np.log(np.abs(np.linalg.eigvals(matrices[2] @ matrices[1] @ matrices[0])))) / 3
    wrong = -np.sort(-np.log(np.abs(np.linalg.eigvals(matrices[2].T @ matrices[1].T @ matrices[0].T)))) / 3
    assert np.abs(exact - wrong).max() > 0.01
    real = np.abs(np.linalg.eigvals(matrices[2] @ matrices[1] @ matrices[0]).imag).max() == 0
    np.testing.assert_allclose(result.exponents, exact, atol=1e-9 if real else 0.01)


def test_random_products_have_the_exponents_of_newman() -> None:
    """Entries N(0, 1): E lambda_i = (log 2 + psi((n-i+1)/2)) / 2, variance psi'((n-i+1)/2) / 4T. |z| < 4."""
    n, steps = 4, 1500
    matrices = np.random.default_rng(12).standard_normal((steps + 50, n, n))
    # The exponents of a product do not depend on the scale of its factors but for log of the scale.
    f, entries = product_of(matrices / 2.0)
    result = dynsys.lyapunov_spectrum(f, np.zeros(n), inputs=entries, steps=steps, discard=50)
    half = (n - np.arange(n)) / 2
    exact = 0.5 * (math.log(2) + digamma(half)) - math.log(2)
    z = (result.exponents - exact) / np.sqrt(polygamma(1, half) / (4 * steps))
    assert np.abs(z).max() < 4


# Exact zeros


def test_surviving_relu_units_with_identity_weights_are_neutral() -> None:
    """U = I, b = 0 (IRNN): J = I for positive states: all exponents exactly 0."""
    result = dynsys.lyapunov_spectrum(cells.Elman(U=np.eye(3), activation="relu"), [1.0, 2.0, 0.5])
    assert result.exponents.tolist() == [0, 0, 0]
    assert result.lost == 0


def test_one_dead_relu_unit_gives_one_minus_infinity() -> None:
    """A unit that is never on has a zero row: exactly one -inf, and the others are those of the rest."""
    generator = np.random.default_rng(0)
    U = 0.5 * np.abs(generator.standard_normal((4, 4)))
    b = np.array([1.0, 1.0, 1.0, -100.0])
    cell = cells.Elman(U=U, b=b, W=np.ones((4, 1)), activation="relu")
    inputs = 0.1 * generator.standard_normal((300, 1))
    result = dynsys.lyapunov_spectrum(dataclasses.replace(cell, U=U / 4), inputs=inputs, steps=200, discard=100)
    assert np.isneginf(result.exponents).tolist() == [False, False, False, True]
    alive = -np.sort(-np.log(np.abs(np.linalg.eigvals(U[:3, :3] / 4))))
    np.testing.assert_allclose(result.exponents[:3].sum(), alive.sum(), atol=1e-10)
    assert result.lost == 1


def test_a_unit_dead_at_different_times_in_different_sequences_is_lost_once_in_each() -> None:
    """U = I, ReLU, starts (1, -1) and (-1, 1): each sequence loses one direction, not two."""
    result = dynsys.lyapunov_spectrum(cells.Elman(U=np.eye(2), activation="relu"), [[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_array_equal(result.by_sequence, [[0, -np.inf], [0, -np.inf]])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_singular_recurrent_weights_give_exactly_that_many_minus_infinities(rank: int) -> None:
    """U of rank r, any state: n - r exponents are -inf, never -37."""
    generator = np.random.default_rng(rank)
    U = 2 * generator.standard_normal((4, rank)) @ generator.standard_normal((rank, 4))
    inputs = generator.standard_normal((300, 1))
    result = dynsys.lyapunov_spectrum(cells.Elman(U=U, W=np.ones((4, 1))), inputs=inputs)
    assert np.isneginf(result.exponents).sum() == 4 - rank
    assert result.lost == 4 - rank


def test_singular_output_weights_of_an_lstm() -> None:
    """U_o of rank 1 in 3 units: by the sum rule exactly two -inf."""
    generator = np.random.default_rng(5)
    cell = dataclasses.replace(cells.LSTM.random(3, 1, gain=2.0), U_o=np.outer([1.0, -0.5, 0.7], [0.3, 1.0, -1.0]))
    result = dynsys.lyapunov_spectrum(cell, inputs=generator.standard_normal((200, 1)))
    assert np.isneginf(result.exponents).sum() == 2


def test_deep_saturation_is_not_lost_rank() -> None:
    """A tanh unit at pre-activation 25 has slope e^-48.6: finite by the sum rule. Right, or marked as untrusted."""
    cell = cells.Elman(U=[[0.5, 0.2], [0.1, 0.4]], b=[25.0, 0.1], W=[[0.1], [0.1]])
    inputs = np.random.default_rng(0).standard_normal((100, 1))
    result = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=80, discard=20)
    orbit = dynsys.simulate(cell, None, inputs=inputs)
    before = orbit[20:-1] @ cell.U.T + inputs[20:] @ cell.W.T + cell.b.T
    wanted = log_det(cell.U) + log_sech_squared(before).sum(axis=1).mean()
    assert result.lost == 0
    assert np.isfinite(result.exponents).all()
    assert result.trusted == 1 or result.exponents.sum() == pytest.approx(wanted, rel=1e-9)


def test_saturated_output_gates_are_not_lost_rank() -> None:
    """LSTM, o at pre-activation 40: o (1 - o) = e^-40, finite by the sum rule; -inf would claim exact loss."""
    cell = dataclasses.replace(cells.LSTM.random(2, 1, gain=1.0), b_o=[40.0, 40.0])
    result = dynsys.lyapunov_spectrum(cell, inputs=np.random.default_rng(1).standard_normal((100, 1)))
    assert result.lost == 0


# Batches, errors, and what may change the answer


def test_running_estimates_end_at_the_answer_and_the_error_shrinks() -> None:
    """Estimates after each block of time: the last is the exponent, and the late ones lie closer to it."""
    result = dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [0.1, 0.1], steps=8000, discard=100)
    np.testing.assert_allclose(result.running[-1], result.exponents, atol=1e-12)
    assert result.running_steps[-1] == 8000
    off = np.abs(result.running[:, 0] - result.exponents[0])
    assert off[:5].max() > off[-5:].max()


@pytest.mark.parametrize("n", [24, 60])
def test_sequences_in_one_call_are_those_of_single_calls(n: int) -> None:
    """Small frames are worked on in batches, large ones one by one: neither changes an exponent."""
    cell = cells.GRU.random(n, 1, gain=1.5, seed=4)
    inputs = np.random.default_rng(1).standard_normal((300, 3, 1))
    whole = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=200, discard=100)
    for b in range(3):
        alone = dynsys.lyapunov_spectrum(cell, inputs=inputs[:, b], steps=200, discard=100)
        np.testing.assert_allclose(whole.by_sequence[b].sum(), alone.exponents.sum(), rtol=1e-10)
        np.testing.assert_allclose(whole.by_sequence[b, 0], alone.exponents[0], atol=4 * alone.standard_errors[0])
    np.testing.assert_allclose(whole.exponents, whole.by_sequence.mean(axis=0), atol=1e-14)


def test_sequences_are_analysed_one_by_one_and_averaged() -> None:
    generator = np.random.default_rng(2)
    cell = cells.Elman.random(4, 1, gain=1.5)
    inputs = generator.standard_normal((300, 3, 1))
    together = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=200, discard=100)
    for b in range(3):
        alone = dynsys.lyapunov_spectrum(cell, inputs=inputs[:, b], steps=200, discard=100)
        np.testing.assert_allclose(together.by_sequence[b], alone.exponents, atol=1e-4)
    np.testing.assert_allclose(together.exponents, together.by_sequence.mean(axis=0), atol=1e-14)


def test_leading_exponents_are_those_of_the_whole_spectrum() -> None:
    cell = cells.Elman.random(12, 1, gain=1.5)
    inputs = np.random.default_rng(2).standard_normal((900, 1))
    whole = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=600, discard=300)
    few = dynsys.lyapunov_spectrum(cell, inputs=inputs, steps=600, discard=300, k=3)
    assert few.k == 3
    np.testing.assert_allclose(few.exponents, whole.exponents[:3], atol=2e-3)
    assert few.residual is None


def test_exponents_do_not_depend_on_the_coordinates() -> None:
    """x -> P x leaves them, up to a boundary term that falls like 1/T."""
    P = np.array([[1.0, 0.5], [-0.3, 1.0]])
    Q = np.linalg.inv(P)

    def turned(y: Any) -> Any:
        x = Q @ y
        return P @ np.concatenate([1 - 1.4 * x[:1] ** 2 + x[1:], 0.3 * x[:1]])

    plain = dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [0.1, 0.1], steps=4000, discard=100)
    moved = dynsys.lyapunov_spectrum(dynsys.as_map(turned, 2), P @ [0.1, 0.1], steps=4000, discard=100)
    assert moved.exponents.sum() == pytest.approx(plain.exponents.sum(), abs=1e-10)
    np.testing.assert_allclose(moved.exponents, plain.exponents, atol=0.03)


def test_iterating_a_map_multiplies_its_exponents() -> None:
    """lambda(f o f) = 2 lambda(f), along the same orbit."""
    cell = cells.Elman.random(5, 0, gain=2.5, seed=4)
    start = 0.5 * np.ones(5)
    once = dynsys.lyapunov_spectrum(cell, start, steps=1000, discard=400)
    twice = dynsys.lyapunov_spectrum(dynsys.iterate(cell, 2), start, steps=500, discard=200)
    np.testing.assert_allclose(twice.exponents.sum(), 2 * once.exponents.sum(), atol=1e-8)


def test_the_seed_changes_the_frames_and_not_the_answer() -> None:
    inputs = np.random.default_rng(2).standard_normal((2000, 1))
    cell = cells.Elman.random(5, 1, gain=1.5)
    one, two = (dynsys.lyapunov_spectrum(cell, inputs=inputs, seed=s) for s in (0, 1))
    np.testing.assert_allclose(one.exponents[: one.trusted], two.exponents[: one.trusted], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": np.zeros((10, 2)), "steps": 5, "discard": 4}, "10 steps"),
        ({"steps": 0}, "at least|>= 1"),
        ({"steps": 10, "discard": -1}, "at least 0"),
        ({"steps": 10.5}, "whole number"),
        ({"discard": "a"}, "whole number"),
        ({"k": 2.5}, "whole number"),
        ({"k": True}, "whole number"),
        ({"k": 0}, "between 1 and"),
        ({"k": 4}, "between 1 and"),
        ({"inputs": np.zeros((10, 3))}, "m = 2"),
        ({"start": np.zeros(2)}, "3"),
    ],
)
def test_mistakes_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.lyapunov_spectrum(cells.Elman.random(3, 2), **arguments)


def test_three_durations_that_agree_are_accepted() -> None:
    result = dynsys.lyapunov_spectrum(cells.Elman.random(3, 2), inputs=np.ones((10, 2)), steps=6, discard=4)
    assert (result.steps, result.discard) == (6, 4)


def test_a_start_that_is_not_finite_is_the_callers_mistake() -> None:
    with pytest.raises(InputError, match="`start`"):
        dynsys.lyapunov_spectrum(cells.Elman.random(3, 0), [0.1, np.nan, 0.0])


def test_a_runaway_orbit_is_an_error_and_no_warning() -> None:
    with pytest.raises(AnalysisError, match="infinity"):
        dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [5.0, 5.0])


def test_short_runs_are_never_called_chaotic() -> None:
    result = dynsys.lyapunov_spectrum(dynsys.as_map(henon, 2), [0.1, 0.1], steps=2000, discard=100)
    assert result.exponents[0] > 0.3
    assert not result.chaotic


# Sequences too short for a limit


def slow() -> tuple[cells.LSTM, np.ndarray]:
    """Gates half open for long: time constants of hundreds of steps, on sequences of 60."""
    cell = cells.LSTM.random(10, 2, gain=1.0, seed=0)
    cell = dataclasses.replace(cell, b_f=np.full(10, 5.0))
    return cell, np.random.default_rng(0).standard_normal((60, 7, 2))


def test_short_sequences_have_finite_time_exponents_and_say_so() -> None:
    """Log singular values of the whole transfer over the steps, from the own start; they add up to log|det| exactly."""
    cell, inputs = slow()
    result = dynsys.lyapunov_spectrum(cell, None, inputs)
    assert result.method.startswith("finite-time exponents: 60 steps")
    assert (result.steps, result.discard, result.trusted) == (60, 0, 20)
    f = dynsys.as_map(cell)
    for b in range(7):
        states = dynsys.simulate(f, None, inputs[:, b])[:-1]
        wanted = np.linalg.slogdet(f.jacobian(states, inputs[:, b]))[1].mean()
        assert result.by_sequence[b].sum() == pytest.approx(wanted, rel=1e-10)
        product = np.linalg.multi_dot(f.jacobian(states, inputs[:, b])[::-1])
        assert result.by_sequence[b, 0] == pytest.approx(np.log(np.linalg.norm(product, 2)) / 60, abs=1e-12)
    np.testing.assert_allclose(result.exponents, result.by_sequence.mean(axis=0))
    assert result.residual is not None
    assert result.residual < 1e-10
    assert not result.chaotic


def test_what_is_discarded_or_driven_on_is_the_callers_choice() -> None:
    """A chosen discard stays, with the label; a drive that is named, such as trials one after the other, has none."""
    cell, inputs = slow()
    chosen = dynsys.lyapunov_spectrum(cell, None, inputs, discard=10)
    assert chosen.method.startswith("finite-time exponents")
    assert (chosen.steps, chosen.discard) == (50, 10)
    assert "finite-time" not in dynsys.lyapunov_spectrum(cell, None, inputs, drive="one long sequence").method
    fast = cells.Elman.random(10, 2, gain=0.5, seed=0)
    assert "finite-time" not in dynsys.lyapunov_spectrum(fast, None, inputs).method


def test_a_direction_lost_in_one_sequence_is_lost_in_the_mean() -> None:
    cell = cells.Elman(U=0.7 * np.eye(2), W=np.eye(2), activation="relu")
    inputs = np.ones((400, 2, 2))
    inputs[:, 1, 1] = -1.0
    inputs[::2] *= 1.1
    result = dynsys.lyapunov_spectrum(cell, [0.5, 0.5], inputs, discard=50)
    assert result.exponents[1] == -np.inf
    assert (result.halves[:, 1] == -np.inf).all()
    assert result.spread[1] == 0.0
    assert result.standard_errors[1] < 1e-12


# Standard errors


@pytest.mark.parametrize(("rho", "most"), [(0.0, 1.1), (0.4, 1.4), (0.7, 1.8)])
def test_errors_of_batches_that_go_together_are_of_the_right_size(rho: float, most: float) -> None:
    """First-order autoregressions of known mean zero: the mean over its error has about unit size."""
    generator = np.random.default_rng(0)
    batches = generator.standard_normal((80, 3000))
    for t in range(1, 80):
        batches[t] = rho * batches[t - 1] + math.sqrt(1 - rho**2) * batches[t]
    z = batches[-20:].mean(axis=0) / batch_means_error(batches[-20:])
    assert 0.9 < np.sqrt(np.mean(z**2)) < most
    assert np.isinf(batch_means_error(batches[:1])).all()
