"""Graphs: how they are read, and what their structure says about propagation on them.

Everything here takes what `as_graph` reads: a networkx graph, a scipy sparse matrix, an edge list (2, m), or a file.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Curvature": "curvatures",
    "EffectiveResistance": "resistances",
    "Graph": "graph",
    "Bottlenecks": "narrow_edges",
    "CheegerCut": "cuts",
    "GraphSpectrum": "extremes",
    "Homophily": "labels",
    "KirchhoffIndex": "kirchhoff",
    "ReceptiveField": "receptive",
    "Rewiring": "rewiring",
    "SpectralDensity": "densities",
    "as_graph": "reading",
    "bottlenecks": "narrow_edges",
    "cheeger": "cuts",
    "curvature": "curvatures",
    "effective_resistance": "resistances",
    "homophily": "labels",
    "kirchhoff_index": "kirchhoff",
    "receptive_field": "receptive",
    "rewire": "rewiring",
    "spectral_density": "densities",
    "spectrum": "extremes",
}

__all__ = [
    "Bottlenecks",
    "CheegerCut",
    "Curvature",
    "EffectiveResistance",
    "Graph",
    "GraphSpectrum",
    "Homophily",
    "KirchhoffIndex",
    "ReceptiveField",
    "Rewiring",
    "SpectralDensity",
    "as_graph",
    "bottlenecks",
    "cheeger",
    "curvature",
    "effective_resistance",
    "homophily",
    "kirchhoff_index",
    "receptive_field",
    "rewire",
    "spectral_density",
    "spectrum",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"dynsys.graphs has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.graphs.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
