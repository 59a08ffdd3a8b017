"""Where orbits end: shares of known basins, cycles by their minimal period, and intervals that cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

import cells
import dynsys
from dynsys.basins import Basins, basins_of, wilson


def basins(obj: Any, n_starts: int = 512, steps: int = 500, seed: int = 1, input: Any = None) -> Basins:
    f = dynsys.as_map(obj)
    found = dynsys.find_fixed_points(f, input, n_starts=64)
    met = dynsys.find_attractors(f, fixed_points=found, n_starts=n_starts, steps=steps, seed=seed, exponent_steps=500)
    return basins_of(met, len(found))


def scalar(f: Any, low: float, high: float) -> dynsys.Map:
    return dynsys.as_map(f, state_size=1, box=(low, high))


@pytest.mark.parametrize("low", [-1.0, -0.5, -1.25])
def test_shares_are_the_lengths_of_the_basins(low: float) -> None:
    """x' = x + x(1 - x^2)/4 on [low, 1], increasing there: what is below 0 goes to -1, what is above to 1."""
    f = scalar(lambda x: x + 0.25 * x * (1 - x * x), low, 1.0)
    found = dynsys.find_fixed_points(f, n_starts=256)
    shares = basins_of(dynsys.find_attractors(f, fixed_points=found, n_starts=4000), len(found))
    share = dict(zip(np.round(found.states[:, 0]), shares.fractions, strict=True))
    assert share[1.0] == pytest.approx(1 / (1 - low), abs=0.03)
    assert share[0.0] == 0
    assert shares.at_rest == 1.0


def test_everything_comes_to_rest_in_a_contraction() -> None:
    shares = basins(cells.Elman(U=0.5 * np.eye(3)))
    assert (shares.at_rest, shares.elsewhere, shares.cycles) == (1.0, 0.0, {})
    np.testing.assert_array_equal(shares.fractions, [1.0])


@pytest.mark.parametrize(("r", "period"), [(3.3, 2), (3.5, 4), (3.83, 3), (3.55, 8)])
def test_cycles_of_the_logistic_map_have_their_minimal_period(r: float, period: int) -> None:
    shares = basins(scalar(lambda x: r * x * (1 - x), 0.01, 0.99), n_starts=64, steps=3000)
    assert shares.cycles == {period: 1.0}
    assert shares.at_rest == shares.elsewhere == 0.0


def test_a_neutral_rotation_is_a_continuum_of_cycles() -> None:
    """A rotation by 2 pi / 17: every orbit but the origin has period 17, and so have its neighbours."""
    a = 2 * np.pi / 17
    U = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    shares = basins(cells.Elman(U=U, activation="identity"), n_starts=32, steps=50)
    assert (shares.resting, shares.cycles) == (1.0, {})


def test_orbits_that_run_off_are_elsewhere_and_warn_of_nothing() -> None:
    shares = basins(scalar(lambda x: x * x, 1.5, 3.0), n_starts=32, steps=100)
    assert (shares.elsewhere, shares.cycles) == (1.0, {})


def test_an_unstable_point_attracts_nothing_not_even_what_passes_it() -> None:
    """h' = tanh(-2 h): the origin is unstable, all orbits end on the cycle of period 2."""
    shares = basins(cells.Elman(U=[[-2.0]]))
    np.testing.assert_array_equal(shares.fractions, [0.0])
    assert shares.cycles[2] == pytest.approx(1.0)


def test_shares_add_up_to_one() -> None:
    """Two decoupled units: tanh(2 h) comes to rest, tanh(-2 h) does not."""
    shares = basins(cells.Elman(U=np.diag([2.0, -2.0])))
    assert shares.at_rest + sum(shares.cycles.values()) + shares.elsewhere == pytest.approx(1.0)
    assert shares.fractions.sum() == pytest.approx(shares.at_rest)


def test_orbits_follow_the_constant_input() -> None:
    """tanh(2 h + u) at u = 1 beyond the fold: one attractor takes all."""
    f = cells.Elman(U=[[2.0]], W=[[1.0]])
    assert len(basins(f, input=[1.0]).fractions) == 1
    np.testing.assert_allclose(np.sort(basins(f).fractions), [0.0, 0.5, 0.5], atol=0.1)


def test_the_seed_decides_the_starts() -> None:
    one, same, other = (basins(cells.Elman(U=[[2.0]]), n_starts=101, seed=s).fractions for s in (1, 1, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_intervals_hold_the_shares() -> None:
    shares = basins(cells.Elman(U=2.0 * np.eye(2)))
    assert (shares.intervals[:, 0] <= shares.fractions).all()
    assert (shares.fractions <= shares.intervals[:, 1]).all()
    assert (np.abs(shares.intervals - np.clip(shares.intervals, 0, 1)) == 0).all()


def test_wilson_interval_of_published_cases() -> None:
    """15 of 148: (0.0624, 0.1605), Newcombe, Statistics in Medicine 17 (1998) 857, table I; 0 of 20: (0, 0.1611)."""
    np.testing.assert_allclose(wilson(np.array([15]), 148)[0], [0.0624, 0.1605], atol=5e-5)
    np.testing.assert_allclose(wilson(np.array([0]), 20)[0], [0.0, 0.1611], atol=5e-5)


def test_wilson_interval_is_symmetric() -> None:
    k = np.arange(51)
    np.testing.assert_allclose(wilson(k, 50), 1 - wilson(50 - k, 50)[:, ::-1], atol=1e-15)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_wilson_interval_covers_about_95_percent(p: float) -> None:
    k = np.arange(201)
    low, high = wilson(k, 200).T
    covered = binom.pmf(k, 200, p)[(low <= p) & (p <= high)].sum()
    assert 0.92 < covered < 0.98
