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
    "bidirectional": "two_directions",
    "bptt": "through_time",
    "certify": "proofs",
    "clockwork": "combinators",
    "close_loop": "combinators",
    "continuous_rates": "euler_rates",
    "couple": "combinators",
    "covariant_vectors": "covariant",
    "deepen": "combinators",
    "drive": "combinators",
    "find_attractors": "attractors",
    "find_cycles": "cycles",
    "find_fixed_points": "fixed_points",
    "gate_time_constants": "gate_times",
    "generate": "sequences",
    "gradient_spectrum": "gradients",
    "iterate": "combinators",
    "layers": "combinators",
    "load": "loaders",
    "lyapunov_spectrum": "lyapunov",
    "Map": "maps",
    "mean_field": "random_networks",
    "over_graph": "combinators",
    "propagation": "propagate",
    "remedies": "cure",
    "report": "reporting",
    "respond": "sequences",
    "save_npz": "loaders.save",
    "simulate": "orbits",
    "slow_manifolds": "slow_sets",
    "stack": "combinators",
    "symbolic": "exact",
    "watch": "training_watch",
    "wiring": "unstable_branches",
    "worst_case": "worst",
}
_ROOMS = frozenset(["graphs", "propagate"])  # packages of functions that belong together

__all__ = [
    "Map",
    "__version__",
    "all_fixed_points",
    "as_map",
    "bidirectional",
    "bptt",
    "certify",
    "clockwork",
    "close_loop",
    "continuous_rates",
    "couple",
    "covariant_vectors",
    "deepen",
    "drive",
    "find_attractors",
    "find_cycles",
    "find_fixed_points",
    "gate_time_constants",
    "generate",
    "gradient_spectrum",
    "graphs",
    "iterate",
    "layers",
    "load",
    "lyapunov_spectrum",
    "mean_field",
    "over_graph",
    "propagate",
    "propagation",
    "remedies",
    "report",
    "respond",
    "save_npz",
    "simulate",
    "slow_manifolds",
    "stack",
    "symbolic",
    "watch",
    "wiring",
    "worst_case",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"dynsys.{name}")
    if name not in _WHERE:
        raise AttributeError(f"dynsys has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
