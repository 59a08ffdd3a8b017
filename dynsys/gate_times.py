"""What each unit keeps of its own past at every step, and for how long: the gates' time constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.combinators import as_map
from dynsys.durations import checked_duration
from dynsys.errors import AnalysisError
from dynsys.maps import Map
from dynsys.orbits import orbit_columns, sequence, start_columns
from dynsys.read_only import read_only
from dynsys.readings.linear import Linearization
from dynsys.types import Array, ArrayLike, Integers

CHUNK = 1 << 22
"""Entries of the states that are linearised together."""


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class GateTimes:
    """Along an orbit, the factor by which each unit's own last value enters its next one without passing a matrix.

    In an LSTM that is the forget gate of c, in a GRU the update gate, in a leaky network 1 - alpha.

    Attributes:
        units: (k,) indices of the state variables that keep something. blocks: (k,) names of their blocks.
        retention: (k,) the geometric mean of the factor over time and sequences, dimensionless, in [0, 1] for gates.
        time_constants: (k,) -1 / log(retention), steps; inf where it is 1 or more.
        interval: (k, 2) 95 % interval of the time constant: the sequences' means of the log factor, or of 8 stretches
            of a single sequence, taken as independent.
        spread: (k, 3) 5, 50 and 95 % quantiles of the factor over time and sequences.
        direct: (n, ) the mean factor of every state variable; zero where it keeps nothing.
        step_duration: seconds per step, or None.
    """

    units: Integers
    blocks: tuple[str, ...]
    retention: Array
    time_constants: Array
    interval: Array
    spread: Array
    direct: Array
    map_name: str
    step_duration: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, and the time constants in ms where the length of a step is known, for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.step_duration is not None:
            out["time_constants_ms"] = 1e3 * self.step_duration * self.time_constants
            out["interval_ms"] = 1e3 * self.step_duration * self.interval
        return out

    def __str__(self) -> str:
        if not len(self.units):
            return f"{self.map_name}: no unit keeps anything of its own past; all memory goes through the weights."
        tau = np.sort(self.time_constants)
        names = ", ".join(dict.fromkeys(self.blocks))
        scales = f"{tau[0]:.4g} to {tau[-1]:.4g} steps, median {np.median(tau):.4g}"
        if self.step_duration is not None:
            tau = 1e3 * self.step_duration * tau
            scales += f" ({tau[0]:.4g} to {tau[-1]:.4g} ms, median {np.median(tau):.4g})"
        return f"{self.map_name}: time constants of {len(tau)} units ({names}): {scales}"

    __repr__ = __str__


def gate_time_constants(
    f: Any, start: ArrayLike | None = None, inputs: ArrayLike | None = None, *, step_duration: float | None = None
) -> GateTimes:
    """How long each unit of a gated network keeps what it holds, measured along an orbit.

    Args:
        f: the map (anything `as_map` reads). start: (n,) or (batch, n); None is the model's own, else zeros.
        inputs: (T, m) or (T, batch, m); None is 100 steps of zero input.
        step_duration: seconds per step, adds times in ms.

    Raises: AnalysisError for maps whose equations cannot be followed, or that leave floating-point range.
    Source: C. Tallec & Y. Ollivier, ICLR 2018, arXiv 1804.11188.
    """
    f, duration = as_map(f), checked_duration(step_duration)
    factors = own_factors(f, start, inputs)
    kept = np.flatnonzero((factors != 0).any(axis=(0, 2)))
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(factors[:, kept]))
    by_part = _parts(logs)
    mean = by_part.mean(axis=0)
    half = np.full(len(kept), np.nan)
    if len(by_part) > 1:
        with np.errstate(invalid="ignore"):  # a gate that closes for good at some step keeps nothing: no interval
            half = 1.96 * by_part.std(axis=0, ddof=1) / np.sqrt(len(by_part))
    names = [name for name, rows in f.blocks for _ in range(rows.start, rows.stop)]
    return GateTimes(
        units=kept,
        blocks=tuple(names[i] for i in kept),
        retention=np.exp(mean),
        time_constants=times_of(mean),
        interval=np.where(np.isnan(half), np.nan, [times_of(mean - half), times_of(mean + half)]).T,
        spread=np.quantile(
            factors[:, kept].swapaxes(0, 1).reshape(len(kept), len(factors) * factors.shape[2]),
            (0.05, 0.5, 0.95),
            axis=1,
        ).T,
        direct=factors.mean(axis=(0, 2)),
        map_name=f.name,
        step_duration=duration,
    )


def own_factors(f: Map, start: ArrayLike | None, inputs: ArrayLike | None) -> Array:
    """(T, n, B): by how much each variable's last value enters its next one without passing a matrix, at every step."""
    driving = sequence(f, np.zeros((100, f.input_size)) if inputs is None else inputs)
    state, _ = start_columns(f, start, driving)
    return factors_along(f, orbit_columns(f, state, driving, len(driving)), driving)


def factors_along(f: Map, orbit: Array, driving: Array) -> Array:
    """The same along an orbit (T + 1, n, B) that is known already."""
    if not np.isfinite(orbit).all():
        raise AnalysisError("the orbit leaves floating-point range: it runs off to infinity.")
    return np.concatenate(list(_stretches(f, orbit, driving)))


def _stretches(f: Map, orbit: Array, driving: Array) -> Any:
    """The diagonal of each step's own-path Jacobian, in pieces of time: (t, n, B)."""
    steps, n, batch = len(orbit) - 1, orbit.shape[1], orbit.shape[2]
    length = max(1, CHUNK // (n * batch))
    for begin in range(0, steps, length):
        part = slice(begin, min(begin + length, steps))
        states = orbit[part]
        flat = np.ascontiguousarray(states.swapaxes(0, 1)).reshape(n, -1)
        shape = (len(states), batch, f.input_size)
        given = np.broadcast_to(driving[part], shape).reshape(flat.shape[1], f.input_size).T
        link = f.linearize_columns(flat, np.ascontiguousarray(given))
        yield own_path(f, link).reshape(n, len(states), batch).swapaxes(0, 1)


def own_path(f: Map, link: Linearization) -> Array:
    """(n, B): the diagonal of a step's own-path Jacobian."""
    out = np.empty_like(link.next_state)
    # Block by block: between the blocks of one unit (an LSTM's h and c) there are direct paths too.
    for _, rows in f.blocks:
        cotangent = np.zeros((*out.shape, 1))
        cotangent[rows] = 1.0
        pulled = link.pull_direct(cotangent)
        if pulled is None:
            raise AnalysisError(f"the equations of {f.name} do not tell a unit's own path from the weights.")
        out[rows] = pulled[rows, :, 0]
    return out


def _parts(logs: Array) -> Array:
    """Means (parts, k) of log factors (T, k, B): one per sequence, or eight stretches of a single one."""
    if logs.shape[2] > 1:
        return np.asarray(logs.mean(axis=0).T)
    return np.array([piece.mean(axis=(0, 2)) for piece in np.array_split(logs, min(8, len(logs)))])


def times_of(log: Array) -> Array:
    """-1 / log; inf for what does not fade."""
    with np.errstate(divide="ignore"):
        return np.where(log < 0, -1.0 / np.minimum(log, -0.0), np.inf)
