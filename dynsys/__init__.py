"""dynsys: recurrent and graph neural-network cells as discrete dynamical maps.

Nothing heavy is imported before it is used: `import dynsys` costs NumPy alone.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "as_map": "combinators",
    "bidirectional": "two_directions",
    "bptt": "through_time",
    "clockwork": "combinators",
    "close_loop": "combinators",
    "couple": "combinators",
    "deepen": "combinators",
    "drive": "combinators",
    "find_fixed_points": "fixed_points",
    "generate": "sequences",
    "gradient_spectrum": "gradients",
    "iterate": "combinators",
    "layers": "combinators",
    "load": "loaders",
    "lyapunov_spectrum": "lyapunov",
    "Map": "maps",
    "over_graph": "combinators",
    "report": "reporting",
    "respond": "sequences",
    "save_npz": "loaders.save",
    "simulate": "orbits",
    "stack": "combinators",
}

__all__ = [
    "Map",
    "__version__",
    "as_map",
    "bidirectional",
    "bptt",
    "clockwork",
    "close_loop",
    "couple",
    "deepen",
    "drive",
    "find_fixed_points",
    "generate",
    "gradient_spectrum",
    "iterate",
    "layers",
    "load",
    "lyapunov_spectrum",
    "over_graph",
    "report",
    "respond",
    "save_npz",
    "simulate",
    "stack",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"dynsys has no {name!r}")
    return getattr(importlib.import_module(f"dynsys.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
