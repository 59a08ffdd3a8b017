"""Solving F(x) = f(x) - x = 0 from many starts at once, and judging what came out.

Levenberg-Marquardt on |F|^2 with the structured Jacobian, the working set shrinking as starts finish, then Newton on
the distinct points. A start ends at a root, at a slow point (a local minimum of |F| that is not zero), or stalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.batched_solves import normal_equations, solve_each, solve_positive
from dynsys.krylov import DENSE, newton_krylov
from dynsys.maps import Map, SearchBox
from dynsys.types import Array, Booleans, Integers

CLOSE, NEAR = 1e-6, 1e-4  # residual, and length of the step that is left, at which one more step ends at the root
NEARBY = 1e-3, 1e-2  # the same for ends that will be polished, or told to be at a root that is known
SOLVED = 0.9  # share of |F|^2 that the step must take away by the linear equation, for its end to be a root
ROUGH = 1e-9  # residual at which a start counts as having met a root, however far the step would go
LEAST = 1e-30  # residual below which nothing is gained: at the origin rounding is relative to ever smaller states
GRADIENT = 1e-7  # |J^T F| / (|J| |F|) below which the speed has a local minimum
PATIENCE, PROGRESS = 10, 0.7  # a start is given up if neither |F|^2 nor its gradient falls by this in so many steps
MEMORY = 1 << 29  # bytes of matrices held at a time
PIECE = 1 << 24  # bytes of Jacobians formed at a time, to stay in the processor's cache
SAVED = 0.7  # share of accepted steps below which the Jacobians of these alone are formed
FIRST_DAMPING = 0.03  # larger: attractors are met less often than repellers; smaller: large systems stall more
LONGER = 4.0  # how the longest step allowed grows each time it was taken and did good, where no wall bounds the search


@final
@dataclass(frozen=True)
class Search:
    """How a batch of starts ended: final states (B, n), and for each whether it met a root or a slow point.

    `steps` is the number of Jacobians formed, over all starts.
    """

    states: Array
    met_root: Booleans
    met_slow: Booleans
    steps: int = 0


def search(
    f: Map,
    starts: Array,
    input: Array,
    box: SearchBox | None,
    max_steps: int | None = None,
    close: tuple[float, float] = (CLOSE, NEAR),
) -> Search:
    """Levenberg-Marquardt from every row of `starts` (B, n) at the constant input (m,), within an invariant `box`.

    Steps are at first no longer than half the box: from a start in a corner, where everything saturates, the first one
    would end in the opposite corner, where nothing can be learnt. Where roots are simple, the ends are off by about the
    square of the second number in `close` (residual, and length of the last step); `polish` does the rest. Beyond
    `DENSE` state variables Newton-Krylov takes its place, which meets roots only.
    """
    if max_steps is None:
        max_steps = 80 if f.state_size <= 64 else 30  # where a step costs n^3, patience is better spent on more starts
    if f.state_size > DENSE:
        return _without_jacobians(f, starts, input, box, max_steps, close[0])
    size = max(1, MEMORY // (8 * 3 * f.state_size**2))
    pieces = [_Descent(f, starts[i : i + size], input, box, close).run(max_steps) for i in range(0, len(starts), size)]
    if not pieces:
        nothing = np.zeros(0, dtype=bool)
        return Search(np.zeros((0, f.state_size)), nothing, nothing)
    return Search(
        np.concatenate([p.states for p in pieces]),
        np.concatenate([p.met_root for p in pieces]),
        np.concatenate([p.met_slow for p in pieces]),
        sum(p.steps for p in pieces),
    )


def _without_jacobians(
    f: Map, starts: Array, input: Array, box: SearchBox | None, max_steps: int, close: float
) -> Search:
    with np.errstate(all="ignore"):
        ended = [newton_krylov(f, start, input, box, max_steps, close) for start in starts]
    root = np.array([arrived for _, arrived, _ in ended], dtype=bool)
    states = np.array([state for state, _, _ in ended]).reshape(-1, f.state_size)
    return Search(states, root, np.zeros(len(root), dtype=bool), sum(steps for *_, steps in ended))


class _Descent:
    """Levenberg-Marquardt on a batch. Arrays are those of the working set: the b starts still under way.

    x, F: (n, b). worth: (b,) |F|^2. normal: (b, n, n) upper triangles of J^T J. gradient: (b, n) J^T F.
    damping, reach: (b,), the shift of J^T J and the longest step (max norm). at: (b,) which starts these are.
    then: (2, b) |F|^2 and |gradient| when progress was last looked at.
    """

    def __init__(self, f: Map, starts: Array, input: Array, box: SearchBox | None, close: tuple[float, float]) -> None:
        self.f, self.column, self.close = f, input[:, np.newaxis], close
        self.walls = (box.low[:, np.newaxis], box.high[:, np.newaxis]) if box is not None and box.invariant else None
        count, n = starts.shape
        self.final = starts.copy()
        self.root, self.slow = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.at = np.arange(count)
        self.x = np.ascontiguousarray(starts.T)
        self.F, self.worth = np.empty((n, count)), np.full(count, np.inf)
        self.normal, self.gradient = np.zeros((count, n, n)), np.zeros((count, n))
        self.damping = np.full(count, FIRST_DAMPING)
        half = 1.0 if box is None else float((box.high - box.low).min()) / 2.0
        self.reach, self.capped = np.full(count, half), np.zeros(count, dtype=bool)
        self.steps = 0

    def run(self, max_steps: int) -> Search:
        """Descend until every start has ended, or the steps are over."""
        with np.errstate(all="ignore"):  # a start far out may overflow: it is then not finite, and dropped
            self._take(self.x.copy(), first=True)
            self.then = self._progress()
            for step in range(max_steps):
                self._retire(self._ended(look_back=step % PATIENCE == PATIENCE - 1))
                if not len(self.at):
                    break
                trial = self._moved()
                trial = self._arrive(trial)
                self._take(trial)
            else:
                self._retire(np.ones(len(self.at), dtype=bool))
        return Search(self.final, self.root, self.slow, self.steps)

    def _progress(self) -> Array:
        return np.stack([self.worth, np.linalg.norm(self.gradient, axis=1)])

    def _ended(self, look_back: bool) -> Booleans:
        """Which starts are at a root, at a minimum of the speed, out of floating point, or getting nowhere."""
        norms = np.linalg.norm(self.gradient, axis=1)
        scale = np.sqrt(self.worth * np.einsum("bii->b", self.normal))
        ended = self._at_root() | (norms <= GRADIENT * scale) | ~np.isfinite(self.worth) | (self.damping >= 1e12)
        if look_back:
            # At a slow point |F|^2 stops falling by its nature, while the gradient still does.
            now = self._progress()
            ended |= (now >= PROGRESS * self.then).all(axis=0)
            self.then = now
        return np.asarray(ended)

    def _at_root(self) -> Booleans:
        return np.asarray(np.abs(self.F).max(axis=0) <= ROUGH * (1.0 + np.abs(self.x).max(axis=0)))

    def _retire(self, ended: Booleans) -> None:
        """Take starts out of the working set, and say how they ended."""
        if not ended.any():
            return
        at = self.at[ended]
        root = self._at_root()
        self.final[at], self.root[at] = self.x.T[ended], root[ended]
        self.slow[at] = (_flat(self.worth, self.gradient, self.normal) & ~root)[ended]
        self._keep(~ended)

    def _keep(self, going: Booleans) -> None:
        self.at, self.x, self.F, self.worth = self.at[going], self.x[:, going], self.F[:, going], self.worth[going]
        self.normal, self.gradient = self.normal[going], self.gradient[going]
        self.damping, self.then = self.damping[going], self.then[:, going]
        self.reach, self.capped = self.reach[going], self.capped[going]

    def _moved(self) -> Array:
        """The next trial states (n, b)."""
        # The damping vanishes with |F|, so that convergence is quadratic.
        shift = self.damping * np.minimum(1.0, np.sqrt(self.worth)) + 1e-14 * scale_of(self.normal)
        move = -solve_positive(self.normal, np.broadcast_to(shift[:, np.newaxis], self.gradient.shape), self.gradient).T
        length = np.abs(move).max(axis=0)
        self.capped = length > self.reach
        move *= np.where(self.capped, self.reach / length, 1.0)
        trial = self.x + move
        return trial if self.walls is None else np.clip(trial, *self.walls)

    def _arrive(self, trial: Array) -> Array:
        """End the starts whose step is the last one needed, and return the trial states of the others."""
        size = 1.0 + np.abs(self.x).max(axis=0)
        last = np.abs(self.F).max(axis=0) <= self.close[0] * size
        move = trial - self.x
        last &= np.abs(move).max(axis=0) <= self.close[1] * size
        # At a slow point steps are short too, but the linear equation has no root at their end.
        last &= -np.einsum("bn,nb->b", self.gradient, move) >= SOLVED * self.worth
        if not last.any():
            return trial
        self.final[self.at[last]], self.root[self.at[last]] = trial.T[last], True
        self._keep(~last)
        return trial[:, ~last]

    def _take(self, trial: Array, first: bool = False) -> None:
        """Go to the trial states where |F| is smaller there, and form the normal equations at them."""
        width = max(1, PIECE // (8 * len(trial) ** 2))
        for start in range(0, trial.shape[1], width):
            there = slice(start, min(start + width, trial.shape[1]))
            x = trial[:, there]
            link = self.f.linearize_columns(x, self.column)
            F = link.next_state - x
            worth = np.square(F).sum(axis=0)
            better = worth < self.worth[there]
            if first:
                better |= True
            else:
                self.damping[there] *= np.where(better, 1.0 / 8.0, 6.0)
                np.maximum(self.damping[there], 1e-10, out=self.damping[there])
                if self.walls is None:
                    self.reach[there] *= np.where(better & self.capped[there], LONGER, 1.0)
            taken = np.flatnonzero(better)
            if not len(taken):
                continue
            if len(taken) == trial.shape[1]:  # as a rule, in the first steps: nothing to pick out or to put back
                self.x, self.F, self.worth = x, F, worth
                self.normal, self.gradient = normal_equations(_minus_identity(link.dense()), F.T)
                self.steps += len(taken)
                continue
            at = start + taken
            self.x[:, at], self.F[:, at], self.worth[at] = x[:, taken], F[:, taken], worth[taken]
            if len(taken) < SAVED * len(better):
                link, taken = self.f.linearize_columns(x[:, taken], self.column), np.arange(len(taken))
                F = self.F[:, at]
            normal, gradient = normal_equations(_minus_identity(link.dense()), F.T)
            if len(taken) == there.stop - there.start:
                self.normal[there], self.gradient[there] = normal, gradient
            else:
                self.normal[at], self.gradient[at] = normal[taken], gradient[taken]
            self.steps += len(at)


def _flat(worth: Array, gradient: Array, normal: Array) -> Booleans:
    """Whether the speed has a critical point here, judged on the scale of the identity that J - I contains.

    Only for starts that cannot move on: where J is close to I the test alone would stop a search on its way to a root.
    """
    scale = np.sqrt(np.where(np.isfinite(worth), worth, 0.0)) * (1.0 + np.sqrt(np.einsum("bii->b", normal)))
    return np.asarray(np.linalg.norm(gradient, axis=1) <= GRADIENT * scale)


def scale_of(normal: Array) -> Array:
    """The mean diagonal of each matrix (B, n, n), (B,): what a relative shift is relative to."""
    return np.asarray(np.einsum("bii->b", normal) / normal.shape[1])


def _minus_identity(J: Array) -> Array:
    """J - I (B, n, n), in the memory of J where that may be written."""
    if not J.flags.writeable:
        J = J.copy()
    diagonal = np.arange(J.shape[-1])
    J[:, diagonal, diagonal] -= 1.0
    return J


def newton_step(f: Map, x: Array, column: Array) -> tuple[Array, Array]:
    """F(x) = f(x) - x and the Newton step -(J - I)^-1 F at columns x (n, B); NaN where J - I is singular."""
    F, move = np.empty(x.shape), np.empty(x.shape)
    width = max(1, PIECE // (8 * len(x) ** 2))
    for start in range(0, x.shape[1], width):
        piece = slice(start, start + width)
        link = f.linearize_columns(x[:, piece], column)
        F[:, piece] = link.next_state - x[:, piece]
        move[:, piece] = -solve_each(_minus_identity(link.dense()), F[:, piece].T).T
    return F, move


def polish(f: Map, states: Array, input: Array, max_steps: int = 80) -> Array:
    """Newton from states (k, n) that are almost roots, keeping the state of least residual seen.

    Two or three steps as a rule; at a degenerate root each gains only a constant factor, hence the many allowed.
    """
    column = input[:, np.newaxis]
    x = np.ascontiguousarray(states.T)
    best, least = x.copy(), np.full(x.shape[1], np.inf)
    going = np.arange(x.shape[1])
    with np.errstate(all="ignore"):
        for _ in range(max_steps + 1):
            F, move = newton_step(f, x, column)
            now = np.where(np.isfinite(F).all(axis=0), np.abs(F).max(axis=0), np.inf)
            better, halved = now < least[going], now < 0.5 * least[going]
            best[:, going[better]], least[going[better]] = x[:, better], now[better]
            halved &= now > LEAST * (1.0 + np.abs(x).max(axis=0))
            if not halved.any():  # rounding makes the last digits dance
                break
            going, move = going[halved], move[:, halved]
            x = best[:, going] + np.where(np.isfinite(move), move, 0.0)
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
