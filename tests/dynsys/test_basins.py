"""Where orbits end: shares of known basins, cycles by their minimal period, and intervals that cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

import cells
import dynsys
from dynsys.basins import Basins, basin_fractions, wilson


def basins_of(obj: Any, n_starts: int = 512, steps: int = 500, seed: int = 1) -> Basins:
    f = dynsys.as_map(obj)
    return basin_fractions(f, dynsys.find_fixed_points(f, n_starts=64), n_starts, steps, seed)


def scalar(f: Any, low: float, high: float) -> dynsys.Map:
    return dynsys.as_map(f, state_size=1, box=(low, high))


@pytest.mark.parametrize("low", [-1.0, -0.5, -1.25])
def test_shares_are_the_lengths_of_the_basins(low: float) -> None:
    """x' = x + x(1 - x^2)/4 on [low, 1], increasing there: what is below 0 goes to -1, what is above to 1."""
    found = dynsys.find_fixed_points(f := scalar(lambda x: x + 0.25 * x * (1 - x * x), low, 1.0), n_starts=256)
    basins = basin_fractions(f, found, 4000)
    share = dict(zip(np.round(found.states[:, 0]), basins.fractions, strict=True))
    assert share[1.0] == pytest.approx(1 / (1 - low), abs=0.03)
    assert share[0.0] == 0
    assert basins.at_rest == pytest.approx(share[1.0] + share.get(-1.0, 0.0))


def test_everything_comes_to_rest_in_a_contraction() -> None:
    basins = basins_of(cells.Elman(U=0.5 * np.eye(3)))
    assert (basins.at_rest, basins.elsewhere, basins.cycles) == (1.0, 0.0, {})
    np.testing.assert_array_equal(basins.fractions, [1.0])


@pytest.mark.parametrize(("r", "period"), [(3.3, 2), (3.5, 4), (3.83, 3), (3.55, 8)])
def test_cycles_of_the_logistic_map_have_their_minimal_period(r: float, period: int) -> None:
    basins = basins_of(scalar(lambda x: r * x * (1 - x), 0.01, 0.99), n_starts=64, steps=3000)
    assert basins.cycles == {period: 1.0}
    assert basins.at_rest == basins.elsewhere == 0.0


def test_a_cycle_of_17_is_longer_than_is_looked_for() -> None:
    """A rotation by 2 pi / 17: every orbit but the origin has period 17."""
    a = 2 * np.pi / 17
    U = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    basins = basins_of(cells.Elman(U=U, activation="identity"), n_starts=32, steps=50)
    assert (basins.elsewhere, basins.cycles) == (1.0, {})


def test_chaos_is_elsewhere() -> None:
    basins = basins_of(scalar(lambda x: 4 * x * (1 - x), 0.01, 0.99), n_starts=64, steps=200)
    assert basins.elsewhere > 0.9


def test_orbits_that_run_off_are_elsewhere_and_warn_of_nothing() -> None:
    basins = basins_of(scalar(lambda x: x * x, 1.5, 3.0), n_starts=32, steps=100)
    assert (basins.elsewhere, basins.cycles) == (1.0, {})


def test_an_unstable_point_attracts_nothing_not_even_what_passes_it() -> None:
    """h' = tanh(-2 h): the origin is unstable, all orbits end on the cycle of period 2."""
    basins = basins_of(cells.Elman(U=[[-2.0]]))
    np.testing.assert_array_equal(basins.fractions, [0.0])
    assert basins.cycles[2] == pytest.approx(1.0)


def test_shares_add_up_to_one() -> None:
    """Two decoupled units: tanh(2 h) comes to rest, tanh(-2 h) does not."""
    basins = basins_of(cells.Elman(U=np.diag([2.0, -2.0])))
    assert basins.at_rest + sum(basins.cycles.values()) + basins.elsewhere == pytest.approx(1.0)
    assert basins.fractions.sum() == pytest.approx(basins.at_rest)


def test_orbits_follow_the_constant_input() -> None:
    """tanh(2 h + u) at u = 1 beyond the fold: one attractor takes all."""
    f = dynsys.as_map(cells.Elman(U=[[2.0]], W=[[1.0]]))
    assert len(basin_fractions(f, dynsys.find_fixed_points(f, [1.0], n_starts=64)).fractions) == 1
    halves = basin_fractions(f, dynsys.find_fixed_points(f, n_starts=64)).fractions
    np.testing.assert_allclose(np.sort(halves), [0.0, 0.5, 0.5], atol=0.1)


def test_the_seed_decides_the_starts() -> None:
    one, same, other = (basins_of(cells.Elman(U=[[2.0]]), n_starts=101, seed=s).fractions for s in (1, 1, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_too_few_steps_leave_orbits_on_their_way() -> None:
    assert basins_of(cells.Elman(U=0.99 * np.eye(2)), steps=5).elsewhere == 1.0
    assert basins_of(cells.Elman(U=0.9 * np.eye(2)), steps=500).elsewhere == 0.0


def test_intervals_hold_the_shares() -> None:
    basins = basins_of(cells.Elman(U=2.0 * np.eye(2)))
    assert (basins.intervals[:, 0] <= basins.fractions).all()
    assert (basins.fractions <= basins.intervals[:, 1]).all()
    assert (np.abs(basins.intervals - np.clip(basins.intervals, 0, 1)) == 0).all()


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
