"""Trained graph networks: state dicts of PyTorch Geometric, in files and in memory."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import dynsys
from dynsys.errors import InputError, LoadError

RNG = np.random.default_rng(4)
GRAPH = nx.gnm_random_graph(30, 70, seed=2)
STATE = {
    "conv1.bias": RNG.standard_normal(5),
    "conv1.lin.weight": RNG.standard_normal((5, 3)),
    "conv2.bias": RNG.standard_normal(2),
    "conv2.lin.weight": RNG.standard_normal((2, 5)),
}


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "net.npz", **arrays)
    return tmp_path / "net.npz"


def test_the_forward_pass_is_the_textbooks(tmp_path) -> None:
    network = dynsys.load(saved(tmp_path, **STATE))
    X = RNG.standard_normal((30, 3))
    A = dynsys.graphs.as_graph(GRAPH).propagation_matrix().toarray()
    hidden = np.maximum(A @ X @ STATE["conv1.lin.weight"].T + STATE["conv1.bias"], 0)
    out = A @ hidden @ STATE["conv2.lin.weight"].T + STATE["conv2.bias"]
    np.testing.assert_allclose(network.forward(GRAPH, X)[-1], out, atol=1e-12)
    assert network.widths == (3, 5, 2)
    run = dynsys.propagation(network, GRAPH, X)
    assert run.depth == 2
    assert run.norm[-1] == pytest.approx(np.linalg.norm(out), rel=1e-12)


def test_older_names_and_orders_are_read_too(tmp_path) -> None:
    """gc1.weight (in, out), as in the reference code; and layers numbered beyond nine, out of order in the file."""
    old = {
        "gc1.weight": STATE["conv1.lin.weight"].T, "gc1.bias": STATE["conv1.bias"],
        "gc2.weight": STATE["conv2.lin.weight"].T, "gc2.bias": STATE["conv2.bias"],
    }  # fmt: skip
    X = RNG.standard_normal((30, 3))
    one = dynsys.load(saved(tmp_path, **STATE)).forward(GRAPH, X)[-1]
    np.testing.assert_allclose(dynsys.load(saved(tmp_path, **old)).forward(GRAPH, X)[-1], one)
    shapes = [(4, 3), *[(4, 4)] * 9, (2, 4)]
    layers = {f"convs.{k}.lin.weight": np.full(shape, k + 1.0) for k, shape in enumerate(shapes)}
    network = dynsys.load(saved(tmp_path, **dict(sorted(layers.items()))))
    assert [layer.W[0, 0] for layer in network.layers] == list(range(1, 12))


def test_what_stands_between_the_layers_is_said_and_can_be_changed(tmp_path) -> None:
    path = saved(tmp_path, **STATE)
    assert any("ReLU is assumed" in note for note in dynsys.load(path).notes)
    assert dynsys.load(path, nonlinearity="tanh").layers[0].activation == "tanh"
    assert dynsys.load(path).layers[-1].activation == "identity"


def test_what_is_no_plain_graph_network_is_refused(tmp_path) -> None:
    with pytest.raises(LoadError, match="att_src"):
        dynsys.load(saved(tmp_path, **STATE, **{"conv1.att_src": np.ones((1, 1, 5))}))
    with pytest.raises(LoadError, match="running_mean"):
        dynsys.load(saved(tmp_path, **STATE, **{"bn.running_mean": np.ones(5)}))
    with pytest.raises(LoadError, match="do not fit on each other"):
        dynsys.load(saved(tmp_path, **(STATE | {"conv2.lin.weight": np.ones((2, 4))})))
    with pytest.raises(LoadError, match="not finite"):
        dynsys.load(saved(tmp_path, **(STATE | {"conv2.bias": np.array([1, np.nan])})))


def test_a_network_is_no_map_by_itself(tmp_path) -> None:
    network = dynsys.load(saved(tmp_path, **STATE))
    with pytest.raises(InputError, match="as_cell"):
        dynsys.as_map(network)
    with pytest.raises(InputError, match="keeps the number of features"):
        network.as_cell(GRAPH)
    square = dynsys.load(saved(tmp_path, **{"conv1.lin.weight": np.eye(3), "conv1.bias": np.ones(3)}))
    f = dynsys.as_map(square.as_cell(GRAPH, 0))
    X = RNG.standard_normal((30, 3))
    np.testing.assert_allclose(f.step(X.ravel()), square.forward(GRAPH, X)[-1].ravel(), atol=1e-14)


def test_beyond_its_own_layers_a_network_goes_on_as_asked(tmp_path) -> None:
    X = RNG.standard_normal((30, 3))
    linear = dynsys.propagation(dynsys.load(saved(tmp_path, **STATE)), GRAPH, X, 6)
    assert linear.own_layers == 2
    assert any("W = I" in note for note in linear.notes)
    square = dynsys.load(saved(tmp_path, **{"conv1.lin.weight": 0.5 * np.eye(3)}))
    tied = dynsys.propagation(square, GRAPH, X, 6)
    plain = dynsys.propagation(None, GRAPH, X, 6)
    np.testing.assert_allclose(tied.norm, plain.norm * 0.5 ** np.arange(7), rtol=1e-12)
    mixed = dynsys.propagation(square, GRAPH, X, 6, beyond="linear")
    assert mixed.norm[-1] == pytest.approx(0.5 * plain.norm[-1])


def test_the_network_trained_on_cora_classifies() -> None:
    data = np.load("examples/cora.npz")
    network = dynsys.load("examples/cora_gcn.pt")
    X = np.zeros(tuple(data["feat_shape"]))
    rows = np.repeat(np.arange(len(X)), np.diff(data["feat_indptr"]))
    X[rows, data["feat_indices"]] = 1
    X /= np.maximum(X.sum(axis=1, keepdims=True), 1)
    said = network.forward("examples/cora.npz", X)[-1].argmax(axis=1)
    test = data["test_idx"]
    assert np.mean(said[test] == data["labels"][test]) == pytest.approx(0.828, abs=0.003)


def test_parity_with_pytorch_geometric() -> None:
    torch = pytest.importorskip("torch")
    geometric = pytest.importorskip("torch_geometric.nn")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = geometric.GCNConv(7, 6), geometric.GCNConv(6, 4)

        def forward(self, x, edges):
            return self.conv2(self.conv1(x, edges).relu(), edges)

    torch.manual_seed(1)
    module = Net()
    with torch.no_grad():
        module.conv1.bias.add_(0.3)
    edges = torch.tensor(list(GRAPH.edges())).T
    x = torch.randn(30, 7)
    theirs = module(x, torch.cat([edges, edges.flip(0)], 1)).detach().numpy()
    from dynsys.loaders.graph_layers import network_in_memory

    np.testing.assert_allclose(network_in_memory(module).forward(GRAPH, x.numpy())[-1], theirs, atol=1e-6)
    run = dynsys.propagation(module, GRAPH, x.numpy())
    assert run.norm[-1] == pytest.approx(np.linalg.norm(theirs), rel=1e-6)
    improved = torch.nn.Sequential(geometric.GCNConv(7, 6, improved=True))
    with pytest.raises(LoadError, match="improved"):
        dynsys.propagation(improved, GRAPH, x.numpy())
