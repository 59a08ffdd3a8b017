"""Orbits: a map followed through time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.combinators import as_map
from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, numbers, require_finite
from dynsys.types import Array, ArrayLike


def simulate(f: Any, start: ArrayLike | None, inputs: ArrayLike | None = None, steps: int | None = None) -> Array:
    """The orbit of `start` under `f`, the start included.

    Args:
        f: the map (anything `as_map` reads).
        start: (..., n) initial states, model units; None is the model's own initial state, else zeros.
        inputs: (T, m), or (T, batch, m) with one sequence per start; `inputs[t]` drives state t to t + 1. None is zero.
        steps: T, needed without `inputs`; with them it may be left out, and must agree if given.

    Returns: (T + 1, ..., n) float64, states[0] = start.
    """
    f = as_map(f)
    driving = None if inputs is None else sequence(f, inputs)
    if driving is None and steps is None:
        raise InputError("say how long: `steps=T`, or `inputs` of shape (T, m).")
    length = len(driving) if driving is not None else int(steps or 0)
    if steps is not None and steps != length:
        hint = trials_came_first("inputs", driving is not None and driving.shape[1] == steps)
        raise InputError(f"`inputs` has {length} steps but steps={steps}; leave one out.{hint}")
    if length < 0:
        raise InputError(f"`steps` must not be negative, got {steps}.")
    state, lead = start_columns(f, start, driving)
    if driving is not None and not lead and driving.shape[0] and _has_batch(f, inputs):
        lead = (1,)
    orbit = orbit_columns(f, state, driving, length)
    return np.ascontiguousarray(orbit.swapaxes(1, 2)).reshape(length + 1, *lead, f.state_size)


def _has_batch(f: Map, inputs: ArrayLike | None) -> bool:
    """Whether `inputs` came with a batch axis of their own, even one of length 1: (T, 1, m), or tokens (T, 1)."""
    array = np.asarray(inputs)
    return array.ndim == 3 or (array.ndim == 2 and array.shape[-1] != f.input_size and hasattr(f, "encode"))


def sequence(f: Map, inputs: ArrayLike) -> Array:
    """An input sequence as (T, batch, m); (T, m) becomes batch 1. Tokens go through the model's embedding."""
    array = numbers(f.encode(inputs) if hasattr(f, "encode") else inputs, "inputs")
    if array.ndim not in (2, 3) or array.shape[-1] != f.input_size:
        raise ShapeError(
            f"`inputs` must be (T, m) or (T, batch, m) with m = {f.input_size}, got {array.shape}."
            + _inputs_elsewhere(array.shape, f.input_size)
        )
    require_finite(array, "inputs")
    if array.ndim == 3 and not array.shape[1]:
        raise ShapeError(f"`inputs` of shape {array.shape} has no sequence in it.")
    return array if array.ndim == 3 else array[:, np.newaxis, :]


def trials_came_first(name: str, evident: bool) -> str:
    """A hint for an error message about arrays that fit if their first two axes change places."""
    if not evident:
        return ""
    return f" They fit with trials first; here time comes first, (T, batch, ...): pass {name}.swapaxes(0, 1)."


def _inputs_elsewhere(shape: tuple[int, ...], m: int) -> str:
    """A hint where the m inputs seem to stand on another axis than the last."""
    axes = [axis for axis, size in enumerate(shape) if size == m]
    if len(shape) not in (2, 3) or len(axes) != 1 or m == 0:
        return ""
    at = axes[0]
    return f" Time comes first and the inputs last: if axis {at} holds them, pass np.moveaxis(inputs, {at}, -1)."


def of_sequence(driving: Array, b: int) -> Array:
    """(T, 1, m): what drives sequence b, of `driving` (T, batch or 1, m)."""
    return driving[:, b : b + 1] if driving.shape[1] > 1 else driving


def constant_input(f: Map, driving: Array | None) -> Array | None:
    """The input (m,) if it is the same at every step and in every sequence (zeros for None), else None."""
    if driving is None:
        return np.zeros(f.input_size)
    return driving[0, 0].copy() if len(driving) and (driving == driving[:1, :1]).all() else None


def start_columns(f: Map, start: ArrayLike | None, driving: Array | None) -> tuple[Array, tuple[int, ...]]:
    """Start states as columns (n, B), and the leading shape of the public answer."""
    if start is None:
        start = np.zeros(f.state_size) if f.initial_state is None else f.initial_state
    states = numbers(start, "start")
    if states.ndim == 0 or states.shape[-1] != f.state_size:
        raise ShapeError(f"{f.name} needs a start of shape (..., {f.state_size}), got {states.shape}.")
    require_finite(states, "start")
    lead = states.shape[:-1]
    batch = 1 if driving is None else driving.shape[1]
    if batch > 1:
        if lead not in ((), (batch,)):
            hint = trials_came_first("inputs", driving is not None and lead == (len(driving),))
            raise ShapeError(
                f"{batch} input sequences need one start, or {batch}; got starts of shape {states.shape}.{hint}"
            )
        lead = (batch,)
    whole = np.broadcast_to(states, (*lead, f.state_size))
    return np.ascontiguousarray(whole.reshape(-1, f.state_size).T), lead


def orbit_columns(f: Map, state: Array, driving: Array | None, steps: int, *, begin: int = 0) -> Array:
    """(T + 1, n, B): the orbit of columns (n, B) under inputs (T, B or 1, m), or none, from step `begin`."""
    orbit = np.empty((steps + 1, *state.shape))
    orbit[0] = state
    zero = np.zeros((f.input_size, 1))
    with np.errstate(over="ignore", invalid="ignore"):  # an orbit that runs off becomes inf, for the caller to judge
        for t in range(steps):
            state = f.at(begin + t).advance(state, zero if driving is None else driving[t].T)
            orbit[t + 1] = state
    return orbit
