"""Layers as time: exponents, influence by distance, implicit layers, thresholds of the origin."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.special import digamma

import cells
import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.propagate import (
    Layer,
    RandomGCN,
    homogeneous_multipliers,
    homogeneous_state,
    layer_exponents,
    origin_thresholds,
    sensitivity,
    solve_implicit,
)

GRAPH = dynsys.graphs.as_graph(nx.karate_club_graph(), weights=None)
A = GRAPH.propagation_matrix().toarray()
RNG = np.random.default_rng(8)


def test_exponents_of_gaussian_products_are_newmans() -> None:
    """Fresh W ~ N(0, 1/d) on C_5: ln |lambda_i| + [ln 2 + psi((d - k + 1)/2)] / 2 - ln(d) / 2, all 30 of them."""
    d = 6
    lam = np.abs((1 + 2 * np.cos(2 * np.pi * np.arange(5) / 5)) / 3)
    newman = (np.log(2) + digamma((d - np.arange(1, d + 1) + 1) / 2)) / 2 - np.log(d) / 2
    exact = np.sort(np.add.outer(np.log(lam), newman).ravel())[::-1]
    run = layer_exponents(RandomGCN(activation="identity", seeds=(1,)), nx.cycle_graph(5), np.ones((5, d)), 1500)
    np.testing.assert_allclose(run.exponents, exact, atol=0.06)
    assert run.transverse == pytest.approx(np.log(np.sort(lam)[-2]) + newman[0], abs=0.06)
    assert (np.abs(run.exponents - exact) < 5 * run.standard_errors + 1e-3).mean() > 0.9


def test_exponents_of_a_tied_linear_layer_are_logarithms_of_products() -> None:
    W = np.diag([1.5, 0.2])
    run = layer_exponents(Layer(W=W), nx.star_graph(3), np.ones((4, 2)), 400, discard=200)
    values = np.array([1.0, 0.5, 0.5, 0.25])
    exact = np.sort(np.log(np.multiply.outer(values, [1.5, 0.2])).ravel())[::-1]
    np.testing.assert_allclose(run.exponents, exact, atol=1e-9)
    assert run.transverse == pytest.approx(np.log(0.75), abs=1e-9)


def test_a_direction_that_is_lost_has_exponent_minus_infinity() -> None:
    run = layer_exponents(None, nx.complete_graph(4), np.ones((4, 1)), 50)
    assert run.exponents[0] == pytest.approx(0, abs=1e-12)
    assert (run.exponents[1:] == -np.inf).all()
    assert run.transverse == -np.inf


def test_the_transverse_exponent_is_the_measured_rate() -> None:
    layer = Layer(W=np.array([[0.9, 0.4], [-0.3, 0.8]]), residual=0.1)
    run = layer_exponents(layer, GRAPH, RNG.standard_normal((34, 2)), 600)
    followed = dynsys.propagation(layer, GRAPH, RNG.standard_normal((34, 2)), 600, bands=None, jacobians=False)
    assert followed.rate_predicted == pytest.approx(run.transverse, abs=2e-3)
    assert followed.rate == pytest.approx(run.transverse, abs=2e-3)


def test_linear_influence_is_the_power_of_the_matrix_and_meets_its_bound() -> None:
    run = sensitivity(None, GRAPH, np.ones((34, 3)), 4, sources=[7])
    row = np.linalg.matrix_power(A, 4)[7] * 3
    hops = nx.single_source_shortest_path_length(nx.karate_club_graph(), 7)
    total = np.bincount([hops[u] for u in range(34)], row)
    np.testing.assert_allclose(np.exp(run.log_total), total, rtol=1e-12)
    np.testing.assert_allclose(run.log_bound, run.log_total, atol=1e-12)
    assert run.reach == pytest.approx((total * np.arange(len(total))).sum() / total.sum())


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("residual", [0.0, 0.3])
def test_influence_by_dense_jacobians_and_within_its_bound(activation: str, residual: float) -> None:
    cell = cells.GCN(A=A, W=RNG.standard_normal((2, 2)), activation=activation, residual=residual)
    X = RNG.standard_normal((34, 2))
    f = dynsys.iterate(dynsys.as_map(cell), 3)
    J = np.abs(f.jacobian(X.ravel())).reshape(34, 2, 34, 2).sum(axis=(1, 3))
    run = sensitivity(cell, GRAPH, X, 3, sources=[0, 20])
    hops = dict(nx.all_pairs_shortest_path_length(nx.karate_club_graph()))
    for h in range(4):
        total = np.mean([sum(J[v, u] for u in range(34) if hops[v][u] == h) for v in (0, 20)])
        assert np.exp(run.log_total[h]) == pytest.approx(total, rel=1e-10)
    assert (run.log_bound >= run.log_total - 1e-12).all()


def implicit(scale: float, activation: str = "tanh", d: int = 3):
    W = RNG.standard_normal((d, d))
    return cells.ImplicitGCN(A=A, W=scale * W / np.linalg.norm(W, 2), activation=activation)


def test_an_implicit_layer_is_solved_and_certified() -> None:
    cell, B = implicit(0.8), RNG.standard_normal((34, 3))
    solution = solve_implicit(cell, GRAPH, B, tol=1e-12)
    X = solution.state
    np.testing.assert_allclose(np.tanh(A @ X @ cell.W + B), X, atol=3e-12)
    assert solution.well_posed
    assert solution.converged
    assert solution.contraction == pytest.approx(0.8)
    assert solution.perron == pytest.approx(np.abs(np.linalg.eigvals(np.abs(cell.W))).max())
    assert solution.kappa == pytest.approx(np.linalg.norm(cell.W, np.inf))
    assert solution.picard_steps <= solution.predicted_steps
    assert solution.picard_steps == pytest.approx(solution.predicted_steps_local, abs=4)
    assert solution.anderson_steps < solution.picard_steps
    J = np.kron(A, cell.W.T) * (1 - X.ravel() ** 2)[:, None]
    assert solution.local_factor == pytest.approx(np.abs(np.linalg.eigvals(J)).max(), rel=1e-8)
    f = dynsys.as_map(cell)
    np.testing.assert_allclose(f.step(X.ravel(), B.ravel()), X.ravel(), atol=3e-12)


def test_an_implicit_layer_without_certificate_says_so() -> None:
    cell = cells.ImplicitGCN(A=A, W=np.array([[1.7]]), activation="relu")
    solution = solve_implicit(cell, GRAPH, np.ones((34, 1)), max_steps=50)
    assert solution.well_posed is None
    assert not solution.converged
    assert solution.picard_steps is None
    assert solution.predicted_steps is None
    with pytest.raises(ShapeError, match="square and fit"):
        solve_implicit(implicit(0.5), GRAPH, np.ones((34, 2)))


def test_a_large_implicit_layer_needs_no_dense_matrix() -> None:
    graph = dynsys.graphs.as_graph(nx.random_regular_graph(4, 600, seed=1))
    cell = cells.ImplicitGCN(A=graph.propagation_matrix(), W=0.9 * np.eye(2), activation="identity")
    solution = solve_implicit(cell, graph, RNG.standard_normal((600, 2)))
    assert solution.local_factor == pytest.approx(0.9, rel=1e-6)
    assert solution.adjoint_condition == pytest.approx(10, rel=1e-5)


def test_thresholds_of_a_regular_graph_in_closed_form() -> None:
    """H' = tanh(w A H) on C_6: pitchforks at 1 / lambda for lambda > 0, flips at 1 / |lambda| for lambda < 0."""
    found = origin_thresholds(nx.cycle_graph(6))
    np.testing.assert_allclose(found.w, [1, 1.5, 3], rtol=1e-12)
    assert found.kinds == ("pitchfork", "pitchfork", "flip")
    assert found.multiplicity.tolist() == [1, 2, 1]
    assert found.homogeneous == (True, False, False)
    assert [found.unstable(w) for w in (0.9, 1.1, 2, 4)] == [0, 1, 3, 4]


@pytest.mark.parametrize(("w", "state", "largest"), [(1.1, 0.502941, 0.82175586), (2.0, 0.957504, 0.16637209)])
def test_the_collapsed_state_beyond_its_pitchfork(w: float, state: float, largest: float) -> None:
    assert homogeneous_state(w) == pytest.approx(state, abs=5e-7)
    for graph in (nx.cycle_graph(7), nx.petersen_graph()):
        multipliers = homogeneous_multipliers(graph, w)
        assert multipliers[0] == pytest.approx(largest, abs=5e-9)
        assert (np.abs(multipliers) < 1).all()
    assert homogeneous_state(0.7) == 0.0
    with pytest.raises(InputError, match="all degrees agree"):
        homogeneous_multipliers(nx.star_graph(3), w)


def test_thresholds_are_where_the_map_loses_stability() -> None:
    """Complex weights: the spectral radius of the Jacobian at the origin is one at the first threshold."""
    W = np.array([[0.6, -0.8], [0.8, 0.6]])
    found = origin_thresholds(GRAPH, W)
    assert found.kinds[0] == "neimark-sacker"
    assert found.multiplicity[0] == 2
    for k in (0, 3):
        J = np.kron(A, (found.w[k] * W).T)
        assert np.isclose(np.abs(np.linalg.eigvals(J)), 1, atol=1e-9).sum() == found.multiplicity[k]
        above = np.kron(A, (1.0001 * found.w[k] * W).T)
        assert (np.abs(np.linalg.eigvals(above)) > 1 + 1e-9).sum() == found.unstable(1.0001 * found.w[k])
