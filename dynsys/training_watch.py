"""Watch a network while it trains: exponents, memory, gates and gradients every so often, into one file.

The network is read, never written: its weights are copied out, no random state is drawn from, no graph is kept.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np

from dynsys.checked_numbers import real_number, whole_number
from dynsys.errors import AnalysisError, InputError
from dynsys.gate_times import factors_along, own_path, times_of
from dynsys.gradients import FORGOTTEN, lag_ladder
from dynsys.jacobians import jacobians_on
from dynsys.jsonable import dumps
from dynsys.limits import one_blas_thread
from dynsys.live_weights import present_map
from dynsys.maps import Map
from dynsys.orbits import orbit_columns, start_columns
from dynsys.trials import as_trials
from dynsys.types import Array

FORMAT = 1
PROBE_STEPS, PROBE_SEQUENCES = 100, 8
"""How much of the given inputs is used at each record."""
DENSE = 1 << 21
"""Entries of all Jacobians up to which they are formed at once; more cost more than they save."""
CLOSED, OPEN = 0.05, 0.95
"""A gate that keeps less, or more, than this share is called saturated."""
OWN = (
    "step", "seconds", "weights", "failure", "exponent", "exponent_error", "lags", "log_gradient", "horizon",
    "gate_median", "gate_saturated",
)  # fmt: skip
"""Names in a record that are the watcher's: the user's values need others."""


@final
class Watcher:
    """Called once per training step; see `watch`."""

    def __init__(self, model: Any, path: str | os.PathLike[str], inputs: Any, every: int, overhead: float) -> None:
        self._every = whole_number("every", every, 1, "of steps")
        if not 0 < real_number("overhead", overhead) <= 1:
            raise InputError(f"`overhead` is a share of the training time, above 0 and up to 1; got {overhead!r}.")
        self._model, self._overhead = model, float(overhead)
        f = self._map()
        trials = as_trials(f, inputs)
        self._inputs = trials.inputs[:PROBE_STEPS, :PROBE_SEQUENCES]
        self._file = _path(path)
        # The first pass imports and compiles; it is made before the clock starts, and shows mistakes here.
        with one_blas_thread(), np.errstate(all="ignore"), contextlib.suppress(AnalysisError):
            measured(f, self._inputs)
        self._began = time.perf_counter()
        self._spent, self._latest, self.records, self.skipped = 0.0, 0.0, 0, 0
        self._unwritten: list[str] = []
        head = {
            "dynsys_training": FORMAT, "model": f.name, "state_size": f.state_size, "every": self._every,
            "probe_steps": len(self._inputs), "probe_sequences": self._inputs.shape[1],
        }  # fmt: skip
        try:
            self._file.write_text(dumps(head) + "\n", encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot write {str(self._file)!r}: {getattr(error, 'strerror', None) or error}."
            ) from None

    def _map(self, weights: Any = None) -> Map:
        """The network as it is now, or with the weights given."""
        return present_map(self._model, weights)

    def __call__(self, step: int, **values: Any) -> bool:
        """One training step has been made, or is about to be: `record` with the network as it is now."""
        return self._record(step, None, values)

    def record(self, step: int, weights: Any = None, **values: Any) -> bool:
        """One training step of any loop has been made, or is about to be.

        Args:
            step: its number. weights: the present ones, where the model does not hold them itself: arrays by parameter
                name, the parameters of a Flax cell, or Keras' `get_weights()`. values: what else to record: numbers or
                arrays of one, e.g. loss=loss. What is no number is recorded as null.

        Returns: whether a record was written. Steps between two records cost a comparison; a record that would take
            more than the allowed share of the time so far is left out and counted in `skipped`.
        Raises: InputError at a step that is no whole number, or a value under a name of the watcher's own (`exponent`,
            `seconds`); nothing else, whatever has become of the network, the file or the values. What fails in the
            network is recorded as `failure`; what cannot be written is warned of once, and kept to be written with the
            next record.
        """
        return self._record(step, weights, values)

    def _record(self, step: int, weights: Any, values: dict[str, Any]) -> bool:
        step = whole_number("step", step)
        for name in values:
            if name in OWN:
                raise InputError(f"`{name}` is a name of the watcher's own; record your value under another.")
        if step % self._every:
            return False
        began = time.perf_counter()
        due = self._spent + self._latest <= self._overhead * (began - self._began)
        if self.records and not due and self._overhead < 1:
            self.skipped += 1
            return False
        record: dict[str, Any] = {"step": step, "seconds": round(began - self._began, 3)}
        try:
            # A network that diverges overflows here: that is a record, not a warning in the user's loop.
            with one_blas_thread(), np.errstate(all="ignore"):
                record |= measured(self._map(weights), self._inputs)
            norms = _gradient_norms(self._model)
            record |= {} if norms is None else {"gradient_norm": norms}
        except Exception as error:  # a network that has just diverged is what the file is for, whoever notices first
            record["failure"] = str(error) or type(error).__name__
        record |= {name: _number(value) for name, value in values.items()}
        self._latest = time.perf_counter() - began
        self._spent += self._latest
        self.records += 1
        return self._written(json.dumps(json.loads(dumps(record))) + "\n")

    def _written(self, line: str) -> bool:
        """Whether the line, and what could not be written before it, is in the file now."""
        # The last attempt may have left half a line behind: a new one begins.
        text = "".join(["\n", *self._unwritten, line]) if self._unwritten else line
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            if not self._unwritten:
                _warn(f"cannot write {str(self._file)!r}: {error.strerror or error}; trying again at the next record.")
            self._unwritten.append(line)
            return False
        self._unwritten = []
        return True

    @property
    def overhead(self) -> float:
        """Share of the time since the start that watching has taken."""
        return self._spent / max(time.perf_counter() - self._began, 1e-9)


def watch(
    model: Any, path: str | os.PathLike[str], inputs: Any, *, every: int = 100, overhead: float = 0.05
) -> Watcher:
    """Record exponents, horizon, gates and gradients by lag while a network trains.

    Args:
        model: a PyTorch module with one recurrent network in it; a Keras layer, or model of LSTM, GRU and SimpleRNN
            layers; a cell or map, whose weights are passed at each record; or a function of no arguments that returns
            any of these, or the parameters of a Flax cell.
        path: the file, one JSON object per line; an existing one is replaced.
        inputs: (T, m) or (T, batch, m), or tokens: typical inputs, of which the first 100 steps of 8 sequences are
            used, the same every time.
        every: steps between records. overhead: the share of the training time that records may take; 1 leaves
            none out.

    Returns: a Watcher, to be called as `watcher(step, loss=...)` in the loop, after `backward()` if gradients are to be
        recorded; or as `watcher.record(step, weights, loss=...)` where the weights are arrays of yours.
        `dynsys report MODEL --training path` draws the file.
    """
    return Watcher(model, path, inputs, every, overhead)


def _path(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise InputError(f"`path` must be the name of a file, got {path!r}.") from None


def _number(value: Any) -> float | None:
    """A number, or an array or tensor of one, as a float; None for anything else."""
    try:
        for leave in ("detach", "item"):  # a tensor's gradient, then its array
            value = getattr(value, leave)() if hasattr(value, leave) else value
        return None if isinstance(value, (str, bytes)) else float(value)
    except Exception:  # objects of any framework, and a training loop that must go on
        return None


def _warn(message: str) -> None:
    """A warning that stays one where warnings are errors: the training loop must go on."""
    with contextlib.suppress(RuntimeWarning):
        warnings.warn(message, RuntimeWarning, stacklevel=5)


def measured(f: Map, inputs: Array) -> dict[str, Any]:
    """What is recorded, from one pass over inputs (T, B, m), forward and back.

    Keys: `exponent`, nats per step, the mean growth of one random difference over the pass, its first fifth left out,
    with `exponent_error` over sequences; `lags` and `log_gradient`, the log norm of a random gradient of the last
    state, back over each lag; `horizon`, the last of these lags with a norm of 1/100 or more, null if all;
    `gate_median`, steps, and `gate_saturated`, the share of the gates that keep less than 5 or more than 95 %.
    """
    state, _ = start_columns(f, None, inputs)
    batch = state.shape[1]
    generator = np.random.default_rng(0)
    tangent = generator.standard_normal((f.state_size, batch))
    dense = f.period == 1 and len(inputs) * batch * f.state_size**2 <= DENSE
    growth, pull, factors = (_by_matrices if dense else _by_tape)(f, state, inputs, tangent)
    rates = growth[len(inputs) // 5 :].mean(axis=0)
    lags, norms = _backward(pull, len(inputs), generator.standard_normal((f.state_size, batch)))
    above = norms >= FORGOTTEN
    record: dict[str, Any] = {
        "exponent": float(rates.mean()),
        "exponent_error": float(rates.std(ddof=1) / math.sqrt(batch)) if batch > 1 else None,
        "lags": lags,
        "log_gradient": norms,
        "horizon": None if above[-1] else int(np.asarray(lags)[above].max(initial=0)),
    }
    return record | _gates(factors)


Passed = tuple[Array, Callable[[int, Array], Array], Callable[[], Array]]
"""Log growth (T, B) of the tangent at each step; (t, columns) -> J_t^T times them; and the units' own factors."""


def _orbit(f: Map, state: Array, inputs: Array) -> Array:
    """(T + 1, n, B), finite throughout."""
    orbit = orbit_columns(f, state, inputs, len(inputs))
    broken = np.flatnonzero(~np.isfinite(orbit).all(axis=(1, 2)))
    if len(broken):
        raise AnalysisError(f"the state is not finite after {broken[0]} steps: the network has diverged.")
    return orbit


def _by_matrices(f: Map, state: Array, inputs: Array, tangent: Array) -> Passed:
    """With all Jacobians formed together: for small networks."""
    orbit = _orbit(f, state, inputs)
    J = jacobians_on(f, orbit, inputs)
    growth = np.zeros((len(inputs), tangent.shape[1]))
    for t in range(len(inputs)):
        growth[t], tangent = _grown((J[t] @ tangent.T[..., np.newaxis])[..., 0].T)
    return growth, lambda t, v: (v.T[:, np.newaxis] @ J[t])[:, 0].T, lambda: factors_along(f, orbit, inputs)


def _by_tape(f: Map, state: Array, inputs: Array, tangent: Array) -> Passed:
    """Without Jacobians: with all steps on one tape where its structure is known, else with a tape for each."""
    orbit = _orbit(f, state, inputs)
    steps, n, batch = len(inputs), orbit.shape[1], orbit.shape[2]
    growth = np.zeros((steps, batch))
    if f.period == 1:
        states = np.ascontiguousarray(orbit[:-1].swapaxes(0, 1)).reshape(n, steps * batch)
        given = np.broadcast_to(inputs, (steps, batch, f.input_size)).reshape(steps * batch, f.input_size).T
        whole = f.linearize_columns(states, np.ascontiguousarray(given))
        J = whole.column_steps()
        if J is not None:
            at = [slice(t * batch, (t + 1) * batch) for t in range(steps)]
            for t in range(steps):
                growth[t], tangent = _grown(J.push(at[t], tangent))

            def own() -> Array:
                return own_path(f, whole).reshape(n, steps, batch).swapaxes(0, 1)

            return growth, lambda t, v: J.pull(at[t], v), own
    links = [f.at(t).linearize_columns(orbit[t], inputs[t].T) for t in range(steps)]
    for t, link in enumerate(links):
        growth[t], tangent = _grown(link.push(tangent[..., np.newaxis])[..., 0])
    return (
        growth,
        lambda t, v: links[t].pull(v[..., np.newaxis], input=False).state[..., 0],
        lambda: np.stack([own_path(f, link) for link in links]),
    )


def _grown(tangent: Array) -> tuple[Array, Array]:
    """log of each column's size, and the columns of size one."""
    size = np.linalg.norm(tangent, axis=0)
    with np.errstate(divide="ignore"):
        return np.log(size), tangent / np.where(size > 0, size, 1.0)


def _backward(pull: Callable[[int, Array], Array], steps: int, flowing: Array) -> tuple[list[int], Array]:
    """Lags and the log norm over them (root mean square over sequences) of a random unit gradient of the last state."""
    batch = flowing.shape[1]
    flowing = flowing / np.linalg.norm(flowing, axis=0)
    log = np.zeros(batch)
    lags = lag_ladder(steps)
    norms = []
    for lag in range(1, steps + 1):
        gained, flowing = _grown(pull(steps - lag, flowing))
        log = log + gained
        if lag in lags:
            norms.append(0.5 * (np.logaddexp.reduce(2 * log) - math.log(batch)))
    return lags, np.array(norms)


def _gates(own_factors: Callable[[], Array]) -> dict[str, Any]:
    try:
        factors = own_factors()
    except AnalysisError:
        return {}
    kept = (factors != 0).any(axis=(0, 2))
    if not kept.any():
        return {}
    values = np.abs(factors[:, kept])
    with np.errstate(divide="ignore"):
        times = times_of(np.log(values).mean(axis=(0, 2)))
    saturated = ((values < CLOSED) | (values > OPEN)).mean()
    return {"gate_median": float(np.median(times)), "gate_saturated": float(saturated)}


def _gradient_norms(model: Any) -> float | None:
    """|gradient|_2 over all parameters of a PyTorch module, as backward() left it; None without one."""
    if not hasattr(model, "parameters") or not hasattr(model, "state_dict"):
        return None
    squares = [float(p.grad.detach().double().square().sum()) for p in model.parameters() if p.grad is not None]
    return math.sqrt(sum(squares)) if squares else None
