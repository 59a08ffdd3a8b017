"""Paths to fixed points: where theory says that a curve arrives, it does, and at a fixed point."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import cells
import dynsys
from dynsys.homotopy import from_fixed_points, from_states
from dynsys.root_search import polish

NOTHING = np.zeros(0)


def fixed(f: dynsys.Map, states: np.ndarray) -> np.ndarray:
    """The states polished, each checked to be a fixed point."""
    ends = polish(f, states, NOTHING)
    assert np.abs(f.step(ends) - ends).max() < 1e-13
    return ends


def eigen(f: dynsys.Map, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eig(f.jacobian(state))


@pytest.mark.parametrize("seed", range(3))
def test_every_path_from_the_cube_arrives(seed: int) -> None:
    """tanh carries the cube into its interior: the curve from almost every state in it ends at a fixed point."""
    f = dynsys.as_map(cells.Elman.random(8, 0, gain=2.5, seed=seed))
    for start in np.random.default_rng(seed).uniform(-1, 1, (4, 1, 8)):
        ends, steps = from_states(f, start, NOTHING)
        assert len(ends) % 2 == 1  # a curve from s = 0 that ends beyond s = 1 crosses it an odd number of times
        assert steps > 0
        assert np.abs(fixed(f, ends)).max() < 1


def test_paths_do_not_depend_on_their_company() -> None:
    f = dynsys.as_map(cells.Elman.random(5, 0, gain=2.5, seed=1))
    starts = np.random.default_rng(0).uniform(-1, 1, (6, 5))
    together = from_states(f, starts, NOTHING)[0]
    alone = np.concatenate([from_states(f, start[np.newaxis], NOTHING)[0] for start in starts])
    assert len(together) == len(alone)
    distance = np.abs(together[:, np.newaxis] - alone).max(axis=2)
    assert distance.min(axis=1).max() < 1e-4


def test_branches_of_the_pitchfork_arrive_at_both_states() -> None:
    """h' = tanh(2 h): from 0, multiplier 2, the branches at s = 1/2 lead to +-0.9575040241."""
    f = dynsys.as_map(cells.Elman(U=[[2.0]]))
    ends, _ = from_fixed_points(f, np.zeros((1, 1)), [eigen(f, np.zeros(1))], NOTHING)
    np.testing.assert_allclose(np.sort(fixed(f, ends)[:, 0]), [-0.9575040240772687, 0.9575040240772687], atol=1e-12)


def test_branches_leave_at_the_reciprocal_of_a_real_multiplier() -> None:
    """Linear threshold of the search for them: a multiplier below 1 has its branch beyond s = 1, none is followed."""
    f = dynsys.as_map(cells.Elman(U=[[0.9]]))
    ends, steps = from_fixed_points(f, np.zeros((1, 1)), [eigen(f, np.zeros(1))], NOTHING)
    assert ends.shape == (0, 1)
    assert steps == 0


def test_complex_multipliers_have_no_branch() -> None:
    angle = 0.7
    turn = 1.4 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    f = dynsys.as_map(cells.Elman(U=turn))
    assert not len(from_fixed_points(f, np.zeros((1, 2)), [eigen(f, np.zeros(2))], NOTHING)[0])


def test_branches_of_branches_reach_every_combination() -> None:
    """Units with w = 2 and 3, decoupled: from 0 alone, the branches of what is found reach all 9 points."""
    f = dynsys.as_map(cells.Elman(U=np.diag([2.0, 3.0])))
    first, second = 0.9575040240772687, 0.9949015285
    known, at = [np.zeros(2)], 0
    while at < len(known):
        ends, _ = from_fixed_points(f, known[at][np.newaxis], [eigen(f, known[at])], NOTHING)
        at += 1
        for end in fixed(f, ends) if len(ends) else []:
            if min(np.abs(end - k).max() for k in known) > 1e-6:
                known.append(end)
    wanted = np.array(list(itertools.product([-first, 0, first], [-second, 0, second])))
    distance = np.abs(np.array(known)[:, np.newaxis] - wanted).max(axis=2)
    assert len(known) == 9
    assert distance.min(axis=0).max() < 1e-8


def test_at_most_so_many_multipliers_and_steps() -> None:
    f = dynsys.as_map(cells.Elman(U=np.diag([2.0, 3.0])))
    origin = np.zeros(2)
    one, few = from_fixed_points(f, origin[np.newaxis], [eigen(f, origin)], NOTHING, most=1)
    assert (np.abs(one[:, 0]) < 1e-6).all()  # the largest multiplier, 3, is the second unit's
    assert from_fixed_points(f, origin[np.newaxis], [eigen(f, origin)], NOTHING)[1] > few
    assert from_fixed_points(f, origin[np.newaxis], [eigen(f, origin)], NOTHING, max_steps=3)[1] <= 12


def test_a_map_without_fixed_points_gives_none() -> None:
    f = dynsys.as_map(cells.Elman(U=[[1.0]], b=[1.0], activation="identity"))
    assert from_states(f, np.zeros((1, 1)), NOTHING, max_steps=50)[0].shape == (0, 1)
