"""Every result is frozen, prints itself, names what it is about, and becomes strict JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

from dynsys import graphs
from dynsys.jsonable import dumps

GRAPH = nx.barbell_graph(5, 1)
RESULTS: dict[str, Callable[[Any], Any]] = {
    "graph": graphs.as_graph,
    "spectrum": graphs.spectrum,
    "density": lambda g: graphs.spectral_density(g, moments=8),
    "cut": graphs.cheeger,
    "resistance": graphs.effective_resistance,
    "kirchhoff": graphs.kirchhoff_index,
    "curvature": graphs.curvature,
    "bottlenecks": graphs.bottlenecks,
    "receptive": graphs.receptive_field,
    "homophily": lambda g: graphs.homophily(g, np.arange(len(g)) % 2),
    "rewiring": lambda g: graphs.rewire(g, edges=1),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_print_freeze_and_become_json(name: str) -> None:
    result = RESULTS[name](GRAPH)
    assert str(result) == repr(result)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, next(iter(result.__dataclass_fields__)), None)
    written = json.loads(dumps(result))
    assert len(written) >= 3


@pytest.mark.parametrize("name", ["spectrum", "density", "cut", "rewiring"])
def test_spectral_results_name_their_normalisation(name: str) -> None:
    assert RESULTS[name](GRAPH).to_dict()["normalization"] in ("sym", "sym+loops", "row+loops")


LOOSE = nx.disjoint_union(nx.path_graph(2), nx.empty_graph(1))


@pytest.mark.parametrize("name", sorted(set(RESULTS) - {"homophily"}))
@pytest.mark.parametrize("graph", [nx.empty_graph(1), nx.empty_graph(3), LOOSE, nx.path_graph(2)], ids=str)
def test_the_smallest_graphs_have_answers(name: str, graph: nx.Graph) -> None:
    """Without edges, without a second component, without a pair: strict JSON, no warning, no exception."""
    assert json.loads(dumps(RESULTS[name](graph)))
    assert str(RESULTS[name](graph))


@pytest.mark.parametrize("name", RESULTS)
def test_string_names_change_nothing(name: str) -> None:
    """The answers are about positions, whatever the nodes are called."""
    named = nx.relabel_nodes(GRAPH, {node: f"node {node}" for node in GRAPH})
    a, b = (json.loads(dumps(RESULTS[name](g))) for g in (GRAPH, named))
    assert json.dumps(a) == json.dumps(b)
