"""Singular values of graded triangles exp(L) X against many-digit arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from dynsys.graded_triangle import log_singular_values, singular_vectors
from dynsys.types import Array


def exact(x: Array, log: Array) -> Array:
    """log singular values of exp(log) x, from 900 digits."""
    with mpmath.workdps(900):
        matrix = mpmath.matrix(
            [[mpmath.exp(a) * v for v in row] for a, row in zip(log.tolist(), x.tolist(), strict=True)]
        )
        values = sorted(mpmath.svd_r(matrix, compute_uv=False), reverse=True)
        return np.array([float(mpmath.log(v)) for v in values])


@pytest.mark.parametrize("span", [30.0, 100.0, 400.0, 900.0])
@pytest.mark.parametrize("filled", [0.0, 0.3, 1.0])
def test_rows_in_any_order_of_size(span: float, filled: float) -> None:
    """Rows that differ by up to e^span, sorted by nothing, with couplings that are absent, few, or everywhere."""
    generator = np.random.default_rng(int(span + 10 * filled))
    for _ in range(8):
        couplings = generator.standard_normal((6, 6)) * (generator.random((6, 6)) < filled)
        x, log = np.eye(6) + np.triu(couplings, 1), generator.uniform(-span, 0.0, 6)
        wanted = exact(x, log)
        np.testing.assert_allclose(log_singular_values(x, log), wanted, rtol=0, atol=1e-11)
        values, left, right = singular_vectors(x, log)
        np.testing.assert_allclose(-np.sort(-values), wanted, rtol=0, atol=1e-11)
        for side in (left, right):
            np.testing.assert_allclose(side.T @ side, np.eye(6), atol=1e-12)
        near = log > -SEEN
        whole = left * np.exp(values) @ right.T
        np.testing.assert_allclose(whole[near], (np.exp(log)[:, np.newaxis] * x)[near], rtol=0, atol=1e-14)


SEEN = 30.0  # nats below the largest that float64 still shows


@pytest.mark.parametrize("tiny", [1e-9, 1e-40, 1e-87, 1e-160])
def test_tiny_couplings_between_far_rows(tiny: float) -> None:
    """A coupling of e^-20 to e^-370 from row 0 to row 3: to first order the values are the rows' sizes, far apart."""
    x, log = np.eye(4), np.array([0.0, -18.0, -150.0, -220.0])
    x[0, 3] = x[1, 3] = tiny
    np.testing.assert_allclose(log_singular_values(x, log), log, rtol=0, atol=1e-13)


def test_fewer_rows_than_columns() -> None:
    """A product that lost dimensions: (2, 3), singular values of [[1, 1, 0], [0, s, s]] from its Gram matrix."""
    s = np.exp(-10.0)
    x = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    gram = np.array([[2.0, s], [s, 2 * s * s]])  # determinant 3 s^2
    largest = np.linalg.eigvalsh(gram)[1]
    wanted = 0.5 * np.log([largest, 3 * s * s / largest])
    np.testing.assert_allclose(log_singular_values(x, np.array([0.0, -10.0])), wanted, rtol=0, atol=1e-13)
