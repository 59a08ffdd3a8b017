"""What could be changed against smoothing and squashing, each change measured again rather than promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.graphs import Graph, rewire
from dynsys.propagate.layers import Layer, stack_of
from dynsys.propagate.network import GraphNetwork
from dynsys.propagate.result import Propagation
from dynsys.propagate.run import propagation
from dynsys.reporting.wording import plural
from dynsys.types import AnyArray

MIX = 0.5  # share of the old signal that the residual connection keeps
ANCHOR = 0.1  # share of the first signal that is fed in again
LARGEST = 300_000  # edges up to which a rewiring is tried


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Remedy:
    """One change, and what it did to the same signal at the same depth.

    Attributes:
        id: "residual", "initial-residual", "rewiring", "normalization", "shallower". name, what: in a few words, and
            in more.
        log_relative_distance: nats, of d_M / |H| at the last layer, before and after.
        rate: nats per layer, before and after. probe: accuracy at the last layer, before and after; NaN without labels.
        gap: 1 - lambda_star, before and after.
    """

    id: str
    name: str
    what: str
    log_relative_distance: tuple[float, float]
    rate: tuple[float, float]
    probe: tuple[float, float]
    gap: tuple[float, float]


def remedies(
    graph: Graph,
    network: GraphNetwork | None,
    X: AnyArray,
    base: Propagation,
    common: dict[str, Any],
    late: Callable[[], bool],
) -> tuple[Remedy, ...]:
    """Try the changes that apply, until the time is used up."""
    light: dict[str, Any] = {"bands": None, "ranks": False, "jacobians": False, "gradients": False}
    layers = list(stack_of(network, X, base.depth).layers)
    before = propagation(layers, graph, X, base.depth, **common, **light)
    tried: list[Remedy] = []

    def measure(kind: str, name: str, what: str, stack: Any, on: Graph, depth: int, **changed: Any) -> None:
        settings = common | light | changed
        if not late():
            tried.append(_compared(kind, name, what, before, propagation(stack, on, X, depth, **settings)))

    mixed, width = [], X.shape[1]
    for layer in layers:
        mixed.append(_mixed(layer, width))
        width = layer.width(width)
    if any(a is not b for a, b in zip(layers, mixed, strict=True)):
        what = f"residual connection: H' = {MIX:g} H + {1 - MIX:g} s(A H W) where the width stays the same"
        measure("residual", "residual", what, mixed, graph, base.depth)
    if all(layer.W is None for layer in layers):
        anchored = Layer(W=(1 - ANCHOR) * np.eye(X.shape[1]), X=ANCHOR * X.astype(np.float64))
        what = f"initial residual: H' = {1 - ANCHOR:g} A H + {ANCHOR:g} X, as in APPNP and GCNII"
        measure("initial-residual", "initial residual", what, [anchored] * base.depth, graph, base.depth)
    for other in ("sym", "sym+loops", "row+loops"):
        if other != base.normalization and not (other == "sym" and not graph.n_edges):
            what = f'normalisation "{other}" in place of "{base.normalization}"'
            measure(
                "normalization",
                f"normalisation {other}",
                what,
                layers,
                graph,
                base.depth,
                normalization=other,
                spectrum=None,
            )
    if 0 < graph.n_edges <= LARGEST and graph.n_nodes > 3 and not late():
        count = max(1, min(20, graph.n_edges // 50))
        try:
            changed = rewire(graph, "gap", edges=count, normalization=base.normalization, seed=base.seed)
            what = f"{plural(changed.added.shape[1], 'edge')} added where the spectral gap widens most"
            measure("rewiring", "rewiring", what, layers, changed.graph, base.depth, spectrum=None)
        except AnalysisError:
            pass  # nothing can be added, e.g. to a complete graph
    if base.effective_depth is not None and base.effective_depth > 1 and network is None:
        depth = max(1, base.effective_depth // 2)
        measure("shallower", "fewer layers", f"{depth} layers in place of {base.depth}", layers[:depth], graph, depth)
    return tuple(tried)


def _mixed(layer: Layer, width: int) -> Layer:
    """The layer with a residual connection, where it can have one."""
    square = layer.W is None or layer.W.shape[0] == layer.W.shape[1]
    if not square or layer.residual != 0 or layer.activation in ("tanh", "sigmoid"):
        return layer
    # (1 - MIX) s(A H W) = s(A H (1 - MIX) W) for ReLU and the identity.
    W = np.eye(width) if layer.W is None else layer.W
    b = None if layer.b is None else (1 - MIX) * layer.b
    return replace(layer, W=(1 - MIX) * W, b=b, residual=MIX)


def _compared(kind: str, name: str, what: str, before: Propagation, after: Propagation) -> Remedy:
    def last(run: Propagation) -> float:
        return float(run.log_distance[-1] - run.log_norm[-1]) if np.isfinite(run.log_norm[-1]) else float("nan")

    return Remedy(
        id=kind,
        name=name,
        what=what,
        log_relative_distance=(last(before), last(after)),
        rate=(before.rate, after.rate),
        probe=(float(before.probe[-1]), float(after.probe[-1])),
        gap=(1 - before.lambda_star, 1 - after.lambda_star),
    )
