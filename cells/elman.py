"""The Elman network, also called simple or vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputWeights,
    RecurrentWeights,
    checked_choice,
    parameter_or_zeros,
    rank_deficiency,
)
from cells.activations import ACTIVATIONS, RANGES


@dataclass(frozen=True, kw_only=True, eq=False)
class Elman(Cell):
    """Elman network: h' = s(W x + U h + b).

    Shapes: h (n,), x (m,), W (n, m), U (n, n), b (n,). W left out means no input, b left out means zero.
    `activation` s is "tanh", "relu", "sigmoid" or "identity". PyTorch's `nn.RNN` is this cell with b = b_ih + b_hh.
    Source: J. L. Elman, Finding structure in time, Cognitive Science 14 (1990) 179-211.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("Elman", "activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        return activate(self.W @ x + self.U @ h + self.b)

    def lost_rank(self, *blocks: Array) -> int:
        """J = diag(s') U has the rank of U wherever no s' is zero."""
        return rank_deficiency(self.U)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n for tanh, (0, 1)^n for sigmoid; none for the unbounded activations."""
        if self.activation not in RANGES:
            return None
        least, most = RANGES[self.activation]
        return {"h": (np.full((self.hidden_size, 1), least), np.full((self.hidden_size, 1), most))}
