"""The search beneath fixed points: where starts end, polishing, and telling points apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.batched_solves import solve_each
from dynsys.root_search import distinct, polish, search


def cubic(x: Any) -> Any:
    """Fixed points -1, 0, 1."""
    return x + 0.5 * (x**3 - x)


def test_every_start_ends_at_a_root_near_it() -> None:
    f = dynsys.as_map(cubic, 1)
    ended = search(f, np.array([[-1.3], [-0.1], [0.2], [1.5]]), np.zeros(0), None)
    assert ended.met_root.all()
    np.testing.assert_allclose(ended.states[:, 0], [-1, 0, 0, 1], atol=1e-8)


def test_a_start_at_a_root_stays_there() -> None:
    ended = search(dynsys.as_map(cubic, 1), np.array([[1.0]]), np.zeros(0), None)
    assert ended.states.tolist() == [[1.0]]


def test_a_slow_point_is_a_minimum_of_the_speed() -> None:
    """(x, y)' = (x + x^2 + 0.01, y / 2): |F| has its minimum 0.01 at the origin."""
    f = dynsys.as_map(lambda s: [s[0] + s[0] ** 2 + 0.01, 0.5 * s[1]], 2)
    ended = search(f, np.array([[0.3, 0.2], [-0.2, -0.4]]), np.zeros(0), None)
    assert ended.met_slow.all()
    assert not ended.met_root.any()
    np.testing.assert_allclose(ended.states, 0, atol=1e-3)


def test_no_start_is_both_root_and_slow() -> None:
    cell = cells.Elman.random(6, 0, gain=2.0, seed=1)
    starts = np.random.default_rng(0).uniform(-1, 1, (200, 6))
    ended = search(dynsys.as_map(cell), starts, np.zeros(0), None)
    assert not (ended.met_root & ended.met_slow).any()


def test_invariant_boxes_are_never_left() -> None:
    f = dynsys.as_map(cells.GRU.random(4, 1, gain=3.0))
    box = f.box(np.zeros(1), np.zeros(1))
    starts = np.random.default_rng(0).uniform(-1, 1, (100, 4))
    ended = search(f, starts, np.zeros(1), box)
    assert (np.abs(ended.states) <= 1).all()


def test_no_starts_no_ends() -> None:
    ended = search(dynsys.as_map(cubic, 1), np.zeros((0, 1)), np.zeros(0), None)
    assert ended.states.shape == (0, 1)


def test_the_result_does_not_depend_on_the_company() -> None:
    """Each start alone ends where it ends in the batch."""
    f = dynsys.as_map(cells.Elman(U=2.0 * np.eye(2) + 0.1))
    starts = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    together = search(f, starts, np.zeros(0), None)
    for b, start in enumerate(starts):
        alone = search(f, start[np.newaxis], np.zeros(0), None)
        np.testing.assert_allclose(alone.states[0], together.states[b], atol=1e-7)


def test_polish_reaches_rounding() -> None:
    f = dynsys.as_map(cells.Elman.random(8, 0, gain=0.9, seed=2))
    rough = np.full((3, 8), 1e-3)
    state = polish(f, rough, np.zeros(0))
    assert np.abs(f.step(state) - state).max() < 1e-15


def test_polish_does_not_leave_a_root_for_a_worse_state() -> None:
    f = dynsys.as_map(cubic, 1)
    assert polish(f, np.array([[1.0], [0.0]]), np.zeros(0)).tolist() == [[1.0], [0.0]]


def test_solve_each_solves_what_can_be_solved() -> None:
    matrices = np.array([[[2.0, 0.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    solved = solve_each(matrices, np.ones((2, 2)))
    np.testing.assert_allclose(solved[0], [0.5, 0.25])
    assert np.isnan(solved[1]).all()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0]])
def test_distinct_groups_what_is_close(order: list[int]) -> None:
    states = np.array([[0.0, 0.0], [1e-9, 0.0], [1.0, 1.0], [1.0, 1.0 + 1e-9]])[order]
    leaders, group = distinct(states, 1e-7)
    assert len(leaders) == 2
    assert group[0] == group[1] != group[2] == group[3]
    assert leaders.tolist() == [0, 2]


def test_distinct_is_relative_to_size() -> None:
    states = np.array([[1e6], [1e6 + 0.01], [0.0], [0.01]])
    assert len(distinct(states, 1e-7)[0]) == 3
