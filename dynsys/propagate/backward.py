"""A gradient on its way back through the layers: its size, how much of it has gone into the trivial subspace, and what
it is for the weights of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.propagate.chunks import blocks, over
from dynsys.propagate.jacobians import LayerJacobian, random_cotangent
from dynsys.propagate.layers import Layer
from dynsys.propagate.measures import sizes
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State, rescaled, slopes, start, step
from dynsys.types import AnyArray, Array


def segment_length(depth: int) -> int:
    """Layers between the signals that are kept on the way forward; those in between are computed again."""
    return math.ceil(math.sqrt(depth))


@final
@dataclass(frozen=True, eq=False)
class Profile:
    """Each (depth + 1,), of a random gradient B with |B_depth| = 1 (nats where logarithms).

    log: of |B_l|. share: d_M(B_l) / |B_l|. log_weights: of |d y / d W_l|_F for y = <B_depth, H_depth>, NaN at layer 0.
    """

    log: Array
    share: Array
    log_weights: Array


@final
@dataclass(frozen=True, eq=False)
class _Passed:
    """What the way forward left at one layer: number, Jacobian, and A H, the signal that the weights act on."""

    at: int
    jacobian: LayerJacobian
    mixed: State


def backward_profile(
    A: Propagator, layers: Sequence[Layer], kept: Mapping[int, State], widths: Sequence[int], dtype: object, seed: int
) -> Profile:
    """The profile of a random gradient of the last layer.

    Args:
        kept: the signal at layers 0, k, 2 k, ..., k = `segment_length(depth)`, and at the last one.
        widths: (depth + 1,) features at each layer.
    """
    B = random_cotangent((A.n, widths[-1]), dtype, seed)
    if all(layer.linear for layer in layers):
        return _linear_profile(A, layers, kept, B, widths, dtype)
    depth = len(layers)
    log, share, weights = np.zeros(depth + 1), np.full(depth + 1, np.nan), np.full(depth + 1, np.nan)
    share[depth] = _share(A, B)
    for passed in _backwards(A, layers, kept, widths, dtype):
        at, jacobian = passed.at, passed.jacobian
        whole = State(np.zeros((A.transposed.count, B.shape[1])), jacobian.bent(B))
        weights[at + 1] = log[at + 1] + _log_weights(A, passed.mixed, whole)
        B = jacobian.pull(B)
        size = float(np.sqrt(np.einsum("ij,ij->", B, B, dtype=np.float64)))
        if not size > 0:
            log[: at + 1], weights[1 : at + 1] = -np.inf, -np.inf
            break
        B /= np.asarray(size, B.dtype)
        log[at] = log[at + 1] + math.log(size)
        share[at] = _share(A, B)
    return Profile(log, share, weights)


def _backwards(
    A: Propagator, layers: Sequence[Layer], kept: Mapping[int, State], widths: Sequence[int], dtype: object
) -> Iterator[_Passed]:
    """The layers, the last one first; the signals between those that are kept are computed again."""
    multiply, back = A.product(dtype), A.transposed.product(dtype)
    depth, length = len(layers), segment_length(len(layers))
    for first in range((depth - 1) // length * length, -1, -length):
        state, found = kept[first].copy(), []
        for at in range(first, min(first + length, depth)):
            product = multiply(state.T)
            bend = slopes(A, state, product, layers[at])
            jacobian = LayerJacobian(A, layers[at], bend, widths[at], multiply, back)
            found.append(_Passed(at, jacobian, State(state.C, product.copy(), state.log_c, state.log_t)))
            state = step(A, state, product, layers[at])
        yield from found[::-1]


def _linear_profile(
    A: Propagator, layers: Sequence[Layer], kept: Mapping[int, State], B: AnyArray, widths: Sequence[int], dtype: object
) -> Profile:
    """Through linear layers a gradient is a signal of the transposed ones, and can be kept in two parts like one."""
    back = A.transposed
    multiply = back.product(dtype)
    state = rescaled(start(back, B, dtype))
    depth = len(layers)
    log, share, weights = np.zeros(depth + 1), np.zeros(depth + 1), np.full(depth + 1, np.nan)
    if all(layer.plain for layer in layers):
        # (A H_k)^T A^(L-k-1) B = H_L^T B, whatever the layer.
        weights[1:] = _log_weights(A, kept[depth], state)
        passing = None
    else:
        passing = _backwards(A, layers, kept, widths, dtype)
    for at in range(depth, -1, -1):
        product = multiply(state.T)
        measured = sizes(back, state, product)
        log[at] = measured.log_norm
        share[at] = math.exp(measured.log_distance - measured.log_norm) if measured.log_norm > -math.inf else math.nan
        if at:
            layer = layers[at - 1]
            if passing is not None:
                weights[at] = _log_weights(A, next(passing).mixed, state)
            W = None if layer.W is None else layer.W.T
            state = step(back, state, product, Layer(W=W, residual=layer.residual))
    return Profile(log - log[-1], share, weights - log[-1])


def _log_weights(A: Propagator, mixed: State, gradient: State) -> float:
    """log |M^T G|_F, nats, for a mixed signal M = u C + P and a gradient G = v D + T; v spans what A^T leaves alone."""
    back = A.transposed
    one, other = mixed.log_unit, gradient.log_unit
    C, D = mixed.C * _power(mixed.log_c - one), gradient.C * _power(gradient.log_c - other)
    p, t = _power(mixed.log_t - one), _power(gradient.log_t - other)
    both = np.bincount(A.labels, A.trivial * back.trivial, minlength=A.count)[:, np.newaxis]
    total = C.T @ (both * D) + t * C.T @ A.coefficients(gradient.T) + p * back.coefficients(mixed.T).T @ D

    def work(rows: slice) -> Array:
        return np.asarray(mixed.T[rows].T @ gradient.T[rows], dtype=np.float64)

    pieces = blocks(A.n, max(mixed.T.shape[1], gradient.T.shape[1]))
    total = total + p * t * np.sum(over(work, pieces), axis=0)
    size = float(np.linalg.norm(total))
    return math.log(size) + one + other if size > 0 else -math.inf


def _power(log: float) -> float:
    return math.exp(max(log, -745.0))


def _share(A: Propagator, B: AnyArray) -> float:
    """d_M(B) / |B| for the subspace that A^T leaves alone, B of size 1."""
    left = A.transposed
    C = left.coefficients(B)

    def work(rows: slice) -> float:
        apart = B[rows] - left.spread(C, rows)
        return float(np.vdot(apart, apart))

    return math.sqrt(math.fsum(over(work, blocks(*B.shape))))
