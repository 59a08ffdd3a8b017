"""Gated recurrent units with fewer parameters in their gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputWeights,
    ParameterError,
    RecurrentWeights,
    checked_choice,
    parameter_or_zeros,
)
from cells.activations import bounds, sigmoid, tanh
from cells.gru import UPDATES, mix

GATES = {"state+bias": ("U", "b"), "state": ("U",), "bias": ("b",)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedGRU(Cell):
    """GRU whose gates do not see the input; reset gate before the recurrent product.

    z = sigmoid(U_z h + b_z), r = sigmoid(U_r h + b_r)        with gates="state+bias", the default (GRU1)
    z = sigmoid(U_z h),       r = sigmoid(U_r h)              with gates="state" (GRU2)
    z = sigmoid(b_z),         r = sigmoid(b_r)                with gates="bias" (GRU3)
    candidate = tanh(W_h x + U_h (r h) + b_h)
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new", as in the paper

    Shapes: h (n,), x (m,), W_h (n, m), each U (n, n), each b (n,). What the gates do not use must be left out.
    Source: R. Dey and F. M. Salem, MWSCAS 2017, 1597-1600, arXiv 1701.05923.
    """

    U_h: RecurrentWeights
    U_z: RecurrentWeights = parameter_or_zeros()
    U_r: RecurrentWeights = parameter_or_zeros()
    W_h: InputWeights = parameter_or_zeros()
    b_z: Bias = parameter_or_zeros()
    b_r: Bias = parameter_or_zeros()
    b_h: Bias = parameter_or_zeros()
    gates: str = "state+bias"
    update: str = "keeps-old"

    convention = "reset gate before the recurrent product"

    def __post_init__(self) -> None:
        checked_choice("ReducedGRU", "gates", self.gates, GATES)
        checked_choice("ReducedGRU", "update", self.update, UPDATES)
        super().__post_init__()
        used = [name for name in self._unused() if getattr(self, name).any()]
        if used:
            raise ParameterError(
                f"ReducedGRU.{used[0]} is not used by gates={self.gates!r}. Leave it out, or choose other gates."
            )

    def _unused(self) -> list[str]:
        return [f"{letter}_{gate}" for letter in "Ub" for gate in "zr" if letter not in GATES[self.gates]]

    @property
    def parameters(self) -> dict[str, Array]:
        unused = self._unused()
        return {name: value for name, value in super().parameters.items() if name not in unused}

    def step(self, h: Any, x: Any) -> Any:
        if self.gates == "bias":
            z, r = sigmoid(self.b_z), sigmoid(self.b_r)
        elif self.gates == "state":
            z, r = sigmoid(self.U_z @ h), sigmoid(self.U_r @ h)
        else:
            z, r = sigmoid(self.U_z @ h + self.b_z), sigmoid(self.U_r @ h + self.b_r)
        candidate = tanh(self.W_h @ x + self.U_h @ (r * h) + self.b_h)
        return mix(self.update, z, h, candidate)

    def lost_rank(self, *blocks: Array) -> int:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n: h' lies between h and the candidate."""
        cube = bounds("tanh", self.hidden_size)
        return None if cube is None else {"h": cube}

    @classmethod
    def random(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> ReducedGRU:
        """As for every cell; only what the gates use is drawn. options: further fields, e.g. gates="state"."""
        gates = options.get("gates", "state+bias")
        checked_choice("ReducedGRU", "gates", gates, GATES)
        arrays = cls._gaussian({"n": hidden, "m": inputs}, gain, seed)
        kept = {k: v for k, v in arrays.items() if k[2] == "h" or k[0] in GATES[gates]}
        return cls(**(kept | options))
