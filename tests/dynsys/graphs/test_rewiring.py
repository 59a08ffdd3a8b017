"""Added edges are the best there are, by trying all of them; what is reported is what is measured."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pytest

from dynsys.errors import InputError
from dynsys.graphs import as_graph, bottlenecks, curvature, edge_choices, kirchhoff_index, rewire, spectrum

GRAPHS = {
    "barbell": nx.barbell_graph(6, 2),
    "path": nx.path_graph(9),
    "caveman": nx.connected_caveman_graph(3, 5),
    "tree": nx.balanced_tree(2, 3),
    "bipartite": nx.complete_bipartite_graph(5, 5),
}


def every_addition(graph: nx.Graph) -> list[nx.Graph]:
    out = []
    for u, v in itertools.combinations(list(graph), 2):
        if not graph.has_edge(u, v):
            out.append(nx.Graph(graph))
            out[-1].add_edge(u, v)
    return out


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("normalization", ["sym+loops", "sym"])
def test_the_edge_for_the_gap_is_the_best_one(name: str, normalization: str) -> None:
    graph = GRAPHS[name]
    found = rewire(graph, edges=1, normalization=normalization)
    best = max(spectrum(g, normalization).gap for g in every_addition(graph))
    before = spectrum(graph, normalization).gap
    assert found.gap[0] == pytest.approx(before, abs=1e-12)
    if found.added.shape[1] == 0:  # the plain normalisation of a bipartite graph: several edges are needed
        assert best <= before + 1e-9
        assert "no further" in found.notes[0]
        return
    assert found.gap[1] - before >= 0.85 * (best - before)
    assert found.gap[1] == pytest.approx(spectrum(found.graph, normalization).gap, abs=1e-12)


@pytest.mark.parametrize("name", ["barbell", "path", "tree"])
def test_the_edge_for_resistance_is_the_best_one_and_keeps_its_promise(name: str) -> None:
    graph = GRAPHS[name]
    found = rewire(graph, "resistance", edges=1)
    before, after = kirchhoff_index(graph).value, kirchhoff_index(found.graph).value
    assert after == pytest.approx(min(kirchhoff_index(g).value for g in every_addition(graph)), rel=1e-11)
    assert before - after == pytest.approx(found.predicted[0], rel=1e-9)
    pairs = len(graph) * (len(graph) - 1) / 2
    assert found.mean_resistance == pytest.approx([before / pairs, after / pairs])


def test_promises_are_kept_edge_after_edge() -> None:
    graph = nx.connected_watts_strogatz_graph(60, 4, 0.1, seed=0)
    found = rewire(graph, "resistance", edges=5)
    fall = kirchhoff_index(graph).value - kirchhoff_index(found.graph).value
    assert fall == pytest.approx(found.predicted.sum(), rel=1e-9)
    assert len({tuple(e) for e in found.added.T.tolist()}) == 5


def test_first_order_change_of_the_eigenvalue() -> None:
    """A light edge moves lambda_2 by what perturbation theory says."""
    graph = as_graph(nx.connected_watts_strogatz_graph(50, 4, 0.2, seed=1))
    found = spectrum(graph)
    y = found.vectors[0] / np.sqrt(graph.degrees + 1)
    pairs, fall = edge_choices._moving(graph, y, found.lambda_2, 1e-5)
    from dynsys.graphs.rewiring import changed

    after = changed(graph, pairs[:, :1], np.zeros((2, 0), dtype=int), 1e-5)
    assert found.lambda_2 - spectrum(after).lambda_2 == pytest.approx(fall[0], rel=1e-3)
    assert (np.diff(fall) <= 0).all()


def test_sketched_search_is_nearly_as_good_as_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = nx.connected_watts_strogatz_graph(120, 4, 0.05, seed=2)
    exact = rewire(graph, "resistance", edges=3)
    monkeypatch.setattr(edge_choices, "DENSE", 10)
    sketched = rewire(graph, "resistance", edges=3)
    assert sketched.mean_resistance[1] <= exact.mean_resistance[1] * 1.02
    fall = kirchhoff_index(graph).value - kirchhoff_index(sketched.graph).value
    assert fall == pytest.approx(sketched.predicted.sum(), rel=1e-6)


def test_curvature_supports_the_bridge_of_a_barbell() -> None:
    graph = nx.barbell_graph(6, 0)
    found = rewire(graph, "curvature", edges=3)
    assert found.lowest_curvature[0] == pytest.approx(curvature(graph).values.min())
    assert found.lowest_curvature[1] > found.lowest_curvature[0] + 0.2
    assert found.gap[1] > found.gap[0]
    ends = found.added < 6
    assert (ends[0] != ends[1]).all()  # every new edge joins the two halves


def test_curvatures_kept_up_to_date_are_those_computed_anew() -> None:
    graph = nx.powerlaw_cluster_graph(40, 2, 0.5, seed=3)
    near = edge_choices._Neighbours(as_graph(graph))
    found = curvature(graph)
    values = dict(zip(map(tuple, found.edges.T.tolist()), found.values.tolist(), strict=True))
    assert [edge_choices.balanced_forman(near, u, v) for u, v in values] == pytest.approx(list(values.values()))
    rng = np.random.default_rng(0)
    for _ in range(15):
        u, v = sorted(rng.choice(40, 2, replace=False).tolist())
        if graph.has_edge(u, v):
            continue
        graph.add_edge(u, v)
        near.join(u, v)
        edge_choices._refresh(near, values, u, v)
    again = curvature(graph)
    assert [values[tuple(e)] for e in again.edges.T.tolist()] == pytest.approx(again.values.tolist())


def test_edges_of_high_curvature_are_removed_on_request() -> None:
    graph = nx.barbell_graph(6, 0)
    found = rewire(graph, "curvature", edges=2, remove_above=1.0)
    assert found.removed.shape[1] >= 1
    assert found.graph.n_edges == as_graph(graph).n_edges + found.added.shape[1] - found.removed.shape[1]
    for u, v in found.removed.T.tolist():
        assert graph.has_edge(u, v)
        assert found.graph.adjacency[u, v] == 0
    assert rewire(graph, "curvature", edges=2).removed.shape == (2, 0)


def test_disconnected_and_complete_graphs() -> None:
    found = rewire(nx.disjoint_union(nx.path_graph(6), nx.path_graph(3)), "resistance", edges=1)
    assert found.added.max() < 6
    assert "largest component" in found.notes[0]
    full = rewire(nx.complete_graph(5), "resistance", edges=2)
    assert full.added.shape == (2, 0)
    assert full.notes
    assert rewire(nx.complete_graph(5), "gap", edges=2).added.shape == (2, 0)
    assert rewire(nx.complete_graph(5), "curvature", edges=2).added.shape == (2, 0)


def test_added_edges_have_the_median_weight() -> None:
    graph = nx.path_graph(6)
    nx.set_edge_attributes(graph, 3.0, "weight")
    found = rewire(graph, edges=1)
    u, v = found.added[:, 0]
    assert found.weight == 3.0
    assert found.graph.adjacency[u, v] == found.graph.adjacency[v, u] == 3.0


def test_large_graphs_take_several_edges_from_one_eigenvector() -> None:
    graph = nx.connected_watts_strogatz_graph(500, 4, 0.02, seed=0)
    found = rewire(graph, edges=4)
    assert found.gap[1] > 1.5 * found.gap[0]
    assert found.added.shape == (2, 4)


def test_bottlenecks_of_a_barbell() -> None:
    found = bottlenecks(nx.barbell_graph(6, 0), 3)
    assert found.edges[:, 0].tolist() == [5, 6]
    assert found.resistance[0] == pytest.approx(1.0)
    assert found.in_cut.tolist()[0] is True
    assert (np.diff(found.curvature) >= 0).all()
    assert "5-6" in str(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "magic"}, "method"),
        ({"edges": 0}, "edges"),
        ({"remove_above": 1.0}, "curvature"),
        ({"normalization": "x"}, "normalization"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rewire(nx.path_graph(4), **arguments)
    with pytest.raises(InputError, match="count"):
        bottlenecks(nx.path_graph(4), 0)
