"""Graph propagation: deep and implicit graph convolutions as maps over layers.

`propagation` follows a signal layer by layer. Beside it stand what the same layers do to perturbations and gradients
(`layer_exponents`, `sensitivity`) and what they settle at when they are repeated (`solve_implicit`,
`origin_thresholds`).
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "GraphNetwork": "network",
    "ImplicitSolution": "implicit",
    "Layer": "layers",
    "LayerExponents": "exponents",
    "Propagation": "result",
    "RandomGCN": "layers",
    "Sensitivity": "squashing",
    "Thresholds": "thresholds",
    "homogeneous_multipliers": "thresholds",
    "homogeneous_state": "thresholds",
    "layer_exponents": "exponents",
    "origin_thresholds": "thresholds",
    "propagation": "run",
    "sensitivity": "squashing",
    "solve_implicit": "implicit",
}

__all__ = [
    "GraphNetwork",
    "ImplicitSolution",
    "Layer",
    "LayerExponents",
    "Propagation",
    "RandomGCN",
    "Sensitivity",
    "Thresholds",
    "homogeneous_multipliers",
    "homogeneous_state",
    "layer_exponents",
    "origin_thresholds",
    "propagation",
    "sensitivity",
    "solve_implicit",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"dynsys.propagate has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.propagate.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
