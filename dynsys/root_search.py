"""Solving F(x) = f(x) - x = 0 from many starts at once, and judging what came out.

Levenberg-Marquardt on |F|^2 with the structured Jacobian, the working set shrinking as starts finish, then Newton on
the distinct points. A start ends at a root, at a slow point (a local minimum of |F| that is not zero), or stalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.types import Array, Booleans, Integers

ROUGH = 1e-9  # residual at which a start counts as having met a root; Newton polishes from there
GRADIENT = 1e-7  # |J^T F| / (|J| |F|) below which the speed has a local minimum
PATIENCE, PROGRESS = 10, 0.7  # a start is given up if neither |F|^2 nor its gradient falls by this in so many steps
MEMORY = 1 << 28  # bytes of Jacobians held at a time


@final
@dataclass(frozen=True)
class Search:
    """How a batch of starts ended: final states (B, n), and for each whether it met a root or a slow point."""

    states: Array
    met_root: Booleans
    met_slow: Booleans


def search(f: Map, starts: Array, input: Array, box: SearchBox | None, max_steps: int | None = None) -> Search:
    """Levenberg-Marquardt from every row of `starts` (B, n) at the constant input (m,)."""
    if max_steps is None:
        max_steps = 80 if f.state_size <= 64 else 30  # where a step costs n^3, patience is better spent on more starts
    size = max(1, MEMORY // (8 * 4 * f.state_size**2))
    pieces = [_search_piece(f, starts[i : i + size], input, box, max_steps) for i in range(0, len(starts), size)]
    if not pieces:
        nothing = np.zeros(0, dtype=bool)
        return Search(np.zeros((0, f.state_size)), nothing, nothing)
    return Search(
        np.concatenate([p.states for p in pieces]),
        np.concatenate([p.met_root for p in pieces]),
        np.concatenate([p.met_slow for p in pieces]),
    )


def _search_piece(f: Map, starts: Array, input: Array, box: SearchBox | None, max_steps: int) -> Search:
    column = input[:, np.newaxis]
    final, count = starts.copy(), len(starts)
    root, slow = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    at = np.arange(count)
    x = np.ascontiguousarray(starts.T)
    damping = np.full(count, 1e-2)
    with np.errstate(all="ignore"):  # a start far out may overflow: it is then not finite, and dropped
        F, J = _residual_and_jacobian(f, x, column)
        worth = np.square(F).sum(axis=0)
        normal, gradient = _normal_equations(F, J)
    n = len(x)
    diagonal = np.arange(n)
    then = np.stack([worth, np.linalg.norm(gradient, axis=1)])  # when progress was last looked at
    for step in range(max_steps):
        # Converged, or at a local minimum of the speed: out of the working set.
        F, normal, gradient = _dropped(worth, F, normal, gradient)
        peak = np.abs(F).max(axis=0)
        at_root = peak <= ROUGH * (1.0 + np.abs(x).max(axis=0))
        scale = np.sqrt(np.where(np.isfinite(worth), worth, 0.0) * np.einsum("bii->b", normal))
        at_minimum = (np.linalg.norm(gradient, axis=1) <= GRADIENT * scale) & ~at_root
        going = ~(at_root | at_minimum) & np.isfinite(worth) & (damping < 1e12)
        if step % PATIENCE == PATIENCE - 1:
            # At a slow point |F|^2 stops falling by its nature, while the gradient still does.
            now = np.stack([worth, np.linalg.norm(gradient, axis=1)])
            going &= (now < PROGRESS * then).any(axis=0)
            then = now
        if not going.all():
            at_minimum |= ~at_root & ~going & _flat(worth, gradient, normal)
            final[at], root[at], slow[at] = x.T, at_root, at_minimum
            at, x, F, worth, damping = at[going], x[:, going], F[:, going], worth[going], damping[going]
            then = then[:, going]
            normal, gradient = normal[going], gradient[going]
            if not len(at):
                break
        damped = normal.copy()
        # The damping vanishes with |F|, so that convergence is quadratic.
        damped[:, diagonal, diagonal] += (damping * np.minimum(1.0, np.sqrt(worth)))[:, np.newaxis] + 1e-14 * scale_of(
            normal
        )
        move = -solve_each(damped, gradient)
        trial = x + move.T
        if box is not None and box.invariant:
            trial = np.clip(trial, box.low[:, np.newaxis], box.high[:, np.newaxis])
        with np.errstate(all="ignore"):
            F_trial, J_trial = _residual_and_jacobian(f, trial, column)
            worth_trial = np.square(F_trial).sum(axis=0)
        better = worth_trial < worth
        damping = np.where(better, np.maximum(damping / 8.0, 1e-10), damping * 6.0)
        if better.all():
            x, F, worth = trial, F_trial, worth_trial
            normal, gradient = _normal_equations(F, J_trial)
        elif better.any():
            x, F = np.where(better, trial, x), np.where(better, F_trial, F)
            worth = np.where(better, worth_trial, worth)
            normal[better], gradient[better] = _normal_equations(F[:, better], J_trial[better])
    else:
        final[at], slow[at] = x.T, _flat(worth, gradient, normal)
    return Search(final, root, slow)


def _dropped(worth: Array, F: Array, normal: Array, gradient: Array) -> tuple[Array, Array, Array]:
    """The same, with zeros for starts that left floating point: they fail every test without a warning."""
    lost = ~np.isfinite(worth)
    if not lost.any():
        return F, normal, gradient
    F, normal, gradient = F.copy(), normal.copy(), gradient.copy()
    F[:, lost], normal[lost], gradient[lost] = np.inf, 0.0, 1.0
    return F, normal, gradient


def _flat(worth: Array, gradient: Array, normal: Array) -> Booleans:
    """Whether the speed has a critical point here, judged on the scale of the identity that J - I contains.

    Only for starts that cannot move on: where J is close to I the test alone would stop a search on its way to a root.
    """
    scale = np.sqrt(np.where(np.isfinite(worth), worth, 0.0)) * (1.0 + np.sqrt(np.einsum("bii->b", normal)))
    return np.asarray(np.linalg.norm(gradient, axis=1) <= GRADIENT * scale)


def scale_of(normal: Array) -> Array:
    """The mean diagonal of each matrix (B, n, n), as (B, 1): what a relative shift is relative to."""
    return np.asarray(np.einsum("bii->b", normal)[:, np.newaxis] / normal.shape[1])


def _residual_and_jacobian(f: Map, x: Array, column: Array) -> tuple[Array, Array]:
    """F(x) = f(x) - x, (n, B), and its Jacobian J - I, (B, n, n)."""
    step = f.linearize_columns(x, column)
    J = step.dense()
    if not J.flags.writeable:
        J = J.copy()
    diagonal = np.arange(len(x))
    J[:, diagonal, diagonal] -= 1.0
    return step.next_state - x, J


def _normal_equations(F: Array, J: Array) -> tuple[Array, Array]:
    transposed = J.swapaxes(1, 2)
    return transposed @ J, (transposed @ F.T[:, :, np.newaxis])[:, :, 0]


def solve_each(matrices: Array, rights: Array) -> Array:
    """The solutions (B, n) of matrices (B, n, n) for right sides (B, n); NaN where a matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, rights[:, :, np.newaxis])[:, :, 0])
    except np.linalg.LinAlgError:
        out = np.full(rights.shape, np.nan)
        for b, (matrix, right) in enumerate(zip(matrices, rights, strict=True)):
            try:
                out[b] = np.linalg.solve(matrix, right)
            except np.linalg.LinAlgError:
                continue
        return out


def polish(f: Map, states: Array, input: Array, max_steps: int = 80) -> Array:
    """Newton from states (k, n) that are almost roots, keeping the state of least residual seen.

    Two or three steps as a rule; at a degenerate root each gains only a constant factor, hence the many allowed.
    """
    column = input[:, np.newaxis]
    x = np.ascontiguousarray(states.T)
    F, J = _residual_and_jacobian(f, x, column)
    best, least = x.copy(), np.abs(F).max(axis=0)
    for _ in range(max_steps):
        move = solve_each(J, F.T)
        x = x - np.where(np.isfinite(move), move, 0.0).T
        with np.errstate(all="ignore"):
            F, J = _residual_and_jacobian(f, x, column)
        now = np.where(np.isfinite(F).all(axis=0), np.abs(F).max(axis=0), np.inf)
        better, halved = now < least, now < 0.5 * least
        best[:, better], least[better] = x[:, better], now[better]
        if not halved.any():  # rounding makes the last digits dance
            break
        x = np.where(np.isfinite(x), x, best)
    return np.ascontiguousarray(best.T)


def distinct(states: Array, tolerance: Array | float) -> tuple[Integers, Integers]:
    """Which of the states (k, n) are the same point to within `tolerance` (relative to 1 + |x|, max norm).

    Returns: the index of each group's first state, and the group of every state. Earlier states lead their groups.
    """
    count = len(states)
    group = np.full(count, -1, dtype=np.int64)
    leaders: list[int] = []
    reach = np.broadcast_to(tolerance, (count,)) * (1.0 + np.abs(states).max(axis=1, initial=0.0))
    left = np.arange(count)
    while len(left):
        lead = left[0]
        near = np.abs(states[left] - states[lead]).max(axis=1) <= np.maximum(reach[left], reach[lead])
        near[0] = True
        group[left[near]] = len(leaders)
        leaders.append(int(lead))
        left = left[~near]
    return np.array(leaders, dtype=np.int64), group
