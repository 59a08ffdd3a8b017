"""Back-propagation through time against PyTorch's autograd, and against differences where PyTorch has no such cell."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError, ShapeError
from dynsys.jsonable import dumps

T, BATCH, N, M, R = 7, 3, 4, 2, 5
CHOICES = list(itertools.product(["cross-entropy", "squared"], ["all", "last"], ["mean", "sum"]))


def task(loss: str, at: str, batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    inputs = generator.standard_normal((T, batch, M))
    shape = (T, batch) if at == "all" else (batch,)
    targets = generator.integers(0, R, shape) if loss == "cross-entropy" else generator.standard_normal((*shape, R))
    return inputs, targets


def torch_loss(torch: Any, shown: Any, targets: Any, loss: str, at: str, reduction: str) -> Any:
    """Half the sum of squares, or the negative log likelihood, summed or averaged over steps and sequences."""
    shown = shown if at == "all" else shown[-1]
    wanted = torch.tensor(targets)
    if loss == "squared":
        each = 0.5 * (shown - wanted).square().sum(-1)
    else:
        each = torch.nn.functional.cross_entropy(shown.reshape(-1, R), wanted.reshape(-1), reduction="none")
    return each.mean() if reduction == "mean" else each.sum()


def gate_gradients(module: Any, layer: int, letters: str) -> dict[str, np.ndarray]:
    out = {}
    for field, torch_name in (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih"), ("bn", "bias_hh")):
        gradient = getattr(module, f"{torch_name}_l{layer}").grad.numpy()
        for gate, rows in zip(letters or " ", np.split(gradient, max(1, len(letters))), strict=True):
            name = "b_hn" if (field, gate) == ("bn", "h") else f"{field}_{gate}".rstrip("_ ")
            if field != "bn" or name == "b_hn":
                out[name] = rows if rows.ndim == 2 else rows[:, np.newaxis]
    return out


def layer_cell(module: Any, kind: str, layer: int) -> Any:
    W, U, b, c = (
        getattr(module, f"{name}_l{layer}").detach().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    if kind == "RNN":
        return cells.Elman(W=W, U=U, b=b + c)
    letters = {"LSTM": "ifgo", "GRU": "rzh"}[kind]
    split = {
        f"{field}_{gate}": rows
        for field, whole in (("W", W), ("U", U), ("b", b + c))
        for gate, rows in zip(letters, np.split(whole, len(letters)), strict=True)
    }
    if kind == "LSTM":
        return cells.LSTM(**split)
    return cells.GRUResetAfter(**(split | {"b_h": np.split(b, 3)[2], "b_hn": np.split(c, 3)[2]}))


@pytest.mark.parametrize(("loss", "at", "reduction"), CHOICES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gradients_are_those_of_pytorch(kind: str, layers: int, loss: str, at: str, reduction: str) -> None:
    """Every parameter of every layer, the readout, the loss itself: 1e-10."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    module = getattr(torch.nn, kind)(M, N, num_layers=layers, dtype=torch.float64)
    head = torch.nn.Linear(N, R, dtype=torch.float64)
    inputs, targets = task(loss, at)
    outputs, _ = module(torch.tensor(inputs))
    value = torch_loss(torch, head(outputs), targets, loss, at, reduction)
    value.backward()

    parts = [layer_cell(module, kind, k) for k in range(layers)]
    f = parts[0] if layers == 1 else dynsys.stack(*parts)
    readout = head.weight.detach().numpy(), head.bias.detach().numpy()
    got = dynsys.bptt(f, readout, inputs, targets, loss, at=at, reduction=reduction)

    assert got.loss == pytest.approx(value.item(), abs=1e-12)
    letters = {"RNN": "", "LSTM": "ifgo", "GRU": "rzh"}[kind]
    for layer in range(layers):
        prefix = f"layer{layer}." if layers > 1 else ""
        for name, gradient in gate_gradients(module, layer, letters).items():
            np.testing.assert_allclose(got.parameters[prefix + name], gradient, rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.readout["V"], head.weight.grad.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.readout["c"][:, 0], head.bias.grad.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("loss", "at"), [("cross-entropy", "all"), ("squared", "last")])
def test_gradients_of_the_lecture_gru_are_differences(loss: str, at: str, differences: Any) -> None:
    cell = cells.GRU.random(N, M, gain=1.3, seed=1)
    cell = dataclasses.replace(cell, b_h=0.3 * np.ones(N))
    V = np.random.default_rng(0).standard_normal((R, N))
    inputs, targets = task(loss, at)
    start = 0.1 * np.arange(BATCH * N).reshape(BATCH, N)
    got = dynsys.bptt(cell, V, inputs, targets, loss, at=at, start=start)
    for name, value in cell.parameters.items():

        def of(parameter: np.ndarray, name: str = name) -> float:
            changed = dataclasses.replace(cell, **{name: parameter})
            return dynsys.bptt(changed, V, inputs, targets, loss, at=at, start=start, lags=0).loss

        np.testing.assert_allclose(got.parameters[name], differences(of, value).reshape(value.shape), atol=1e-10)
    by_start = differences(lambda s: dynsys.bptt(cell, V, inputs, targets, loss, at=at, start=s, lags=0).loss, start)
    np.testing.assert_allclose(got.start, by_start.reshape(start.shape), atol=1e-10)


def test_gradients_through_a_closed_loop_are_differences(differences: Any) -> None:
    """The network hears its own readout; the loop has no input left."""
    loop = np.random.default_rng(2).standard_normal((M, N))
    V = np.random.default_rng(0).standard_normal((R, N))
    cell = cells.GRU.random(N, M, gain=1.3, seed=1)
    targets = np.random.default_rng(1).standard_normal((T, R))
    inputs, start = np.zeros((T, 0)), 0.3 * np.ones(N)

    def run(c: Any) -> Any:
        return dynsys.bptt(dynsys.close_loop(c, loop), V, inputs, targets, "squared", start=start, lags=0)

    got = run(cell)
    for name in ("U_h", "W_z", "b_r"):
        value = cell.parameters[name]
        wanted = differences(lambda p, name=name: run(dataclasses.replace(cell, **{name: p})).loss, value)
        np.testing.assert_allclose(got.parameters[name], wanted.reshape(value.shape), atol=1e-10)


def test_readout_by_a_function_is_the_affine_readout() -> None:
    V, c = np.random.default_rng(0).standard_normal((R, N)), 0.1 * np.ones((R, 1))
    inputs, targets = task("squared", "all")
    cell = cells.LSTM.random(N, M)
    one = dynsys.bptt(cell, (V, c), inputs, targets, "squared")
    two = dynsys.bptt(cell, lambda h: V @ h + c, inputs, targets, "squared")
    assert one.loss == pytest.approx(two.loss, abs=1e-14)
    for name, gradient in one.parameters.items():
        np.testing.assert_allclose(two.parameters[name], gradient, atol=1e-13)
    assert two.readout == {}


def test_one_sequence_may_leave_out_the_batch_axis() -> None:
    inputs, targets = task("cross-entropy", "all", batch=1)
    V, cell = np.ones((R, N)) * np.arange(R)[:, np.newaxis], cells.Elman.random(N, M)
    with_axis = dynsys.bptt(cell, V, inputs, targets, "cross-entropy")
    without = dynsys.bptt(cell, V, inputs[:, 0], targets[:, 0], "cross-entropy")
    assert with_axis.loss == without.loss


def test_log_norms_are_the_norms_of_the_state_gradients() -> None:
    """Linear net, squared loss at the end: dL/dh_t = U^(T-t)^T V^T (V h_T - y)."""
    U, V = np.array([[0.5, 0.2], [-0.1, 0.8]]), np.array([[1.0, -2.0]])
    cell = cells.Elman(U=U, W=np.ones((2, 1)), activation="identity")
    inputs, y = np.ones((4, 1)), np.array([0.3])
    got = dynsys.bptt(cell, V, inputs, y, "squared", at="last")
    last = V.T @ (V @ dynsys.simulate(cell, None, inputs=inputs)[-1] - y)
    wanted = [np.log(np.linalg.norm(np.linalg.matrix_power(U.T, 4 - t) @ last)) for t in range(5)]
    np.testing.assert_allclose(got.log_norms, wanted, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_survives_large_scores(reduction: str) -> None:
    """Scores of 1e4 overflow exp; the loss is their difference."""
    V = np.array([[1e4], [0.0]])
    cell = cells.Elman(U=[[1.0]], W=[[0.0]], activation="identity")
    got = dynsys.bptt(cell, V, np.zeros((1, 1)), [1], "cross-entropy", start=[1.0], reduction=reduction)
    assert got.loss == pytest.approx(1e4)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [("cross-entropy", (BATCH, T)), ("squared", (BATCH, T, R)), ("cross-entropy", (T, BATCH + 1)), ("squared", (T, R))],
)
def test_targets_of_another_shape_are_refused(loss: str, shape: tuple[int, ...]) -> None:
    """Time first: (batch, T) has the right number of entries and would be silently scrambled."""
    with pytest.raises(ShapeError):
        dynsys.bptt(cells.Elman.random(N, M), np.ones((R, N)), np.zeros((T, BATCH, M)), np.zeros(shape), loss)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"loss": "hinge"}, InputError),
        ({"at": "first"}, InputError),
        ({"reduction": "max"}, InputError),
        ({"targets": np.full((T, BATCH), R)}, InputError),
        ({"targets": np.full((T, BATCH), -1)}, InputError),
        ({"targets": np.full((T, BATCH), 0.5)}, InputError),
        ({"readout": np.ones(N)}, ShapeError),
        ({"readout": (np.ones((R, N)), np.ones(R + 1))}, ShapeError),
        ({"start": np.zeros((2, N))}, ShapeError),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], error: type[Exception]) -> None:
    good = {
        "readout": np.ones((R, N)),
        "inputs": np.zeros((T, BATCH, M)),
        "targets": np.zeros((T, BATCH)),
        "loss": "cross-entropy",
    }
    with pytest.raises(error):
        dynsys.bptt(cells.Elman.random(N, M), **(good | arguments))


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"inputs": np.zeros((0, BATCH, M))}, InputError, "T = 0"),
        ({"lags": -3}, InputError, "`lags`"),
        ({"lags": 1.5}, InputError, "`lags`"),
        ({"readout": np.ones((R, N + 1))}, ShapeError, r"V must be \(r, 4\)"),
        ({"readout": np.full((R, N), np.nan)}, InputError, "readout V"),
        ({"readout": (np.ones((R, N)), np.full(R, np.inf))}, InputError, "readout c"),
        ({"targets": np.full((T, BATCH), np.nan)}, InputError, "`targets`"),
        ({"targets": np.full((T, BATCH), np.inf)}, InputError, "`targets`"),
        ({"targets": np.full((T, BATCH, R), np.nan), "loss": "squared"}, InputError, "`targets`"),
        ({"readout": lambda h: np.nan * h}, AnalysisError, "loss is nan"),
    ],
)
def test_what_has_no_gradient_is_refused(changed: dict[str, Any], error: type[Exception], words: str) -> None:
    inputs, targets = task("cross-entropy", "all")
    usual = {"readout": np.ones((R, N)), "inputs": inputs, "targets": targets % N, "loss": "cross-entropy"}
    with pytest.raises(error, match=words):
        dynsys.bptt(cells.Elman.random(N, M), **(usual | changed))


@pytest.mark.parametrize(("steps", "words"), [(2000, "step 1749 of 2000"), (1000, "loss is inf")])
def test_what_leaves_floating_point_is_said_once(steps: int, words: str) -> None:
    """x' = 1.5 x + 1: x_t = 2 (1.5^t - 1) passes the largest double at t = 1749; its square at t = 874."""
    assert 1.5**1748 * 2 < np.finfo(float).max < 2 * (1.5**1748 * 1.5)
    f = cells.Elman(U=[[1.5]], W=[[1.0]], activation="identity")
    with pytest.raises(AnalysisError, match=words):
        dynsys.bptt(f, [[1.0]], np.ones((steps, 1)), np.zeros((steps, 1)), "squared")


def test_gradients_print_in_a_few_lines_and_are_json() -> None:
    inputs, targets = task("squared", "all")
    found = dynsys.bptt(cells.GRU.random(N, M), np.ones((R, N)), inputs, targets, "squared")
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert lines[0].startswith(f"loss {found.loss:.6g} over {T} steps, {BATCH} sequences")
    named = [*found.parameters, "readout V", "readout c", "start"]
    assert [line.split("  ")[0] for line in lines[1:-1]] == named
    size = np.linalg.norm(found.parameters["U_h"])
    assert lines[1 + named.index("U_h")].endswith(f"|gradient| {size:.4g}")
    assert "95 % of the gradient" in lines[-1]
    assert set(found.to_dict()) == {"loss", "parameters", "readout", "start", "log_norms", "lags"}
    assert f'"loss": {found.loss!r}' in dumps(found)
