"""What theory allows: how far a signal can be from the trivial subspace, and how fast it must get there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.propagate.gap import Gap
from dynsys.propagate.layers import HOMOGENEOUS, LIPSCHITZ, Layer
from dynsys.propagate.operator import Propagator
from dynsys.types import Array


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """Oono and Suzuki's bound along a stack.

    Attributes:
        log_distance: (depth + 1,) nats; inf from where no bound is known.
        factors: (depth,) nats: ln(Lip s lambda* + |r|) of each layer, whether or not it bounds the layer.
        reason: why it is no bound, in words; "" where it is one. driven: (depth,) whether biases or repeated inputs
            push the signal out of the collapse subspace at each layer.
    """

    log_distance: Array
    factors: Array
    reason: str
    driven: tuple[bool, ...]

    def reason_from(self, first: int) -> str:
        """Why the factors of the layers from `first` on bound no rate; "" where they do."""
        if self.reason or not any(self.driven[first:]):
            return self.reason
        return "biases or repeated inputs drive the signal: the bound on the distance includes them, the rate does not"


def distance_bound(A: Propagator, layers: Sequence[Layer], gap: Gap, log_start: float) -> Bound:
    """d_M(H_{l+1}) <= (Lip s_l lambda* + |r|) d_M(H_l) + Lip |(I - Pi)(b + X)|, where s leaves M in itself.

    For ReLU that is every graph, for other functions graphs whose u is constant on each component. Under "row+loops" it
    holds in the weighted norm, so that the plain one may exceed it by sqrt(max (d + 1) / min (d + 1)), which is
    included. Source: Oono and Suzuki, ICLR 2020 (arXiv:1905.10947), theorem 2.
    """
    largest = min(gap.lambda_star + gap.error, 1.0)
    twisted = math.log(A.distortion)
    log = [log_start]
    factors, reason = [], ""
    now = log_start + twisted
    known: dict[int, tuple[float, float]] = {}
    for layer in layers:
        if id(layer) not in known:
            known[id(layer)] = (layer.strength, _added(A, layer))
        strength, added = known[id(layer)]
        steep = LIPSCHITZ[layer.activation]
        # The distance is bounded with the error of lambda* included, the rate is that of lambda* itself.
        factor, safe = (steep * strength * value + abs(layer.residual) for value in (gap.lambda_star, largest))
        factors.append(_log(factor))
        if layer.activation not in HOMOGENEOUS and not A.regular and not reason:
            reason = (
                f"{layer.activation} does not leave the trivial subspace in itself on a graph with unequal degrees, so "
                "that the distance need not fall"
            )
        now = math.inf if reason else _sum(now + _log(safe), _log(steep * added) + twisted)
        log.append(now)
    driven = tuple(known[id(layer)][1] > 0 for layer in layers)
    return Bound(np.array(log), np.array(factors), reason, driven)


def _added(A: Propagator, layer: Layer) -> float:
    """|(I - Pi)(1 b^T + X)|_F."""
    if layer.b is None and layer.X is None:
        return 0.0
    width = len(layer.b) if layer.b is not None else layer.X.shape[1]  # type: ignore[union-attr]
    whole = np.zeros((A.n, width))
    if layer.b is not None:
        if A.regular and layer.X is None:
            return 0.0
        whole += layer.b
    if layer.X is not None:
        whole += layer.X
    rest = whole - A.spread(A.coefficients(whole))
    unit = float(np.abs(rest).max(initial=0.0)) or 1.0
    return unit * float(np.linalg.norm(rest / unit))


def predicted_rate(layer: Layer, gap: Gap) -> float | None:
    """nats per layer at which a repeated linear layer changes the distance in the long run; else None.

    ln max |r + lambda mu| over the eigenvalues lambda of A outside the trivial subspace and mu of W: in lambda the
    modulus is convex, so that the extreme eigenvalues decide.
    """
    if not layer.linear or layer.b is not None or layer.X is not None:
        return None
    mu = np.ones(1) if layer.W is None else np.linalg.eigvals(layer.W) if _square(layer) else None
    if mu is None:
        return None
    ends = np.array([gap.lambda_2, gap.lambda_min])
    return _log(float(np.abs(layer.residual + np.multiply.outer(ends, mu)).max()))


def predicted_frequency(layer: Layer, gap: Gap) -> str | None:
    """Which end of the spectrum a repeated linear layer favours: "low", "high", or "between" (a lambda inside)."""
    if predicted_rate(layer, gap) is None:
        return None
    mu = np.ones(1) if layer.W is None else np.linalg.eigvals(layer.W)
    growth = [float(np.abs(layer.residual + end * mu).max()) for end in (1.0, gap.lambda_min)]
    return "low" if growth[0] >= growth[1] else "high"


def _square(layer: Layer) -> bool:
    return layer.W is not None and layer.W.shape[0] == layer.W.shape[1]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _sum(a: float, b: float) -> float:
    return float(np.logaddexp(a, b)) if max(a, b) > -math.inf else -math.inf
