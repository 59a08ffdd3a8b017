"""The Kirchhoff index: the sum of effective resistances over all pairs of nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.laplacian import DENSE, Laplacian
from dynsys.graphs.reading import as_graph
from dynsys.types import Progress

EPS = float(np.finfo(np.float64).eps)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class KirchhoffIndex:
    """Total effective resistance.

    Attributes:
        value: sum of R_uv over all pairs u < v, n tr L^+; inf for a disconnected graph. Units as R.
        within: the same over the pairs in one component.
        error: of `within`: a standard error (probes), or an estimate of rounding.
        mean: `within` over the number of its pairs; NaN without a pair.
        probes: random vectors, 0 for an exact answer. method: in words.
    """

    value: float
    within: float
    error: float
    mean: float
    probes: int
    seed: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        return (
            f"Kirchhoff index {self.value:.8g} (within components {self.within:.8g} +- {self.error:.1g}; {self.method})"
        )

    __repr__ = __str__


def kirchhoff_index(
    graph: Any,
    *,
    probes: int | None = None,
    tol: float = 1e-6,
    seed: int = 0,
    directed: str = "refuse",
    progress: Progress | None = None,
) -> KirchhoffIndex:
    """The Kirchhoff index of a graph.

    Args:
        graph: anything `as_graph` reads; directed: as there. Weights are conductances.
        probes: random sign vectors for the trace of L^+ (Hutchinson); None: exact where every component has at most
            3000 nodes, else 64.
        tol: relative residual of iterative solves. seed: of the probes. progress: called with (done, all, message).

    Source: D. Klein and M. Randic, Journal of Mathematical Chemistry 12 (1993) 81-95.
    """
    graph = as_graph(graph, directed=directed)
    if probes is not None and probes < 4:
        raise InputError(f"`probes` must be at least 4, to tell their spread, got {probes}.")
    rng = seeds.generator(seed)
    laplacian = Laplacian(graph)
    sizes = laplacian.sizes
    if probes is None and sizes.max() <= DENSE:
        within = error = 0.0
        for nodes, inverse in laplacian.dense_inverses(sizes[graph.components] > 1):
            G, n = inverse.G, sizes[graph.components[nodes]]
            # With G zero at one node of the component: sum_(u<v) (G_uu + G_vv - 2 G_uv) = n tr G - sum G.
            trace, total = float(n @ np.diag(G)), float(G.sum())
            within += trace - total
            error += (inverse.relative_error + 4 * EPS) * trace
        count, method = 0, "exact, dense inverse of each component's Laplacian"
    else:
        count = probes or 64
        z = laplacian.centred(rng.choice([-1.0, 1.0], (graph.n_nodes, count)))
        solved = laplacian.solve(z, tol, progress)
        by_probe = (sizes[graph.components][:, np.newaxis] * z * solved.x).sum(axis=0)
        within, error = float(by_probe.mean()), float(by_probe.std(ddof=1)) / math.sqrt(count)
        method = f"{count} probes, relative residual {solved.residual:.1e}"
    pairs = float((sizes * (sizes - 1) / 2).sum())
    return KirchhoffIndex(
        value=within if len(sizes) == 1 else math.inf,
        within=within,
        error=error,
        mean=within / pairs if pairs else math.nan,
        probes=count,
        seed=seed,
        method=method,
    )
