"""Multipliers, modes, kinds and transient growth against matrices whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cells
import dynsys
from dynsys import stability

NON_NORMAL = np.array([[0.5, 10.0], [0.0, 0.5]])


def test_norms_of_the_powers_of_a_non_normal_matrix() -> None:
    """[[.5, 10], [0, .5]]: rho = 0.5, yet |J^k| = 10.025, 10.006, 7.502, 5.001, 3.125."""
    growth = stability.transient_growth(NON_NORMAL)
    assert growth.peak == pytest.approx(10.025, abs=5e-4)
    assert growth.at == 1
    assert growth.settled
    powers = [np.linalg.norm(np.linalg.matrix_power(NON_NORMAL, k), 2) for k in range(1, 6)]
    np.testing.assert_allclose(powers, [10.025, 10.006, 7.502, 5.001, 3.125], atol=1e-3)


def test_growth_may_peak_late() -> None:
    """[[a, b], [0, a]]: |J^k| peaks near k = -1 / log a; a = 0.98 at about 50."""
    J = np.array([[0.98, 1.0], [0.0, 0.98]])
    growth = stability.transient_growth(J)
    norms = [np.linalg.norm(np.linalg.matrix_power(J, k), 2) for k in range(200)]
    assert growth.at == int(np.argmax(norms))
    assert growth.peak == pytest.approx(max(norms))


@pytest.mark.parametrize("U", [np.diag([0.9, -0.5, 0.1]), np.zeros((2, 2)), np.eye(3)])
def test_normal_matrices_of_norm_at_most_one_never_grow(U: np.ndarray) -> None:
    growth = stability.transient_growth(U)
    assert (growth.peak, growth.at) == (1.0, 0)


def test_an_unstable_matrix_grows_without_bound() -> None:
    growth = stability.transient_growth(np.diag([1.1, 0.2]))
    assert growth.peak == math.inf
    assert growth.at is None


def test_a_jordan_block_on_the_unit_circle_never_settles() -> None:
    """[[1, 1], [0, 1]]: rho = 1 and |J^k| grows like k."""
    assert not stability.transient_growth(np.array([[1.0, 1.0], [0.0, 1.0]])).settled


def test_growth_still_going_on_at_the_last_step_is_not_called_settled() -> None:
    """[[a, 1], [0, a]], a = 0.999, peaks at k = 1000 with about 368."""
    J = np.array([[0.999, 1.0], [0.0, 0.999]])
    assert not stability.transient_growth(J, steps=200).settled
    whole = stability.transient_growth(J, steps=20_000)
    assert whole.settled
    assert whole.peak == pytest.approx(1000 * 0.999**999, rel=1e-3)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_modes_are_biorthogonal_eigenvectors(n: int) -> None:
    """J R = R mu, L^H J = mu L^H, L^H R = I, columns of R of length one, condition = |L| |R| >= 1."""
    J = np.random.default_rng(n).standard_normal((4, n, n))
    modes = stability.modes(J)
    for k in range(4):
        R, L, mu = modes.right_modes[k], modes.left_modes[k], modes.multipliers[k]
        np.testing.assert_allclose(J[k] @ R, R * mu, atol=1e-11)
        np.testing.assert_allclose(L.conj().T @ J[k], mu[:, np.newaxis] * L.conj().T, atol=1e-10)
        np.testing.assert_allclose(L.conj().T @ R, np.eye(n), atol=1e-11)
        np.testing.assert_allclose(np.linalg.norm(R, axis=0), 1, atol=1e-12)
        np.testing.assert_allclose(modes.condition[k], np.linalg.norm(L, axis=0), rtol=1e-12)
        assert (np.diff(np.abs(mu)) < 1e-12).all()
    assert (modes.condition > 1 - 1e-12).all()


def test_a_normal_matrix_has_condition_one_and_no_henrici_departure() -> None:
    A = np.random.default_rng(0).standard_normal((5, 5))
    for J in (A + A.T, A - A.T, np.linalg.qr(A)[0]):
        np.testing.assert_allclose(stability.modes(J[np.newaxis]).condition, 1, atol=1e-10)
        np.testing.assert_allclose(stability.henrici(J[np.newaxis]), 0, atol=1e-6)


def test_henrici_departure_of_a_jordan_block() -> None:
    """sqrt(|J|_F^2 - sum |mu|^2) / |J|_F = 10 / sqrt(100.5)."""
    np.testing.assert_allclose(stability.henrici(NON_NORMAL[np.newaxis]), 10 / math.sqrt(100.5), rtol=1e-12)
    np.testing.assert_array_equal(stability.henrici(np.zeros((1, 2, 2))), [0])


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0, -1.0, 2.0])
def test_a_defective_jacobian_raises_nothing(a: float) -> None:
    """[[a, 1], [0, a]] has one eigenvector; the multipliers are right, their condition is (nearly) infinite."""
    J = np.array([[[a, 1.0], [0.0, a]]])
    modes = stability.modes(J)
    np.testing.assert_allclose(modes.multipliers, [[a, a]], atol=1e-7)
    assert (modes.condition > 1e7).all()
    errors = stability.multiplier_errors(J, modes.condition, np.zeros(1))
    assert not np.isnan(errors).any()
    stability.kinds(*stability.count_unstable(modes.multipliers, errors), 2)


@pytest.mark.parametrize(("a", "kind"), [(0.5, "attractor"), (2.0, "repeller")])
def test_a_defective_jacobian_far_from_the_circle_is_decided(a: float, kind: str) -> None:
    """A perturbation e moves these multipliers by about sqrt(e), nowhere near the unit circle."""
    J = np.array([[[a, 1.0], [0.0, a]]])
    modes = stability.modes(J)
    errors = stability.multiplier_errors(J, modes.condition, np.zeros(1))
    assert stability.kinds(*stability.count_unstable(modes.multipliers, errors), 2) == (kind,)


@pytest.mark.parametrize(
    ("moduli", "errors", "unstable", "undecided", "kind"),
    [
        ([0.9, 0.5], [1e-9, 1e-9], 0, 0, "attractor"),
        ([1.1, 0.5], [1e-9, 1e-9], 1, 0, "saddle"),
        ([1.1, 1.2], [1e-9, 1e-9], 2, 0, "repeller"),
        ([1.0, 0.5], [1e-9, 1e-9], 0, 1, "undecided"),
        ([1.1, 1.0], [1e-9, 1e-9], 1, 1, "undecided"),
        ([1.1, 0.5], [0.2, 0.2], 0, 1, "undecided"),
        ([1.0 + 1e-10, 1.0 - 1e-10], [1e-9, 1e-9], 0, 2, "undecided"),
    ],
)
def test_kinds(moduli: list[float], errors: list[float], unstable: int, undecided: int, kind: str) -> None:
    counts = stability.count_unstable(np.array([moduli], dtype=complex), np.array([errors]))
    assert [int(c[0]) for c in counts] == [unstable, undecided]
    assert stability.kinds(*counts, 2) == (kind,)


def test_one_open_multiplier_does_not_hide_a_saddle() -> None:
    """Outside, on, and inside the circle: a saddle whatever the middle one is."""
    counts = stability.count_unstable(np.array([[1.2, 1.0, 0.3]], dtype=complex), np.full((1, 3), 1e-9))
    assert stability.kinds(*counts, 3) == ("saddle",)


def test_time_constants_and_rotation_periods() -> None:
    """|mu| = e^(-1/7): 7 steps. arg = 2 pi / 5: 5 steps per turn. Negative: 2. On the circle: inf."""
    mu = np.array([math.exp(-1 / 7), math.exp(-1 / 7) * np.exp(2j * math.pi / 5), -0.5, 1.0, math.e, 0.0])
    np.testing.assert_allclose(stability.time_constants(mu), [7, 7, 1 / math.log(2), np.inf, -1, 0], rtol=1e-12)
    np.testing.assert_allclose(stability.rotation_periods(mu), [np.inf, 5, 2, np.inf, np.inf, np.inf], rtol=1e-12)


def test_multipliers_do_not_depend_on_the_coordinates() -> None:
    generator = np.random.default_rng(1)
    J, P = generator.standard_normal((2, 6, 6))
    one = stability.modes(J[np.newaxis]).multipliers
    two = stability.modes((P @ J @ np.linalg.inv(P))[np.newaxis]).multipliers
    np.testing.assert_allclose(np.sort_complex(one[0]), np.sort_complex(two[0]), atol=1e-10)


def test_no_jacobians_no_modes() -> None:
    modes = stability.modes(np.zeros((0, 3, 3)))
    assert modes.multipliers.shape == (0, 3)
    assert modes.right_modes.shape == (0, 3, 3)


def test_coinciding_zeros_do_not_blur_a_multiplier_far_from_them() -> None:
    """A symmetric matrix of rank one: its one multiplier that is not zero has condition 1."""
    v = np.ones(10) / np.sqrt(10)
    J = 1.02 * np.outer(v, v)[np.newaxis]
    measured = stability.modes(J)
    assert measured.condition[0, 0] == pytest.approx(1.0)
    errors = stability.multiplier_errors(J, measured.condition, np.zeros(1))
    assert stability.count_unstable(measured.multipliers, errors)[0][0] == 1
    assert stability.count_unstable(measured.multipliers, errors)[1][0] == 0


def test_a_defective_multiplier_stays_badly_conditioned() -> None:
    J = np.array([[[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.3]]])
    condition = stability.modes(J).condition[0]
    assert (condition[:2] > 1e6).all()
    assert condition[2] == pytest.approx(1.0)


def test_a_fixed_point_on_a_kink_is_undecided() -> None:
    """relu(h1), relu(h2 / 2 + 1/10): at (0, 1/5) the slope is 0 on one side and 1 on the other."""
    cell = cells.Elman(activation="relu", U=np.diag([1.0, 0.5]), b=[0.0, 0.1])
    found = dynsys.find_fixed_points(cell, starts=[[0.0, 0.2]], n_starts=0)
    assert found.kinds == ("undecided",)
    away = cells.Elman(activation="relu", U=np.diag([0.9, 0.5]), b=[-0.1, 0.1])
    assert dynsys.find_fixed_points(away, starts=[[0.0, 0.2]], n_starts=0).kinds == ("attractor",)
