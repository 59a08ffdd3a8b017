"""The stages of a search for fixed points.

Independent uniform starts come first, since only their hits may be counted. What follows takes what is known as its
guide: mixtures of found points, ends of orbits, and continuation paths; more of it where the start was hard going, or
where the index test says that something is missing.
"""

from __future__ import annotations

import numpy as np

from dynsys.collection import LARGE, Collection
from dynsys.completeness import chao1
from dynsys.homotopy import from_fixed_point, from_states
from dynsys.search_box import FAR
from dynsys.types import Array

MIXING_ROUNDS, DEEPER_ROUNDS = 4, 3
UNIFORM_SHARE = 0.33  # of the work allowed, for uniform starts
USUAL = 30  # Jacobians that a start takes until it ends, at most
STALLED = 0.3  # share of uniform starts that stall beyond which the search goes deeper whatever the index test says
PATHS, PATH_STEPS = 12, 1000
UNBOUNDED_PATHS, UNBOUNDED_STEPS = 4, 200  # where no box is known that a path could not leave
BRANCH_STEPS, BRANCHES = 300, 8  # steps of a branch, and multipliers whose branches are followed, at most
MOST_STEPS = 6000  # steps along paths in all, in small systems, where each costs little but they would be many
EIGEN_WORK = 20  # what the multipliers of one point take, in Jacobians of a search
STEP_WORK = 0.5  # what a step along a path takes
ORBITS, ORBIT_STEPS = 48, 500


def uniform_starts(found: Collection, n_starts: int, generator: np.random.Generator) -> int:
    """Independent uniform starts, their hits counted; returns how many were drawn.

    In larger systems, where each costs n^3, first a few: none are added where none arrive, nor beyond the work allowed.
    """
    n = found.f.state_size
    if n <= LARGE:
        found.add(generator.uniform(found.box.low, found.box.high, (n_starts, n)), "uniform start", count_hits=True)
        return n_starts
    allowed = UNIFORM_SHARE * found.allowance
    drawn, share, first = 0, int(np.clip(allowed / USUAL, 1, 64)), found.allowance
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
    for _ in range(1 if found.f.state_size > LARGE else MIXING_ROUNDS):
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


def go_deeper(found: Collection, most: int, generator: np.random.Generator) -> None:
    """Orbit ends, then branches from every point found and paths from random states, while that gives new points."""
    n = found.f.state_size
    centre = np.clip(np.zeros(n) if found.f.initial_state is None else found.f.initial_state, *_walls(found))
    found.add(centre[np.newaxis], "initial state")
    steps = [MOST_STEPS]
    if n > LARGE:
        _follow_branches(found, steps)  # few starts can be paid for, and these lead somewhere
    found.add(_orbit_ends(found, generator), "orbit end")
    for _ in range(DEEPER_ROUNDS):
        before = len(found)
        _follow_branches(found, steps)
        _follow_paths(found, generator, steps)
        _follow_branches(found, steps)
        if len(found) == before or _exhausted(found, steps):
            break
        mixtures(found, most, generator)
        if not found.index_fails() and found.branched == len(found):
            break


def _exhausted(found: Collection, steps: list[int]) -> bool:
    """Whether the work allowed, or the number of steps along paths, is used up."""
    return found.allowance <= 0 or steps[0] <= 0


def _follow_branches(found: Collection, left: list[int]) -> None:
    """The branches that leave the points found, those found on the way included."""
    n = found.f.state_size
    while found.branched < len(found) and not _exhausted(found, left):
        i = found.branched
        found.branched += 1
        values, modes = found.eigen[i] = np.linalg.eig(found.jacobians[i])
        found.allowance -= EIGEN_WORK
        can = int(min(left[0], found.allowance))
        ends, steps = from_fixed_point(
            found.f,
            found.roots[i],
            (values, modes),
            found.input,
            most=int(np.clip(can // 60, 1, BRANCHES)),
            max_steps=min(BRANCH_STEPS, max(60, can)),
            beyond=_beyond(n),
        )
        left[0] -= steps
        found.allowance -= STEP_WORK * steps
        found.add(_within(found, ends), "branch of a found point", all_of_them=True)


def _follow_paths(found: Collection, generator: np.random.Generator, left: list[int]) -> None:
    """Continuation from random states to fixed points: arrives where random starts stall."""
    n = found.f.state_size
    count, steps = (PATHS, PATH_STEPS) if found.reach.invariant else (UNBOUNDED_PATHS, UNBOUNDED_STEPS)
    can = int(min(left[0], found.allowance))
    count = min(count, can // 150)
    if count < 1 and len(found):
        return
    low, high = np.maximum(found.box.low, -1.0), np.minimum(found.box.high, 1.0)
    low, high = np.where(low < high, low, found.box.low), np.where(low < high, high, found.box.high)
    states = generator.uniform(low, high, (max(1, count), n))
    ends, taken = from_states(found.f, states, found.input, min(steps, max(100, can)), _beyond(n))
    left[0] -= taken
    found.allowance -= STEP_WORK * taken
    found.add(_within(found, ends), "continuation path", all_of_them=True)


def _beyond(n: int) -> int:
    """Steps that a path is followed after its first fixed point."""
    return 150 if n <= LARGE else 40 if n <= 4 * LARGE else 10


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
    state = generator.uniform(found.box.low, found.box.high, (ORBITS, found.f.state_size)).T
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
