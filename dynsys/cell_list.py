"""The cells that ship with dynsys, described for `dynsys cells`."""

from __future__ import annotations

import inspect
from typing import Any


def known_cells() -> list[dict[str, Any]]:
    """Name, first docstring line, equations and fields of each cell class in `cells`."""
    from dynsys.loaders.recurrent import cells_package

    cells = cells_package()
    kinds = [getattr(cells, name) for name in cells.__all__]
    kinds = [k for k in kinds if inspect.isclass(k) and issubclass(k, cells.Cell) and k is not cells.Cell]
    return [_described(kind) for kind in sorted(kinds, key=lambda k: k.__name__)]


def _described(kind: Any) -> dict[str, Any]:
    text = inspect.getdoc(kind) or ""
    state = list(inspect.signature(kind.step).parameters)[1:-1]
    return {
        "name": kind.__name__,
        "summary": text.splitlines()[0] if text else "",
        "parameters": list(kind.shapes()),
        "state": state,
        "description": text,
    }
