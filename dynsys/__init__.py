"""dynsys: recurrent and graph neural-network cells as discrete dynamical maps.

Nothing heavy is imported before it is used: `import dynsys` costs NumPy alone.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "all_fixed_points": "proofs",
    "as_map": "combinators",
    "bptt": "through_time",
    "certify": "proofs",
    "close_loop": "combinators",
    "drive": "combinators",
    "find_attractors": "attractors",
    "find_cycles": "cycles",
    "find_fixed_points": "fixed_points",
    "gate_time_constants": "gate_times",
    "gradient_spectrum": "gradients",
    "iterate": "combinators",
    "load": "loaders",
    "lyapunov_spectrum": "lyapunov",
    "mean_field": "random_networks",
    "propagation": "propagate",
    "remedies": "cure",
    "report": "reporting",
    "save_npz": "loaders.save",
    "stack": "combinators",
    "symbolic": "exact",
    "Map": "maps",
    "simulate": "orbits",
    "slow_manifolds": "slow_sets",
    "wiring": "unstable_branches",
}
_ROOMS = frozenset(["graphs", "propagate"])  # packages of functions that belong together

__all__ = [
    "Map",
    "__version__",
    "all_fixed_points",
    "as_map",
    "bptt",
    "certify",
    "close_loop",
    "drive",
    "find_attractors",
    "find_cycles",
    "find_fixed_points",
    "gate_time_constants",
    "gradient_spectrum",
    "graphs",
    "iterate",
    "load",
    "lyapunov_spectrum",
    "mean_field",
    "propagate",
    "propagation",
    "remedies",
    "report",
    "save_npz",
    "simulate",
    "slow_manifolds",
    "stack",
    "symbolic",
    "wiring",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"dynsys.{name}")
    if name not in _WHERE:
        raise AttributeError(f"dynsys has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
