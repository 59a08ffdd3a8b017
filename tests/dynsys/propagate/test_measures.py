"""Measures of a signal against their definitions, computed densely."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.propagate import Layer, RandomGCN
from dynsys.propagate.activations import mean_slope

GRAPH = dynsys.graphs.as_graph(nx.karate_club_graph(), weights=None)
DEGREES = GRAPH.degrees
ADJACENCY = GRAPH.adjacency.toarray()
RNG = np.random.default_rng(5)
X = RNG.standard_normal((34, 4))
LIGHT = {"bands": None, "ranks": False, "jacobians": False, "gradients": False}


def dense(normalization):
    return GRAPH.propagation_matrix(normalization).toarray()


def test_similarity_of_neighbours_by_definition() -> None:
    run = dynsys.propagation(None, GRAPH, X, 2)
    H = dense("sym+loops") @ dense("sym+loops") @ X
    unit = H / np.linalg.norm(H, axis=1, keepdims=True)
    i, j = GRAPH.edges
    assert run.mad[2] == pytest.approx(np.mean(1 - (unit[i] * unit[j]).sum(axis=1)), rel=1e-12)
    squares = ((H[:, None] - H[None]) ** 2).sum(axis=2)
    assert run.rusch[2] == pytest.approx(np.sqrt((ADJACENCY * squares).sum() / 34), rel=1e-12)


def test_mad_is_blind_to_one_dimensional_signals_of_one_sign() -> None:
    run = dynsys.propagation(None, GRAPH, np.abs(X[:, :1]) + 0.1, 3)
    assert (np.abs(run.mad) < 1e-15).all()
    assert run.collapse_distance[0] > 0.5


def test_ranks_of_the_identity_and_of_rank_one() -> None:
    n = 7
    graph = dynsys.graphs.as_graph(np.zeros((2, 0)), n_nodes=n)
    run = dynsys.propagation(None, graph, np.eye(n), 1)
    assert run.stable_rank[0] == pytest.approx(n)
    assert run.effective_rank[0] == pytest.approx(n)
    assert run.rank_one_distance[0] == pytest.approx(2 * (n - 1) / n)
    one = dynsys.propagation(None, graph, np.outer(np.arange(1, n + 1), [1.0, -2.0, 3.0]), 1)
    assert one.stable_rank[0] == pytest.approx(1)
    assert one.effective_rank[0] == pytest.approx(1, abs=1e-12)
    assert one.rank_one_distance[0] == pytest.approx(0, abs=1e-13)


def test_ranks_of_tall_and_of_wide_signals_by_svd() -> None:
    for shape in ((34, 3), (34, 60)):
        H = RNG.standard_normal(shape)
        run = dynsys.propagation(None, GRAPH, H, 1)
        sigma = np.linalg.svd(H, compute_uv=False)
        shares = sigma / sigma.sum()
        assert run.stable_rank[0] == pytest.approx((sigma**2).sum() / sigma[0] ** 2, rel=1e-12)
        assert run.effective_rank[0] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-12)
        i, j = np.argmax(np.abs(H).sum(axis=1)), np.argmax(np.abs(H).sum(axis=0))
        Y = np.outer(H[:, j], H[i]) * np.sign(H[i, j])
        rod = np.linalg.norm(H / sigma.sum() - Y / np.linalg.norm(Y, "nuc"), "nuc")
        assert run.rank_one_distance[0] == pytest.approx(rod, rel=1e-11)


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops"])
def test_band_shares_by_dense_eigenvectors(normalization: str) -> None:
    """<H, g(A) H> with the Chebyshev windows evaluated at exact eigenvalues; they add up to one."""
    from dynsys.propagate.bands import EDGES, _windows

    run = dynsys.propagation(None, GRAPH, X, 4, normalization=normalization)
    np.testing.assert_allclose(run.band_energy.sum(axis=1), 1, atol=1e-13)
    assert (run.band_energy > -1e-13).all()
    A = dense(normalization)
    weights = DEGREES + 1 if normalization == "row+loops" else np.ones(34)
    root = np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(root * A / root.T)
    H = root * (np.linalg.matrix_power(A, 4) @ X)
    parts = np.square(vectors.T @ H).sum(axis=1)
    windows = _windows(np.array(EDGES)) @ np.polynomial.chebyshev.chebvander(values, 63).T
    np.testing.assert_allclose(run.band_energy[4], windows @ parts / parts.sum(), atol=1e-12)


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops"])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("residual", [0.0, 0.4])
def test_sizes_against_plain_iteration(normalization: str, activation: str, residual: float) -> None:
    functions = {"identity": lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
    functions["sigmoid"] = lambda z: 1 / (1 + np.exp(-z))
    A, weights = dense(normalization), DEGREES + 1 if normalization == "row+loops" else np.ones(34)
    trivial = {"sym+loops": np.sqrt(DEGREES + 1), "sym": np.sqrt(DEGREES), "row+loops": np.ones(34)}[normalization]
    u = trivial / np.linalg.norm(trivial)
    for bias in (None, RNG.standard_normal(4)):
        layer = Layer(W=RNG.standard_normal((4, 4)) / 2, b=bias, activation=activation, residual=residual)
        run = dynsys.propagation(layer, GRAPH, X, 5, normalization=normalization, **LIGHT)
        H = X
        for k in range(6):
            energy = (weights[:, None] * H * (H - A @ H)).sum()
            assert run.norm[k] == pytest.approx(np.linalg.norm(H), rel=1e-12)
            assert run.collapse_distance[k] == pytest.approx(np.linalg.norm(H - np.outer(u, u @ H)), rel=1e-11)
            assert run.energy[k] == pytest.approx(energy, rel=1e-9)
            assert run.rayleigh[k] == pytest.approx(energy / (weights[:, None] * H * H).sum(), rel=1e-9)
            H = functions[activation](A @ H @ layer.W + (0 if bias is None else bias)) + residual * H
        assert run.bound_holds


def test_relabelling_nodes_only_permutes() -> None:
    order = RNG.permutation(34)
    moved = dynsys.graphs.as_graph(GRAPH.adjacency[order][:, order])
    layer = Layer(W=RNG.standard_normal((4, 4)), activation="relu")
    one = dynsys.propagation(layer, GRAPH, X, 6, gradients=False)
    other = dynsys.propagation(layer, moved, X[order], 6, gradients=False)
    for name in ("log_energy", "log_distance", "mad", "effective_rank", "jacobian_rms", "jacobian_gain"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-7, atol=1e-9)


def test_differences_of_functions_keep_their_digits() -> None:
    import mpmath

    for m, t in ((0.3, 1e-12), (20.0, 1e-3), (-15.0, 40.0), (2.0, 0.0), (1.0, -0.9), (3.0, -8.0)):
        with mpmath.workdps(60):
            exact = (mpmath.tanh(m + mpmath.mpf(t)) - mpmath.tanh(m)) / t if t else mpmath.sech(m) ** 2
        assert mean_slope("tanh", np.array([m]), np.array([t]))[0] == pytest.approx(float(exact), rel=1e-12)


def test_gradients_of_linear_and_of_relu_stacks_by_dense_products() -> None:
    generator = np.random.default_rng(2)
    for activation in ("identity", "relu", "tanh"):
        layers = [Layer(W=generator.standard_normal((4, 4)), activation=activation) for _ in range(7)]
        run = dynsys.propagation(layers, GRAPH, X, seed=3)
        A = dense("sym+loops")
        H, slopes = X, []
        for layer in layers:
            Z = A @ H @ layer.W
            H = {"identity": Z, "relu": np.maximum(Z, 0), "tanh": np.tanh(Z)}[activation]
            slopes.append({"identity": 1.0, "relu": Z > 0, "tanh": 1 - np.tanh(Z) ** 2}[activation])
        B = np.random.default_rng(3).standard_normal((34, 4))
        B /= np.linalg.norm(B)
        u = np.sqrt(DEGREES + 1)
        u /= np.linalg.norm(u)
        for k in range(7, -1, -1):
            assert run.gradient_norm[k] == pytest.approx(np.linalg.norm(B), rel=1e-11)
            apart = np.linalg.norm(B - np.outer(u, u @ B)) / np.linalg.norm(B)
            assert run.gradient_collapse[k] == pytest.approx(apart, rel=1e-8)
            if k:
                B = A.T @ (B * slopes[k - 1]) @ layers[k - 1].W.T


def test_a_linear_gradient_collapses_like_a_signal_far_below_rounding() -> None:
    run = dynsys.propagation(None, nx.cycle_graph(5), RNG.standard_normal((5, 2)), 600, **{**LIGHT, "gradients": True})
    eigenvalue = (1 + 2 * np.cos(2 * np.pi / 5)) / 3
    np.testing.assert_allclose(-np.diff(np.log(run.gradient_collapse[:400])), np.log(eigenvalue), rtol=1e-6)


def test_random_stacks_have_a_mean_and_a_spread() -> None:
    run = dynsys.propagation(RandomGCN(width=16, gain=2.0, seeds=(1, 2, 3)), GRAPH, X, 6)
    assert len(run.runs) == 3
    values = np.stack([part.log_distance for part in run.runs])
    np.testing.assert_allclose(run.log_distance, values.mean(axis=0))
    np.testing.assert_allclose(run.spread["log_distance"], values.std(axis=0, ddof=1))
    assert run.rate == pytest.approx(np.mean([part.rate for part in run.runs]))


def test_a_probe_reads_what_it_was_taught_and_not_its_scale() -> None:
    labels = np.array([0 if GRAPH.nodes[i] < 17 else 1 for i in range(34)])
    signal = np.eye(2)[labels] + 0.01 * RNG.standard_normal((34, 2))
    train = np.arange(0, 34, 2)
    for scale in (1.0, 1e-9):
        run = dynsys.propagation(None, GRAPH, scale * signal, 1, labels=labels, train=train)
        assert run.probe[0] == 1.0
    shuffled = RNG.permutation(labels)
    assert dynsys.propagation(None, GRAPH, X, 1, labels=shuffled, train=train).probe[0] < 0.9


# layer: E, E / |H|^2, d_M, stable rank, effective rank of A~^K X, words row-normalised; None where none is published
CITATIONS = {
    "cora": {
        0: (121.4004687, 0.61665268, 13.418423, 18.238, 1049.2),
        1: (13.97733423, 0.21476673, 6.9473338, None, None),
        2: (4.727266914, 0.10376840, 5.3609621, 5.221, 688.9),
        32: (0.04126241541, 0.00216242, 1.5051709, 2.267, 107.4),
    },
    "citeseer": {
        0: (56.27492142, None, 9.2509876, None, None),
        1: (6.468868507, None, 5.0423040, None, None),
        2: (2.273694629, None, 4.0496610, None, None),
    },
}
DIGITS = (5e-10, 5e-9, 6e-8, 1.2e-4, 6e-4)  # half a unit of the last digit that is given, roughly


@pytest.mark.parametrize("name", CITATIONS)
def test_citation_tables(name: str) -> None:
    """Linear propagation of row-normalised words: energies, distances, ranks to the digits published with the data."""
    import scipy.sparse

    data = np.load(f"examples/{name}.npz")
    words = scipy.sparse.csr_array(
        (np.ones(len(data["feat_indices"])), data["feat_indices"].astype(int), data["feat_indptr"]),
        shape=tuple(data["feat_shape"]),
    )
    H = words / np.maximum(words.sum(axis=1), 1)[:, None]
    split = {"labels": data["labels"], "train": data["train_idx"], "test": data["test_idx"]}
    graph, table, light = f"examples/{name}.npz", CITATIONS[name], LIGHT | {"ranks": name == "cora", "full": False}
    run = dynsys.propagation(None, graph, H, max(table), **light, dtype="float64")
    for layer, row in table.items():
        measured = (run.energy, run.rayleigh, run.collapse_distance, run.stable_rank, run.effective_rank)
        for values, exact, digits in zip(measured, row, DIGITS, strict=True):
            if exact is not None:
                assert values[layer] == pytest.approx(exact, rel=digits, abs=digits if values is run.rayleigh else 0)
    # Energy falls by more than an order of magnitude, and the labels become readable.
    assert run.energy[2] < run.energy[0] / 20
    probe = dynsys.propagation(None, graph, H, 2, **split, **LIGHT).probe
    assert probe[2] > 0.63
    assert probe[2] > probe[0]


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (np.ones((33, 2)), ShapeError, "the graph has 34 nodes, `features` has 33 rows"),
        (np.ones((2, 34)), ShapeError, "transpose"),
        (np.full((34, 2), np.nan), InputError, "not finite"),
        (np.array([["a"] * 2] * 34), InputError, "real numbers"),
        (np.ones((34, 0)), ShapeError, "at least one column"),
    ],
)
def test_bad_features_are_refused(features, error, words) -> None:
    with pytest.raises(error, match=words):
        dynsys.propagation(None, GRAPH, features, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 0}, "whole number of layers"),
        ({"normalization": "left"}, "one of sym"),
        ({"collapse_tol": 2}, "between 0 and 1"),
        ({"bands": (0, 1)}, "increase from -1 to 1"),
        ({"dtype": "int8"}, "float32 or float64"),
        ({"beyond": "again"}, "tied, linear"),
        ({"labels": np.zeros(34, int)}, "needs `train`"),
        ({"train": [1]}, "need `labels`"),
    ],
)
def test_bad_settings_are_refused(settings, words) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.propagation(None, GRAPH, X, **({"depth": 3} | settings))


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="takes 5 features, got 4"):
        dynsys.propagation([Layer(W=np.ones((5, 2)))], GRAPH, X)
    with pytest.raises(InputError, match="cannot be repeated"):
        dynsys.propagation([Layer(W=np.ones((4, 2)))], GRAPH, X, 3, beyond="tied")
    with pytest.raises(InputError, match="normalisation of this graph"):
        dynsys.propagation(cells.GCN(A=np.eye(34), W=np.eye(4)), GRAPH, X, 3)
