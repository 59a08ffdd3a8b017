"""The long short-term memory cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, parameter_or_zeros, rank_deficiency
from cells.activations import sigmoid, tanh


@dataclass(frozen=True, kw_only=True, eq=False)
class LSTM(Cell):
    """Long short-term memory with forget gate; the state is (h, c).

    i = sigmoid(W_i x + U_i h + b_i), f and o alike; g = tanh(W_g x + U_g h + b_g)
    c' = f c + i g
    h' = o tanh(c')

    Shapes: h, c (n,), x (m,), each W (n, m), each U (n, n), each b (n,). PyTorch's `nn.LSTM` is this cell with
    b = b_ih + b_hh. Sources: S. Hochreiter and J. Schmidhuber, Neural Computation 9 (1997) 1735-1780;
    forget gate: F. A. Gers, J. Schmidhuber and F. Cummins, Neural Computation 12 (2000) 2451-2471.
    """

    U_i: RecurrentWeights
    U_f: RecurrentWeights
    U_o: RecurrentWeights
    U_g: RecurrentWeights
    W_i: InputWeights = parameter_or_zeros()
    W_f: InputWeights = parameter_or_zeros()
    W_o: InputWeights = parameter_or_zeros()
    W_g: InputWeights = parameter_or_zeros()
    b_i: Bias = parameter_or_zeros()
    b_f: Bias = parameter_or_zeros()
    b_o: Bias = parameter_or_zeros()
    b_g: Bias = parameter_or_zeros()

    def step(self, h: Any, c: Any, x: Any) -> Any:
        i = sigmoid(self.W_i @ x + self.U_i @ h + self.b_i)
        f = sigmoid(self.W_f @ x + self.U_f @ h + self.b_f)
        o = sigmoid(self.W_o @ x + self.U_o @ h + self.b_o)
        g = tanh(self.W_g @ x + self.U_g @ h + self.b_g)
        c_next = f * c + i * g
        return o * tanh(c_next), c_next

    def lost_rank(self, *blocks: Array) -> NDArray[np.int64]:
        """det J = prod f prod(tanh(c') o') det U_o: what U_o lacks, and the units whose new c is exactly zero."""
        fresh = self.step(*blocks)[1]
        lost = np.full(fresh.shape[1], rank_deficiency(self.U_o), dtype=np.int64)
        for sample in np.flatnonzero((fresh == 0).any(axis=0)):
            alive = self.U_o[fresh[:, sample] != 0]
            lost[sample] = self.hidden_size - (len(alive) - rank_deficiency(alive) if len(alive) else 0)
        return lost

    def range(self, low: Array, high: Array) -> dict[str, Box]:
        """|h| < 1, and |c| < max i max|g| / (1 - max f), the maxima taken over |h| <= 1 and the inputs."""

        def largest(W: Array, U: Array, b: Array) -> Array:
            positive = np.maximum(W, 0.0)
            return np.asarray(positive @ high + (W - positive) @ low + np.abs(U).sum(axis=1, keepdims=True) + b)

        one = np.ones((self.hidden_size, 1))
        # 1 - sigmoid(a) = sigmoid(-a), which keeps its digits where the gate saturates.
        c = sigmoid(largest(self.W_i, self.U_i, self.b_i)) / sigmoid(-largest(self.W_f, self.U_f, self.b_f))
        return {"h": (-one, one), "c": (-c, c)}
