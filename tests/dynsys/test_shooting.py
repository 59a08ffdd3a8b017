"""The structured solvers against the dense system they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from dynsys.periodic import shooting
from dynsys.periodic.apart import distinct_orbits, in_phase, minimal_periods
from dynsys.periodic.shooting import CyclicFactors, gradient_of, inverse_norms, solve_cyclic, solve_damped


def dense(J: np.ndarray) -> np.ndarray:
    """The cyclic matrix (p n, p n) of one orbit's Jacobians (p, n, n)."""
    p, n, _ = J.shape
    A = np.zeros((p * n, p * n))
    for k in range(p):
        rows, after = slice(k * n, (k + 1) * n), (k + 1) % p
        A[rows, rows] += J[k]
        A[rows, after * n : (after + 1) * n] -= np.eye(n)
    return A


@pytest.fixture(params=[(1, 3), (2, 3), (3, 2), (8, 4), (5, 1)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, n = request.param
    generator = np.random.default_rng(p)
    J, right = 2.0 * generator.standard_normal((p, 6, n, n)), generator.standard_normal((p, 6, n))
    return J, right, np.stack([dense(J[:, b]) for b in range(6)])


def flat(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def test_the_cyclic_solution_is_that_of_the_dense_system(case: tuple[np.ndarray, ...]) -> None:
    J, right, A = case
    np.testing.assert_allclose(A @ flat(solve_cyclic(J, right))[..., None], flat(right)[..., None], atol=1e-11)


def test_one_factorisation_serves_several_right_sides(case: tuple[np.ndarray, ...]) -> None:
    J, right, A = case
    factors = CyclicFactors(J)
    for side in (right, right[::-1] - 3.0):
        np.testing.assert_allclose(A @ flat(factors.solve(side))[..., None], flat(side)[..., None], atol=1e-11)


@pytest.mark.parametrize("few", [0, 64], ids=["by blocks", "written out"])
def test_the_damped_solution_is_that_of_the_dense_normal_equations(
    case: tuple[np.ndarray, ...], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shooting, "FEW", few)
    J, right, A = case
    damping = np.linspace(0.1, 2.0, 6)
    solved = flat(solve_damped(J, right, damping))
    normal = A.swapaxes(1, 2) @ A + damping[:, None, None] * np.eye(A.shape[1])
    np.testing.assert_allclose(normal @ solved[..., None], flat(right)[..., None], atol=1e-10)
    np.testing.assert_allclose(flat(gradient_of(right, J)), (A.swapaxes(1, 2) @ flat(right)[..., None])[..., 0])


@pytest.mark.parametrize("whole", [0, 48], ids=["by iteration", "from the inverse"])
def test_inverse_norms_are_close_to_the_least_singular_value(
    case: tuple[np.ndarray, ...], whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shooting, "WHOLE", whole)
    J, _, A = case
    truth = 1.0 / np.linalg.svd(A, compute_uv=False)[:, -1]
    ours = inverse_norms(J)
    assert (ours <= truth * (1 + 1e-9)).all()
    assert (ours >= 0.5 * truth).all()


def test_strong_expansion_does_not_spoil_the_solution() -> None:
    """A product of 40 steps that each stretch 1e6-fold overflows nothing, and the residual stays at rounding."""
    generator = np.random.default_rng(0)
    J = 1e6 * generator.standard_normal((60, 1, 2, 2))
    right = generator.standard_normal((60, 1, 2))
    d = solve_cyclic(J, right)
    back = (J @ d[..., None])[..., 0] - np.roll(d, -1, axis=0)
    np.testing.assert_allclose(back, right, atol=1e-12)


def test_minimal_periods_and_phases() -> None:
    orbit = np.array([[1.0], [2.0], [1.0], [2.0]])
    three = np.array([[3.0], [1.0], [2.0], [4.0]])
    still = np.ones((4, 1))
    assert minimal_periods(np.stack([orbit, three, still]), 1e-6).tolist() == [2, 4, 1]
    np.testing.assert_array_equal(in_phase(three[np.newaxis])[0, :, 0], [1.0, 2.0, 4.0, 3.0])


def test_a_rotated_orbit_is_the_same_and_a_reversed_one_is_not() -> None:
    orbit = np.array([[0.0], [1.0], [5.0], [2.0]])
    many = np.stack([orbit, np.roll(orbit, 2, axis=0), orbit[::-1], orbit + 1e-12])
    leaders, group = distinct_orbits(many, 1e-7)
    assert leaders.tolist() == [0, 2]
    assert group.tolist() == [0, 0, 1, 0]
