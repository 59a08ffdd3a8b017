"""The stages of a search for fixed points.

Independent uniform starts come first, since only their hits may be counted. What follows takes what is known as its
guide: mixtures of found points, ends of orbits, and continuation paths; more of it where the start was hard going, or
where the index test says that something is missing.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dynsys.collection import LARGE, Collection
from dynsys.completeness import chao1
from dynsys.homotopy import from_fixed_points, from_states
from dynsys.search_box import FAR
from dynsys.types import Array

MIXING_ROUNDS = 4
UNIFORM_SHARE = 0.33  # of the work allowed, for uniform starts
USUAL = 30  # Jacobians that a start takes until it ends, at most
FIRST_SHARE = 32  # starts drawn first in larger systems
STALLED = 0.3  # share of uniform starts that stall beyond which the search goes deeper whatever the index test says
RARE = 0.1  # share of uniform starts that arrive below which more of them are not worth their work: paths arrive
PATHS, PATH_STEPS, BEYOND = 12, 1000, 150  # paths of the first round, steps of each, and after its first fixed point
SMALL_PATHS = 128  # the same in small systems, where one costs little more beside others than by itself
LEAST_WAY, BEYOND_LARGE = 100, 400  # steps to the first fixed point at least; beyond it in larger systems
BEYOND_BRANCH = 30  # steps of a branch after its first fixed point in larger systems
LEAST_PATHS = 16  # fewer are not begun in small systems
UNBOUNDED_PATHS, UNBOUNDED_STEPS = 4, 200  # where no box is known that a path could not leave
BRANCH_STEPS, BRANCHES = 300, 8  # steps of a branch, and multipliers whose branches are followed, at most
BRANCH_SHARE = 0.25  # of the steps that are left, for the branches followed at a time
FEWEST = 60  # steps, below which a path is not worth beginning
EIGEN_WORK = 20  # what the multipliers of one point take, in Jacobians of a search
STEP_WORK = 0.7  # what a step along a path takes
ORBITS, FEW_ORBITS, ORBIT_STEPS = 48, 12, 500  # orbits in small and in larger systems


def uniform_starts(found: Collection, n_starts: int, generator: np.random.Generator) -> int:
    """Independent uniform starts, their hits counted; returns how many were drawn.

    In larger systems, where each costs n^3, first a few: none are added where none arrive, nor beyond the work allowed.
    """
    n = found.f.state_size
    if n <= LARGE:
        found.add(generator.uniform(found.box.low, found.box.high, (n_starts, n)), "uniform start", count_hits=True)
        return n_starts
    allowed = UNIFORM_SHARE * found.allowance
    drawn, share, first = 0, int(np.clip(allowed / USUAL, 1, FIRST_SHARE)), found.allowance
    while drawn < n_starts:
        share = min(share, n_starts - drawn)
        starts = generator.uniform(found.box.low, found.box.high, (share, n))
        found.add(starts, "uniform start", count_hits=True, all_of_them=True)
        drawn += share
        spent = first - found.allowance
        share = min(4 * share, int((allowed - spent) * drawn / max(1.0, spent)))
        if not found.hits.any() or share < 1:
            break
    return drawn


def mixtures(found: Collection, most: int, generator: np.random.Generator) -> None:
    """Midpoints of pairs, and means of random triples, of the points found so far; while that gives new ones.

    `most` is the number of pairs beyond which as many random ones are taken.
    """
    large = found.f.state_size > LARGE
    if large and found.allowance < found.first_allowance / 2:
        return  # branches and paths make better use of what is left
    for _ in range(1 if large else MIXING_ROUNDS):
        k = len(found)
        if k < 2:
            return
        if k * (k - 1) // 2 <= most:
            first, second = np.triu_indices(k, 1)
        else:
            first, second = generator.integers(0, k, (2, most))
        midpoints = (found.roots[first] + found.roots[second]) / 2.0
        triples = found.roots[generator.integers(0, k, (min(most // 4, 4 * k), 3))].mean(axis=1)
        found.add(np.concatenate([midpoints, triples]), "mixture of found points")
        if len(found) == k:
            return


def initial_state(found: Collection) -> None:
    """One start from the state that the network begins in: at zero input often a fixed point itself."""
    centre = np.zeros(found.f.state_size) if found.f.initial_state is None else found.f.initial_state
    found.add(np.clip(centre, *_walls(found))[np.newaxis], "initial state")


def go_deeper(found: Collection, most: int, generator: np.random.Generator) -> None:
    """Orbit ends, then rounds of paths from random states and of branches from every point found.

    Each round has twice the paths of the one before. They end with a round that brings nothing new while the index
    test does not fail, or with the work allowed.
    """
    n = found.f.state_size
    initial_state(found)
    if n > LARGE:
        _follow_branches(found, len(found))  # few starts can be paid for, and these lead somewhere
    found.add(_orbit_ends(found, generator), "orbit end")
    count = (SMALL_PATHS if n <= LARGE else PATHS) if found.reach.invariant else UNBOUNDED_PATHS
    while True:
        before = len(found)
        _follow_paths(found, count, generator)
        _follow_branches(found)
        if len(found) > before:
            mixtures(found, most // 4, generator)
        if found.paths_spent or not (len(found) > before or (found.index_fails() and found.reach.invariant)):
            break
        count *= 2


def _follow_branches(found: Collection, most: int | None = None) -> None:
    """The branches that leave the points found, those found on the way included, or of the first `most` alone."""
    while found.branched < (len(found) if most is None else most) and not found.paths_spent:
        # In larger systems one point at a time: what it leads to may be all that can be paid for.
        fresh = range(found.branched, len(found) if found.f.state_size <= LARGE else found.branched + 1)
        found.branched = fresh.stop
        for i in fresh:
            values, modes = np.linalg.eig(found.jacobians[i])
            found.eigen[i] = values, modes
        found.allowance -= EIGEN_WORK * len(fresh)
        can = BRANCH_SHARE * found.steps_left / len(fresh)
        points = found.roots[fresh.start : fresh.stop]
        follow = partial(
            from_fixed_points,
            found.f,
            points,
            [found.eigen[i] for i in fresh],
            found.input,
            most=int(np.clip(can // (2 * FEWEST), 1, BRANCHES)),
            max_steps=int(np.clip(can, FEWEST, BRANCH_STEPS)),
            beyond=BEYOND if found.f.state_size <= LARGE else BEYOND_BRANCH,
        )
        ends, steps = found.keep("branches", points, follow)
        found.walked(steps, STEP_WORK)
        found.arrive(_within(found, ends), "branch of a found point")


def _follow_paths(found: Collection, count: int, generator: np.random.Generator) -> None:
    """Continuation from up to `count` random states to fixed points: arrives where random starts stall."""
    n = found.f.state_size
    steps, beyond = (PATH_STEPS, BEYOND) if found.reach.invariant else (UNBOUNDED_STEPS, BEYOND)
    if n > LARGE:  # the way to the first fixed point is long there, and others then lie close by along the path
        beyond = BEYOND_LARGE
    count = min(count, int(found.steps_left / (LEAST_WAY + beyond)))
    if len(found) and count < (LEAST_PATHS if n <= LARGE else 1):
        found.path_steps = 0.0
        return
    low, high = np.maximum(found.box.low, -1.0), np.minimum(found.box.high, 1.0)
    low, high = np.where(low < high, low, found.box.low), np.where(low < high, high, found.box.high)
    states = generator.uniform(low, high, (max(1, count), n))
    most = int(max(found.steps_left, 2 * FEWEST))
    follow = partial(from_states, found.f, states, found.input, min(steps, most), beyond, most)
    ends, taken = found.keep("paths", states, follow)
    found.walked(taken, STEP_WORK)
    before = len(found)
    found.arrive(_within(found, ends), "continuation path")
    found.last_paths = len(states), len(found) - before


def _within(found: Collection, states: Array) -> Array:
    """The states (k, n), those outside the box that the map carries into itself moved to its wall."""
    return np.asarray(np.clip(states, *_walls(found)))


def _walls(found: Collection) -> tuple[Array, Array]:
    """The box that the map carries into itself, or none."""
    none = np.full(found.f.state_size, np.inf)
    return (found.reach.low, found.reach.high) if found.reach.invariant else (-none, none)


def _orbit_ends(found: Collection, generator: np.random.Generator) -> Array:
    """Where orbits from uniform starts are at last: near what the network does, and never off its range."""
    column = found.input[:, np.newaxis]
    n = found.f.state_size
    state = generator.uniform(found.box.low, found.box.high, (ORBITS if n <= LARGE else FEW_ORBITS, n)).T
    for _ in range(ORBIT_STEPS):
        state = found.f.advance(state, column)
    ends = state.T
    return np.ascontiguousarray(ends[np.isfinite(ends).all(axis=1) & (np.abs(ends).max(axis=1) < FAR)])


def seems_incomplete(found: Collection, n_starts: int) -> bool:
    """Whether uniform starts mostly stalled, or their hits say that points were left unseen."""
    arrived = int(found.hits.sum())
    if not arrived and found.rejected:
        return False  # a continuum, or nearly one
    if arrived < (1.0 - STALLED) * n_starts:
        return True
    return chao1(found.hits)[0] > len(found) + 0.5
