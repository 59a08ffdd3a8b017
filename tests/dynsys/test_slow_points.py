"""Slow points are minima of the speed; a place where a search got stuck is not one."""

from __future__ import annotations

import numpy as np

import dynsys
from dynsys.slow_points import are_minima

NOTHING = np.zeros(0)


def test_a_minimum_and_a_saddle_of_the_speed_are_told_apart() -> None:
    """F = (x^2 + 0.01 - y^2 / 2, 0): |F|^2 / 2 curves up along x and down along y at the origin."""
    saddle = dynsys.as_map(lambda s: [s[0] + s[0] ** 2 + 0.01 - 0.5 * s[1] ** 2, s[1]], 2)
    bowl = dynsys.as_map(lambda s: [s[0] + s[0] ** 2 + 0.01 + 0.5 * s[1] ** 2, s[1]], 2)
    origin = np.zeros((1, 2))
    assert are_minima(saddle, origin, NOTHING).tolist() == [False]
    assert are_minima(bowl, origin, NOTHING).tolist() == [True]


def test_a_line_of_slow_points_counts_as_minima() -> None:
    """(x + 0.01, y / 2): the speed is 0.01 all along y = 0, flat in x."""
    f = dynsys.as_map(lambda s: [s[0] + 0.01, 0.5 * s[1]], 2)
    assert are_minima(f, np.array([[0.0, 0.0], [3.0, 0.0]]), NOTHING).all()


def test_the_speed_has_no_slope_and_no_lower_neighbour_at_slow_points() -> None:
    """Two ghosts behind folds, x + (x^2 - 1)^2 / 4 + e: minima at +-1, a maximum between them that is not reported."""
    f = dynsys.as_map(lambda x: x + 0.25 * (x**2 - 1) ** 2 + 1e-3, 1, box=(-1.8, 1.8))
    found = dynsys.find_fixed_points(f, n_starts=128)
    assert len(found) == 0
    np.testing.assert_allclose(np.sort(found.slow.states[:, 0]), [-1, 1], atol=1e-2)
    for state in found.slow.states:
        near = state + np.linspace(-0.05, 0.05, 11)[:, np.newaxis]
        assert np.abs(f.step(near) - near).min() >= found.slow.speeds.min() - 1e-9
