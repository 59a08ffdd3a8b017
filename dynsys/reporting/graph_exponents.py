"""Lyapunov exponents over layers for a report: of the layer that is repeated, and of fresh random weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from scipy.special import digamma

from dynsys.errors import AnalysisError
from dynsys.graphs import Graph, GraphSpectrum
from dynsys.graphs.extremes import DENSE
from dynsys.limits import one_blas_thread
from dynsys.propagate.exponents import LayerExponents, layer_exponents
from dynsys.propagate.layers import Layer, RandomGCN
from dynsys.propagate.network import GraphNetwork
from dynsys.types import AnyArray, Array, Progress

WORK = 1e9  # entries of the matrix times tangents that one run takes
MOST = 2e10  # beyond which it is left out
LONGEST, SHORTEST = 400, 40  # layers averaged over
FEW = ((20_000, 8, 16), (300_000, 4, 4), (math.inf, 2, 2))
"""Up to so many nodes: so many features, and so many exponents."""
GAIN = {"relu": math.sqrt(2.0), "tanh": 1.0, "sigmoid": 1.0, "identity": 1.0}
"""Of random weights, so that the size of a signal is about kept: He et al. (2015) for ReLU."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class StackExponents:
    """Exponents of one stack, beside what theory says of it.

    Attributes:
        name: "tied" or "random". what: in words.
        measured: LayerExponents.
        exact: (k,) nats per layer, closed form of the same exponents, largest first; NaN where there is none.
        leading, transverse: nats per layer, closed form of the largest exponent, and of the largest one outside the
            collapse subspace; NaN where there is none.
    """

    name: str
    what: str
    measured: LayerExponents
    exact: Array
    leading: float
    transverse: float

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def stack_exponents(
    graph: Graph,
    network: GraphNetwork | None,
    X: AnyArray,
    known: GraphSpectrum,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[StackExponents, ...]:
    """The exponents of the repeated layer, where a layer can be repeated, and of fresh Gaussian weights.

    On large graphs fewer features and layers; depth and features are in the results. AnalysisError where even that
    would take too long.
    """
    activation = "identity" if network is None else network.layers[0].activation
    wide = _few(graph)[0]
    some = np.ascontiguousarray(X[:, : min(wide, X.shape[1])], dtype=np.float64)
    runs = []
    tied = _repeated(graph, network, X, known.normalization)
    if tied is not None:
        layer, signal, what = tied
        lowest = _of_products(graph, known, np.zeros(1) if layer.W is None else _log_moduli(layer))
        exact = lowest if layer.linear and layer.residual == 0 else None
        runs.append(_run("tied", what, layer, graph, signal, known, exact, seed, progress))
    gain, d = GAIN[activation], some.shape[1]
    random = RandomGCN(activation=activation, gain=gain, seeds=(seed,))
    called = {"identity": "no activation", "relu": "ReLU"}.get(activation, activation)
    what = f"fresh Gaussian weights at every layer, {d} features, gain {gain:.3g}, {called}"
    exact = _of_products(graph, known, newman(d) + math.log(gain)) if activation == "identity" else None
    runs.append(_run("random", what, random, graph, some, known, exact, seed, progress))
    return tuple(runs)


def _few(graph: Graph) -> tuple[int, int]:
    return next((features, exponents) for nodes, features, exponents in FEW if graph.n_nodes <= nodes)


def newman(d: int) -> Array:
    """(d,) exponents of products of d by d matrices with entries N(0, 1/d), nats per factor, largest first."""
    k = np.arange(1, d + 1)
    return np.asarray(0.5 * (math.log(2.0) + digamma((d - k + 1) / 2)) - 0.5 * math.log(d))


def _repeated(
    graph: Graph, network: GraphNetwork | None, X: AnyArray, normalization: str
) -> tuple[Layer, Array, str] | None:
    """The layer that is repeated, the signal that comes to it, and what it is; None if none keeps the features."""
    if network is None:
        # Every eigenvalue of A, as often as there are features: one of them tells all.
        return Layer(), np.ascontiguousarray(X[:, :1], dtype=np.float64), "repeated propagation, W = I, one feature"
    square = [k for k, layer in enumerate(network.layers) if layer.W is not None and len(set(layer.W.shape)) == 1]
    if not square:
        return None
    at = square[-1]
    layer = network.layers[at]
    width = layer.width(network.widths[at])
    signal = replace(network, layers=network.layers[:at]).forward(graph, X, normalization=normalization)[-1]
    return layer, signal, f"layer {at + 1} of the network repeated, {width} features"


def _log_moduli(layer: Layer) -> Array:
    assert layer.W is not None
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(np.linalg.eigvals(layer.W))))


def _of_products(graph: Graph, known: GraphSpectrum, features: Array) -> tuple[Array | None, float, float]:
    """ln |lambda_i| + what the features do (d,): all of them where the whole spectrum is cheap; the largest, and the
    largest outside the collapse subspace."""
    every = None
    if graph.n_nodes <= DENSE:
        plain = "sym" if known.normalization == "sym" else "sym+loops"  # "row+loops" has the eigenvalues of the latter
        with one_blas_thread(), np.errstate(divide="ignore"):
            values = np.abs(np.linalg.eigvalsh(graph.propagation_matrix(plain).toarray()))
            every = np.log(np.where(values > 1e-12, values, 0.0))
        every = np.sort(np.add.outer(every, features).ravel())[::-1]
    star = math.log(known.lambda_star) if known.lambda_star > 0 else -math.inf
    top = float(features.max())
    return every, top if known.trivial else star + top, star + top


def _run(
    name: str,
    what: str,
    stack: Any,
    graph: Graph,
    signal: Array,
    known: GraphSpectrum,
    exact: tuple[Array | None, float, float] | None,
    seed: int,
    progress: Progress | None,
) -> StackExponents:
    k = min(_few(graph)[1], signal.size)
    layer_work = float(graph.adjacency.nnz + 20 * graph.n_nodes) * k * signal.shape[1]
    depth = int(min(LONGEST, max(SHORTEST, WORK / layer_work)))
    if layer_work * depth > MOST:
        raise AnalysisError(
            f"{k} tangents of {signal.size} numbers through {depth} layers would take longer than the rest of the "
            "report; `dynsys.propagate.layer_exponents` does it."
        )
    measured = layer_exponents(
        stack, graph, signal, depth, k=k, normalization=known.normalization, seed=seed, progress=progress
    )
    nothing = np.full(k, np.nan)
    whole, leading, transverse = (None, math.nan, math.nan) if exact is None else exact
    return StackExponents(
        name=name,
        what=what,
        measured=measured,
        exact=nothing if whole is None else whole[:k],
        leading=leading,
        transverse=transverse,
    )
