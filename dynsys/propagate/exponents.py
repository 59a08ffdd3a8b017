"""Lyapunov exponents over layers: a deep graph network is a recurrent map whose time is depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.frames import signed_qr
from dynsys.graphs import as_graph
from dynsys.limits import one_blas_thread
from dynsys.propagate.blocks_of_tangents import push
from dynsys.propagate.layers import Layer, RandomGCN, stack_of
from dynsys.propagate.operator import Propagator, propagator
from dynsys.propagate.run import checked_signal, normalization_of
from dynsys.propagate.states import slopes, start, step
from dynsys.read_only import read_only
from dynsys.types import Array, Progress

BLOCKS = 20  # batch means behind the standard errors
SORTED = 50_000  # rows of a frame up to which they are sorted by size before a QR
DRIFTS = 6.0  # scatter of a mean beyond which the halves of a run differ for a reason
FULL = 256  # values of a signal up to which all exponents are the default


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class LayerExponents:
    """Average rates at which small differences of a signal grow from layer to layer.

    Attributes:
        exponents: (k,) nats per layer, largest first; -inf for directions that are lost exactly.
        standard_errors: (k,) nats per layer, from batch means over layers; where these drift, the drift.
        transverse: nats per layer, the largest exponent of differences outside the collapse subspace, projected back
            out of it at every layer; transverse_error its standard error. Below zero such differences die out.
        k, n_values: how many there are, and of how many. depth, discard: layers averaged over, and taken before.
        name, normalization, seed: what was analysed. notes: remarks.
    """

    exponents: Array
    standard_errors: Array
    transverse: float
    transverse_error: float
    n_values: int
    depth: int
    discard: int
    name: str
    normalization: str
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """How many exponents there are here."""
        return len(self.exponents)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.k} of {self.n_values} exponents over {self.depth} layers ({self.normalization})"]
        lines += [
            f"{i:4d}  {value: .6f} +- {error:.1e} nats/layer"
            for i, (value, error) in enumerate(zip(self.exponents, self.standard_errors, strict=True))
        ]
        lines.append(f"outside the collapse subspace {self.transverse:.6f} +- {self.transverse_error:.1e} nats/layer")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def layer_exponents(
    gcn: Any,
    graph: Any,
    features: Any,
    depth: int = 500,
    *,
    k: int | None = None,
    discard: int | None = None,
    normalization: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> LayerExponents:
    """Leading Lyapunov exponents of a stack of graph layers along the signal `features`.

    Args:
        gcn, graph, features, normalization: as for `propagation`. Of a `RandomGCN` the first seed is taken. A network
            must be one layer repeated, or have `depth + discard` layers.
        depth: layers averaged over, at least 20. discard: taken before, while the frame aligns; None is a fifth.
        k: how many exponents; None is all of them up to 256 values of the signal, else 16.
        seed: of the start frame. progress: called with (layers done, layers, message).

    Returns: LayerExponents, nats per layer.
    Accuracy: for fresh random weights the error falls like 1/sqrt(depth). Cost: one product and one QR per layer, with
        n k d numbers.
    Sources: Benettin et al., Meccanica 15 (1980) 9-30; C. M. Newman, Communications in Mathematical Physics 103 (1986)
        121-126 (random products).
    """
    graph = as_graph(graph)
    signal = checked_signal(features, graph.n_nodes).astype(np.float64)
    normalization, notes = normalization_of(gcn, graph, normalization)
    A = propagator(graph, normalization)
    if depth < BLOCKS:
        raise InputError(f"need at least {BLOCKS} layers to average over, got depth={depth}.")
    burn = depth // 5 if discard is None else discard
    if burn < 0:
        raise InputError(f"`discard` must be at least 0, got {discard}.")
    if isinstance(gcn, RandomGCN):
        name, layers = "random GCN", gcn.layers(signal.shape[1], depth + burn, gcn.seeds[0])
    else:
        stack = stack_of(gcn, signal, depth + burn)
        name, layers, notes = stack.name, list(stack.layers), (*notes, *stack.notes)
    size = min(signal.size, *(A.n * layer.width(_before(layers, i, signal)) for i, layer in enumerate(layers[:2])))
    wanted = (size if size <= FULL else 16) if k is None else k
    if not 1 <= wanted <= size:
        raise InputError(f"`k` must be between 1 and {size}, the values of the signal; got {k}.")
    run = _Run(A, layers, signal, wanted, burn, seed)
    with one_blas_thread():
        run.go(progress)
    return LayerExponents(
        **run.averages(depth),
        n_values=size,
        depth=depth,
        discard=burn,
        name=name,
        normalization=normalization,
        seed=seed,
        notes=tuple(notes),
    )


def _before(layers: list[Layer], i: int, signal: Array) -> int:
    return signal.shape[1] if i == 0 else layers[0].width(signal.shape[1])


@final
class _Run:
    def __init__(self, A: Propagator, layers: list[Layer], signal: Array, k: int, discard: int, seed: int) -> None:
        self._A, self._layers, self._k, self._discard = A, layers, k, discard
        generator = seeds.generator(seed)
        n, d = signal.shape
        self._frame = _orthonormal(generator.standard_normal((n, k, d)))[0]
        self._across = _orthonormal(self._outside(generator.standard_normal((n, 1, d))))[0]
        self._state = start(A, signal, np.float64)
        self._logs = np.zeros((len(layers) - discard, k + 1))

    def go(self, progress: Progress | None) -> None:
        multiply = self._A.product()
        state = self._state
        driven = not all(layer.linear for layer in self._layers)
        for at, layer in enumerate(self._layers):
            bend = None
            if driven:
                product = multiply(state.T)
                bend = slopes(self._A, state, product, layer)
                state = step(self._A, state, product, layer)
            self._frame, growth = _orthonormal(push(multiply, layer, bend, self._frame))
            self._across, across = _orthonormal(self._outside(push(multiply, layer, bend, self._across)))
            if at >= self._discard:
                self._logs[at - self._discard] = [*growth, *across]
            if progress is not None:
                progress(at + 1, len(self._layers), "Lyapunov exponents over layers")

    def _outside(self, V: Array) -> Array:
        """V without its part in the trivial subspace."""
        flat = V.reshape(len(V), -1)
        return np.asarray((flat - self._A.spread(self._A.coefficients(flat))).reshape(V.shape))

    def averages(self, depth: int) -> dict[str, Any]:
        with np.errstate(invalid="ignore"):
            mean = self._logs.mean(axis=0)
            parts = np.stack([part.mean(axis=0) for part in np.array_split(self._logs, BLOCKS)])
            errors = np.nan_to_num(_errors(parts), nan=0.0)
        errors = np.maximum(errors, np.finfo(float).eps * max(1, depth) ** 0.5)
        order = np.argsort(-mean[:-1], kind="stable")
        return {
            "exponents": mean[:-1][order],
            "standard_errors": errors[:-1][order],
            "transverse": float(mean[-1]),
            "transverse_error": float(errors[-1]),
        }


def _errors(parts: Array) -> Array:
    """Standard errors (k,) from batch means (batches, k); where these drift, the drift from one half to the other.

    A frame that is not aligned yet, as where many eigenvalues lie close, makes means that lie near each other and all
    off.
    """
    count = len(parts)
    at = np.arange(count) - (count - 1) / 2
    slope = at @ parts / (at @ at)
    around = parts - parts.mean(axis=0) - np.outer(at, slope)
    scatter = np.sqrt(np.square(around).sum(axis=0) / (count - 2) / count)
    drift = np.abs(parts[count // 2 :].mean(axis=0) - parts[: count // 2].mean(axis=0))
    plain = parts.std(axis=0, ddof=1) / math.sqrt(count)
    return np.asarray(np.where(drift > DRIFTS * scatter, np.maximum(plain, drift), plain))


def _orthonormal(V: Array) -> tuple[Array, Array]:
    """k tangents (n, k, d) as an orthonormal frame, and the logarithms of the diagonal of R, (k,)."""
    n, k, d = V.shape
    columns = np.ascontiguousarray(V.transpose(0, 2, 1)).reshape(n * d, k)
    # Sorted rows keep small ones accurate; so many would take longer to sort than everything else.
    q, r = signed_qr(columns) if n * d <= SORTED else np.linalg.qr(columns)
    diagonal = np.abs(np.diagonal(r))
    # What is below rounding is lost: its direction is noise, and its logarithm would be a confident wrong number.
    diagonal[diagonal <= n * d * np.finfo(float).eps * max(float(np.abs(r).max(initial=0.0)), 1e-300)] = 0.0
    with np.errstate(divide="ignore"):
        return np.ascontiguousarray(q.reshape(n, d, k).transpose(0, 2, 1)), np.log(diagonal)
