"""Gradient flossing: recurrent weights moved, by exact gradients, to where the exponents are nearer to zero.

The finite-time exponents of a window, lambda_i = mean over time of log R_ii, are functions of the weights through the
states, the Jacobians and the QR decompositions. Their gradient is taken backwards through all three, for the plain
tanh network h' = tanh(U h + W x + b): A = s'(a) (U Q), Q' R = A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.treatment.records import log_slope
from dynsys.types import Array

BETA, BETA_SQUARE, GUARD = 0.9, 0.999, 1e-8


@final
@dataclass(frozen=True, eq=False)
class Window:
    """Input sequences (T, B, m), start states (n, B), a start frame (n, k), and how many steps the frame aligns."""

    inputs: Array
    start: Array
    frame: Array
    align: int


def flossed(cell: Any, window: Window, steps: int, rate: float) -> Array:
    """U after Adam steps on the mean squared exponent; `rate` is the size of a step over the rms weight.

    Every gradient is scaled to norm one: through a window of badly conditioned steps they differ a hundredfold, and a
    single large one would hold Adam back for all steps after it.
    Source: R. Engelken, Gradient flossing, NeurIPS 2023, arXiv 2312.17306; Adam: D. Kingma & J. Ba, arXiv 1412.6980.
    """
    U = np.array(cell.U)
    size = rate * float(np.sqrt(np.square(U).mean()))
    mean, square = np.zeros_like(U), np.zeros_like(U)
    best, least = U, np.inf
    for count in range(1, steps + 2):
        value, gradient = mean_square(cell, U, window)
        if value < least:
            best, least = U, value
        gradient = gradient / max(float(np.linalg.norm(gradient)), GUARD)
        mean = BETA * mean + (1 - BETA) * gradient
        square = BETA_SQUARE * square + (1 - BETA_SQUARE) * gradient**2
        step = mean / (1 - BETA**count) / (np.sqrt(square / (1 - BETA_SQUARE**count)) + GUARD)
        U = U - size * step
    return best


def mean_square(cell: Any, U: Array, window: Window) -> tuple[float, Array]:
    """Mean over exponents and sequences of lambda_i^2, (nats/step)^2, and its gradient by U."""
    run = _forward(cell, U, window)
    each = run.exponents
    return float(np.square(each).mean()), _backward(U, run, 2 * each / each.size)


def finite_exponents(cell: Any, U: Array, window: Window) -> Array:
    """(B, k): finite-time exponents of each sequence in the order of the frame, nats per step."""
    return _forward(cell, U, window).exponents


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """Of every step: states before it (n, B), and the last; slopes (B, n), U Q (B, n, k), frames before, QR."""

    states: list[Array]
    slopes: list[Array]
    turned: list[Array]
    frames: list[Array]
    factors: list[tuple[Array, Array]]
    exponents: Array
    align: int


def _forward(cell: Any, U: Array, window: Window) -> _Run:
    h, batch = window.start, window.inputs.shape[1]
    frame = np.broadcast_to(window.frame, (batch, *window.frame.shape))
    run = _Run([], [], [], [], [], np.zeros((batch, window.frame.shape[1])), window.align)
    counted = len(window.inputs) - window.align
    for t, x in enumerate(window.inputs):
        a = U @ h + cell.W @ x.T + cell.b
        slope = np.exp(log_slope(a, "tanh")).T
        turned = U @ frame
        run.states.append(h)
        run.slopes.append(slope)
        run.turned.append(turned)
        run.frames.append(frame)
        frame, R = np.linalg.qr(slope[:, :, np.newaxis] * turned)
        run.factors.append((frame, R))
        if t >= window.align:
            with np.errstate(divide="ignore"):
                run.exponents[:] += np.log(np.abs(np.diagonal(R, axis1=1, axis2=2))) / counted
        h = np.tanh(a)
    run.states.append(h)
    return run


def _backward(U: Array, run: _Run, weights: Array) -> Array:
    """The gradient by U of sum(weights * exponents), `weights` (B, k)."""
    gradient = np.zeros_like(U)
    from_frame = np.zeros_like(run.frames[0])
    from_state = np.zeros_like(run.states[0])
    steps = len(run.factors)
    for t in reversed(range(steps)):
        Q, R = run.factors[t]
        share = weights / (steps - run.align) if t >= run.align else np.zeros_like(weights)
        # A = Q R backwards: (Q~ + Q sym) R^-T, where sym is symmetric with the lower triangle of R R~^T - Q~^T Q.
        low = np.tril(-from_frame.swapaxes(1, 2) @ Q)
        rows = np.arange(low.shape[1])
        low[:, rows, rows] += share
        symmetric = low + np.tril(low, -1).swapaxes(1, 2)
        into = np.linalg.solve(R, (from_frame + Q @ symmetric).swapaxes(1, 2)).swapaxes(1, 2)
        scaled = run.slopes[t][:, :, np.newaxis] * into
        gradient += np.einsum("bij,bkj->ik", scaled, run.frames[t])
        from_frame = U.T @ scaled
        # Through the slope s' = 1 - tanh^2, whose derivative is -2 tanh s', and through the next state.
        slope = run.slopes[t].T
        bent = (into * run.turned[t]).sum(axis=2).T
        from_argument = bent * (-2 * run.states[t + 1] * slope) + from_state * slope
        gradient += from_argument @ run.states[t].T
        from_state = U.T @ from_argument
    return gradient
