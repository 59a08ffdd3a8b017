"""Cheeger's bracket holds the true conductance, found by trying every set of nodes."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from dynsys.graphs import as_graph, cheeger
from dynsys.graphs.cuts import conductance_of


def by_trying(graph: nx.Graph) -> float:
    n = len(graph)
    nodes = list(graph)
    return min(
        nx.conductance(graph, set(chosen))
        for size in range(1, n // 2 + 1)
        for chosen in itertools.combinations(nodes, size)
        if 0 < sum(d for _, d in graph.degree(chosen)) < 2 * graph.number_of_edges()
    )


SMALL = {
    "path": nx.path_graph(9),
    "cycle": nx.cycle_graph(10),
    "complete": nx.complete_graph(7),
    "star": nx.star_graph(6),
    "barbell": nx.barbell_graph(5, 1),
    "cube": nx.hypercube_graph(3),
    "petersen": nx.petersen_graph(),
    "random": nx.gnp_random_graph(11, 0.35, seed=4),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_bracket_holds_the_true_conductance(name: str) -> None:
    found, truth = cheeger(SMALL[name]), by_trying(SMALL[name])
    assert found.lower <= truth + 1e-12
    assert truth <= min(found.upper, found.conductance) + 1e-12
    assert found.conductance <= found.upper + 1e-12  # the sweep is what proves the upper bound
    assert found.conductance == pytest.approx(nx.conductance(SMALL[name], _names(SMALL[name], found.cut)))


def _names(graph: nx.Graph, cut: np.ndarray) -> set[object]:
    return {node for node, inside in zip(graph, cut, strict=True) if inside}


def test_barbell_is_cut_at_its_bridge() -> None:
    found = cheeger(nx.barbell_graph(8, 0))
    assert found.boundary.tolist() == [[7], [8]]
    assert found.conductance == pytest.approx(1 / 57)
    assert found.cut.sum() == 8
    assert found.normalization == "sym"


def test_weights_decide_the_cut() -> None:
    graph = nx.cycle_graph(8)
    nx.set_edge_attributes(graph, 1.0, "weight")
    graph[1][2]["weight"] = graph[5][6]["weight"] = 0.01
    assert cheeger(graph).boundary.tolist() == [[1, 5], [2, 6]]


def test_a_disconnected_graph_has_conductance_zero() -> None:
    found = cheeger(nx.disjoint_union(nx.complete_graph(4), nx.path_graph(2)))
    assert (found.lower, found.upper, found.conductance) == (0.0, 0.0, 0.0)
    assert found.cut.tolist() == [False] * 4 + [True] * 2
    assert found.notes


def test_isolated_nodes_do_not_count() -> None:
    graph = nx.cycle_graph(6)
    alone = graph.copy()
    alone.add_node("alone")
    assert cheeger(alone).conductance == pytest.approx(cheeger(graph).conductance)
    assert cheeger(alone).lower > 0


def test_no_cut_at_all() -> None:
    assert math.isnan(cheeger(nx.empty_graph(3)).conductance)
    assert math.isnan(cheeger(nx.empty_graph(1)).lower)


def test_conductance_of_a_set() -> None:
    assert conductance_of(as_graph(nx.path_graph(4)), np.array([True, True, False, False])) == pytest.approx(1 / 3)
