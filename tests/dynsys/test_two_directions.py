"""Bidirectional networks: what PyTorch computes, what differences say, and what each direction is by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cells
import dynsys
from dynsys.cli import main
from dynsys.errors import InputError, LoadError, ShapeError

EXAMPLES = Path(__file__).parents[2] / "examples"


def net(layers: int = 1, readout: bool = True) -> Any:
    pairs = [(cells.GRU.random(3, 2, seed=1), cells.LSTM.random(2, 2, seed=2))]
    if layers > 1:
        pairs.append((cells.Elman.random(2, 5, seed=3), cells.GRU.random(3, 5, seed=4)))
    return dynsys.bidirectional(*pairs, readout=np.ones((2, 5)) / np.arange(1, 6) if readout else None)


def inputs_of(*lead: int, m: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((*lead, m))


@pytest.fixture(params=[1, 2, 3])
def count(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "LSTM-projected"])
def test_outputs_are_those_of_pytorch(kind: str, count: int, tmp_path: Path) -> None:
    """float32 weights from a file, several layers: every output to 1e-6, and the ends are h_n of the top layer."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    kind, _, projected = kind.partition("-")
    options = {"proj_size": 2} if projected else {}
    module = getattr(torch.nn, kind)(3, 5, num_layers=count, bidirectional=True, **options)
    torch.save({f"rnn.{name}": p for name, p in module.state_dict().items()}, tmp_path / "b.pt")
    x = inputs_of(11, 4, m=3).astype(np.float32)
    out, last = module(torch.tensor(x))
    h_n = (last[0] if kind == "LSTM" else last).detach().numpy()[-2:]
    for source in (tmp_path / "b.pt", module):
        two = dynsys.bidirectional(source)
        states = two.simulate(x)
        np.testing.assert_allclose(states.outputs, out.detach().numpy(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(states.ends, np.concatenate(list(h_n), axis=-1), rtol=0, atol=1e-6)
        np.testing.assert_allclose(two.simulate(x[:, 1]).outputs, states.outputs[:, 1], atol=1e-12)


@pytest.mark.parametrize("at", ["all", "ends"])
def test_gradients_are_those_of_pytorch(at: str, count: int) -> None:
    """Loss, and its gradient by every parameter of both directions and by the inputs, float64, to 1e-12."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(2)
    module = torch.nn.RNN(2, 4, num_layers=count, bidirectional=True, dtype=torch.float64)
    head = torch.nn.Linear(8, 3, dtype=torch.float64)
    x = torch.tensor(inputs_of(6, 3), requires_grad=True)
    out, last = module(x)
    shown = head(out if at == "all" else torch.cat([last[-2], last[-1]], dim=-1))
    targets = np.random.default_rng(1).integers(0, 3, shown.shape[:-1])
    loss = torch.nn.functional.cross_entropy(shown.reshape(-1, 3), torch.tensor(targets).reshape(-1))
    loss.backward()
    V, c = head.weight.detach().numpy(), head.bias.detach().numpy()
    two = dynsys.bidirectional(module, readout=(V, c))
    gradients = two.gradients(x.detach().numpy(), targets, "cross-entropy", at=at)
    assert gradients.loss == pytest.approx(loss.item(), abs=1e-13)
    np.testing.assert_allclose(gradients.inputs, x.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(gradients.readout["V"], head.weight.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(gradients.readout["c"][:, 0], head.bias.grad.numpy(), atol=1e-12)
    assert set(gradients.parameters) == {
        f"layer{k}.{side}.{name}" for k in range(count) for side in ("forward", "backward") for name in "UWb"
    }
    for k, (side, suffix) in [(k, s) for k in range(count) for s in (("forward", ""), ("backward", "_reverse"))]:
        for name, theirs in (("U", "weight_hh"), ("W", "weight_ih"), ("b", "bias_hh")):
            wanted = getattr(module, f"{theirs}_l{k}{suffix}").grad.numpy()
            mine = gradients.parameters[f"layer{k}.{side}.{name}"].reshape(wanted.shape)
            np.testing.assert_allclose(mine, wanted, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_influence_is_the_derivative_by_the_inputs(layers: int, differences: Any) -> None:
    two, x = net(layers, readout=False), inputs_of(5)
    for at in (0, 2, -1):
        wanted = differences(lambda u, at=at: two.simulate(u.reshape(5, 2)).outputs[at], x).reshape(-1, 5, 2)
        np.testing.assert_allclose(two.influence(x, at)[:, 0], wanted.swapaxes(0, 1), atol=1e-9)


def test_one_layer_is_causal_forward_and_anticausal_backward() -> None:
    influence = net(readout=False).influence(inputs_of(6), 2)[:, 0]
    width = 3
    assert (influence[3:, :width] == 0).all()
    assert (influence[:2, width:] == 0).all()
    assert (np.abs(influence).max(axis=2)[:3, :width] > 0).all()
    assert (np.abs(influence).max(axis=2)[2:, width:] > 0).all()


def test_reversing_time_swaps_the_directions() -> None:
    """The network with its two maps swapped, on the reversed sequence, shows the same, reversed and swapped."""
    forward, backward = cells.GRU.random(3, 2, seed=1), cells.GRU.random(3, 2, seed=2)
    x = inputs_of(7, 4)
    one = dynsys.bidirectional((forward, backward)).simulate(x).outputs
    other = dynsys.bidirectional((backward, forward)).simulate(x[::-1]).outputs[::-1]
    np.testing.assert_array_equal(one, np.concatenate([other[..., 3:], other[..., :3]], axis=-1))


def test_each_direction_is_a_map_driven_by_what_it_hears() -> None:
    two, x = net(2), inputs_of(8, 3)
    states = two.simulate(x)
    for name, (f, heard) in two.directions(x).items():
        np.testing.assert_allclose(dynsys.simulate(f, None, inputs=heard), states.states[name], atol=1e-15)
    assert two.direction("layer1.backward") is two.layers[1][1]
    spectra = two.lyapunov_spectra(inputs_of(60), discard=10)
    assert set(spectra) == {"layer0.forward", "layer0.backward", "layer1.forward", "layer1.backward"}
    f, heard = two.directions(inputs_of(60))["layer0.backward"]
    np.testing.assert_array_equal(heard[:, 0], inputs_of(60)[::-1])
    np.testing.assert_array_equal(
        spectra["layer0.backward"].exponents, dynsys.lyapunov_spectrum(f, None, heard, discard=10).exponents
    )
    assert "last position" in spectra["layer0.backward"].drive
    gains = two.gradient_spectra(x, [1, 4])
    assert gains["layer1.forward"].log_singular_values.shape == (2, 2)


def test_shapes_of_one_sequence_and_of_many() -> None:
    two = net()
    for lead in ((), (1,), (3,)):
        states = two.simulate(inputs_of(6, *lead))
        assert states.outputs.shape == (6, *lead, 5)
        assert states.ends.shape == (*lead, 5)
        assert states.readout is not None
        assert states.readout.shape == (6, *lead, 2)
        assert states.states["layer0.backward"].shape == (7, *lead, 4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    parts = {"rnn": torch.nn.GRU(4, 3, num_layers=2, bidirectional=True), "out": torch.nn.Linear(6, 5)}
    parts["embed"] = torch.nn.Embedding(9, 4)
    torch.save(torch.nn.ModuleDict(parts).state_dict(), tmp_path / "two.pt")
    return tmp_path / "two.pt"


def test_a_file_has_its_readout_and_embedding(saved: Path) -> None:
    two = dynsys.bidirectional(saved)
    assert two.readout is not None
    assert two.readout.V is not None
    assert two.readout.V.shape == (5, 6)
    assert two.source is not None
    assert two.source.prefix == "rnn"
    tokens = np.array([1, 5, 8, 0])
    assert two.embedding is not None
    np.testing.assert_array_equal(two.simulate(tokens).outputs, two.simulate(two.embedding[tokens]).outputs)


def test_one_direction_of_a_file_is_loaded_as_a_map(saved: Path) -> None:
    two = dynsys.bidirectional(saved)
    f = dynsys.load(saved, direction="layer1.backward")
    assert f.input_size == 6
    np.testing.assert_array_equal(
        f.step(np.ones(3), np.ones(6)), two.direction("layer1.backward").step([1] * 3, [1] * 6)
    )
    assert "last position to the first" in f.notes[0]
    result = CliRunner().invoke(main, ["fixed-points", str(saved), "--direction", "layer0.forward", "--json"])
    states = np.array(json.loads(result.stdout)["states"])
    np.testing.assert_allclose(two.direction("layer0.forward").step(states), states, atol=1e-10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (dynsys.bidirectional, "at least one pair"),
        (lambda: dynsys.bidirectional((cells.GRU.random(2, 1),)), "pair"),
        (lambda: dynsys.bidirectional(cells.GRU.random(2, 1)), "pairs"),
        (lambda: dynsys.bidirectional((cells.GRU.random(2, 1), cells.GRU.random(2, 2))), "layer0.backward takes 2"),
        (lambda: dynsys.bidirectional((cells.GRU.random(2, 1),) * 2, (cells.GRU.random(2, 2),) * 2), "layer 0 give 4"),
        (lambda: dynsys.bidirectional((cells.GRU.random(2, 1),) * 2, readout=np.ones((1, 2))), "readout takes 2"),
        (lambda: net().direction("layer1.forward"), "layer0.forward, layer0.backward"),
        (lambda: net().gradients(inputs_of(3), np.zeros((3, 2)), "squared", at="last"), "ends"),
        (lambda: net(readout=False).gradients(inputs_of(3), np.zeros((3, 2)), "squared"), "no readout"),
        (lambda: net().influence(inputs_of(3), 3), "0 to 2"),
        (lambda: net().simulate(inputs_of(3, m=3)), "m = 2"),
        (lambda: net().simulate(inputs_of(0)), "at least one position"),
        (lambda: dynsys.bidirectional(EXAMPLES / "absent.pt"), "no file"),
        (lambda: dynsys.bidirectional(EXAMPLES / "flipflop_gru.pt"), "none"),
    ],
)
def test_mistakes_are_named(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build()
    assert isinstance(caught.value, (InputError, ShapeError, LoadError))


def test_a_bidirectional_file_is_not_one_map(saved: Path) -> None:
    two: Any = dynsys.load(saved)
    np.testing.assert_array_equal(
        two.simulate([1, 2, 3]).outputs, dynsys.bidirectional(saved).simulate([1, 2, 3]).outputs
    )
    with pytest.raises(InputError, match=r"two maps.*layer1\.backward.*--direction"):
        dynsys.find_fixed_points(two)
    result = CliRunner().invoke(main, ["fixed-points", str(saved)])
    assert result.exit_code == 2
    assert "--direction" in result.stderr
    with pytest.raises(LoadError, match=r"no direction 'up'"):
        dynsys.load(saved, direction="up")
    with pytest.raises(LoadError, match="none"):
        dynsys.load(EXAMPLES / "flipflop_gru.pt", direction="forward")
