"""Effective resistances and Kirchhoff indices are those of the textbook; sketches are as good as they say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from dynsys.errors import InputError
from dynsys.graphs import as_graph, effective_resistance, kirchhoff_index, laplacian, resistances

EXAMPLES = Path(__file__).parents[3] / "examples"
METHODS = ["exact", "factor", "gradients"]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three roads: dense inverses, a sparse factor, conjugate gradients."""
    if request.param == "gradients":
        monkeypatch.setattr(laplacian, "DIRECT", 0)
        monkeypatch.setattr(laplacian, "CORE", -1)
    if request.param == "factor":
        monkeypatch.setattr(laplacian, "PATIENCE", 0)
    return "exact" if request.param == "exact" else "solves"


def resistance(graph: nx.Graph, u: int, v: int, method: str) -> float:
    found = effective_resistance(graph, (u, v), method=method, tol=1e-12)
    return float(found.values[0])


def test_path_and_cycle(method: str) -> None:
    for i, j in ((0, 1), (2, 9), (0, 39)):
        assert resistance(nx.path_graph(40), i, j, method) == pytest.approx(abs(i - j), rel=1e-11)
        k = abs(i - j)
        assert resistance(nx.cycle_graph(41), i, j, method) == pytest.approx(k * (41 - k) / 41, rel=1e-11)


def test_complete_star_and_bipartite(method: str) -> None:
    assert resistance(nx.complete_graph(9), 2, 5, method) == pytest.approx(2 / 9, rel=1e-12)
    assert resistance(nx.star_graph(6), 0, 4, method) == pytest.approx(1.0, rel=1e-12)
    assert resistance(nx.star_graph(6), 1, 4, method) == pytest.approx(2.0, rel=1e-12)
    a, b = 3, 5
    assert resistance(nx.complete_bipartite_graph(a, b), 0, 4, method) == pytest.approx(
        (a + b - 1) / (a * b), rel=1e-12
    )
    assert resistance(nx.complete_bipartite_graph(a, b), 0, 1, method) == pytest.approx(2 / b, rel=1e-12)


def test_hypercube_tree_and_barbell(method: str) -> None:
    for d in (3, 5):
        cube = nx.convert_node_labels_to_integers(nx.hypercube_graph(d))
        u, v = next(iter(cube.edges))
        assert resistance(cube, u, v, method) == pytest.approx((2**d - 1) / (d * 2 ** (d - 1)), rel=1e-12)
    tree = nx.balanced_tree(3, 3)
    assert resistance(tree, 17, 38, method) == pytest.approx(nx.shortest_path_length(tree, 17, 38), rel=1e-11)
    n = 7
    assert resistance(nx.barbell_graph(n, 0), 0, 2 * n - 1, method) == pytest.approx(1 + 4 / n, rel=1e-12)


def test_edge_transitive_graphs_share_the_resistance_of_their_edges(method: str) -> None:
    for graph in (nx.petersen_graph(), nx.icosahedral_graph(), nx.cycle_graph(9)):
        found = effective_resistance(graph, method=method, tol=1e-12)
        n, m = len(graph), graph.number_of_edges()
        assert found.values == pytest.approx(np.full(m, (n - 1) / m), rel=1e-11)


def test_foster(method: str) -> None:
    """The resistances of the edges, times their weights, add up to n - c."""
    graph = nx.gnp_random_graph(80, 0.04, seed=2)
    rng = np.random.default_rng(0)
    nx.set_edge_attributes(graph, {e: rng.uniform(0.1, 5) for e in graph.edges}, "weight")
    found = effective_resistance(graph, method=method, tol=1e-12)
    assert found.foster is not None
    assert nx.number_connected_components(graph) > 1
    assert found.foster[1] == 80 - nx.number_connected_components(graph)
    assert found.foster[0] == pytest.approx(found.foster[1], rel=1e-10)


def test_weights_are_conductances(method: str) -> None:
    """Two resistors in series add, in parallel their conductances add."""
    series = nx.Graph()
    series.add_weighted_edges_from([(0, 1, 2.0), (1, 2, 0.5)])
    assert resistance(series, 0, 2, method) == pytest.approx(0.5 + 2.0, rel=1e-12)
    parallel = nx.MultiGraph([(0, 1), (0, 1), (0, 1)])
    assert resistance(parallel, 0, 1, method) == pytest.approx(1 / 3, rel=1e-12)


def test_self_loops_carry_no_current(method: str) -> None:
    graph = nx.path_graph(5)
    graph.add_edge(2, 2)
    assert resistance(graph, 0, 4, method) == pytest.approx(4.0, rel=1e-12)


def test_between_components_it_is_infinite(method: str) -> None:
    graph = nx.disjoint_union(nx.path_graph(3), nx.empty_graph(1))
    found = effective_resistance(graph, [[0, 0, 1], [3, 2, 1]], method=method, tol=1e-12)
    assert found.values == pytest.approx([np.inf, 2.0, 0.0], abs=1e-14)
    assert found.errors[0] == 0.0


def test_it_is_a_metric_and_adding_an_edge_never_raises_it() -> None:
    graph = nx.connected_watts_strogatz_graph(30, 4, 0.3, seed=1)
    pairs = np.stack(np.triu_indices(30, 1))
    R = np.zeros((30, 30))
    R[pairs[0], pairs[1]] = R[pairs[1], pairs[0]] = effective_resistance(graph, pairs).values
    assert (R[:, :, None] <= R[:, None, :] + R.T[None, :, :] + 1e-12).all()
    graph.add_edge(0, 15)
    assert (effective_resistance(graph, pairs).values <= R[pairs[0], pairs[1]] + 1e-12).all()


def test_the_walk_form_is_the_same_number() -> None:
    """R_uv = sum_l (S^l)_uu/d_u + (S^l)_vv/d_v - 2 (S^l)_uv/sqrt(d_u d_v) on a connected non-bipartite graph."""
    graph = as_graph(nx.petersen_graph())
    S, d = graph.propagation_matrix("sym").toarray(), graph.degrees
    power, total = np.eye(10), 0.0
    for _ in range(200):
        total += power[0, 0] / d[0] + power[7, 7] / d[7] - 2 * power[0, 7] / math.sqrt(d[0] * d[7])
        power = power @ S
    assert effective_resistance(graph, (0, 7)).values[0] == pytest.approx(total, rel=1e-12)


def test_commute_times_are_those_of_the_walk() -> None:
    """On a path from end to end and back: 2 m (n - 1) steps."""
    assert effective_resistance(nx.path_graph(8), (0, 7)).commute_times == pytest.approx([2 * 7 * 7])


def test_errors_hold_the_truth_on_long_paths() -> None:
    """A factor, a dense inverse: the ill-conditioned case, 1,200 nodes in a row."""
    ends = np.array([[0, 0, 1000], [1199, 1, 1001]])
    for method in ("exact", "solves"):
        found = effective_resistance(nx.path_graph(1200), ends, method=method)
        assert (np.abs(found.values - [1199, 1, 1]) <= found.errors).all(), method
        assert (found.errors < 1e-7).all()


def test_long_paths_and_trees_are_solved_directly() -> None:
    found = effective_resistance(nx.path_graph(30_000), (0, 29_999))
    assert found.values == pytest.approx([29_999], rel=1e-9)
    assert "factor" in found.method
    assert laplacian.branching_nodes(as_graph(nx.random_labeled_tree(500, seed=0)).simple) == 0
    assert laplacian.branching_nodes(as_graph(nx.lollipop_graph(5, 40)).simple) == 5


@pytest.mark.parametrize("direct", [True, False])
def test_sketches_are_as_good_as_they_say(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laplacian, "PATIENCE", 0 if direct else 10_000)
    graph = as_graph(EXAMPLES / "cora.npz").largest_component()
    exact = effective_resistance(graph).values
    found = effective_resistance(graph, method="sketch", sketch=200)
    relative = np.abs(found.values / exact - 1)
    assert np.median(relative) == pytest.approx(0.05, abs=0.007)
    bridges = exact > 1 - 1e-9
    assert bridges.sum() > 400
    assert relative[bridges].max() < 1e-5  # every random sign gives the same length
    scores = ((found.values - exact) / found.errors)[~bridges]
    assert 0.75 < np.sqrt(np.mean(np.square(scores))) < 1.1
    assert found.sketch == 200
    more = effective_resistance(graph, sketch=800)
    assert np.median(np.abs(more.values / exact - 1)) == pytest.approx(0.026, abs=0.005)
    assert not np.array_equal(found.values, effective_resistance(graph, sketch=200, seed=1).values)


def test_large_components_are_sketched_or_solved_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resistances, "DENSE", 10)
    monkeypatch.setattr(laplacian, "DIRECT", 0)
    graph = nx.random_regular_graph(4, 40, seed=0)
    monkeypatch.setattr(laplacian, "CORE", 3)
    assert "random projections" in effective_resistance(graph).method
    few = effective_resistance(graph, [[0, 1], [5, 6]])
    assert "conjugate gradients" in few.method
    monkeypatch.undo()
    truth = effective_resistance(graph, [[0, 1], [5, 6]])
    assert few.values == pytest.approx(truth.values, abs=float(few.errors.max()))
    assert "exact" in truth.method


KIRCHHOFF = {
    "path": (nx.path_graph(12), 12 * (144 - 1) / 6),
    "cycle": (nx.cycle_graph(13), 13 * (169 - 1) / 12),
    "complete": (nx.complete_graph(8), 7.0),
    "star": (nx.star_graph(9), 81.0),
    "bipartite": (nx.complete_bipartite_graph(3, 4), 7 * (3 / 3 + 2 / 4) + 1),
    "cube": (nx.hypercube_graph(4), 2**4 * sum(math.comb(4, k) / (2 * k) for k in range(1, 5))),
}


@pytest.mark.parametrize("name", KIRCHHOFF)
def test_kirchhoff_indices_in_closed_form(name: str) -> None:
    graph, truth = KIRCHHOFF[name]
    found = kirchhoff_index(graph)
    assert found.value == pytest.approx(truth, rel=1e-12)
    assert abs(found.value - truth) <= found.error
    pairs = len(graph) * (len(graph) - 1) / 2
    assert found.mean == pytest.approx(truth / pairs)


def test_bipartite_kirchhoff_index_is_the_sum_over_pairs() -> None:
    graph = nx.complete_bipartite_graph(3, 4)
    pairs = np.stack(np.triu_indices(7, 1))
    assert kirchhoff_index(graph).value == pytest.approx(effective_resistance(graph, pairs).values.sum(), rel=1e-12)


def test_kirchhoff_index_by_probes_is_as_good_as_it_says() -> None:
    graph = as_graph(nx.connected_watts_strogatz_graph(200, 6, 0.2, seed=0))
    truth = kirchhoff_index(graph).value
    distances = [(f.value - truth) / f.error for f in (kirchhoff_index(graph, probes=64, seed=s) for s in range(8))]
    assert 0.4 < np.sqrt(np.mean(np.square(distances))) < 1.7


def test_slow_conjugate_gradients_give_way_to_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a mesh; and on an expander they are quick, and nothing is factored."""
    monkeypatch.setattr(laplacian, "CORE", 10)
    monkeypatch.setattr(laplacian, "PATIENCE", 40)
    mesh, expander = nx.grid_2d_graph(40, 40), nx.random_regular_graph(6, 1600, seed=0)
    for graph, how in ((mesh, "factor"), (expander, "conjugate gradients")):
        found = effective_resistance(graph, (0, 1599), method="solves")
        assert how in found.method
        assert found.values == pytest.approx(effective_resistance(graph, (0, 1599)).values, rel=1e-8)


def test_kirchhoff_index_of_a_disconnected_graph() -> None:
    found = kirchhoff_index(nx.disjoint_union(nx.path_graph(3), nx.path_graph(2)))
    assert found.value == math.inf
    assert found.within == pytest.approx(4 + 1)
    assert math.isnan(kirchhoff_index(nx.empty_graph(1)).mean)


def test_many_components_cost_no_more_than_their_nodes() -> None:
    """2,000 separate edges and as many lonely nodes: every edge has resistance 1."""
    ends = np.arange(4000).reshape(-1, 2).T
    graph = as_graph(ends, n_nodes=6000)
    assert effective_resistance(graph).values == pytest.approx(np.ones(2000))
    assert kirchhoff_index(graph).within == pytest.approx(2000)


def test_components_of_all_sizes_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles of 3 to 40 nodes and lonely nodes in shuffled order: whatever is solved together."""
    sizes = np.random.default_rng(1).permutation(np.arange(1, 41))
    parts = [nx.cycle_graph(n) if n > 2 else nx.empty_graph(n) for n in sizes.tolist()]
    graph = as_graph(nx.disjoint_union_all(parts))
    order = np.random.default_rng(0).permutation(graph.n_nodes)
    graph = graph.subgraph(order)
    n = np.bincount(graph.components)[graph.components[graph.edges[0]]]
    for together in (1, 20, 10_000):
        monkeypatch.setattr(laplacian, "TOGETHER_UP_TO", together)
        assert effective_resistance(graph).values == pytest.approx((n - 1) / n, rel=1e-12)
        expected = sum(k * (k * k - 1) / 12 for k in range(3, 41))
        assert kirchhoff_index(graph).within == pytest.approx(expected, rel=1e-12)


def test_pairs_may_be_columns_or_tuples() -> None:
    path = nx.path_graph(6)
    for pairs in ([(0, 3), (1, 2)], [[0, 1], [3, 2]], np.array([[0, 1], [3, 2]])):
        assert effective_resistance(path, pairs).values == pytest.approx([3.0, 1.0])
    assert effective_resistance(path, [(0, 5)]).values == pytest.approx([5.0])
    with pytest.raises(InputError, match="transpose"):
        effective_resistance(path, np.array([[0, 1], [1, 2], [2, 3]]))


def test_pairs_may_be_names() -> None:
    graph = nx.path_graph(["a", "b", "c"])
    assert effective_resistance(graph, ["a", "c"]).values == pytest.approx([2.0])
    with pytest.raises(InputError, match="not in the graph: z"):
        effective_resistance(graph, ["a", "z"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": [0, 9]}, "indices from 0"),
        ({"pairs": [[0, 1, 2]]}, r"\(2, p\)"),
        ({"pairs": [0.5, 1]}, "indices or names"),
        ({"method": "guess"}, "method"),
        ({"sketch": 1}, "sketch"),
        ({"tol": 0}, "tol"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        effective_resistance(nx.path_graph(3), **arguments)
