"""Curvatures are those of the closed forms, of the definitions written out, and of a transport problem solved by LP."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog

from dynsys.errors import InputError
from dynsys.graphs import as_graph, curvature, edge_work

EXAMPLES = Path(__file__).parents[3] / "examples"
COMPILED = ["plain", *(["compiled"] if importlib.util.find_spec("numba") else [])]


@pytest.fixture(params=COMPILED)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(edge_work, "PLAIN", 1 << 60 if request.param == "plain" else -1)
    return str(request.param)


def tree() -> nx.Graph:
    return nx.balanced_tree(3, 4)  # inner nodes have degree 4


# graph, an edge or None for all, then: forman, augmented, balanced, ollivier 0, ollivier 1/2, lin-lu-yau
CLOSED: dict[str, tuple[nx.Graph, Any, tuple[float, ...]]] = {
    "C3": (nx.cycle_graph(3), None, (0, 3, 3 / 2, 1 / 2, 3 / 4, 3 / 2)),
    "C4": (nx.cycle_graph(4), None, (0, 0, 1, 0, 1 / 2, 1)),
    "C5": (nx.cycle_graph(5), None, (0, 0, 0, 0, 1 / 4, 1 / 2)),
    "C6": (nx.cycle_graph(6), None, (0, 0, 0, 0, 0, 0)),
    "C11": (nx.cycle_graph(11), None, (0, 0, 0, 0, 0, 0)),
    "K5": (nx.complete_graph(5), None, (-4, 5, 5 / 4, 3 / 4, 5 / 8, 5 / 4)),
    "K8": (nx.complete_graph(8), None, (-10, 8, 8 / 7, 6 / 7, 8 / 14, 8 / 7)),
    "Q3": (nx.hypercube_graph(3), None, (-2, -2, 2 / 3, 0, 1 / 3, 2 / 3)),
    "Q4": (nx.hypercube_graph(4), None, (-4, -4, 1 / 2, 0, 1 / 4, 1 / 2)),
    "torus": (nx.grid_2d_graph(6, 7, periodic=True), None, (-4, -4, 0, 0, 0, 0)),
    "K33": (nx.complete_bipartite_graph(3, 3), None, (-2, -2, 0, 0, 1 / 3, 2 / 3)),
    "petersen": (nx.petersen_graph(), None, (-2, -2, -2 / 3, -1 / 3, 0, 0)),
    "tree": (tree(), (1, 4), (-4, -4, -1, -1, -1 / 2, -1)),
    "star": (nx.star_graph(5), None, (-2, -2, 0, 0, 1 / 5, 2 / 5)),
    "one edge": (nx.path_graph(2), None, (2, 2, 0, 0, 1, 2)),
}
COLUMNS: list[tuple[str, dict[str, float]]] = [
    ("forman", {}),
    ("augmented-forman", {}),
    ("balanced-forman", {}),
    ("ollivier", {"alpha": 0.0}),
    ("ollivier", {"alpha": 0.5}),
    ("lin-lu-yau", {}),
]


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str, kernels: str) -> None:
    graph, edge, truth = CLOSED[name]
    for (kind, settings), value in zip(COLUMNS, truth, strict=True):
        found = curvature(graph, kind, edges=edge, **settings)
        expected = np.full(len(found.values), value)
        assert found.values == pytest.approx(expected, abs=1e-15), (kind, kernels)


def test_products_share_the_curvature_of_their_factors() -> None:
    """Lin, Lu and Yau, theorem 3.1: an edge of G in G x H, both regular, has d_G / (d_G + d_H) of its value in G."""
    found = curvature(nx.grid_2d_graph(5, 6, periodic=True), "lin-lu-yau")  # C5 has 1/2, C6 has 0
    assert sorted(found.values) == pytest.approx([0.0] * 30 + [0.25] * 30, abs=1e-15)


def balanced_as_written(G: nx.Graph, i: int, j: int) -> float:
    """Topping et al. 2022, definition 1, with the sets of the text."""
    S_i, S_j = set(G[i]), set(G[j])
    d_i, d_j = len(S_i), len(S_j)
    if min(d_i, d_j) == 1:
        return 0.0
    triangles = S_i & S_j
    square_i = {k for k in S_i - S_j if k != j and (set(G[k]) & S_j) - (S_i | {i})}
    square_j = {k for k in S_j - S_i if k != i and (set(G[k]) & S_i) - (S_j | {j})}
    value = 2 / d_i + 2 / d_j - 2 + 2 * len(triangles) / max(d_i, d_j) + len(triangles) / min(d_i, d_j)
    if square_i:
        through_i = max(len(set(G[k]) & (S_j - S_i)) - 1 for k in square_i)
        through_j = max(len(set(G[k]) & (S_i - S_j)) - 1 for k in square_j)
        value += (len(square_i) + len(square_j)) / (max(through_i, through_j) * max(d_i, d_j))
    return value


def lazy_walk(G: nx.Graph, node: int, alpha: float) -> dict[int, float]:
    return {node: alpha} | {k: (1 - alpha) / G.degree(node) for k in G[node]}


def ollivier_by_lp(G: nx.Graph, i: int, j: int, alpha: float) -> float:
    mu, nu = lazy_walk(G, i, alpha), lazy_walk(G, j, alpha)
    hops = [nx.single_source_shortest_path_length(G, k) for k in mu]
    cost = np.array([[hop[k] for k in nu] for hop in hops], dtype=float)
    rows = np.kron(np.eye(len(mu)), np.ones(len(nu)))
    columns = np.kron(np.ones(len(mu)), np.eye(len(nu)))
    masses = [*mu.values(), *nu.values()]
    solved = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses, method="highs")
    return 1.0 - float(solved.fun)


RANDOM = {
    "sparse": nx.gnp_random_graph(30, 0.12, seed=3),
    "dense": nx.gnp_random_graph(16, 0.5, seed=1),
    "hubs": nx.barabasi_albert_graph(30, 3, seed=2),
    "clustered": nx.powerlaw_cluster_graph(30, 3, 0.8, seed=2),
    "karate": nx.karate_club_graph(),
}


@pytest.mark.parametrize("name", RANDOM)
def test_balanced_forman_is_the_definition_written_out(name: str, kernels: str) -> None:
    graph = RANDOM[name]
    found = curvature(graph)
    truth = [balanced_as_written(graph, u, v) for u, v in found.edges.T.tolist()]
    assert found.values == pytest.approx(truth, abs=1e-14), kernels
    assert found.values.min() > -2


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("name", RANDOM)
def test_ollivier_is_the_transport_problem(name: str, alpha: float, kernels: str) -> None:
    graph = RANDOM[name]
    edges = as_graph(graph).edges[:, ::5]
    found = curvature(graph, "ollivier", alpha=alpha, edges=edges)
    truth = [ollivier_by_lp(graph, u, v, alpha) for u, v in edges.T.tolist()]
    assert found.values == pytest.approx(truth, abs=1e-9), kernels


@pytest.mark.parametrize("name", ["sparse", "hubs"])
def test_lin_lu_yau_is_the_limit_of_ollivier(name: str) -> None:
    graph = RANDOM[name]
    edges = as_graph(graph).edges[:, ::5]
    found = curvature(graph, "lin-lu-yau", edges=edges)
    for alpha in (0.9, 0.999):
        near = curvature(graph, "ollivier", alpha=alpha, edges=edges).values / (1 - alpha)
        assert found.values == pytest.approx(near, abs=1e-9)


@pytest.mark.parametrize("name", [*CLOSED, *RANDOM])
def test_balanced_forman_is_below_lin_lu_yau(name: str) -> None:
    """The theorem of Topping et al.; against Ollivier with alpha = 0 it does not hold."""
    graph = CLOSED[name][0] if name in CLOSED else RANDOM[name]
    assert (curvature(graph).values <= curvature(graph, "lin-lu-yau").values + 1e-12).all()


def test_balanced_forman_against_ollivier_on_the_karate_club() -> None:
    """12 of the 78 edges have a balanced Forman curvature above Ollivier's with alpha = 0: no bound holds there."""
    graph = nx.karate_club_graph()
    above = curvature(graph).values > curvature(graph, "ollivier").values + 1e-12
    assert (above.sum(), len(above)) == (12, 78)


def test_compiled_and_plain_agree_on_cora(monkeypatch: pytest.MonkeyPatch) -> None:
    if len(COMPILED) < 2:
        pytest.skip("numba is not installed")
    graph = as_graph(EXAMPLES / "cora.npz")
    for kind, sample in (("balanced-forman", 1500), ("ollivier", 200)):
        answers = []
        for limit in (1 << 60, -1):
            monkeypatch.setattr(edge_work, "PLAIN", limit)
            answers.append(curvature(graph, kind, sample=sample).values)
        assert np.array_equal(*answers)


def test_triangles_are_counted() -> None:
    found = curvature(nx.karate_club_graph(), "augmented-forman")
    truth = sum(nx.triangles(nx.karate_club_graph()).values())
    assert found.triangles.sum() == truth  # every triangle has three edges, and three nodes
    assert found.notes == ("weights play no part: distances are hops",)


def test_self_loops_and_isolated_nodes_play_no_part() -> None:
    graph = nx.cycle_graph(4)
    graph.add_edge(0, 0)
    graph.add_node("alone")
    for kind, settings in COLUMNS:
        expected = curvature(nx.cycle_graph(4), kind, **settings).values
        assert curvature(graph, kind, **settings).values == pytest.approx(expected, abs=1e-15)
    assert curvature(nx.empty_graph(2)).values.shape == (0,)


def test_relabelling_only_permutes() -> None:
    graph = as_graph(RANDOM["hubs"])
    order = np.random.default_rng(0).permutation(graph.n_nodes)
    moved = graph.subgraph(order)
    for kind, settings in COLUMNS:
        a, b = curvature(graph, kind, **settings), curvature(moved, kind, **settings)
        places = {tuple(sorted(order[list(e)])): value for e, value in zip(b.edges.T, b.values, strict=True)}
        assert [places[tuple(e)] for e in a.edges.T.tolist()] == pytest.approx(a.values.tolist(), abs=1e-15)


def test_samples_and_their_seed() -> None:
    graph = RANDOM["hubs"]
    whole = curvature(graph)
    some = curvature(graph, sample=20)
    assert some.n_edges == whole.n_edges == whole.values.size
    assert some.values.shape == (20,)
    assert "sample" in some.notes[0]
    at = [whole.edges.T.tolist().index(e) for e in some.edges.T.tolist()]
    assert np.array_equal(whole.values[at], some.values)
    assert not np.array_equal(some.edges, curvature(graph, sample=20, seed=1).edges)
    assert some.values[some.lowest(3)].tolist() == sorted(some.values)[:3]


def test_progress_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    if len(COMPILED) < 2:
        pytest.skip("numba is not installed")
    monkeypatch.setattr(edge_work, "PLAIN", -1)
    calls: list[int] = []
    curvature(nx.cycle_graph(50), progress=lambda done, total, _: calls.append(done))
    assert calls[-1] == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "ricci"}, "forman"),
        ({"alpha": 0.5}, "belongs to"),
        ({"kind": "ollivier", "alpha": 1.0}, "alpha"),
        ({"edges": (0, 2)}, "not joined"),
        ({"sample": 0}, "sample"),
        ({"edges": (0, 1), "sample": 3}, "without `edges`"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        curvature(nx.path_graph(3), **arguments)
