"""What each layer does to small changes of its input: largest, mean and leading singular values of its Jacobian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

from dynsys.propagate.gap import Gap
from dynsys.propagate.jacobians import LayerJacobian, linear_gain
from dynsys.propagate.layers import Layer
from dynsys.propagate.operator import Propagator
from dynsys.propagate.singular_values import Leading
from dynsys.propagate.states import State, slopes
from dynsys.types import AnyArray

DOUBLE = 4_000_000  # entries of a signal up to which a slope costs little beside the rest
SMALL = 200_000  # entries of a signal up to which gains are computed to many digits


@final
@dataclass(frozen=True, eq=False)
class Gains:
    """gain: the largest singular value; rms: |J|_F / sqrt(columns); NaN where not asked for. leading: or None."""

    gain: float
    rms: float
    leading: Leading | None


@final
class LayerGains:
    """Gains of the layers, each computed once for a repeated linear layer."""

    def __init__(self, A: Propagator, gap: Gap, kind: Any, seed: int, multiply: Any, count: int) -> None:
        self._A, self._gap, self._kind, self._seed, self._multiply = A, gap, kind, seed, multiply
        self._count = count
        self._back = A.transposed.product(kind)
        self._linear: dict[tuple[int, bool], Gains] = {}

    def measure(
        self, state: State, product: AnyArray, layer: Layer, width: int, *, with_gain: bool, with_leading: bool
    ) -> Gains:
        """Of a layer at this signal; `product` is A T."""
        key = (id(layer), with_leading)
        if layer.linear and key in self._linear:
            return self._linear[key]
        if not (layer.linear or with_gain or with_leading) and state.T.size > DOUBLE:
            return Gains(math.nan, math.nan, None)
        J = LayerJacobian(self._A, layer, slopes(self._A, state, product, layer), width, self._multiply, self._back)
        small = state.T.size <= SMALL
        found = J.leading(self._count, self._seed, 1e-8 if small else 1e-3) if with_leading else None
        gain = math.nan
        if layer.linear and self._A.symmetric:
            gain = linear_gain(self._A, layer, self._gap)
        elif with_gain or layer.linear:
            gain = J.gain(self._kind, self._seed, 1e-10 if small else 1e-4, 300 if small else 30)
        gains = Gains(gain, J.rms(), found)
        if layer.linear:
            self._linear[key] = gains
        return gains
