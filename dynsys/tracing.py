"""Slow sets traced through state space: predictor and corrector along the directions whose multipliers are near 1.

A state belongs to the slow set where the map's step F(x) - x lies in the span of the slow right modes: across them it
rests, along them it drifts (the intrinsic low-dimensional manifold of Maas and Pope, Combustion and Flame 88 (1992)
239-264, for a map). From a seed, a front of such states is advanced until the set ends, closes, or leaves the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.batched_solves import solve_each
from dynsys.clouds import nearest_in
from dynsys.maps import Map, SearchBox
from dynsys.types import Array, Booleans, Complex, Integers

SPACING = {1: 0.02, 2: 0.08, 3: 0.15}  # distance between states, in widths of the box, by dimension
COARSEST = 0.2
CORRECTIONS = 12
ACROSS = 1e-9  # step across the slow modes, relative to 1 + |x|, at which a state is on the set
TURN = 0.7  # least overlap (cosine) of neighbouring tangent spaces
SHORTER = 3  # halvings of the last step at the ends of a line
FAST = 0.01  # step along the set, in widths of the box, beyond which it is not slow
FEW, FINER = 40, 3.0  # states below which a surface is traced again, and by how much finer
COARSER = (2.0, 4.0)  # by how much coarser one is traced again that has too many


@final
@dataclass(frozen=True, eq=False)
class Patch:
    """States of a slow set with what was measured there.

    Attributes:
        states: (k, n). steps: (k, n), F(x) - x. tangents: (k, n, d) orthonormal. multipliers: (k, d) those nearest 1.
        others: (k, n - d) the rest. good: (k,) whether each is on the set, with d multipliers within the band and no
            other there.
    """

    states: Array
    steps: Array
    tangents: Array
    multipliers: Complex
    others: Complex
    good: Booleans

    def __getitem__(self, rows: Array | Integers | slice | list[int]) -> Patch:
        names = ("states", "steps", "tangents", "multipliers", "others", "good")
        return Patch(*(getattr(self, name)[rows] for name in names))


def joined(one: Patch, other: Patch) -> Patch:
    """The states of both."""
    names = ("states", "steps", "tangents", "multipliers", "others", "good")
    return Patch(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in names))


def slow_modes(jacobians: Array, dimension: int) -> tuple[Complex, Complex, Array, Booleans]:
    """Of Jacobians (k, n, n): the `dimension` multipliers nearest 1, the others, the real span (k, n, d) of their right
    modes, and whether the cut does not part a conjugate pair."""
    values, vectors = np.linalg.eig(jacobians)
    values, vectors = values.astype(np.complex128), vectors.astype(np.complex128)
    order = np.argsort(np.abs(values - 1.0), axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    near = np.take_along_axis(vectors, order[:, np.newaxis, :dimension], axis=2)
    basis = np.linalg.svd(np.concatenate([near.real, near.imag], axis=2), full_matrices=False)[0][:, :, :dimension]
    slow, rest = values[:, :dimension], values[:, dimension:]
    whole = np.abs(slow.sum(axis=1).imag) <= 1e-9
    return slow, rest, basis, np.asarray(whole)


def on_slow_set(f: Map, guesses: Array, tangents: Array, column: Array, band: float) -> Patch:
    """The states of the slow set across from `guesses` (k, n), moved across their `tangents` (k, n, d) alone."""
    n, dimension = guesses.shape[1], tangents.shape[2]
    x, identity = guesses.copy(), np.eye(n)
    ok = np.ones(len(x), dtype=bool)
    with np.errstate(all="ignore"):
        for turn in range(2):  # with the guessed tangents, then with those of the state itself
            along = tangents @ tangents.swapaxes(1, 2)
            across = identity - along
            for _ in range(CORRECTIONS):
                link = f.linearize_columns(np.ascontiguousarray(x.T), column)
                F = (across @ (link.next_state.T - x)[:, :, np.newaxis])[:, :, 0]
                size = 1.0 + np.abs(x).max(axis=1, initial=0.0)
                close = np.abs(F).max(axis=1, initial=0.0) <= ACROSS * size
                if (close | ~ok).all():
                    break
                move = solve_each(across @ (link.dense() - identity) + along, -F)
                ok &= np.isfinite(move).all(axis=1) & (np.abs(move).max(axis=1, initial=0.0) < size)
                x = x + np.where(ok[:, np.newaxis], move, 0.0)
            ok &= close
            jacobians = np.where(ok[:, np.newaxis, np.newaxis], link.dense(), identity)
            slow, rest, tangents, whole = slow_modes(jacobians, dimension)
            if turn == 0 and not ok.any():
                break
        steps = f.advance(np.ascontiguousarray(x.T), column).T - x
    inside = (np.abs(slow - 1.0) <= band).all(axis=1) & (np.abs(rest - 1.0) > band).all(axis=1)
    return Patch(x, steps, tangents, slow, rest, ok & whole & inside)


@final
@dataclass(frozen=True, eq=False)
class Traced:
    """A slow set: its states, the distance between them, whether it has no edge, and whether all of it was traced."""

    patch: Patch
    spacing: float
    closed: bool
    complete: bool


def trace(f: Map, seed: Patch, box: SearchBox, column: Array, band: float, most: int) -> Traced:
    """The connected slow set around `seed` (one state), to at most `most` states."""
    dimension = seed.tangents.shape[2]
    width = box.high - box.low
    h = SPACING.get(dimension, COARSEST) / float((np.linalg.norm(seed.tangents[0], axis=1) / width).max())
    traced = _traced(f, seed, box, column, band, most, h)
    if dimension > 1 and len(traced.patch.states) < FEW:
        traced = _traced(f, seed, box, column, band, most, h / FINER)
    for coarser in COARSER if dimension > 1 else ():
        if traced.complete:
            break
        traced = _traced(f, seed, box, column, band, most, coarser * h)
    return traced


def _traced(f: Map, seed: Patch, box: SearchBox, column: Array, band: float, most: int, h: float) -> Traced:
    dimension = seed.tangents.shape[2]
    patch, front, edge = seed, [0], False
    while front and len(patch.states) < most:
        proposals, parents = _proposals(patch, front, h)
        fresh = _spread(proposals, patch.states, 0.6 * h)
        proposals, parents = proposals[fresh], parents[fresh]
        if not len(proposals):
            break
        new, ok = _advanced(f, patch, parents, proposals, box, column, band, h)
        if dimension == 1 and not ok.all():
            new, ok = _shorter(f, patch, parents, proposals, new, ok, box, column, band, h)
        edge |= not ok.all()
        kept = np.flatnonzero(ok)
        kept = kept[_spread(new.states[kept], patch.states, 0.05 * h if dimension == 1 else 0.5 * h)]
        front = list(range(len(patch.states), len(patch.states) + len(kept)))
        patch = joined(patch, new[kept])
    complete = not front or len(patch.states) < most
    return Traced(patch, h, complete and not edge and len(patch.states) > 2, complete)


def _proposals(patch: Patch, front: list[int], h: float) -> tuple[Array, Array]:
    """States a step ahead of those of the front, in every direction of their tangent spaces, and whose they are."""
    ways = _directions(patch.tangents.shape[2])
    ahead = patch.states[front][:, np.newaxis] + h * np.einsum("knd,wd->kwn", patch.tangents[front], ways)
    return ahead.reshape(-1, ahead.shape[2]), np.repeat(np.array(front), len(ways))


def _directions(dimension: int) -> Array:
    """(w, d) unit vectors: both ways, a hexagon, and both ways along each axis beyond."""
    if dimension == 2:
        angle = np.arange(6) * np.pi / 3.0
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.eye(dimension), -np.eye(dimension)])


def _spread(proposals: Array, states: Array, least: float) -> Array:
    """Rows of `proposals` at least so far from `states`, and from each other."""
    if not len(proposals):
        return np.zeros(0, dtype=np.int64)
    kept: list[int] = []
    for i in np.flatnonzero(nearest_in(states, proposals)[0] >= least):
        if not kept or nearest_in(proposals[kept], proposals[i : i + 1])[0][0] >= least:
            kept.append(int(i))
    return np.array(kept, dtype=np.int64)


def _advanced(
    f: Map, patch: Patch, parents: Array, proposals: Array, box: SearchBox, column: Array, band: float, h: float
) -> tuple[Patch, Booleans]:
    """The proposals brought onto the set, and which of them go on with it."""
    new = on_slow_set(f, proposals, patch.tangents[parents], column, band)
    overlap = np.linalg.svd(patch.tangents[parents].swapaxes(1, 2) @ new.tangents, compute_uv=False)[:, -1]
    moved = np.linalg.norm(new.states - patch.states[parents], axis=1)
    slack = 1e-9 * (1.0 + np.abs(box.high))
    inside = ((new.states >= box.low - slack) & (new.states <= box.high + slack)).all(axis=1)
    slow = (np.abs(new.steps) <= FAST * (box.high - box.low)).all(axis=1)
    return new, new.good & slow & inside & (overlap >= TURN) & (moved > 0.02 * h) & (moved < 1.7 * h)


def _shorter(
    f: Map, patch: Patch, parents: Array, proposals: Array, new: Patch, ok: Booleans, box: SearchBox, column: Array,
    band: float, h: float,
) -> tuple[Patch, Booleans]:  # fmt: skip
    """The last steps of a line, halved until they stay on it."""
    for halving in range(1, SHORTER + 1):
        failed = np.flatnonzero(~ok)
        if not len(failed):
            break
        nearer = patch.states[parents[failed]]
        nearer = nearer + (proposals[failed] - nearer) / 2.0**halving
        again, fine = _advanced(f, patch, parents[failed], nearer, box, column, band, h)
        for name in ("states", "steps", "tangents", "multipliers", "others", "good"):
            getattr(new, name)[failed[fine]] = getattr(again, name)[fine]
        ok = ok.copy()
        ok[failed[fine]] = True
    return new, ok
