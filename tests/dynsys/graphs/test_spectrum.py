"""The ends of the spectrum are those of the textbook, of LAPACK, and of the citation graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from dynsys.errors import InputError
from dynsys.graphs import as_graph, extremes, spectrum
from dynsys.graphs.lanczos import unseen_bound

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(params=["whole", "Lanczos"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both roads to the same numbers."""
    if request.param == "Lanczos":
        monkeypatch.setattr(extremes, "DENSE", 0)
    return str(request.param)


def cos(k: int, n: int) -> float:
    return float(np.cos(2 * np.pi * k / n))


# graph, (lambda_2, lambda_min) of "sym+loops", the same of "sym"
CLOSED: dict[str, tuple[nx.Graph, tuple[float, float], tuple[float, float]]] = {
    "cycle 12": (nx.cycle_graph(12), ((1 + 2 * cos(1, 12)) / 3, -1 / 3), (cos(1, 12), -1.0)),
    "cycle 7": (nx.cycle_graph(7), ((1 + 2 * cos(1, 7)) / 3, (1 + 2 * cos(3, 7)) / 3), (cos(1, 7), cos(3, 7))),
    "complete 6": (nx.complete_graph(6), (0.0, 0.0), (-1 / 5, -1 / 5)),
    "star 7": (nx.star_graph(7), (0.5, -6 / 16), (0.0, -1.0)),
    "bipartite 3 5": (nx.complete_bipartite_graph(3, 5), (1 / 4, -14 / 24), (0.0, -1.0)),
    "bipartite 10 10": (nx.complete_bipartite_graph(10, 10), (1 / 11, -9 / 11), (0.0, -1.0)),
    "hypercube 5": (nx.hypercube_graph(5), (4 / 6, -4 / 6), (3 / 5, -1.0)),
    "torus 5 7": (
        nx.grid_2d_graph(5, 7, periodic=True),
        ((3 + 2 * cos(1, 7)) / 5, (1 + 2 * cos(2, 5) + 2 * cos(3, 7)) / 5),
        ((1 + cos(1, 7)) / 2, (cos(2, 5) + cos(3, 7)) / 2),
    ),
    "path 3": (nx.path_graph(3), (1 / 2, -1 / 6), (0.0, -1.0)),
    "path 9": (nx.path_graph(9), (np.nan, np.nan), (np.cos(np.pi / 8), -1.0)),
    "petersen": (nx.petersen_graph(), (1 / 2, -1 / 4), (1 / 3, -2 / 3)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str, road: str) -> None:
    graph, loops, plain = CLOSED[name]
    for normalization, truth in (("sym+loops", loops), ("row+loops", loops), ("sym", plain)):
        if np.isnan(truth[0]):
            continue
        found = spectrum(graph, normalization)
        assert (found.lambda_2, found.lambda_min) == pytest.approx(truth, abs=1e-13), (normalization, road)
        assert found.lambda_star == max(abs(found.lambda_2), abs(found.lambda_min))
        assert found.gap == 1 - found.lambda_star
        assert (found.components, found.trivial, found.normalization) == (1, 1, normalization)
        assert found.converged


def test_path_of_four() -> None:
    found = spectrum(nx.path_graph(4))
    assert (found.lambda_2, found.lambda_min) == pytest.approx((0.72871355, -0.22871355), abs=5e-9)


def by_lapack(matrix: Any, trivial: int) -> tuple[float, float]:
    values = np.linalg.eigvals(matrix.toarray()).real
    values = np.sort(values)
    assert values[len(values) - trivial :] == pytest.approx(1.0, abs=1e-9)
    return float(values[len(values) - trivial - 1]), float(values[0])


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops"])
@pytest.mark.parametrize("weighted", [False, True])
def test_random_graphs_agree_with_lapack(normalization: str, weighted: bool, road: str) -> None:
    """Several components, isolated nodes, self-loops, weights: all eigenvalues but the trivial ones count."""
    rng = np.random.default_rng(5)
    A = sp.random_array((120, 120), density=0.007, rng=rng)
    A = A + A.T + sp.diags_array((rng.random(120) < 0.05).astype(float))
    A = sp.csr_array(A if weighted else (A != 0).astype(float))
    graph = as_graph(A)
    found = spectrum(graph, normalization)
    trivial = graph.n_components - (int((graph.degrees == 0).sum()) if normalization == "sym" else 0)
    assert graph.n_components > 5
    assert found.trivial == trivial
    truth = by_lapack(graph.propagation_matrix(normalization), trivial)
    assert (found.lambda_2, found.lambda_min) == pytest.approx(truth, abs=1e-9), road
    assert found.norm == pytest.approx(np.linalg.norm(graph.propagation_matrix(normalization).toarray(), 2), abs=1e-6)


def test_vectors_are_the_eigenvectors(road: str) -> None:
    graph = as_graph(nx.karate_club_graph())
    M = graph.propagation_matrix("sym+loops").toarray()
    found = spectrum(graph)
    for value, v, residual in zip((found.lambda_2, found.lambda_min), found.vectors, found.residuals, strict=True):
        assert np.linalg.norm(v) == pytest.approx(1.0)
        assert np.linalg.norm(M @ v - value * v) == pytest.approx(residual, abs=1e-14), road
        assert abs(v @ np.sqrt(graph.degrees + 1)) < 1e-12


def test_relabelling_changes_nothing() -> None:
    graph = as_graph(nx.barbell_graph(6, 3))
    order = np.random.default_rng(0).permutation(graph.n_nodes)
    a, b = spectrum(graph), spectrum(graph.subgraph(order))
    assert (a.lambda_2, a.lambda_min) == pytest.approx((b.lambda_2, b.lambda_min), abs=1e-13)


def test_the_negative_end_can_decide() -> None:
    """K_{10,10}: lambda_2 = 1/11, but the antisymmetric vector keeps (9/11)^2 of its energy in each layer."""
    found = spectrum(nx.complete_bipartite_graph(10, 10))
    assert found.dominant == "negative"
    assert found.lambda_star**2 == pytest.approx(0.6694, abs=5e-5)
    assert spectrum(nx.path_graph(5)).dominant == "positive"
    assert spectrum(nx.hypercube_graph(3)).dominant == "undecided"


def test_plain_normalisation_never_smooths_a_bipartite_graph() -> None:
    for graph in (nx.cycle_graph(8), nx.star_graph(4), nx.grid_2d_graph(3, 4)):
        assert spectrum(graph, "sym").gap == pytest.approx(0.0, abs=1e-13)
        assert spectrum(graph, "sym+loops").gap > 0.01


def test_one_bipartite_component_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extremes, "DENSE", 0)
    graph = nx.disjoint_union(nx.complete_graph(4), nx.disjoint_union(nx.empty_graph(1), nx.path_graph(3)))
    found = spectrum(graph, "sym")
    assert found.lambda_min == -1.0
    assert found.residuals[1] < 1e-15
    assert found.lambda_2 == pytest.approx(0.0, abs=1e-13)
    graph.add_edge(5, 5)  # a self-loop is an odd cycle
    assert spectrum(graph, "sym").lambda_min > -1.0 + 1e-3


@pytest.mark.parametrize(("leaves", "norm"), [(4, 1.1769), (16, 2.0647), (64, 4.0312)])
def test_row_normalisation_may_grow_features(leaves: int, norm: float, road: str) -> None:
    found = spectrum(nx.star_graph(leaves), "row+loops")
    assert found.norm == pytest.approx(norm, abs=5e-5), road
    assert spectrum(nx.star_graph(leaves), "sym+loops").norm == 1.0


CITATION = {  # largest component of each: lambda_2 and lambda_min of "sym+loops", then of "sym"; nodes, edges
    "cora": (78, (0.99637936, -0.48263057), (0.99521600, -0.97076551), (2485, 5069)),
    "citeseer": (438, (0.99874383, -0.50220819), (0.99844527, -0.98425306), (2120, 3679)),
}


@pytest.mark.parametrize("name", CITATION)
def test_citation_graphs(name: str) -> None:
    components, loops, plain, size = CITATION[name]
    whole = as_graph(EXAMPLES / f"{name}.npz")
    largest = whole.largest_component()
    assert (largest.n_nodes, largest.n_edges) == size
    found = spectrum(largest)
    assert (found.lambda_2, found.lambda_min) == pytest.approx(loops, abs=6e-9)
    assert (spectrum(largest, "sym").lambda_2, spectrum(largest, "sym").lambda_min) == pytest.approx(plain, abs=6e-9)
    # The other components are small: the ends are those of the largest one, and no eigenvalue 1 is in the way.
    found = spectrum(whole)
    assert found.components == found.trivial == components
    assert (found.lambda_2, found.lambda_min) == pytest.approx(loops, abs=6e-9)


def test_random_regular_graphs_end_where_theory_says() -> None:
    """Friedman; Kesten and McKay: the ends tend to (1 +- 2 sqrt(d-1)) / (d+1)."""
    found = spectrum(nx.random_regular_graph(20, 3000, seed=1))
    bulk = 2 * np.sqrt(19)
    assert found.lambda_2 == pytest.approx((bulk + 1) / 21, abs=0.006)
    assert found.lambda_min == pytest.approx((1 - bulk) / 21, abs=0.006)


def test_tol_is_what_is_reached_where_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing for free the residual ends below tol, not far below, and a lower tol costs more products."""
    monkeypatch.setattr(extremes, "FREE", 0)
    monkeypatch.setattr(extremes, "GRACE", 0)
    graph = as_graph(nx.random_regular_graph(6, 1500, seed=0))
    truth = np.sort(np.linalg.eigvalsh(graph.propagation_matrix().toarray()))[[-2, 0]]
    coarse, fine = spectrum(graph, tol=1e-2), spectrum(graph, tol=1e-5)
    assert fine.products > 2 * coarse.products
    for found, tol in ((coarse, 1e-2), (fine, 1e-5)):
        assert (found.residuals <= 2 * tol).all()
        assert (found.residuals > tol / 1e3).any()
        errors = np.abs([found.lambda_2, found.lambda_min] - truth)
        assert (errors <= found.residuals).all()
        assert (errors <= found.unseen).all()
        # A Rayleigh quotient in the right space is on the inner side.
        assert found.lambda_2 <= truth[0] + 1e-12
        assert found.lambda_min >= truth[1] - 1e-12


def test_tiny_gaps_of_long_thin_graphs_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanczos alone would need as many steps as there are nodes: solves with the Laplacian take over."""
    monkeypatch.setattr(extremes, "FREE", 3e6)
    n = 3000
    path = spectrum(nx.path_graph(n), "sym")
    assert 1 - path.lambda_2 == pytest.approx(2 * np.sin(np.pi / (2 * (n - 1))) ** 2, rel=1e-6)
    assert path.residuals[0] < 1e-9
    assert path.lambda_min == -1.0  # bipartite: known without a search
    assert path.residuals[1] < 1e-14
    cycle = spectrum(nx.cycle_graph(n))
    assert 1 - cycle.lambda_2 == pytest.approx(4 / 3 * np.sin(np.pi / n) ** 2, rel=1e-6)
    assert cycle.gap_error < 1e-9
    assert not any("gap" in note for note in cycle.notes)


def test_a_gap_that_is_not_resolved_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from dynsys.graphs import laplacian

    for name in ("FREE", "GRACE", "DIRECT"):
        monkeypatch.setattr(extremes, name, 0)
    monkeypatch.setattr(laplacian, "CORE", -1)
    found = spectrum(nx.cycle_graph(3000), tol=1e-2)
    assert found.gap_error > 0.1 * found.gap
    assert any("upper bound" in note for note in found.notes)
    assert found.gap > 4 / 3 * np.sin(np.pi / 3000) ** 2


def test_seeds_differ_in_the_vectors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extremes, "DENSE", 0)
    graph = nx.connected_caveman_graph(8, 6)
    a, b = spectrum(graph, seed=0), spectrum(graph, seed=1)
    assert a.products > 0
    assert (a.lambda_2, a.lambda_min) == pytest.approx((b.lambda_2, b.lambda_min), abs=1e-10)
    assert not np.array_equal(a.vectors, b.vectors)


def test_long_runs_start_again_from_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for 20 vectors only, the ends are found all the same."""
    from dynsys.graphs import lanczos

    monkeypatch.setattr(extremes, "DENSE", 0)
    monkeypatch.setattr(lanczos, "STORE", 1)
    found = spectrum(nx.random_regular_graph(4, 400, seed=3))
    truth = np.sort(
        np.linalg.eigvalsh(as_graph(nx.random_regular_graph(4, 400, seed=3)).propagation_matrix().toarray())
    )
    assert (found.lambda_2, found.lambda_min) == pytest.approx(truth[[-2, 0]], abs=1e-9)


def test_graphs_without_an_edge() -> None:
    for graph in (nx.empty_graph(1), nx.empty_graph(4)):
        found = spectrum(graph)
        assert np.isnan(found.lambda_2)
        assert (found.lambda_star, found.gap) == (0.0, 1.0)
        assert found.notes
    plain = spectrum(nx.empty_graph(4), "sym")
    assert (plain.lambda_2, plain.lambda_min, plain.trivial, plain.norm) == (0.0, 0.0, 0, 0.0)


def test_the_bound_on_what_was_not_seen_falls_like_one_over_steps_squared() -> None:
    assert unseen_bound(400, 10**6, 2.0) < unseen_bound(200, 10**6, 2.0) / 3.9
    assert unseen_bound(2, 10**6, 2.0) == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"normalization": "left"}, "sym"), ({"tol": 0}, "tol"), ({"seed": -1}, "seed")],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spectrum(nx.path_graph(3), **arguments)


def test_results_are_printed_and_written() -> None:
    found = spectrum(nx.path_graph(3))
    assert "lambda_2 = 0.50000000" in str(found)
    assert {"lambda_2", "lambda_min", "lambda_star", "gap", "residuals", "components"} <= set(found.to_dict())


def test_a_graph_remembers_its_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, nothing is computed; "row+loops" has the eigenvalues of "sym+loops", and a norm of its own."""
    graph = as_graph(nx.star_graph(16))
    first = spectrum(graph)
    monkeypatch.setattr(extremes, "_dense", None)
    assert spectrum(graph) is first
    row = spectrum(graph, "row+loops")
    assert (row.normalization, row.lambda_2, row.lambda_min) == ("row+loops", first.lambda_2, first.lambda_min)
    assert (first.norm, row.norm) == (1.0, pytest.approx(2.0647, abs=5e-5))
    assert not first.vectors.flags.writeable
    with pytest.raises(TypeError):
        spectrum(graph, tol=1e-5)  # another question
