"""QR decompositions whose orthogonal factor is not formed: W = Q R, Q^T Q = I, and products with Q."""

from __future__ import annotations

import numpy as np
import pytest

from dynsys.reflectors import UNEVEN, Reflectors

EPS = float(np.finfo(np.float64).eps)


def uneven(n: int, k: int, nats: float) -> np.ndarray:
    """Gaussian entries, rows scaled down by up to exp(-nats), in no order."""
    generator = np.random.default_rng(n + k)
    scales = generator.permutation(np.linspace(0.0, -nats, n))
    return np.asfortranarray(generator.standard_normal((n, k)) * np.exp(scales)[:, np.newaxis])


@pytest.mark.parametrize("nats", [0.0, 20.0])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (40, 7), (80, 80)])
def test_the_factors_give_the_matrix_back_row_by_row(n: int, k: int, nats: float) -> None:
    """Every row to rounding of that row, though rows differ by a factor of 10^8; Q orthonormal to rounding."""
    w = uneven(n, k, nats)
    assert (nats == 0) or n == 1 or np.ptp(np.log(np.abs(w).max(axis=1))) > np.log(UNEVEN)
    factor = Reflectors(w.copy(order="F"))
    q, r = factor.orthogonal(), factor.triangle()
    assert (np.abs(q @ r - w).max(axis=1) <= 200 * EPS * np.abs(w).max(axis=1)).all()
    np.testing.assert_allclose(q.T @ q, np.eye(k), atol=100 * EPS)
    np.testing.assert_array_equal(np.diagonal(r), factor.diagonal)
    assert factor.norm == pytest.approx(np.linalg.norm(w))


@pytest.mark.parametrize("nats", [0.0, 20.0])
def test_a_product_with_the_unformed_factor_is_the_product(nats: float) -> None:
    factor = Reflectors(uneven(60, 60, nats))
    c = np.asfortranarray(np.random.default_rng(0).standard_normal((7, 60)))
    np.testing.assert_allclose(factor.times(c.copy(order="F")), c @ factor.orthogonal(), atol=1e-13)
