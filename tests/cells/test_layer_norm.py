"""Layer-normalised cells against PyTorch's own layer norm, and what a norm does to any network."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from cells import ParameterError

N, M = 6, 3
KINDS: dict[str, Any] = {
    "elman": lambda **o: cells.LayerNormElman.random(N, M, gain=1.4, seed=1, **o),
    "lstm": lambda **o: cells.LayerNormLSTM.random(N, M, gain=1.4, seed=1, **o),
    "lstm-g": lambda **o: cells.LayerNormLSTM.random(N, M, gain=1.4, seed=1, normalized="g", **o),
    "gru": lambda **o: cells.LayerNormGRU.random(N, M, gain=1.4, seed=1, **o),
    "gru-before": lambda **o: cells.LayerNormGRU.random(N, M, gain=1.4, seed=1, reset="before", normalized="zh", **o),
}


def filled(cell: Any) -> Any:
    """With random biases and scales."""
    generator = np.random.default_rng(2)
    columns = {k: v for k, v in cell.parameters.items() if v.shape[1] == 1}
    return dataclasses.replace(cell, **{k: v + 0.3 * generator.standard_normal(v.shape) for k, v in columns.items()})


def torch_step(cell: Any, torch: Any) -> Any:
    """The cell once more, by PyTorch's linear algebra and `nn.LayerNorm`, on a state (n,) and an input (m,)."""
    p = {name: torch.tensor(value) for name, value in cell.parameters.items()}
    at = {name: value[:, 0] for name, value in p.items() if value.shape[1] == 1}

    def norm(key: str, a: Any) -> Any:
        if key.strip("_") and key.strip("_") not in cell.normalized:
            return a
        layer = torch.nn.LayerNorm(N, eps=cell.epsilon, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(at[f"gamma{key}"])
            layer.bias.copy_(at[f"beta{key}"])
        return layer(a)

    def fed(key: str, h: Any, x: Any) -> Any:
        return norm(key, p[f"W{key}"] @ x + p[f"U{key}"] @ h + at[f"b{key}"])

    def elman(h: Any, x: Any) -> Any:
        return torch.tanh(fed("", h, x))

    def lstm(state: Any, x: Any) -> Any:
        h, c = state[:N], state[N:]
        i, f, o = (torch.sigmoid(fed(key, h, x)) for key in ("_i", "_f", "_o"))
        c = f * c + i * torch.tanh(fed("_g", h, x))
        return torch.cat([o * torch.tanh(c), c])

    def gru(h: Any, x: Any) -> Any:
        z, r = (torch.sigmoid(fed(key, h, x)) for key in ("_z", "_r"))
        after = r * (p["U_h"] @ h + at["b_hn"]) if cell.reset == "after" else p["U_h"] @ (r * h) + at["b_hn"]
        return z * h + (1 - z) * torch.tanh(norm("_h", p["W_h"] @ x + at["b_h"] + after))

    return {"LayerNormElman": elman, "LayerNormLSTM": lstm, "LayerNormGRU": gru}[type(cell).__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_step_and_jacobians_are_those_of_pytorch(kind: str) -> None:
    """`nn.LayerNorm` and automatic differentiation, to 1e-10 (measured: 1e-15)."""
    torch = pytest.importorskip("torch")
    cell = filled(KINDS[kind]())
    f, step = dynsys.as_map(cell), torch_step(cell, torch)
    generator = np.random.default_rng(3)
    for _ in range(5):
        state, x = generator.standard_normal(f.state_size), generator.standard_normal(M)
        given = torch.tensor(state), torch.tensor(x)
        np.testing.assert_allclose(f.step(state, x), step(*given).detach().numpy(), atol=1e-12)
        by_state, by_input = torch.func.jacrev(step, argnums=(0, 1))(*given)
        np.testing.assert_allclose(f.jacobian(state, x), by_state.detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(f.input_jacobian(state, x), by_input.detach().numpy(), atol=1e-10)


def test_a_norm_hears_neither_the_size_nor_the_mean_of_what_feeds_it() -> None:
    """W, U, b times any factor, or with one row added to all rows, give the same step (epsilon far below)."""
    cell = filled(KINDS["elman"](epsilon=1e-14))
    state, x = np.linspace(-1, 1, N), np.array([0.3, -1.0, 2.0])
    here = dynsys.as_map(cell).step(state, x)
    louder = dataclasses.replace(cell, W=50 * cell.W, U=50 * cell.U, b=50 * cell.b)
    shifted = dataclasses.replace(cell, U=cell.U + np.linspace(3, -2, N), b=cell.b + 4.0)
    for other in (louder, shifted):
        np.testing.assert_allclose(dynsys.as_map(other).step(state, x), here, atol=1e-10)


def test_one_dimension_is_lost_at_every_step() -> None:
    """The mean over the units is not heard: of six exponents exactly one is minus infinity, by structure."""
    spectrum = dynsys.lyapunov_spectrum(
        filled(KINDS["elman"]()), inputs=np.zeros((400, M)), k=N, steps=300, discard=100
    )
    assert np.isneginf(spectrum.exponents).tolist() == [False] * (N - 1) + [True]
    assert spectrum.lost == 1
    lstm = dynsys.as_map(filled(KINDS["lstm"]()))
    J = lstm.jacobian(np.linspace(-1, 1, 2 * N), [1.0, 0.2, -0.4])
    assert np.linalg.matrix_rank(J) == 2 * N - 1
    assert lstm.lost_rank(np.linspace(-1, 1, 2 * N)[:, np.newaxis], np.ones((M, 1))) == [1]


@pytest.mark.parametrize("activation", ["relu", "softplus", "elu", "tanh"])
def test_a_norm_bounds_what_no_function_does(activation: str) -> None:
    """|y_i| < sqrt(n - 1), attained as epsilon and all units but one go to zero: the box is no larger."""
    cell = cells.LayerNormElman(U=np.zeros((N, N)), W=np.eye(N)[:, :1], activation=activation, gamma=np.full(N, 2.0))
    f = dynsys.as_map(cell)
    box = f.box(np.array([-1e6]), np.array([1e6]))
    assert box is not None
    assert box.invariant
    top = f.step(np.zeros(N), [1e6])[0]
    assert top <= box.high[0]
    if activation != "tanh":
        assert box.high[0] == pytest.approx(2 * math.sqrt(N - 1), abs=0.02)
        assert top == pytest.approx(2 * math.sqrt(N - 1), abs=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cells.LayerNormElman(U=[[0.5]]), "at least 2 units"),
        (lambda: cells.LayerNormElman(U=np.eye(2), epsilon=0.0), "above 0"),
        (lambda: cells.LayerNormLSTM.random(3, 1, normalized="x"), "i, f, o, g"),
        (lambda: cells.LayerNormGRU.random(3, 1, normalized=""), "z, r, h"),
        (lambda: cells.LayerNormGRU.random(3, 1, reset="never"), "'after', 'before'"),
    ],
)
def test_what_is_wrong_is_said(make: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        make()


def test_scales_left_out_are_one() -> None:
    cell = cells.LayerNormLSTM.random(4, 2, seed=0)
    assert (cell.gamma_i == 1).all()
    assert (cell.beta_i == 0).all()
    assert (cells.LayerNormElman(U=np.eye(3)).gamma == np.ones((3, 1))).all()


def test_the_equations_name_the_norm() -> None:
    from dynsys.readings.symbols import equations

    heard, shown = equations(cells.LayerNormElman.random(3, 2))
    assert heard == r"\mathbf{a}_t = \mathbf{W} \mathbf{x}_t + \mathbf{U} \mathbf{h}_{t-1}"
    assert shown == (r"\mathbf{h}_t = \tanh(\boldsymbol{\gamma} \odot \operatorname{LN}_{\epsilon}(\mathbf{a}_t))")
