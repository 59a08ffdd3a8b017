"""Which state variables hang together: the groups that can be solved one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx


def blocks(step: Sequence[Any], state: Sequence[Any]) -> list[list[int]]:
    """Groups of variables that depend on each other, a group after all that it depends on."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(state)))
    place = {symbol: i for i, symbol in enumerate(state)}
    for i, formula in enumerate(step):
        graph.add_edges_from((place[s], i) for s in formula.free_symbols if s in place)
    condensed = nx.condensation(graph)
    return [sorted(condensed.nodes[group]["members"]) for group in nx.topological_sort(condensed)]
