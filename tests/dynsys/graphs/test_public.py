"""The names of `dynsys.graphs`: all there, all documented, cheap to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynsys import graphs

ROOT = Path(__file__).parents[3]


def test_all_is_what_is_there() -> None:
    assert dir(graphs) == sorted(graphs.__all__)
    for name in graphs.__all__:
        assert (getattr(graphs, name).__doc__ or "").strip()
    with pytest.raises(AttributeError, match="no_such_thing"):
        graphs.no_such_thing  # noqa: B018 (the access is the test)


def test_every_function_is_in_its_document() -> None:
    page = (ROOT / "docs" / "graphs.md").read_text(encoding="utf-8")
    for name in graphs.__all__:
        if name[0].islower():
            assert f"graphs.{name}(" in page, name
    for term in ("sym+loops", "row+loops", "balanced-forman", "lin-lu-yau"):
        assert f'"{term}"' in page or f"`{term}`" in page


def test_no_analysis_loads_torch_or_matplotlib() -> None:
    program = """
import sys, numpy as np
from dynsys import graphs
graph = graphs.as_graph(np.array([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]]))
graphs.spectrum(graph), graphs.cheeger(graph), graphs.curvature(graph), graphs.effective_resistance(graph)
graphs.rewire(graph, edges=1), graphs.receptive_field(graph), graphs.spectral_density(graph, moments=5)
sys.exit(any(name in sys.modules for name in ("torch", "matplotlib", "networkx", "numba")))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
