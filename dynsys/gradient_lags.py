"""How far back the gradient of a loss reaches: its size and its share of each parameter's gradient, by lag.

The loss at step s reaches the state tau steps earlier by J_{s-tau+1}^T ... J_s^T. All losses are followed back
together, lag by lag, each rescaled at every step with its scale kept as a logarithm, so that nothing under- or
overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.read_only import read_only
from dynsys.readings.linear import Linearization
from dynsys.types import Array

ENOUGH = 0.95
"""The share of the gradient that the memory of a training run has to cover."""
SMALLEST = -690.0
"""Nats below which a contribution is zero beside any other that float64 holds."""


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class GradientLags:
    """A loss's gradient by lag: how many steps lie between the loss and the step whose parameters it blames.

    Attributes:
        steps: indices of the steps whose losses were followed back, (k,).
        log_norms: (T,) at lag tau = 0, 1, ...: log of the root mean square, over the followed losses, of |dL_s /
            d state|_2 before step s - tau + 1, nats; relative to lag 0. -inf where nothing arrives.
        direct_log_norms: the same through each unit's own path alone, without recurrent matrices; None where the
            map cannot tell its own paths.
        shares: by parameter (T,): |G_tau| / sum |G_tau'|, G_tau the part of the gradient that comes over lag tau.
        share: (T,), all parameters together.
        lag_95: the smallest lag up to which `share` adds up to 95 %, steps.
        truncation_error: (T + 1,), |G - sum over lags below K of G_tau| / |G| for truncation after K = 0, 1, ... steps.
    """

    steps: tuple[int, ...]
    log_norms: Array
    direct_log_norms: Array | None
    shares: dict[str, Array]
    share: Array
    lag_95: int
    truncation_error: Array

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        losses = f"{len(self.steps)} loss{'es' * (len(self.steps) > 1)}"
        return f"by lag, of {losses}: 95 % of the gradient comes over lags up to {self.lag_95} of {len(self.share) - 1}"

    __repr__ = __str__


class _Followed:
    """Losses on their way back in time: one cotangent (n, B, 1) each, of size one, with its logarithmic scale."""

    def __init__(self, seeds: Mapping[int, Array]) -> None:
        self.at: dict[int, int] = {s: s for s in seeds}
        self.flowing: dict[int, Array] = {}
        self.log: dict[int, float] = {}
        for s, seed in seeds.items():
            self._set(s, seed, 0.0)

    def _set(self, s: int, cotangent: Array, log: float) -> None:
        size = size_of(cotangent)
        alive = size > 0 and np.isfinite(size)
        self.flowing[s] = cotangent / size if alive else cotangent * 0.0
        self.log[s] = log + np.log(size) if alive else -np.inf

    def alive(self) -> list[int]:
        """The losses that still have a step before them and something to carry."""
        return [s for s, t in self.at.items() if t >= 0 and np.isfinite(self.log[s])]

    def back(self, s: int, cotangent: Array) -> None:
        """One step further back."""
        self.at[s] -= 1
        self._set(s, cotangent, self.log[s])

    def root_mean_square(self) -> float:
        """log of the root mean square of all cotangents that are inside the sequence; -inf for none."""
        logs = np.array([self.log[s] for s, t in self.at.items() if t >= -1])
        return float(0.5 * (np.logaddexp.reduce(2 * logs) - np.log(len(logs)))) if len(logs) else -np.inf


def gradient_lags(links: Sequence[Linearization], seeds: Mapping[int, Array]) -> GradientLags:
    """The gradient by lag of losses at some steps.

    Args:
        links: each step's linearisation. seeds: by step s, dL_s / d (state after step s), (n, B).
    """
    columns = {s: seed[..., np.newaxis] for s, seed in seeds.items()}
    total = _parts(links, columns, None)
    norms, direct, sizes, errors = _by_lag(links, columns, total)
    by_parameter = np.array(list(sizes.values())).reshape(len(sizes), len(links))
    whole = np.array([size_of(at) for at in by_parameter.T])
    share = _shares(whole)
    reached = np.cumsum(share) >= ENOUGH - 1e-12
    return GradientLags(
        steps=tuple(sorted(seeds)),
        log_norms=norms - norms[0] if np.isfinite(norms[0]) else norms,
        direct_log_norms=None if direct is None else direct - (norms[0] if np.isfinite(norms[0]) else 0.0),
        shares={name: _shares(values) for name, values in sizes.items()},
        share=share,
        lag_95=int(np.argmax(reached)) if reached.any() else 0,
        truncation_error=errors,
    )


def norms_by_lag(
    links: Sequence[Linearization], seeds: Mapping[int, Array], back: Callable[[Linearization, Array], Array]
) -> Array:
    """(T,) log norms as in `GradientLags`, relative to lag 0, of losses that go back by a rule of the caller's.

    Args:
        links, seeds: as for `gradient_lags`. back: from a step's linearisation and a cotangent (n, B, 1) after it to
            the one before.
    """
    losses = _Followed({s: seed[..., np.newaxis] for s, seed in seeds.items()})
    norms = np.full(len(links), -np.inf)
    for lag in range(len(links)):
        norms[lag] = losses.root_mean_square()
        for s in losses.alive():
            losses.back(s, back(links[losses.at[s]], losses.flowing[s]))
    return norms - norms[0] if np.isfinite(norms[0]) else norms


def _shares(norms: Array) -> Array:
    total = norms.sum()
    return norms / total if total > 0 else norms


def _contribution(links: Sequence[Linearization], losses: _Followed, s: int) -> tuple[dict[str, Array], Array]:
    """What loss s gives to the parameters at its present step, in true size, and its cotangent one step earlier."""
    part = links[losses.at[s]].pull(losses.flowing[s], input=False, parameters=True)
    scale = np.exp(max(losses.log[s], SMALLEST)) if losses.log[s] > SMALLEST else 0.0
    return {name: scale * g for name, g in part.parameters.items()}, part.state


def _parts(links: Sequence[Linearization], columns: Mapping[int, Array], lags: int | None) -> dict[str, Array]:
    """The gradient of the followed losses, all lags together."""
    losses = _Followed(columns)
    total: dict[str, Array] = {}
    for _ in range(len(links) if lags is None else lags):
        for s in losses.alive():
            gradients, earlier = _contribution(links, losses, s)
            total = {name: total.get(name, 0.0) + g for name, g in gradients.items()}
            losses.back(s, earlier)
    return total


def _by_lag(
    links: Sequence[Linearization], columns: Mapping[int, Array], total: dict[str, Array]
) -> tuple[Array, Array | None, dict[str, Array], Array]:
    """By lag: log norms, log norms of the direct path, norms per parameter, and the error of truncation."""
    steps = len(links)
    losses, own = _Followed(columns), _Followed(columns)
    norms, direct = np.full(steps, -np.inf), np.full(steps, -np.inf)
    norms_of = {name: np.zeros(steps) for name in total}
    rest = {name: np.array(value) for name, value in total.items()}
    size = _norm(total)
    errors = np.zeros(steps + 1)
    errors[0] = 1.0 if size > 0 else 0.0
    knows_paths = True
    for lag in range(steps):
        norms[lag], direct[lag] = losses.root_mean_square(), own.root_mean_square()
        here: dict[str, Array] = {}
        for s in losses.alive():
            gradients, earlier = _contribution(links, losses, s)
            here = {name: here.get(name, 0.0) + g for name, g in gradients.items()}
            losses.back(s, earlier)
        for s in own.alive() if knows_paths else ():
            back = links[own.at[s]].pull_direct(own.flowing[s])
            knows_paths = back is not None
            if back is None:
                break
            own.back(s, back)
        for name, g in here.items():
            norms_of[name][lag] = size_of(g)
            rest[name] = rest[name] - g
        errors[lag + 1] = _norm(rest) / size if size > 0 else 0.0
    return norms, direct if knows_paths else None, norms_of, errors


def _norm(gradients: Mapping[str, Array]) -> float:
    return size_of(np.array([size_of(g) for g in gradients.values()]))


def size_of(array: Array) -> float:
    """The root of the sum of squares, which do not overflow on the way."""
    largest = float(np.abs(array).max(initial=0.0))
    return largest * float(np.linalg.norm(array / largest)) if 0 < largest < np.inf else largest
