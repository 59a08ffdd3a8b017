"""The Elman network, also called simple or vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

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
    require_sizes,
)
from cells.activations import ACTIVATIONS, bounds


@dataclass(frozen=True, kw_only=True, eq=False)
class Elman(Cell):
    """Elman network: h' = s(W x + U h + b).

    Shapes: h (n,), x (m,), W (n, m), U (n, n), b (n,). W left out means no input, b left out means zero.
    `activation` s is "tanh", "sigmoid", "relu", "identity", "hard_tanh", "hard_sigmoid" (x/6 + 1/2, PyTorch and
    Keras 3), "hard_sigmoid_fifth" (0.2 x + 1/2, ONNX and Keras before 3), "softplus", "softsign", "leaky_relu" (slope
    0.01) or "elu". PyTorch's `nn.RNN` is this cell with b = b_ih + b_hh; its output y = g(V h + c) is a readout.
    `Elman.identity` makes the IRNN: ReLU, U = I, b = 0.
    Sources: J. L. Elman, Finding structure in time, Cognitive Science 14 (1990) 179-211; IRNN: Q. V. Le, N. Jaitly and
    G. E. Hinton, arXiv 1504.00941 (2015).
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
        """The cube of the activation, e.g. (-1, 1)^n for tanh; none for the unbounded activations."""
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None else {"h": cube}

    @classmethod
    def identity(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, spread: float = 0.001) -> Self:
        """The IRNN as it starts its training: ReLU, U = gain I, W from N(0, spread^2), b = 0.

        Args:
            hidden: units n. inputs: m. gain: 1 in the paper, 0.01 for tasks with short memory; dimensionless.
            seed: of the input weights. spread: their standard deviation, 0.001 in the paper.
        """
        require_sizes(hidden, inputs)
        W = spread * np.random.default_rng(seed).standard_normal((hidden, inputs))
        return cls(U=gain * np.eye(hidden), W=W, activation="relu")
