"""Against PyTorch itself: the same states, and the same arrays from the same file."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dynsys
from dynsys.errors import LoadError
from dynsys.loaders import load
from dynsys.loaders.torch_module import map_from_module
from dynsys.loaders.torch_zip import read_torch
from dynsys.loaders.zip_file import Archive

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("error")

STEPS, BATCH, HIDDEN, INPUTS = 7, 3, 5, 3
KINDS: dict[str, Callable[..., Any]] = {
    "tanh": lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k),
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "LSTM": nn.LSTM,
    "LSTM-projected": lambda *a, **k: nn.LSTM(*a, proj_size=2, **k),
    "GRU": nn.GRU,
}


def _module(kind: str, layers: int = 1, bias: bool = True) -> Any:
    torch.manual_seed(1)
    module = KINDS[kind](INPUTS, HIDDEN, num_layers=layers, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)  # far enough from zero that gates differ from each other
    return module


def _run(module: Any, inputs: np.ndarray, start: np.ndarray, sizes: list[int]) -> np.ndarray:
    """PyTorch's states after each step, (T, batch, n), in our order: layer by layer, h before c."""
    layers = module.num_layers
    parts = np.split(start, np.cumsum(sizes)[:-1], axis=1)
    per_layer = len(parts) // layers
    state = [torch.tensor(np.stack(parts[k::per_layer])) for k in range(per_layer)]
    states = []
    with torch.no_grad():
        for row in inputs:
            given = tuple(state) if per_layer == 2 else state[0]
            _, given = module(torch.tensor(row[np.newaxis]), given)
            state = list(given) if per_layer == 2 else [given]
            states.append(
                np.concatenate([state[k][layer].numpy() for layer in range(layers) for k in range(per_layer)], 1)
            )
    return np.stack(states)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_seven_steps_agree_with_pytorch(kind: str, layers: int, bias: bool, tmp_path: Path) -> None:
    module = _module(kind, layers, bias)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    from_file = load(tmp_path / "model.pt", nonlinearity=kind if kind in ("tanh", "relu") else None)
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(STEPS, BATCH, INPUTS))
    for model in (from_file, map_from_module(module)):
        start = rng.uniform(-0.8, 0.8, (BATCH, model.state_size))
        expected = _run(module, inputs, start, [rows.stop - rows.start for _, rows in model.blocks])
        np.testing.assert_allclose(dynsys.simulate(model, start, inputs)[1:], expected, rtol=0, atol=1e-12)
        assert model.source.dtype == "float64"
        assert not any("converted" in note for note in model.notes)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_confused_gates_would_be_noticed(kind: str, gates: int) -> None:
    """Any other order of the row blocks gives states that are wrong by far more than the tolerance above."""
    module = _module(kind)
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(STEPS, 1, INPUTS))
    model = map_from_module(module)
    right = dynsys.simulate(model, None, inputs)
    blocks = {name: np.split(value.numpy(), gates) for name, value in module.state_dict().items()}
    for order in itertools.permutations(range(gates)):
        shuffled = KINDS[kind](INPUTS, HIDDEN, dtype=torch.float64)
        shuffled.load_state_dict(
            {name: torch.tensor(np.concatenate([parts[k] for k in order])) for name, parts in blocks.items()}
        )
        wrong = dynsys.simulate(map_from_module(shuffled), None, inputs)
        if order != tuple(range(gates)):
            assert np.abs(wrong - right).max() > 1e-3


def test_the_two_biases_of_the_candidate_are_not_merged() -> None:
    module = _module("GRU")
    assert np.abs(map_from_module(module).layers[0].b_hn).min() > 1e-3


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_single_cells_are_read_too(kind: str) -> None:
    torch.manual_seed(0)
    cell = getattr(nn, kind)(INPUTS, HIDDEN, dtype=torch.float64)
    model = map_from_module(cell)
    x, h, c = (torch.randn(1, size, dtype=torch.float64) for size in (INPUTS, HIDDEN, HIDDEN))
    with torch.no_grad():
        after = torch.cat(cell(x, (h, c)), 1) if kind == "LSTMCell" else cell(x, h)
    start = torch.cat([h, c], 1) if kind == "LSTMCell" else h
    np.testing.assert_allclose(model.step(start.numpy(), x.numpy()), after.numpy(), rtol=0, atol=1e-14)


def test_the_nonlinearity_of_a_module_is_its_own() -> None:
    for kind in ("tanh", "relu"):
        model = map_from_module(nn.Sequential(nn.Identity(), _module(kind)))
        assert model.layers[0].activation == kind
        assert not any("assumed" in note for note in model.notes)
    assert map_from_module(nn.RNNCell(2, 3, nonlinearity="relu")).layers[0].activation == "relu"


class Net(nn.Module):
    def __init__(self, recurrent: Any) -> None:
        super().__init__()
        self.embed, self.core, self.head = nn.Embedding(11, INPUTS), recurrent, nn.Linear(HIDDEN, 4)


def test_as_map_reads_a_module_and_leaves_it_as_it_was() -> None:
    net = Net(nn.GRU(INPUTS, HIDDEN)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = dynsys.as_map(net)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert model.readout.V.shape == (4, HIDDEN)
    assert model.embedding.shape == (11, INPUTS)
    assert (model.source.format, model.source.prefix, model.source.dtype) == ("torch module", "core", "float32")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert model.parameters["U_z"].any(), "later training must not change the map"


def test_a_module_in_half_precision_is_read(tmp_path: Path) -> None:
    half = nn.GRU(INPUTS, HIDDEN).to(torch.bfloat16)
    torch.save(half.state_dict(), tmp_path / "half.pt")
    models = [map_from_module(half), load(tmp_path / "half.pt")]
    expected = half.weight_hh_l0.detach().double().numpy()[:HIDDEN]
    for model in models:
        np.testing.assert_array_equal(model.parameters["U_r"], expected)
        assert model.source.dtype == "bfloat16"


def test_safetensors_in_half_precision_are_read(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    module = nn.LSTM(INPUTS, HIDDEN)
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        converted = {name: value.to(kind) for name, value in module.state_dict().items()}
        save_file(converted, tmp_path / "half.safetensors")
        expected = converted["weight_hh_l0"].double().numpy()[:HIDDEN]
        np.testing.assert_array_equal(load(tmp_path / "half.safetensors").parameters["U_i"], expected)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["weight_hh_l0", "weight_ih_l0"])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_normalisation_is_worked_out(legacy: bool, name: str, dim: int | None) -> None:
    module = _module("GRU")
    normalise = nn.utils.weight_norm if legacy else nn.utils.parametrizations.weight_norm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the end of the older one
        normalise(module, name, dim=dim)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if key.endswith(("_g", "original0")):
                parameter.mul_(1.3)
    inputs = np.random.default_rng(4).normal(size=(STEPS, 1, INPUTS))
    with torch.no_grad():
        expected = module(torch.tensor(inputs))[0].numpy()
    states = dynsys.simulate(map_from_module(module), np.zeros((1, HIDDEN)), inputs)[1:]
    np.testing.assert_allclose(states, expected, rtol=0, atol=1e-12)


class Skewed(nn.Module):
    """A parametrization of somebody's own, with no name that a file could tell."""

    def forward(self, w: Any) -> Any:
        return w.triu(1) - w.triu(1).T


def _symmetric(module: Any, name: str) -> Any:
    nn.utils.parametrize.register_parametrization(module, name, Skewed())
    return module


ORTHOGONAL = {
    kind: lambda module, name, kind=kind: nn.utils.parametrizations.orthogonal(module, name, orthogonal_map=kind)
    for kind in ("matrix_exp", "cayley", "householder")
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "wrapped",
    [*ORTHOGONAL.values(), nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm, _symmetric],
)
@pytest.mark.parametrize("inside", [True, False])
def test_parametrised_modules_are_read_as_they_run(wrapped: Callable[..., Any], training: bool, inside: bool) -> None:
    """States are PyTorch's own in evaluation, and nothing of the module moves, no buffer of a spectral norm."""
    module = wrapped(_module("tanh"), "weight_hh_l0").train(training)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = 0.1 * torch.randn_like(parameter)
            parameter.add_(noise - torch.diag(noise.diag()) if noise.shape == (HIDDEN, HIDDEN) else noise)
    given = nn.ModuleDict({"rnn": module, "head": nn.Linear(HIDDEN, 2, dtype=torch.float64)}) if inside else module
    before = {name: value.clone() for name, value in given.state_dict().items()}
    f = dynsys.as_map(given)
    after = given.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert module.training == training
    inputs = np.random.default_rng(4).normal(size=(STEPS, 1, INPUTS))
    with torch.no_grad():
        expected = module.eval()(torch.tensor(inputs))[0].numpy()
    np.testing.assert_allclose(dynsys.simulate(f, np.zeros((1, HIDDEN)), inputs)[1:], expected, rtol=0, atol=1e-14)
    if wrapped in ORTHOGONAL.values():
        U = f.parameters["U"]
        np.testing.assert_allclose(U @ U.T, np.eye(HIDDEN), atol=1e-13)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_file_that_does_not_say_its_parametrization_is_refused(tmp_path: Path, bidirectional: bool) -> None:
    """matrix_exp and cayley keep the same arrays for different weights: a file of them says neither."""
    path, read = tmp_path / "a.pt", dynsys.bidirectional if bidirectional else load
    network = nn.ModuleDict({"rnn": nn.RNN(3, 4, bidirectional=bidirectional, bias=False)})
    nn.utils.parametrizations.orthogonal(network["rnn"], "weight_hh_l0")
    torch.save(network.state_dict(), path)
    with pytest.raises(LoadError, match=r"rnn\.weight_hh_l0 is stored as .*remove_.*\(module\.rnn, 'weight"):
        read(path)
    nn.utils.parametrize.remove_parametrizations(network["rnn"], "weight_hh_l0")
    torch.save(network.state_dict(), path)
    read(path)


def test_an_orthogonal_matrix_of_another_module_is_in_nobodys_way(tmp_path: Path) -> None:
    network = nn.ModuleDict({"a": nn.GRU(2, 3), "b": nn.RNN(2, 3)})
    nn.utils.parametrizations.orthogonal(network["b"], "weight_hh_l0")
    torch.save(network.state_dict(), tmp_path / "a.pt")
    assert load(tmp_path / "a.pt", module="a").state_size == 3
    with pytest.raises(LoadError, match=r"b\.weight_hh_l0 is stored as"):
        load(tmp_path / "a.pt", module="b")


@pytest.mark.parametrize("legacy", [True, False])
def test_spectral_normalisation_is_worked_out_of_a_file(tmp_path: Path, legacy: bool) -> None:
    module = _module("GRU")
    normalise = nn.utils.spectral_norm if legacy else nn.utils.parametrizations.spectral_norm
    normalise(module, "weight_hh_l0")
    inputs = np.random.default_rng(4).normal(size=(STEPS, 1, INPUTS))
    with torch.no_grad():
        module(torch.tensor(inputs))
        torch.save(module.state_dict(), tmp_path / "a.pt")
        expected = module.eval()(torch.tensor(inputs))[0].numpy()
    f = load(tmp_path / "a.pt")
    np.testing.assert_allclose(dynsys.simulate(f, np.zeros((1, HIDDEN)), inputs)[1:], expected, rtol=0, atol=1e-12)
    assert any("spectrally normalised" in note for note in f.notes)


def test_pruned_weights_are_worked_out_of_a_file(tmp_path: Path) -> None:
    from torch.nn.utils import prune

    module = prune.random_unstructured(_module("LSTM"), "weight_hh_l0", 0.5)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    f = load(tmp_path / "a.pt")
    U = np.concatenate([f.parameters[f"U_{gate}"] for gate in "ifgo"])
    np.testing.assert_array_equal(U, module.weight_hh_l0.detach().numpy())
    assert (U == 0).mean() == 0.5


@pytest.mark.parametrize("broken", ["weight_hh_l0_u", "weight_hh_l0_mask"])
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, broken: str) -> None:
    from torch.nn.utils import prune

    wrap = nn.utils.spectral_norm if broken.endswith("_u") else lambda m, n: prune.random_unstructured(m, n, 0.5)
    arrays = dict(wrap(_module("tanh"), "weight_hh_l0").state_dict())
    arrays[broken] = arrays[broken][1:]
    torch.save(arrays, tmp_path / "a.pt")
    with pytest.raises(LoadError, match="do not fit"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.LSTM(2, 3, bidirectional=True), "bidirectional"),
        (nn.Linear(2, 3), "no recurrent layer"),
        (nn.ModuleDict({"a": nn.GRU(2, 3), "b": nn.GRU(2, 3)}), "a, b.*pass that submodule"),
        (nn.GRU(2, 3, device="meta"), "cannot be read"),
    ],
)
def test_modules_that_are_no_single_map_are_refused(module: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        map_from_module(module)


# The reader of .pt files ---------------------------------------------------------------------------------------------


def _read(value: Any) -> dict[str, np.ndarray]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return read_torch(Archive(buffer.getvalue())).arrays


def _numpy(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


DTYPES = ["float64", "float32", "float16", "bfloat16", "complex64", "complex128", "int64", "int32", "int16", "int8"]
VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda t: t,
    "transposed": lambda t: t.T if t.ndim == 2 else t.permute(tuple(range(t.ndim))[::-1]),
    "every second": lambda t: t[::2] if t.ndim else t,
    "inner part": lambda t: t[1:, ..., 1:] if t.ndim > 1 else t,
    "expanded": lambda t: t.unsqueeze(0).expand(3, *t.shape),
    "diagonal": lambda t: t.diagonal() if t.ndim == 2 else t,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [*DTYPES, "uint8", "uint16", "uint32", "uint64", "bool"])
def test_the_reader_agrees_with_torch_load(dtype: str, view: str) -> None:
    rng = np.random.default_rng(5)
    shapes = [(), (1,), (0,), (3, 0), (4, 5), (5, 1), (2, 3, 4), *(tuple(rng.integers(1, 6, 3)) for _ in range(3))]
    for shape in shapes:
        base = torch.tensor(rng.integers(0, 100, shape)).to(getattr(torch, dtype))
        if base.is_floating_point():
            base = base + torch.tensor(rng.normal(size=shape)).to(base.dtype)
        tensor = VIEWS[view](base)
        got = _read({"x": tensor, "base": base})
        for name, expected in (("x", tensor), ("base", base)):
            np.testing.assert_array_equal(got[name], _numpy(expected))
            assert got[name].dtype == _numpy(expected).dtype


def test_the_reader_flattens_nested_checkpoints() -> None:
    shared = torch.arange(12.0)
    checkpoint = {
        "model": {"a": shared.view(3, 4), "b": nn.Parameter(shared[2:6])},
        "states": [shared, (torch.ones(2), 3)],
        "epoch": 7,
        "name": "text",
    }
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    contents = read_torch(Archive(buffer.getvalue()))
    assert list(contents.arrays) == ["model.a", "model.b", "states.0", "states.1.0"]
    np.testing.assert_array_equal(contents.arrays["model.b"], [2, 3, 4, 5])
    assert contents.metadata == {"name": "text"}


def test_a_whole_training_checkpoint_is_read(tmp_path: Path) -> None:
    net = Net(nn.GRU(INPUTS, HIDDEN))
    optimizer = torch.optim.Adam(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    states = {"epoch": 3, "optimizer": optimizer.state_dict()}
    for name in ("state_dict", "model_state_dict", "model"):
        torch.save({**states, name: net.state_dict()}, tmp_path / "checkpoint.pt")
        model = load(tmp_path / "checkpoint.pt")
        np.testing.assert_array_equal(model.readout.V, net.head.weight.detach().double().numpy())
        assert model.source.prefix.endswith("core")


def test_a_compiled_or_parallel_module_loses_its_wrapper(tmp_path: Path) -> None:
    net = Net(nn.GRU(INPUTS, HIDDEN))
    for wrapper in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."):
        torch.save({wrapper + name: value for name, value in net.state_dict().items()}, tmp_path / "model.pt")
        assert load(tmp_path / "model.pt").source.prefix == "core"
        assert load(tmp_path / "model.pt", module=wrapper + "core").embedding is not None


def test_old_pytorch_files_and_whole_modules_are_refused_with_the_way_out(tmp_path: Path) -> None:
    module = nn.GRU(2, 3)
    torch.save(module.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(LoadError, match=r"old format.*state_dict\(\)"):
        load(tmp_path / "old.pt")
    torch.save(module, tmp_path / "whole.pt")
    with pytest.raises(LoadError, match=r"torch\.nn\.modules\.rnn\.GRU.*state_dict\(\)"):
        load(tmp_path / "whole.pt")


def test_torchscript_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces the end of TorchScript
        torch.jit.save(torch.jit.script(nn.Linear(2, 3)), tmp_path / "script.pt")
    with pytest.raises(LoadError, match="TorchScript"):
        load(tmp_path / "script.pt")
