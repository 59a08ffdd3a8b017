"""Linear propagation on graphs whose eigenvalues are known, and the traps of notes on over-smoothing."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import cells
import dynsys
from dynsys.propagate import Layer

RNG = np.random.default_rng(3)


def cycle(n):
    return nx.cycle_graph(n), [(1 + 2 * np.cos(2 * np.pi * k / n)) / 3 for k in range(n)]


def complete(n):
    return nx.complete_graph(n), [1.0] + [0.0] * (n - 1)


def star(m):
    return nx.star_graph(m), [1.0] + [0.5] * (m - 1) + [(1 - m) / (2 * (m + 1))]


def bipartite(a, b):
    ends = [1.0, (1 - a * b) / ((a + 1) * (b + 1))]
    return nx.complete_bipartite_graph(a, b), ends + [1 / (b + 1)] * (a - 1) + [1 / (a + 1)] * (b - 1)


def hypercube(d):
    graph = nx.convert_node_labels_to_integers(nx.hypercube_graph(d))
    return graph, [(d - 2 * bin(k).count("1") + 1) / (d + 1) for k in range(2**d)]


def torus(a, b):
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(a, b, periodic=True))
    waves = [(np.cos(2 * np.pi * i / a), np.cos(2 * np.pi * j / b)) for i in range(a) for j in range(b)]
    return graph, [(1 + 2 * x + 2 * y) / 5 for x, y in waves]


FAMILIES = [cycle(7), cycle(8), complete(6), star(5), bipartite(3, 4), hypercube(4), torus(4, 5)]


def spectral_parts(graph, X):
    """Eigenvalues of A~ and the size of X along each eigenvector, the trivial one left out."""
    A = dynsys.graphs.as_graph(graph).propagation_matrix().toarray()
    values, vectors = np.linalg.eigh(A)
    return values[:-1], np.square(vectors[:, :-1].T @ X).sum(axis=1)


@pytest.mark.parametrize(("graph", "spectrum"), FAMILIES)
def test_distance_and_energy_decay_as_the_eigenvalues_say(graph, spectrum) -> None:
    """d_M(H_L)^2 = sum lambda^2L |u.X|^2 and E(H_L) = sum (1 - lambda) lambda^2L |u.X|^2 over the nontrivial ones."""
    X = RNG.standard_normal((len(graph), 3))
    values, parts = spectral_parts(graph, X)
    np.testing.assert_allclose(np.sort(values), np.sort(spectrum)[:-1], atol=1e-14)
    run = dynsys.propagation(None, graph, X, 12)
    for layer in (0, 1, 5, 12):
        powers = values ** (2 * layer) * parts if layer else parts
        np.testing.assert_allclose(run.collapse_distance[layer] ** 2, powers.sum(), rtol=1e-11, atol=1e-25)
        np.testing.assert_allclose(run.energy[layer], ((1 - values) * powers).sum(), rtol=1e-11, atol=1e-25)
    assert run.bound_holds


@pytest.mark.parametrize("n", [5, 12])
def test_a_single_mode_decays_by_its_eigenvalue_at_depth_one_thousand(n: int) -> None:
    """Far below the smallest float, and without the rounding of the trivial part in between."""
    k = np.arange(n)
    X = (1.0 + 1e-8 * np.cos(2 * np.pi * k / n))[:, np.newaxis]
    run = dynsys.propagation(None, nx.cycle_graph(n), X, 1000, bands=None, jacobians=False)
    eigenvalue = (1 + 2 * np.cos(2 * np.pi / n)) / 3
    steps = np.diff(run.log_distance)
    np.testing.assert_allclose(steps, np.log(eigenvalue), rtol=1e-9)
    assert run.rate == pytest.approx(np.log(eigenvalue), rel=1e-12)
    assert run.rate_predicted == pytest.approx(np.log(eigenvalue), rel=1e-12)
    assert run.log_norm[-1] == pytest.approx(0.5 * np.log(n), abs=1e-12)
    assert run.log_distance[-1] < -100  # against a signal of size 1, whose rounding is e^-36


def test_float32_keeps_the_rate_where_plain_float32_underflows() -> None:
    X = RNG.standard_normal((16, 4)).astype(np.float32)
    run = dynsys.propagation(None, nx.complete_bipartite_graph(8, 8), X, 600, dtype="float32", bands=None)
    # Only the antisymmetric vector, with lambda = (1 - 64) / 81, is left after some layers.
    assert run.dtype == "float32"
    np.testing.assert_allclose(np.diff(run.log_distance)[50:], np.log(63 / 81), atol=1e-6)
    assert run.log_distance[-1] < np.log(np.finfo(np.float32).tiny)
    assert run.log_energy[-1] == pytest.approx(2 * run.log_distance[-1] + np.log(1 + 63 / 81), abs=1e-5)


def test_a_complete_graph_collapses_in_one_step_exactly() -> None:
    run = dynsys.propagation(None, nx.complete_graph(9), RNG.standard_normal((9, 2)), 4)
    assert run.log_distance[0] > -5
    assert (run.log_distance[1:] == -np.inf).all()
    assert run.rate == -np.inf
    assert run.effective_depth == 1


def test_trap_the_negative_end_may_dominate() -> None:
    """K_{10,10}: lambda_2 = 1/11, lambda_min = -9/11; the antisymmetric vector keeps 0.6694 of its energy per layer."""
    X = np.repeat([1.0, -1.0], 10)[:, np.newaxis]
    run = dynsys.propagation(None, nx.complete_bipartite_graph(10, 10), X, 3)
    assert run.lambda_2 == pytest.approx(1 / 11, abs=1e-13)
    assert run.lambda_min == pytest.approx(-9 / 11, abs=1e-13)
    assert run.energy[1] / run.energy[0] == pytest.approx((9 / 11) ** 2, rel=1e-12)
    assert run.rate_bound == pytest.approx(np.log(9 / 11), abs=1e-12)
    assert run.frequency == "high"


@pytest.mark.parametrize("graph", [nx.cycle_graph(6), nx.star_graph(4), nx.path_graph(5)])
def test_trap_without_loops_a_bipartite_graph_never_smooths(graph) -> None:
    X = RNG.standard_normal((len(graph), 2))
    plain = dynsys.propagation(None, graph, X, 200, normalization="sym", bands=None)
    loops = dynsys.propagation(None, graph, X, 200, bands=None)
    assert plain.collapse_distance[-1] > 1e-3
    assert abs(plain.rate) < 1e-10
    assert loops.collapse_distance[-1] < 1e-4


@pytest.mark.parametrize(("leaves", "norm"), [(4, 1.1769), (16, 2.0647), (64, 4.0312)])
def test_trap_row_normalisation_may_grow_before_it_shrinks(leaves: int, norm: float) -> None:
    graph = nx.star_graph(leaves)
    run = dynsys.propagation(None, graph, RNG.standard_normal((leaves + 1, 1)), 40, normalization="row+loops")
    assert run.jacobian_gain[1] == pytest.approx(norm, abs=5e-5)
    assert run.bound_holds
    assert run.rate == pytest.approx(np.log(0.5), abs=1e-2)


def test_trap_each_component_has_its_own_collapse() -> None:
    graph = nx.disjoint_union_all([nx.cycle_graph(5), nx.path_graph(4), nx.empty_graph(2)])
    run = dynsys.propagation(None, graph, RNG.standard_normal((11, 3)), 300)
    assert run.rate < -0.05
    assert run.relative_distance[-1] < 1e-10
    assert run.norm[-1] > 0.5  # four numbers per feature survive, those of isolated nodes among them
    assert run.effective_rank[-1] > 2


def test_trap_tanh_leaves_the_collapse_subspace_of_an_irregular_graph() -> None:
    graph = nx.star_graph(4)
    h = np.sqrt(np.array([5.0, 2, 2, 2, 2]))[:, np.newaxis]
    run = dynsys.propagation(Layer(activation="tanh"), graph, h, 3)
    assert run.collapse_distance[0] == pytest.approx(0, abs=1e-15)
    assert run.collapse_distance[1] == pytest.approx(0.33516143312377, abs=1e-14)
    assert run.bound_reason
    assert run.log_distance_bound[-1] == np.inf
    regular = dynsys.propagation(Layer(activation="tanh"), nx.cycle_graph(5), np.ones((5, 1)), 3)
    assert (regular.collapse_distance[1:] < 1e-15).all()
    assert not regular.bound_reason


def test_oono_and_suzuki_hold_on_two_thousand_random_cases() -> None:
    """d_M(relu(A X W)) <= s lambda* d_M(X), never violated: 200 random graphs with 10 random layers each."""
    generator = np.random.default_rng(11)
    ratios = []
    for _ in range(200):
        n, d = int(generator.integers(3, 13)), int(generator.integers(2, 6))
        edges = np.triu(generator.random((n, n)) < generator.uniform(0.2, 0.9), 1)
        edges[0, 1] = True
        graph = dynsys.graphs.as_graph(np.argwhere(edges).T, n_nodes=n)
        layers = [Layer(W=generator.standard_normal((d, d)), activation="relu") for _ in range(10)]
        X = generator.standard_normal((n, d))
        run = dynsys.propagation(layers, graph, X, bands=None, ranks=False, jacobians=False, gradients=False)
        assert run.bound_holds
        with np.errstate(invalid="ignore"):
            steps = np.diff(run.log_distance)
        for step, layer in zip(steps, layers, strict=True):
            if np.isfinite(step) and run.lambda_star > 1e-9:
                ratios.append(np.exp(step) / (np.linalg.norm(layer.W, 2) * run.lambda_star))
                # Weights are of both signs, so that a distance may also vanish; where it does not, the bound holds.
                assert ratios[-1] <= 1 + 1e-9
    assert len(ratios) > 1000
    assert max(ratios) > 0.3


def test_mean_squared_gains_of_linear_layers() -> None:
    """tr A~^2 / n is 1/3 on a cycle, 1/n on a complete graph, 1/5 on the 4-cube, 0.22865077 on Cora."""
    cases = [(nx.cycle_graph(9), 1 / 3), (nx.complete_graph(7), 1 / 7), (hypercube(4)[0], 1 / 5)]
    for graph, value in cases:
        run = dynsys.propagation(None, graph, np.ones((len(graph), 1)), 1)
        assert run.jacobian_rms[1] ** 2 == pytest.approx(value, rel=1e-13)
    run = dynsys.propagation(None, "examples/cora.npz", np.ones((2708, 1)), 1, bands=None)
    assert run.jacobian_rms[1] ** 2 == pytest.approx(0.22865077, abs=5e-9)


def test_the_cell_and_the_stack_agree_with_the_map() -> None:
    """The same layer read as a map of flattened states: states and Jacobians."""
    graph = dynsys.graphs.as_graph(nx.karate_club_graph(), weights=None)
    A = graph.propagation_matrix()
    generator = np.random.default_rng(0)
    for activation in ("relu", "tanh", "identity"):
        cell = cells.GCN(
            A=A, W=generator.standard_normal((3, 3)), b=generator.standard_normal(3), activation=activation
        )
        X = generator.standard_normal((34, 3))
        f = dynsys.as_map(cell)
        states = dynsys.simulate(f, X.ravel(), steps=4)
        run = dynsys.propagation(cell, graph, X, 4)
        np.testing.assert_allclose(run.norm, np.linalg.norm(states, axis=1), rtol=1e-12)
        for layer in (1, 4):
            J = f.jacobian(states[layer - 1])
            assert run.jacobian_gain[layer] == pytest.approx(np.linalg.norm(J, 2), rel=1e-7)
            assert run.jacobian_rms[layer] == pytest.approx(np.linalg.norm(J) / np.sqrt(J.shape[1]), rel=1e-12)
