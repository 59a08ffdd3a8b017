"""The chaos-free network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, parameter_or_zeros
from cells.activations import sigmoid, tanh


@dataclass(frozen=True, kw_only=True, eq=False)
class CFN(Cell):
    """Chaos-free network: it cannot be chaotic, and without input every state falls to zero.

    theta = sigmoid(W_theta x + U_theta h + b_theta), eta = sigmoid(W_eta x + U_eta h + b_eta)
    h' = theta tanh(h) + eta tanh(W x)

    Shapes: h (n,), x (m,), each W (n, m), each U (n, n), each b (n,). The paper writes U for the recurrent weights of
    the gates, V for their input weights. At zero input the only attractor is 0, approached at the rates
    log sigmoid(b_theta). Source: T. Laurent and J. von Brecht, ICLR 2017, arXiv 1612.06212.
    """

    U_theta: RecurrentWeights
    U_eta: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    W_theta: InputWeights = parameter_or_zeros()
    W_eta: InputWeights = parameter_or_zeros()
    b_theta: Bias = parameter_or_zeros()
    b_eta: Bias = parameter_or_zeros()

    def step(self, h: Any, x: Any) -> Any:
        theta = sigmoid(self.W_theta @ x + self.U_theta @ h + self.b_theta)
        eta = sigmoid(self.W_eta @ x + self.U_eta @ h + self.b_eta)
        return theta * tanh(h) + eta * tanh(self.W @ x)

    def lost_rank(self, *blocks: Array) -> int:
        """The old state passes through theta, which is never zero: nothing is destroyed exactly."""
        return 0

    def range(self, low: Array, high: Array) -> dict[str, Box]:
        """|h_i| < 1 + max |tanh(W x)|_i over the inputs."""
        positive = np.maximum(self.W, 0.0)
        most, least = positive @ high + (self.W - positive) @ low, positive @ low + (self.W - positive) @ high
        wide = 1.0 + np.maximum(np.abs(np.tanh(most)), np.abs(np.tanh(least)))
        return {"h": (-wide, wide)}
