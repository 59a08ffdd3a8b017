"""The analyses behind a propagation report, run one after the other and kept together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys.errors import AnalysisError
from dynsys.graphs import (
    Bottlenecks,
    Graph,
    GraphSpectrum,
    Homophily,
    SpectralDensity,
    as_graph,
    bottlenecks,
    cheeger,
    homophily,
    spectral_density,
    spectrum,
)
from dynsys.propagate.bands import EDGES
from dynsys.propagate.network import GraphNetwork
from dynsys.propagate.result import Propagation
from dynsys.propagate.run import checked_signal, propagation
from dynsys.propagate.signals import Signals
from dynsys.propagate.squashing import Sensitivity, sensitivity
from dynsys.reporting.graph_exponents import StackExponents, stack_exponents
from dynsys.reporting.graph_remedies import Remedy, remedies
from dynsys.types import AnyArray, Progress

STAGES = 8
DEEPEST = 8  # layers over which influence is followed
FEW = 8  # columns of a signal on which influence is followed on large graphs
VALUES = 6  # leading singular values of layer Jacobians
MANY_NODES = 50_000  # from which the density takes fewer probes, whose errors fall with the number of nodes
LARGE = 2_000_000  # entries of a signal from which fewer columns stand for all in what is repeated


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class GraphStudy:
    """Everything a propagation report shows, as results; None where a part was left out, with its reason.

    Attributes:
        linear: the features under linear propagation, beside a network's own `propagation`.
        exponents: over layers, of the repeated layer where there is one, and of fresh random weights.
        columns: of the signal, on which influence and remedies were measured.
        left_out: what was not run, and why.
    """

    graph: Graph
    network: GraphNetwork | None
    features: AnyArray
    signals: Signals
    spectrum: GraphSpectrum
    propagation: Propagation
    linear: Propagation | None
    influence: Sensitivity | None
    density: SpectralDensity | None
    narrow: Bottlenecks | None
    homophily: Homophily | None
    exponents: tuple[StackExponents, ...]
    remedies: tuple[Remedy, ...]
    columns: int
    left_out: tuple[str, ...]
    seed: int
    seconds: float


def run_graph_study(
    graph: Any,
    network: GraphNetwork | None,
    signals: Signals,
    *,
    depth: int | None = None,
    normalization: str = "sym+loops",
    budget_seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> GraphStudy:
    """Run the analyses of a propagation report; those that begin after `budget_seconds` are left out."""
    graph = as_graph(graph)
    X = checked_signal(signals.features, graph.n_nodes)
    steps = _Steps(budget_seconds, progress)
    known = steps.always("measuring the ends of the spectrum", lambda: spectrum(graph, normalization, seed=seed))
    common: dict[str, Any] = {
        "normalization": normalization, "labels": signals.labels, "train": signals.train, "test": signals.test,
        "spectrum": known, "seed": seed,
    }  # fmt: skip
    followed = steps.always(
        "following the signal through the layers",
        lambda: propagation(
            network, graph, X, depth, progress=steps.within, bands=EDGES if X.size <= LARGE else None,
            singular_values=0 if network is None else VALUES, **common,
        ),
    )  # fmt: skip
    if X.size > LARGE:
        entries = f"the signal has more than {LARGE:,} entries".replace(",", " ")
        steps.left_out.append(f"shares by band of eigenvalues: {entries}; `propagation(..., bands=...)` measures them")
    linear = None
    if network is not None:
        linear = steps.maybe(
            "linear propagation",
            lambda: propagation(
                None, graph, X, depth or 64, bands=None, ranks=False, jacobians=False, gradients=False, **common
            ),
        )
    few = X if network is not None or X.size <= LARGE else np.ascontiguousarray(X[:, :FEW])
    influence = steps.maybe(
        "influence by distance", lambda: _influence(graph, network, few, followed.depth, normalization, seed)
    )
    probes = None if graph.n_nodes <= MANY_NODES else 16
    density = steps.maybe("spectral density", lambda: spectral_density(graph, normalization, probes=probes, seed=seed))
    narrow = None
    if graph.n_edges:
        narrow = steps.maybe("bottleneck edges", lambda: _narrow(graph, seed))
    exponents = steps.maybe(
        "Lyapunov exponents over layers", lambda: stack_exponents(graph, network, few, known, seed=seed)
    )
    found = steps.maybe("remedies", lambda: remedies(graph, network, few, followed, common, steps.late, steps.within))
    tried, untried = found or ((), ())
    return GraphStudy(
        graph=graph,
        network=network,
        features=X,
        signals=signals,
        spectrum=known,
        propagation=followed,
        linear=linear,
        influence=influence,
        density=density,
        narrow=narrow,
        homophily=None if signals.labels is None else homophily(graph, signals.labels),
        exponents=exponents or (),
        remedies=tried,
        columns=few.shape[1],
        left_out=(*steps.left_out, *untried),
        seed=seed,
        seconds=time.monotonic() - steps.began,
    )


def _influence(
    graph: Graph, network: GraphNetwork | None, X: AnyArray, depth: int, normalization: str, seed: int
) -> Sensitivity:
    depth = min(depth, DEEPEST)
    fewer = 64 if graph.n_nodes <= 200_000 else 16
    return sensitivity(
        network, graph, X, depth, n_sources=fewer if network is None else 16, normalization=normalization, seed=seed
    )


def _narrow(graph: Graph, seed: int) -> Bottlenecks:
    """The narrowest edges; the cut of a graph in several parts is that of the largest (between parts it is 0)."""
    found = bottlenecks(graph, 10, seed=seed)
    if graph.n_components == 1:
        return found
    largest = np.flatnonzero(graph.components == np.argmax(np.bincount(graph.components)))
    best = cheeger(graph.subgraph(largest), seed=seed)
    side = np.zeros(graph.n_nodes, dtype=int)  # 0: in another component
    side[largest] = np.where(best.cut, 1, -1)
    one, other = side[found.edges]
    return replace(found, in_cut=np.asarray(one * other < 0), conductance=best.conductance)


class _Steps:
    """Stages in their order, with progress and a limit of time."""

    def __init__(self, budget: float | None, progress: Progress | None) -> None:
        self.began = time.monotonic()
        self.left_out: list[str] = []
        self._budget, self._progress, self._done = budget, progress, 0

    def late(self) -> bool:
        """Whether the time is used up."""
        return self._budget is not None and time.monotonic() - self.began > self._budget

    def within(self, done: int, total: int, message: str) -> None:
        """Progress of a stage."""
        if self._progress is not None:
            self._progress(self._done - 1, STAGES, f"{message} of {total}" if total else message)

    def always(self, what: str, work: Callable[[], Any]) -> Any:
        """A stage that the report cannot do without."""
        if self._progress is not None:
            self._progress(self._done, STAGES, what)
        self._done += 1
        return work()

    def maybe(self, what: str, work: Callable[[], Any]) -> Any:
        """A stage that is left out when the time is used up, or when it fails."""
        if self.late():
            self.left_out.append(f"{what}: the time of {self._budget:g} s was used up")
            return None
        try:
            return self.always(what, work)
        except AnalysisError as error:
            self.left_out.append(f"{what}: {error}")
            return None
