"""Singular values of layers, and what a gradient is for their weights."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

import dynsys
from dynsys.errors import InputError
from dynsys.propagate import Layer
from dynsys.propagate import singular_values as module
from dynsys.propagate.singular_values import leading

GRAPH = dynsys.graphs.as_graph(nx.karate_club_graph(), weights=None)
RNG = np.random.default_rng(4)
LIGHT = {"bands": None, "ranks": False}
SLOPES = {
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}


@pytest.fixture(params=["dense", "squares", "iterated"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All roads to the same numbers."""
    if request.param == "iterated":
        monkeypatch.setattr(module, "DENSE", 0)
    if request.param == "squares":
        monkeypatch.setattr(module, "ENTRIES", 0)
    return str(request.param)


def of_matrix(J: np.ndarray, k: int) -> module.Leading:
    return leading(lambda V: J @ V, lambda U: J.T @ U, J.shape, k)


@pytest.mark.parametrize("shape", [(120, 80), (80, 120)])
def test_equal_values_are_all_found(shape: tuple[int, int], road: str) -> None:
    """Four times 3 and twice 2: a single start vector would find one of each."""
    U, V = (np.linalg.qr(RNG.standard_normal((size, 80)))[0] for size in shape)
    exact = np.array([3.0] * 4 + [2.0] * 2 + list(np.linspace(1, 0, 74)))
    found = of_matrix(U * exact @ V.T, 6)
    np.testing.assert_allclose(found.values, exact[:6], atol=1e-12)
    assert (np.abs(found.values - exact[:6]) <= found.errors + 1e-12).all()


def test_errors_that_are_stated_hold_where_room_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", 0)
    monkeypatch.setattr(module, "BLOCKS", 2)
    J = RNG.standard_normal((300, 200))
    found = of_matrix(J, 3)
    exact = np.linalg.svd(J, compute_uv=False)
    nearest = np.abs(found.values[:, np.newaxis] - exact).min(axis=1)
    assert (nearest <= found.errors).all()
    assert found.errors.max() > 0.1  # two blocks are few, and that is said


def test_maps_of_low_rank_and_the_zero_map(road: str) -> None:
    thin = np.outer(RNG.standard_normal(50), RNG.standard_normal(45))
    found = of_matrix(thin, 3)
    np.testing.assert_allclose(found.values, [np.linalg.norm(thin), 0, 0], atol=1e-6 * np.linalg.norm(thin))
    assert (found.values[1:] <= found.errors[1:] + 1e-12).all()
    assert of_matrix(np.zeros((50, 45)), 2).values.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(of_matrix(np.diag([2.0, 1.0]), 4).values, [2.0, 1.0, 0.0, 0.0], atol=1e-15)


def test_a_linear_layer_has_the_products_of_singular_values(road: str) -> None:
    """J = A~ (x) W^T: |lambda_i| sigma_j(W), on a cycle whose eigenvalues come in pairs."""
    W = RNG.standard_normal((3, 3))
    lam = np.abs((1 + 2 * np.cos(2 * np.pi * np.arange(41) / 41)) / 3)
    exact = np.sort(np.multiply.outer(lam, np.linalg.svd(W, compute_uv=False)).ravel())[::-1]
    run = dynsys.propagation(Layer(W=W), nx.cycle_graph(41), np.ones((41, 3)), 2, singular_values=6)
    np.testing.assert_allclose(run.jacobian_singular_values[1:], [exact[:6]] * 2, rtol=1e-7)
    assert np.isnan(run.jacobian_singular_values[0]).all()
    assert run.jacobian_singular_values[1, 0] == pytest.approx(run.jacobian_gain[1], rel=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(("widths", "residual"), [((4, 4, 4), 0.3), ((5, 3, 2), 0.0)])
def test_by_the_dense_jacobian(activation: str, widths: tuple[int, ...], residual: float, road: str) -> None:
    layers = [
        Layer(W=RNG.standard_normal(shape), activation=activation, residual=residual)
        for shape in itertools.pairwise(widths)
    ]
    X = RNG.standard_normal((34, widths[0]))
    run = dynsys.propagation(layers, GRAPH, X, singular_values=5)
    A, H = GRAPH.propagation_matrix().toarray(), X
    function, slope = SLOPES[activation]
    for k, layer in enumerate(layers, 1):
        Z = A @ H @ layer.W
        J = slope(Z).reshape(-1, 1) * np.kron(A, layer.W.T) + residual * np.eye(Z.size, H.size)
        exact = np.linalg.svd(J, compute_uv=False)[:5]
        np.testing.assert_allclose(run.jacobian_singular_values[k], exact, rtol=1e-7)
        assert (np.abs(run.jacobian_singular_values[k] - exact) <= run.jacobian_singular_errors[k] + 1e-12).all()
        H = function(Z) + (residual * H if residual else 0.0)


@pytest.mark.parametrize("normalization", ["sym+loops", "row+loops"])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("residual", [0.0, 0.4])
def test_weight_gradients_by_differences(normalization: str, activation: str, residual: float) -> None:
    """|d y / d W_k| for y = <B, H_L>: every entry of every W by central differences."""
    generator = np.random.default_rng(2)
    weights = [generator.standard_normal((3, 3)) / 2 for _ in range(5)]
    X, bias = generator.standard_normal((34, 3)), generator.standard_normal(3)
    layers = [Layer(W=W, b=bias, activation=activation, residual=residual) for W in weights]
    run = dynsys.propagation(layers, GRAPH, X, normalization=normalization, seed=3, jacobians=False, **LIGHT)
    B = np.random.default_rng(3).standard_normal((34, 3))
    B /= np.linalg.norm(B)
    A = GRAPH.propagation_matrix(normalization).toarray()

    def y(changed: list[np.ndarray]) -> float:
        H = X
        for W in changed:
            H = SLOPES[activation][0](A @ H @ W + bias) + residual * H
        return float(np.vdot(B, H))

    for k in range(5):
        slopes = np.zeros((3, 3))
        for entry in np.ndindex(3, 3):
            ends = []
            for sign in (1, -1):
                moved = [W.copy() for W in weights]
                moved[k][entry] += sign * 1e-6
                ends.append(y(moved))
            slopes[entry] = (ends[0] - ends[1]) / 2e-6
        assert run.weight_gradient[k + 1] == pytest.approx(np.linalg.norm(slopes), rel=1e-6)
    assert np.isnan(run.weight_gradient[0])


def test_without_weights_the_gradient_is_the_same_at_every_layer() -> None:
    """(A^k X)^T A^(L-k) B = X^T A^L B; far below the smallest float too, on a graph whose lambda* is 1/3."""
    X, B = RNG.standard_normal((34, 2)), np.random.default_rng(0).standard_normal((34, 2))
    run = dynsys.propagation(None, GRAPH, X, 6, jacobians=False, **LIGHT)
    A = GRAPH.propagation_matrix().toarray()
    exact = np.linalg.norm(X.T @ np.linalg.matrix_power(A, 6) @ B) / np.linalg.norm(B)
    np.testing.assert_allclose(run.weight_gradient[1:], exact, rtol=1e-11)
    same = dynsys.propagation([Layer(W=np.eye(2))] * 6, GRAPH, X, jacobians=False, **LIGHT)  # by the general road
    np.testing.assert_allclose(same.weight_gradient[1:], exact, rtol=1e-11)
    deep = dynsys.propagation(Layer(W=np.eye(2) / 9), GRAPH, X, 900, jacobians=False, **LIGHT)
    steps = deep.log_weight_gradient[1:]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    assert steps[0] == pytest.approx(-899 * np.log(9), abs=3)


@pytest.mark.parametrize("count", [-1, 2.5, True])
def test_a_wrong_count_is_refused(count: object) -> None:
    with pytest.raises(InputError, match="singular_values"):
        dynsys.propagation(None, GRAPH, np.ones((34, 1)), 2, singular_values=count)
