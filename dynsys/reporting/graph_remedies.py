"""What could be changed against smoothing and squashing, each change measured again rather than promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys.graphs import Graph, rewire
from dynsys.graphs.graph import NORMALIZATIONS
from dynsys.propagate.layers import Layer, stack_of
from dynsys.propagate.network import GraphNetwork
from dynsys.propagate.result import Propagation
from dynsys.propagate.run import propagation
from dynsys.reporting.wording import plural
from dynsys.types import AnyArray, Progress

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
    within: Progress | None = None,
) -> tuple[tuple[Remedy, ...], tuple[str, ...]]:
    """Try the changes that apply, until the time is used up; and say which were not tried, and why."""
    trials = _Trials(graph, network, X, base, common, late, within)
    trials.residuals()
    trials.normalizations()
    trials.rewiring()
    if base.effective_depth is not None and base.effective_depth > 1 and network is None:
        depth = max(1, base.effective_depth // 2)
        what = f"{depth} layers in place of {base.depth}"
        trials.measure("shallower", "fewer layers", what, trials.layers[:depth], depth=depth)
    return tuple(trials.tried), tuple(trials.left_out)


@final
class _Trials:
    """One change after the other, against the signal as it is."""

    def __init__(
        self,
        graph: Graph,
        network: GraphNetwork | None,
        X: AnyArray,
        base: Propagation,
        common: dict[str, Any],
        late: Callable[[], bool],
        within: Progress | None,
    ) -> None:
        self.tried: list[Remedy] = []
        self.left_out: list[str] = []
        self.layers = list(stack_of(network, X, base.depth).layers)
        self._graph, self._X, self._base, self._late, self._within = graph, X, base, late, within
        self._settings = common | {"bands": None, "ranks": False, "jacobians": False, "gradients": False}
        self._before = propagation(self.layers, graph, X, base.depth, **self._settings)

    def measure(
        self,
        kind: str,
        name: str,
        what: str,
        stack: Any,
        *,
        on: Graph | None = None,
        depth: int | None = None,
        **changed: Any,
    ) -> None:
        """Follow the signal through `stack`, unless it is too late."""
        if self._late():
            self.left_out.append(f'the change "{name}": the time was used up')
            return
        if self._within is not None:
            self._within(len(self.tried) + 1, 0, f"trying {name}")
        settings = self._settings | changed
        run = propagation(stack, on or self._graph, self._X, depth or self._base.depth, **settings)
        self.tried.append(_compared(kind, name, what, self._before, run))

    def residuals(self) -> None:
        """Residual connections, from the layer before and from the first signal."""
        mixed, width = [], self._X.shape[1]
        for layer in self.layers:
            mixed.append(_mixed(layer, width))
            width = layer.width(width)
        if any(a is not b for a, b in zip(self.layers, mixed, strict=True)):
            what = f"residual connection: H' = {MIX:g} H + {1 - MIX:g} s(A H W) where the width stays the same"
            self.measure("residual", "residual", what, mixed)
        if all(layer.W is None for layer in self.layers):
            W = (1 - ANCHOR) * np.eye(self._X.shape[1])
            anchored = Layer(W=W, X=ANCHOR * self._X.astype(np.float64))
            what = f"initial residual: H' = {1 - ANCHOR:g} A H + {ANCHOR:g} X, as in APPNP and GCNII"
            self.measure("initial-residual", "initial residual", what, [anchored] * self._base.depth)

    def normalizations(self) -> None:
        """The other normalisations."""
        own = self._base.normalization
        for other in NORMALIZATIONS:
            if other != own and not (other == "sym" and not self._graph.n_edges):
                what = f'normalisation "{other}" in place of "{own}"'
                name = f"normalisation {other}"
                self.measure("normalization", name, what, self.layers, normalization=other, spectrum=None)

    def rewiring(self) -> None:
        """Edges added for the gap."""
        graph, base = self._graph, self._base
        if graph.n_edges > LARGEST:
            self.left_out.append(
                f"rewiring: tried up to {_spaced(LARGEST)} edges, and here are {_spaced(graph.n_edges)}; "
                "`dynsys.graphs.rewire` does it"
            )
        if not 0 < graph.n_edges <= LARGEST or graph.n_nodes <= 3:
            return
        if self._late():
            self.left_out.append("rewiring: the time was used up")
            return
        count = max(1, min(20, graph.n_edges // 50))
        changed = rewire(graph, "gap", edges=count, normalization=base.normalization, seed=base.seed)
        if changed.added.shape[1]:
            what = f"{plural(changed.added.shape[1], 'edge')} added where the spectral gap widens most"
            self.measure("rewiring", "rewiring", what, self.layers, on=changed.graph, spectrum=None)


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")


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
