"""Graphs: how they are read, and what their structure says about propagation on them.

Everything here takes what `as_graph` reads: a networkx graph, a scipy sparse matrix, an edge list (2, m), or a file.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Graph": "graph",
    "CheegerCut": "cuts",
    "GraphSpectrum": "extremes",
    "SpectralDensity": "densities",
    "as_graph": "reading",
    "cheeger": "cuts",
    "spectral_density": "densities",
    "spectrum": "extremes",
}

__all__ = [
    "CheegerCut",
    "Graph",
    "GraphSpectrum",
    "SpectralDensity",
    "as_graph",
    "cheeger",
    "spectral_density",
    "spectrum",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"dynsys.graphs has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.graphs.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
