"""Dense Jacobians of equations that mix every kind of term: equal to the products with unit vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest

import dynsys
from cells._cell import Array, Cell, RecurrentWeights


@dataclass(frozen=True, kw_only=True, eq=False)
class Tangle(Cell):
    """Three blocks; `kind` chooses how they are tied."""

    U: RecurrentWeights
    V: RecurrentWeights
    P: Annotated[Array, ("p", "n")]
    kind: str = "nested"

    @property
    def input_size(self) -> int:
        return 0

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"a": self.hidden_size, "b": self.hidden_size, "c": int(self.P.shape[0])}

    outputs = "a"

    def step(self, a: Any, b: Any, c: Any, x: Any) -> Any:
        U, V, P = self.U, self.V, self.P
        if self.kind == "nested":  # one nested product in two outputs, reaching one block or two
            q = U @ (np.tanh(a) * np.sin(V @ a))
            p = V @ np.tanh(b)
            return np.tanh(q) + p * b, q * b + U @ (p * a), P @ (np.tanh(b) * q) + np.tanh(c)
        if self.kind == "columns":  # scaled columns: alone, with diagonals, with matrices, twice over
            q = U @ np.tanh(a)
            return 0.5 * a + q, np.tanh(V @ b + U @ np.tanh(b)) * a, P @ (V @ np.sin(b)) + 2.0 * c + P @ np.cos(a)
        r = U.T @ np.tanh(V.T @ np.sin(c[0] * a))  # transposes, one row for all, a product in a product
        return r[1:2] * a - r, b + r[[0, 0]].sum(axis=0, keepdims=True), P @ (r * b) * c


@pytest.mark.parametrize("samples", [1, 2, 3, 40])
@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize("kind", ["nested", "columns", "rows"])
def test_every_mixture_of_terms(kind: str, size: int, samples: int) -> None:
    generator = np.random.default_rng(0)
    U, V = generator.standard_normal((2, size, size))
    f = dynsys.as_map(Tangle(U=U, V=V, P=generator.standard_normal((2, size)), kind=kind))
    for states in generator.standard_normal((2, samples, f.state_size)):  # twice: the second finds memory in use
        dense = np.array(f.jacobian(states))
        units = np.eye(f.state_size)
        pushed = np.stack([f.jvp(states, unit) for unit in units], axis=-1)
        pulled = np.stack([f.vjp(states, unit) for unit in units], axis=-2)
        scale = np.abs(pushed).max()
        np.testing.assert_allclose(dense, pushed, rtol=0, atol=1e-13 * scale)
        np.testing.assert_allclose(dense, pulled, rtol=0, atol=1e-13 * scale)
