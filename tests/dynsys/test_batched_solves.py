"""Many linear systems of one size: the answers solve them, whichever routine is used for that size."""

from __future__ import annotations

import numpy as np
import pytest

from dynsys.batched_solves import inverse_of_each, normal_equations, solve_each, solve_positive

SIZES = [1, 3, 13, 50, 130]


def strided(n: int, count: int) -> np.ndarray:
    """Matrices laid out as Jacobians are: state axis first in memory."""
    return np.random.default_rng(n).standard_normal((n, count, n)).swapaxes(0, 1)


@pytest.mark.parametrize("n", SIZES)
def test_each_answer_solves_its_system(n: int) -> None:
    matrices, rights = strided(n, 4) + 3.0 * np.eye(n), np.random.default_rng(1).standard_normal((4, n))
    before = matrices.copy()
    answers = solve_each(matrices, rights)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", matrices, answers), rights, atol=1e-9)
    np.testing.assert_array_equal(matrices, before)


@pytest.mark.parametrize("n", [2, 50])
def test_singular_systems_have_no_answer_and_spoil_no_other(n: int) -> None:
    matrices = np.stack([2.0 * np.eye(n), np.zeros((n, n))])
    answers = solve_each(matrices, np.ones((2, n)))
    np.testing.assert_allclose(answers[0], 0.5)
    assert np.isnan(answers[1]).all()


@pytest.mark.parametrize("n", SIZES)
def test_normal_equations_are_the_products(n: int) -> None:
    """The upper triangle of J^T J is promised, the lower one is not."""
    J, F = strided(n, 3), np.random.default_rng(1).standard_normal((3, n))
    normal, gradient = normal_equations(J, F)
    np.testing.assert_allclose(np.triu(normal), np.triu(J.swapaxes(1, 2) @ J), atol=1e-11)
    np.testing.assert_allclose(gradient, np.einsum("bij,bi->bj", J, F), atol=1e-11)


@pytest.mark.parametrize("n", SIZES)
def test_shifted_positive_systems(n: int) -> None:
    J, rights = strided(n, 3), np.random.default_rng(1).standard_normal((3, n))
    shift = np.random.default_rng(2).uniform(0.5, 1.0, (3, n))
    normal, _ = normal_equations(J, rights)
    answers = solve_positive(normal, shift, rights)
    whole = J.swapaxes(1, 2) @ J + shift[:, :, np.newaxis] * np.eye(n)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", whole, answers), rights, atol=1e-8)


def test_a_system_that_is_not_positive_has_no_answer() -> None:
    normal = np.stack([np.eye(20), -np.eye(20)])
    answers = solve_positive(normal, np.zeros((2, 20)), np.ones((2, 20)))
    np.testing.assert_allclose(answers[0], 1.0)
    assert np.isnan(answers[1]).all()


@pytest.mark.parametrize("kind", [np.float64, np.complex128])
def test_inverses_where_they_exist(kind: type) -> None:
    matrices = np.array([[[2.0, 1.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]], dtype=kind)
    inverses = inverse_of_each(matrices)
    np.testing.assert_allclose(inverses[0] @ matrices[0], np.eye(2), atol=1e-15)
    assert np.isnan(inverses[1]).all()
