"""A gradient on its way back through the layers: its size, and how much of it has gone into the trivial subspace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dynsys.propagate.chunks import blocks, over
from dynsys.propagate.jacobians import LayerJacobian, Product, random_cotangent
from dynsys.propagate.layers import Layer
from dynsys.propagate.measures import sizes
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State, rescaled, slopes, start, step
from dynsys.types import AnyArray, Array


def segment_length(depth: int) -> int:
    """Layers between the signals that are kept on the way forward; those in between are computed again."""
    return math.ceil(math.sqrt(depth))


def backward_profile(
    A: Propagator, layers: Sequence[Layer], kept: Mapping[int, State], widths: Sequence[int], dtype: object, seed: int
) -> tuple[Array, Array]:
    """(log |B_l|, d_M(B_l) / |B_l|), each (depth + 1,), of a random gradient with |B_depth| = 1.

    Args:
        kept: the signal at layers 0, k, 2 k, ..., k = `segment_length(depth)`; may be empty for linear stacks.
        widths: (depth + 1,) features at each layer.
    """
    depth = len(layers)
    B = random_cotangent((A.n, widths[-1]), dtype, seed)
    if all(layer.linear for layer in layers):
        return _linear_profile(A, layers, B, dtype)
    multiply, back = A.product(dtype), A.transposed.product(dtype)
    log, share = np.zeros(depth + 1), np.full(depth + 1, np.nan)
    share[depth] = _share(A, B)
    length = segment_length(depth)
    for first in range((depth - 1) // length * length, -1, -length):
        last = min(first + length, depth)
        for at, jacobian in _jacobians(A, layers, kept[first], (first, last), widths, multiply, back):
            B = jacobian.pull(B)
            size = float(np.sqrt(np.einsum("ij,ij->", B, B, dtype=np.float64)))
            if not size > 0:
                log[: at + 1] = -np.inf
                return log, share
            B /= np.asarray(size, B.dtype)
            log[at] = log[at + 1] + math.log(size)
            share[at] = _share(A, B)
    return log, share


def _jacobians(
    A: Propagator,
    layers: Sequence[Layer],
    state: State,
    span: tuple[int, int],
    widths: Sequence[int],
    multiply: Product,
    back: Product,
) -> list[tuple[int, LayerJacobian]]:
    """The Jacobians of layers first to last - 1, the last one first."""
    state = state.copy()
    found = []
    for at in range(*span):
        product = multiply(state.T)
        bend = slopes(A, state, product, layers[at])
        found.append((at, LayerJacobian(A, layers[at], bend, widths[at], multiply, back)))
        if at + 1 < span[1]:
            state = step(A, state, product, layers[at])
    return found[::-1]


def _linear_profile(A: Propagator, layers: Sequence[Layer], B: AnyArray, dtype: object) -> tuple[Array, Array]:
    """Through linear layers a gradient is a signal of the transposed ones, and can be kept in two parts like one."""
    back = A.transposed
    multiply = back.product(dtype)
    state = rescaled(start(back, B, dtype))
    log, share = np.zeros(len(layers) + 1), np.zeros(len(layers) + 1)
    for at in range(len(layers), -1, -1):
        product = multiply(state.T)
        measured = sizes(back, state, product)
        log[at] = measured.log_norm
        share[at] = math.exp(measured.log_distance - measured.log_norm) if measured.log_norm > -math.inf else math.nan
        if at:
            layer = layers[at - 1]
            W = None if layer.W is None else layer.W.T
            state = step(back, state, product, Layer(W=W, residual=layer.residual))
    return log - log[-1], share


def _share(A: Propagator, B: AnyArray) -> float:
    """d_M(B) / |B| for the subspace that A^T leaves alone, B of size 1."""
    left = A.transposed
    C = left.coefficients(B)

    def work(rows: slice) -> float:
        apart = B[rows] - left.spread(C, rows)
        return float(np.vdot(apart, apart))

    return math.sqrt(math.fsum(over(work, blocks(*B.shape))))
