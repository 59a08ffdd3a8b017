"""A signal on its way through the layers, kept as H = u C + T: what lies in the trivial subspace, and the rest.

Kept apart, T can be measured to full relative accuracy long after it has become smaller than a rounding error of H.
Each part has a logarithmic scale of its own, so that nothing under- or overflows at any depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.propagate.activations import FAR, activate, difference, mean_slope, slope
from dynsys.propagate.chunks import blocks, compiled_kernels, few_blocks, over
from dynsys.propagate.layers import HOMOGENEOUS, Layer
from dynsys.propagate.operator import Propagator
from dynsys.types import AnyArray, Array

COMPILED = 2_000_000  # entries of a signal from which the compiled passes are worth loading
DEAD = 64.0  # rounding errors below which what two parts add up to is zero
SMALLEST, LARGEST = 1e-8, 1e8  # root mean square of T outside of which it is scaled


@final
@dataclass(eq=False)
class State:
    """H = exp(log_c) u C + exp(log_t) T. T may hold some of the trivial subspace too.

    Attributes:
        C: (count, d) float64. T: (n, d), float32 or float64. log_c, log_t: nats.
    """

    C: Array
    T: AnyArray
    log_c: float = 0.0
    log_t: float = 0.0

    def copy(self) -> State:
        """One that later steps do not overwrite."""
        return State(self.C.copy(), self.T.copy(), self.log_c, self.log_t)

    @property
    def log_unit(self) -> float:
        """nats; H / exp(log_unit) neither under- nor overflows."""
        return max(self.log_c, self.log_t) if self.C.any() and _any(self.T) else self._only

    @property
    def _only(self) -> float:
        return self.log_c if self.C.any() else self.log_t

    def rows(self, A: Propagator, rows: Any, unit: float | None = None) -> Array:
        """H[rows] / exp(unit), float64; `unit` is `log_unit` if None."""
        unit = self.log_unit if unit is None else unit
        shared = A.trivial[rows, np.newaxis] * self.C[A.labels[rows]]
        return np.asarray(_scaled(shared, self.log_c - unit) + _scaled(self.T[rows].astype(float), self.log_t - unit))


def start(A: Propagator, features: Array, dtype: Any) -> State:
    """The signal `features` (n, d), split exactly."""
    C = A.coefficients(features)
    T = np.empty(features.shape, dtype=dtype)

    def split(rows: slice) -> None:
        T[rows] = features[rows] - A.spread(C, rows)

    over(split, blocks(*features.shape))
    # A second projection: what rounding left of the trivial part in T is then of second order.
    state = State(C, T)
    project(A, state)
    return rescaled(state)


def project(A: Propagator, state: State, product: AnyArray | None = None, p: Array | None = None) -> None:
    """Move what T holds of the trivial subspace to C, in place; `product` = A T is kept in step."""
    p = A.coefficients(state.T) if p is None else p

    def subtract(rows: slice) -> None:
        part = A.spread(p, rows).astype(state.T.dtype)
        state.T[rows] -= part
        if product is not None:
            product[rows] -= part

    over(subtract, blocks(*state.T.shape))
    if p.any():
        top = max(state.log_c, state.log_t) if state.C.any() else state.log_t
        state.C = _scaled(state.C, state.log_c - top) + _scaled(p, state.log_t - top)
        state.log_c = top


def step(A: Propagator, state: State, product: AnyArray, layer: Layer) -> State:
    """The signal after one layer, given A T; overwrites `product` and, without a residual connection, T."""
    Z = product
    if layer.W is not None:
        free = layer.residual == 0 and layer.W.shape[0] == layer.W.shape[1]
        Z = np.matmul(product, layer.W.astype(product.dtype), out=state.T if free else None)
    C = state.C if layer.W is None else state.C @ layer.W
    simple = layer.b is None and layer.X is None
    if layer.linear and simple:
        after = State(C, Z, state.log_c, state.log_t)
    elif layer.homogeneous:
        after = _kept(A, layer, C, Z, state)
    elif A.regular and layer.X is None:
        after = _kept_when_regular(A, layer, C, Z, state)
    else:
        after = _mixed(A, layer, C, Z, state)
    if layer.residual != 0:
        after = _with_residual(after, state, layer.residual)
    return rescaled(after)


def _kept(A: Propagator, layer: Layer, C: Array, Z: AnyArray, state: State) -> State:
    """ReLU, which scales and leaves the trivial subspace in itself: s(u C + z) - s(u C), with s(u C) = u s(C)."""
    base = _clipped(C, state.log_c - state.log_t)
    kernels = compiled_kernels() if Z.size > COMPILED and layer.activation == "relu" else None
    u, shared = A.trivial.astype(Z.dtype), base.astype(Z.dtype)

    def work(rows: slice) -> None:
        if kernels is not None:
            kernels.relu_difference(Z, shared, u, A.labels, rows.start, rows.stop)
        else:
            Z[rows] = difference(layer.activation, A.spread(base, rows).astype(Z.dtype), Z[rows])

    over(work, blocks(*Z.shape) if kernels is None else few_blocks(len(Z)))
    return State(activate(layer.activation, C), Z, state.log_c, state.log_t)


def _kept_when_regular(A: Propagator, layer: Layer, C: Array, Z: AnyArray, state: State) -> State:
    """u is the same number on all of a component, so any entrywise function leaves the subspace in itself."""
    u = np.zeros(A.count)
    u[A.labels] = A.trivial
    base = u[:, np.newaxis] * _scaled(C, state.log_c) + (0.0 if layer.b is None else layer.b)
    after = activate(layer.activation, base) / u[:, np.newaxis]
    scaled = _clipped(base, -state.log_t)
    unit = math.exp(min(state.log_t, 700.0))

    def work(rows: slice) -> None:
        z = Z[rows]
        if layer.activation in HOMOGENEOUS:
            Z[rows] = difference(layer.activation, scaled[A.labels[rows]].astype(Z.dtype), z)
        else:
            Z[rows] = z * mean_slope(layer.activation, base[A.labels[rows]], unit * z.astype(np.float64))

    over(work, blocks(*Z.shape))
    return State(np.asarray(after), Z, 0.0, state.log_t)


def _mixed(A: Propagator, layer: Layer, C: Array, Z: AnyArray, state: State) -> State:
    """The layer drives the signal out of the trivial subspace: the whole of it, in one unit."""
    scales = layer.activation in HOMOGENEOUS
    added = [np.abs(a).max() for a in (layer.b, layer.X) if a is not None]
    unit = max([state.log_c, state.log_t, *(math.log(a) for a in added if a > 0)]) if scales else 0.0
    down = math.exp(-unit)
    shared = _scaled(C, state.log_c - unit)
    if layer.linear and state.C.any():
        # Linear: the trivial part goes its own way, and T takes what is added.
        after, shared, log_c = C, np.zeros_like(C), state.log_c
    else:
        after, log_c = np.zeros_like(C), unit

    def work(rows: slice) -> None:
        z = A.spread(shared, rows) + _scaled(Z[rows].astype(np.float64), state.log_t - unit)
        if layer.b is not None:
            z += down * layer.b
        if layer.X is not None:
            z += down * layer.X[rows]
        Z[rows] = activate(layer.activation, z)

    over(work, blocks(*Z.shape))
    result = State(after, Z, log_c, unit)
    project(A, result)
    return result


def _with_residual(after: State, before: State, r: float) -> State:
    log_c, log_t = max(after.log_c, before.log_c), max(after.log_t, before.log_t)
    C = _scaled(after.C, after.log_c - log_c) + r * _scaled(before.C, before.log_c - log_c)
    own, old = (np.array(_factor(s.log_t - log_t), dtype=after.T.dtype) for s in (after, before))
    factor = np.asarray(r, dtype=after.T.dtype) * old

    def work(rows: slice) -> None:
        after.T[rows] = own * after.T[rows] + factor * before.T[rows]

    over(work, blocks(*after.T.shape))
    return State(C, after.T, log_c, log_t)


def rescaled(state: State) -> State:
    """The same signal, with C and T of ordinary size."""
    top = float(np.abs(state.C).max(initial=0.0))
    if top > 0 and math.isfinite(top):
        state.C, state.log_c = state.C / top, state.log_c + math.log(top)
    sample = state.T[:: max(1, len(state.T) // 512)].astype(np.float64)
    with np.errstate(over="ignore"):  # inf is out of range too
        size = math.sqrt(float(np.mean(sample * sample))) if sample.size else 0.0
    if size == 0.0 or not SMALLEST <= size <= LARGEST:
        size = max((float(np.abs(state.T[rows]).max(initial=0.0)) for rows in blocks(*state.T.shape)), default=0.0)
        if size > 0 and math.isfinite(size) and not SMALLEST <= size <= LARGEST:
            state.T *= np.asarray(1.0 / size, dtype=state.T.dtype)
            state.log_t += math.log(size)
    return state


def slopes(A: Propagator, state: State, product: AnyArray, layer: Layer) -> AnyArray | None:
    """s'(Z) (n, e) where the layer works on this signal; None for linear layers, booleans for ReLU."""
    if layer.linear:
        return None
    Z = product if layer.W is None else product @ layer.W.astype(product.dtype)
    C = state.C if layer.W is None else state.C @ layer.W
    unit = state.log_unit if layer.homogeneous else 0.0
    shared = _scaled(C, state.log_c - unit)
    kind = np.bool_ if layer.activation == "relu" else state.T.dtype
    out = np.empty(Z.shape, dtype=kind)
    least = DEAD * float(np.finfo(state.T.dtype).eps) if layer.activation == "relu" else 0.0

    def work(rows: slice) -> None:
        whole, rest = A.spread(shared, rows), _scaled(Z[rows].astype(np.float64), state.log_t - unit)
        z = whole + rest
        if least:
            # A node whose neighbours are all off comes back from its two parts as rounding, of either sign.
            z[np.abs(z) <= least * np.abs(whole)] = 0.0
        if layer.b is not None:
            z += layer.b
        if layer.X is not None:
            z += layer.X[rows]
        out[rows] = slope(layer.activation, z)

    over(work, blocks(*Z.shape))
    return out


def _any(T: AnyArray) -> bool:
    """Whether anything is not zero; a few rows nearly always tell."""
    return bool(T[:16].any() or T.any())


def _factor(log: float) -> float:
    return math.exp(min(max(log, -745.0), 700.0))


def _scaled(a: Any, log: float) -> Any:
    return a if log == 0.0 else a * _factor(log)


def _clipped(C: Array, log: float) -> Array:
    """C exp(log), with sizes beyond FAR as FAR."""
    with np.errstate(over="ignore"):
        return np.clip(C * _factor(log), -FAR, FAR)
