"""Over-squashing: how strongly the output at a node depends on inputs at each distance from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs import Graph, as_graph
from dynsys.graphs.operators import SparseOperator
from dynsys.propagate.blocks_of_tangents import pull
from dynsys.propagate.layers import LIPSCHITZ, Layer, RandomGCN, stack_of
from dynsys.propagate.operator import Propagator, propagator
from dynsys.propagate.run import checked_signal, normalization_of
from dynsys.propagate.states import slopes, start, step
from dynsys.read_only import read_only
from dynsys.tables import aligned
from dynsys.types import AnyArray, Array, Integers, Progress

LARGEST = 2**31  # bytes that the slopes of all layers may take
EXACT_OUTPUTS = 16  # output features up to which all are followed


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Sensitivity:
    """Influence I(v, u) = |d h_v^(L) / d h_u^(0)|_1, sum of the moduli of all entries, by the distance from v to u.

    Attributes:
        hops: (H,) distances 0, 1, ... that occur within `depth` layers.
        log_total: (H,) nats, of the mean over nodes v of the sum of I(v, u) over all u at this distance.
        log_bound: (H,) the same for the topological bound prod_l (c s_l A + |r| 1) in place of the Jacobian, with c the
            Lipschitz constant and s_l the largest absolute row or column sum of W_l that applies.
        nodes_at: (H,) mean number of nodes at each distance.
        reach: sum h T_h / sum T_h, the mean distance from which influence comes, in hops. reach_error: its standard
            error over the sampled nodes.
        sources: (s,) the nodes v. depth, name, normalization: what was analysed.
        sampled_outputs: whether only some output features were followed.
    """

    hops: Integers
    log_total: Array
    log_bound: Array
    nodes_at: Array
    reach: float
    reach_error: float
    sources: Integers
    depth: int
    name: str
    normalization: str
    sampled_outputs: bool
    notes: tuple[str, ...] = ()

    @property
    def shares(self) -> Array:
        """(H,) share of all influence that comes from each distance; NaN where there is none at all."""
        if self.log_total.max() == -np.inf:
            return np.full(len(self.hops), np.nan)
        top = np.exp(self.log_total - self.log_total.max())
        return np.asarray(top / top.sum())

    @property
    def log_per_node(self) -> Array:
        """(H,) nats, of the mean influence of one node at this distance."""
        return self.log_total - np.log(self.nodes_at)

    def to_dict(self) -> dict[str, Any]:
        """All fields and the shares, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"shares": self.shares}

    def __str__(self) -> str:
        header = ["hops", "nodes", "share", "log influence", "per node", "log bound"]
        rows = [
            [str(h), f"{c:.4g}", f"{s:.4f}", f"{t:.3f}", f"{p:.3f}", f"{b:.3f}"]
            for h, c, s, t, p, b in zip(
                self.hops, self.nodes_at, self.shares, self.log_total, self.log_per_node, self.log_bound, strict=True
            )
        ]
        head = f"{self.name}: influence on {len(self.sources)} nodes after {self.depth} layers ({self.normalization})"
        tail = f"mean distance of influence {self.reach:.3f} +- {self.reach_error:.1e} hops"
        return "\n".join([head, aligned(header, rows), tail, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def sensitivity(
    gcn: Any,
    graph: Any,
    features: Any,
    depth: int | None = None,
    *,
    sources: Sequence[int] | Integers | None = None,
    n_sources: int = 64,
    normalization: str | None = None,
    beyond: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sensitivity:
    """How the output at sampled nodes depends on the input at each distance.

    Args:
        gcn, graph, features, depth, normalization, beyond: as for `propagation`; of a `RandomGCN` the first seed is
            taken, and `depth` None is 8.
        sources: indices of the nodes v; None draws `n_sources` of them.
        seed: of the drawn nodes, and of the drawn output features where the network has more than 16.
        progress: called with (nodes done, nodes, message).

    Returns: Sensitivity.
    Accuracy: exact for the given nodes, up to 16 output features; beyond that 16 of them stand for all.
    Sources: J. Topping et al., ICLR 2022 (arXiv:2111.14522), lemma 1; F. Di Giovanni et al., ICML 2023
        (arXiv:2302.02941).
    """
    graph = as_graph(graph)
    signal = checked_signal(features, graph.n_nodes).astype(np.float64)
    normalization, notes = normalization_of(gcn, graph, normalization)
    A = propagator(graph, normalization)
    depth = depth if depth is not None or hasattr(gcn, "source") else 8
    if isinstance(gcn, RandomGCN):
        name, layers = "random GCN", gcn.layers(signal.shape[1], depth or 8, gcn.seeds[0])
    else:
        stack = stack_of(gcn, signal, depth, beyond)
        name, layers, notes = stack.name, list(stack.layers), (*notes, *stack.notes)
    chosen = _sources(sources, n_sources, A.n, seed)
    widths = [signal.shape[1]]
    for layer in layers:
        widths.append(layer.width(widths[-1]))
    scalar = all(layer.linear and layer.residual == 0 for layer in layers)
    if scalar:
        influence, log = _of_powers(A, layers, chosen, widths[0])
    else:
        influence, log = _of_jacobians(A, layers, signal, chosen, widths[-1], seed, progress)
    bound, log_bound = _bounds(A, layers, chosen, widths[-1])
    return _by_hop(
        influence,
        log,
        bound,
        log_bound,
        _distances(graph, chosen, len(layers)),
        sources=chosen,
        depth=len(layers),
        name=name,
        normalization=normalization,
        sampled_outputs=not scalar and widths[-1] > EXACT_OUTPUTS,
        notes=tuple(notes),
    )


def _sources(sources: Any, count: int, n: int, seed: int) -> Integers:
    if sources is None:
        if count < 1:
            raise InputError(f"`n_sources` must be at least 1, got {count}.")
        return np.sort(seeds.generator(seed).choice(n, min(count, n), replace=False)).astype(np.int64)
    chosen = np.atleast_1d(np.asarray(sources))
    if chosen.dtype.kind not in "iu" or not len(chosen) or chosen.min() < 0 or chosen.max() >= n:
        raise InputError(f"`sources` lists nodes by their index, 0 to {n - 1}; got {sources!r}.")
    return chosen.astype(np.int64)


def _distances(graph: Graph, sources: Integers, most: int) -> Array:
    """(sources, n) hops up to `most`, inf beyond: breadth first, all sources at once."""
    step = SparseOperator(graph.simple, dtype=np.float32)
    reached = np.zeros((graph.n_nodes, len(sources)), dtype=np.float32)
    reached[sources, np.arange(len(sources))] = 1
    distances = np.where(reached > 0, 0.0, np.inf)
    for hop in range(1, most + 1):
        new = (step(reached) > 0) & np.isinf(distances)
        if not new.any():
            break
        distances[new] = hop
        reached = new.astype(np.float32)
    return np.asarray(distances.T)


def _of_powers(A: Propagator, layers: Sequence[Layer], sources: Integers, width: int) -> tuple[Array, Array]:
    """Linear layers: I(v, u) = (A^L)_vu times the sum of the moduli of W_1 ... W_L, exactly. (sources, n), logs."""
    rows, log = _propagated(A, len(layers), sources)
    whole, extra = np.eye(width), 0.0
    for layer in layers:
        if layer.W is not None:
            whole = whole @ layer.W
            size = float(np.abs(whole).max())
            if size == 0:
                return np.zeros_like(rows), log
            whole, extra = whole / size, extra + math.log(size)
    return rows * float(np.abs(whole).sum()), log + extra


def _propagated(A: Propagator, depth: int, sources: Integers) -> tuple[Array, Array]:
    """Rows `sources` of A^depth, (sources, n), and the logarithm of what they are to be multiplied by."""
    back = A.transposed.product()
    B = np.zeros((A.n, len(sources)))
    B[sources, np.arange(len(sources))] = 1.0
    for _ in range(depth):
        B = back(B)
    return B.T, np.zeros(len(sources))


def _of_jacobians(
    A: Propagator,
    layers: Sequence[Layer],
    signal: Array,
    sources: Integers,
    width: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Array, Array]:
    """The general case: cotangents of every output feature of a node, back through all layers. (sources, n), logs."""
    bends = _slopes(A, layers, signal)
    back = A.transposed.product()
    outputs = np.arange(width)
    if width > EXACT_OUTPUTS:
        outputs = np.sort(seeds.generator(seed).choice(width, EXACT_OUTPUTS, replace=False))
    influence, log = np.zeros((len(sources), A.n)), np.zeros(len(sources))
    for i, v in enumerate(sources):
        B = np.zeros((A.n, len(outputs), width))
        B[v, np.arange(len(outputs)), outputs] = 1.0
        for layer, bend in zip(reversed(layers), reversed(bends), strict=True):
            B = pull(back, layer, bend, B)
            size = float(np.abs(B).max(initial=0.0))
            if size == 0:
                break
            B /= size
            log[i] += math.log(size)
        influence[i] = np.abs(B).sum(axis=(1, 2)) * (width / len(outputs))
        if progress is not None:
            progress(i + 1, len(sources), "influence by distance")
    return influence, log


def _slopes(A: Propagator, layers: Sequence[Layer], signal: Array) -> list[AnyArray | None]:
    entry = max(1 if layer.activation == "relu" else 8 * (not layer.linear) for layer in layers)
    if entry * signal.size * len(layers) > LARGEST:
        raise InputError(
            f"the slopes of {len(layers)} layers of {signal.shape} would take more than {LARGEST / 2**30:.0f} GiB: use "
            "fewer layers, or a part of the graph."
        )
    multiply = A.product()
    state = start(A, signal, np.float64)
    bends = []
    for layer in layers:
        product = multiply(state.T)
        bends.append(slopes(A, state, product, layer))
        state = step(A, state, product, layer)
    return bends


def _bounds(A: Propagator, layers: Sequence[Layer], sources: Integers, width: int) -> tuple[Array, Array]:
    """prod_l (c s_l A + |r| 1), row v, times the features: no influence can be larger. (sources, n), logs."""
    back = A.transposed.product()
    B = np.zeros((A.n, len(sources)))
    B[sources, np.arange(len(sources))] = width
    log = 0.0
    for layer in reversed(layers):
        # The 1-norm of a block pulled back through W^T grows by at most the largest sum of a column of |W|.
        strength = 1.0 if layer.W is None else float(np.abs(layer.W).sum(axis=0).max())
        moved = LIPSCHITZ[layer.activation] * strength * back(B)
        B = moved if layer.residual == 0 else moved + abs(layer.residual) * B
        size = float(B.max(initial=0.0))
        if size == 0:
            break
        B, log = B / size, log + math.log(size)
    return B.T, np.full(len(sources), log)


def _by_hop(
    influence: Array, log: Array, bound: Array, log_bound: Array, distances: Array, **named: Any
) -> Sensitivity:
    """Sums over the nodes at each distance, averaged over the sources."""
    depth = named["depth"]
    far = np.where(np.isfinite(distances) & (distances <= depth), distances, depth + 1).astype(np.int64)
    length = int(far[far <= depth].max(initial=0)) + 1
    totals, bounds, counts = (np.zeros((len(far), depth + 2)) for _ in range(3))
    for i, hops in enumerate(far):
        totals[i] = np.bincount(hops, influence[i], minlength=depth + 2)
        bounds[i] = np.bincount(hops, bound[i], minlength=depth + 2)
        counts[i] = np.bincount(hops, minlength=depth + 2)
    totals, bounds, counts = (table[:, :length] for table in (totals, bounds, counts))
    hops = np.arange(length)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = (totals @ hops) / totals.sum(axis=1)
    live = np.isfinite(each)
    spread = float(each[live].std(ddof=1)) if live.sum() > 1 else 0.0
    return Sensitivity(
        hops=hops,
        log_total=_log_mean(totals, log),
        log_bound=_log_mean(bounds, log_bound),
        nodes_at=counts.mean(axis=0),
        reach=float(each[live].mean()) if live.any() else math.nan,
        reach_error=spread / math.sqrt(max(int(live.sum()), 1)),
        **named,
    )


def _log_mean(values: Array, logs: Array) -> Array:
    """log of the mean over rows of values exp(logs)."""
    top = float(logs.max())
    with np.errstate(divide="ignore"):
        return np.asarray(np.log((values * np.exp(logs - top)[:, np.newaxis]).mean(axis=0)) + top)
