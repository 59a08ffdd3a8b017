"""The search without Jacobians: it ends where the search with them does."""

from __future__ import annotations

from typing import Any

import numpy as np

import cells
import dynsys
from dynsys import root_search
from dynsys.krylov import newton_krylov

NOTHING = np.zeros(0)


def test_it_meets_the_only_fixed_point_of_a_contraction() -> None:
    cell = cells.Elman.random(60, 0, gain=0.8, seed=0)
    f = dynsys.as_map(cells.Elman(U=cell.U, b=np.linspace(-1, 1, 60)))
    state, arrived, steps = newton_krylov(f, np.full(60, 0.5), NOTHING, None, 30, 1e-10)
    orbit = dynsys.simulate(f, np.zeros(60), steps=2000)[-1]
    assert arrived
    assert 2 <= steps <= 12  # superlinear
    np.testing.assert_allclose(state, orbit, atol=1e-8)


def test_it_meets_repellers_too() -> None:
    f = dynsys.as_map(cells.Elman(U=np.diag(np.linspace(1.5, 2.5, 20))))
    state, arrived, _ = newton_krylov(f, np.full(20, 0.05), NOTHING, f.box(NOTHING, NOTHING), 30, 1e-10)
    assert arrived
    np.testing.assert_allclose(state, 0, atol=1e-9)


def test_where_nothing_is_fixed_it_says_so() -> None:
    f = dynsys.as_map(cells.Elman(U=[[1.0]], b=[1.0], activation="identity"))
    assert not newton_krylov(f, np.zeros(1), NOTHING, None, 10, 1e-10)[1]


def test_a_start_that_overflows_is_given_up() -> None:
    f = dynsys.as_map(lambda x: np.exp(np.exp(x)), 1)
    with np.errstate(all="ignore"):
        assert not newton_krylov(f, np.array([50.0]), NOTHING, None, 10, 1e-10)[1]


def test_large_systems_are_searched_with_it(monkeypatch: Any) -> None:
    """With the limit lowered the whole search finds the same three points of the rank-one network."""
    a = np.linspace(0.3, 0.8, 12)
    cell = cells.Elman(U=np.outer(a, a))
    with_jacobians = dynsys.find_fixed_points(cell, n_starts=64)
    monkeypatch.setattr(root_search, "DENSE", 5)
    without = dynsys.find_fixed_points(cell, n_starts=64)
    order = [np.argsort(found.states[:, 0]) for found in (with_jacobians, without)]
    np.testing.assert_allclose(with_jacobians.states[order[0]], without.states[order[1]], atol=1e-12)
