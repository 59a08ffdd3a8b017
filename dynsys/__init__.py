"""dynsys: recurrent and graph neural-network cells as discrete dynamical maps.

Nothing heavy is imported before it is used: `import dynsys` costs NumPy alone.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "as_map": "combinators",
    "bptt": "through_time",
    "close_loop": "combinators",
    "drive": "combinators",
    "find_cycles": "cycles",
    "find_fixed_points": "fixed_points",
    "gradient_spectrum": "gradients",
    "iterate": "combinators",
    "load": "loaders",
    "lyapunov_spectrum": "lyapunov",
    "mean_field": "random_networks",
    "report": "reporting",
    "save_npz": "loaders.save",
    "stack": "combinators",
    "symbolic": "exact",
    "Map": "maps",
    "simulate": "orbits",
}

__all__ = [
    "Map",
    "__version__",
    "as_map",
    "bptt",
    "close_loop",
    "drive",
    "find_cycles",
    "find_fixed_points",
    "gradient_spectrum",
    "iterate",
    "load",
    "lyapunov_spectrum",
    "mean_field",
    "report",
    "save_npz",
    "simulate",
    "stack",
    "symbolic",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"dynsys has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
