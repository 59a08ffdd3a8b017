"""The minimal gated unit: a GRU whose two gates are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, parameter_or_zeros
from cells.activations import bounds, sigmoid, tanh


@dataclass(frozen=True, kw_only=True, eq=False)
class MGU(Cell):
    """Minimal gated unit: one gate both resets and updates.

    f = sigmoid(W_f x + U_f h + b_f)
    candidate = tanh(W_h x + U_h (f h) + b_h)
    h' = (1 - f) h + f candidate

    Shapes: h (n,), x (m,), each W (n, m), each U (n, n), each b (n,). The gate takes the new, as in the paper.
    Source: G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, International Journal of Automation and Computing 13 (2016)
    226-234, arXiv 1603.09420.
    """

    U_f: RecurrentWeights
    U_h: RecurrentWeights
    W_f: InputWeights = parameter_or_zeros()
    W_h: InputWeights = parameter_or_zeros()
    b_f: Bias = parameter_or_zeros()
    b_h: Bias = parameter_or_zeros()

    convention = "the gate takes the new state"

    def step(self, h: Any, x: Any) -> Any:
        f = sigmoid(self.W_f @ x + self.U_f @ h + self.b_f)
        candidate = tanh(self.W_h @ x + self.U_h @ (f * h) + self.b_h)
        return (1 - f) * h + f * candidate

    def lost_rank(self, *blocks: Array) -> int:
        """The old state passes through 1 - f, which is never zero: nothing is destroyed exactly."""
        return 0

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n: h' lies between h and the candidate."""
        cube = bounds("tanh", self.hidden_size)
        return None if cube is None else {"h": cube}
