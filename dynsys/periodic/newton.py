"""Solving the cyclic equations from many starts at once: Levenberg-Marquardt, then Newton on the distinct orbits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.maps import Map, SearchBox
from dynsys.periodic.shooting import defects, gradient_of, solve_cyclic, solve_damped
from dynsys.types import Array, Booleans

ROUGH = 1e-8  # defect at which a start counts as having met an orbit; Newton polishes from there
PATIENCE, PROGRESS = 8, 0.7  # a start is given up if neither |G|^2 nor its gradient falls by this in so many steps
FLAT = 1e-7  # |gradient| / (|A| |G|) at a local minimum of |G| that is not zero
LEAST = 1e-30  # defect below which nothing is gained: at the origin rounding is relative to ever smaller states
MEMORY = 1 << 27  # bytes of Jacobians held at a time


@final
@dataclass(frozen=True)
class Shots:
    """How starts ended: orbits (B, p, n), and for each whether it solves the cyclic equations to `ROUGH`.

    `steps` is the number of states at which a step was taken, over all starts.
    """

    orbits: Array
    met: Booleans
    steps: int = 0


def shoot(f: Map, starts: Array, input: Array, box: SearchBox | None, max_steps: int) -> Shots:
    """Levenberg-Marquardt on |G|^2 from every orbit of `starts` (B, p, n) at the constant input (m,)."""
    _, p, n = starts.shape
    size = max(1, MEMORY // (8 * 6 * p * n * n))
    pieces = [_piece(f, starts[i : i + size], input, box, max_steps) for i in range(0, len(starts), size)]
    if not pieces:
        return Shots(starts, np.zeros(0, dtype=bool))
    return Shots(
        np.concatenate([s.orbits for s in pieces]),
        np.concatenate([s.met for s in pieces]),
        sum(s.steps for s in pieces),
    )


def _piece(f: Map, starts: Array, input: Array, box: SearchBox | None, max_steps: int) -> Shots:
    count = len(starts)
    final, met, steps = starts.copy(), np.zeros(count, dtype=bool), 0
    at = np.arange(count)
    x = np.ascontiguousarray(starts.swapaxes(0, 1))
    damping = np.full(count, 1e-2)
    with np.errstate(all="ignore"):  # a start far out may overflow: it is then not finite, and dropped
        G, J = defects(f, x, input)
        worth = np.square(G).sum(axis=(0, 2))
        gradient = gradient_of(G, J)
        then = np.stack([worth, np.square(gradient).sum(axis=(0, 2))])
        for step in range(max_steps + 1):
            finite = np.isfinite(worth) & np.isfinite(J).all(axis=(0, 2, 3))
            closed = finite & (np.abs(G).max(axis=(0, 2)) <= ROUGH * (1.0 + np.abs(x).max(axis=(0, 2))))
            slope = np.sqrt(np.square(gradient).sum(axis=(0, 2)))
            flat = slope <= FLAT * np.sqrt(worth * (1.0 + np.square(J).sum(axis=(0, 2, 3))))
            going = finite & ~closed & ~flat & (damping < 1e12)
            if step % PATIENCE == PATIENCE - 1:
                now = np.stack([worth, slope**2])
                going &= (now < PROGRESS * then).any(axis=0)
                then = now
            if step == max_steps:
                going[:] = False
            if not going.all():
                final[at], met[at] = x.swapaxes(0, 1), closed
                at, x, G, J, gradient = at[going], x[:, going], G[:, going], J[:, going], gradient[:, going]
                worth, damping, then = worth[going], damping[going], then[:, going]
                if not len(at):
                    break
            steps += len(at) * len(x)
            # The damping vanishes with |G|, so that convergence is quadratic.
            trial = x - solve_damped(J, gradient, damping * np.minimum(1.0, np.sqrt(worth)) + 1e-14)
            if box is not None and box.invariant:
                trial = np.clip(trial, box.low, box.high)
            G_trial, J_trial = defects(f, trial, input)
            worth_trial = np.square(G_trial).sum(axis=(0, 2))
            better = worth_trial < worth
            damping = np.where(better, np.maximum(damping / 8.0, 1e-10), damping * 6.0)
            if better.all():
                x, G, J, worth = trial, G_trial, J_trial, worth_trial
                gradient = gradient_of(G, J)
            elif better.any():
                x[:, better], G[:, better], J[:, better] = trial[:, better], G_trial[:, better], J_trial[:, better]
                worth = np.where(better, worth_trial, worth)
                gradient[:, better] = gradient_of(G[:, better], J[:, better])
    return Shots(final, met, steps)


def polish(f: Map, orbits: Array, input: Array, max_steps: int = 60) -> Array:
    """Newton from orbits (B, p, n) that almost close, keeping the orbit of least defect seen."""
    if not len(orbits):
        return orbits
    x = np.ascontiguousarray(orbits.swapaxes(0, 1))
    with np.errstate(all="ignore"):
        G, J = defects(f, x, input)
        best, least = x.copy(), np.abs(G).max(axis=(0, 2))
        active = np.arange(x.shape[1])
        for _ in range(max_steps):
            move = solve_cyclic(J, G)
            x = x - np.where(np.isfinite(move), move, 0.0)
            G, J = defects(f, x, input)
            now = np.abs(G).max(axis=(0, 2))
            now = np.where(np.isfinite(now), now, np.inf)
            better, halved = now < least[active], now < 0.5 * least[active]
            halved &= now > LEAST * (1.0 + np.abs(x).max(axis=(0, 2)))
            best[:, active[better]], least[active[better]] = x[:, better], now[better]
            if not halved.any():  # rounding makes the last digits dance
                break
            active, x, G, J = active[halved], x[:, halved], G[:, halved], J[:, halved]
    return np.ascontiguousarray(best.swapaxes(0, 1))
