"""The long short-term memory cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from cells.activations import ACTIVATIONS, GATES, bounds, reach


@dataclass(frozen=True, kw_only=True, eq=False)
class LSTM(Cell):
    """Long short-term memory with forget gate; the state is (h, c).

    i = sigmoid(W_i x + U_i h + b_i), f and o alike; g = tanh(W_g x + U_g h + b_g)
    c' = f c + i g
    h' = o tanh(c')

    Shapes: h, c (n,), x (m,), each W (n, m), each U (n, n), each b (n,). PyTorch's `nn.LSTM` is this cell with
    b = b_ih + b_hh. Other functions: `gate_activation` of i, f and o ("sigmoid", "hard_sigmoid",
    "hard_sigmoid_fifth"), `activation` of g, `output_activation` of c' (any of the named ones; ONNX calls the three
    f, g and h). Sources: S. Hochreiter and J. Schmidhuber, Neural Computation 9 (1997) 1735-1780;
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
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    output_activation: str = "tanh"

    def __post_init__(self) -> None:
        check_functions(self)
        super().__post_init__()

    def step(self, h: Any, c: Any, x: Any) -> Any:
        gate, activate, show = functions(self)
        i = gate(self.W_i @ x + self.U_i @ h + self.b_i)
        f = gate(self.W_f @ x + self.U_f @ h + self.b_f)
        o = gate(self.W_o @ x + self.U_o @ h + self.b_o)
        g = activate(self.W_g @ x + self.U_g @ h + self.b_g)
        c_next = f * c + i * g
        return o * show(c_next), c_next

    def lost_rank(self, *blocks: Array) -> NDArray[np.int64] | None:
        """det J = prod f prod(tanh(c') o') det U_o: what U_o lacks, and the units whose new c is exactly zero."""
        if self.gate_activation != "sigmoid":  # a hard gate may be exactly zero
            return None
        shown = ACTIVATIONS[self.output_activation](self.step(*blocks)[1])
        lost = np.full(shown.shape[1], rank_deficiency(self.U_o), dtype=np.int64)
        for sample in np.flatnonzero((shown == 0).any(axis=0)):
            alive = self.U_o[shown[:, sample] != 0]
            lost[sample] = self.hidden_size - (len(alive) - rank_deficiency(alive) if len(alive) else 0)
        return lost

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|h| < 1, and |c| < max i max|g| / (1 - max f), the maxima taken over |h| <= 1 and the inputs.

        With other functions, their largest moduli in the place of 1; None where one of them is unbounded.
        """
        shown = bounds(self.output_activation, self.hidden_size)
        if shown is None or not np.isfinite(reach(self.activation)):
            return None
        gate = ACTIVATIONS[self.gate_activation]
        i = gate(largest(self.W_i, self.U_i, self.b_i, low, high, reach(self.output_activation)))
        # 1 - s(a) = s(-a), which keeps its digits where the gate saturates.
        left = gate(-largest(self.W_f, self.U_f, self.b_f, low, high, reach(self.output_activation)))
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(i > 0, reach(self.activation) * i / left, np.where(left > 0, 1.0, np.inf))
        return {"h": shown_by_gate(shown), "c": (-c, c)}


def check_functions(cell: Any) -> None:
    """Raise ParameterError unless the three functions of an LSTM are known ones."""
    name = type(cell).__name__
    checked_choice(name, "gate_activation", cell.gate_activation, GATES)
    checked_choice(name, "activation", cell.activation, ACTIVATIONS)
    checked_choice(name, "output_activation", cell.output_activation, ACTIVATIONS)


def functions(cell: Any) -> tuple[Any, Any, Any]:
    """The functions of an LSTM: of the gates, of g, of c'."""
    return ACTIVATIONS[cell.gate_activation], ACTIVATIONS[cell.activation], ACTIVATIONS[cell.output_activation]


def largest(W: Array, U: Array, b: Array, low: Array, high: Array, h: float = 1.0) -> Array:
    """The largest W x + U h + b over inputs from `low` to `high` and |h_i| <= `h`, (n, 1)."""
    positive = np.maximum(W, 0.0)
    return np.asarray(positive @ high + (W - positive) @ low + h * np.abs(U).sum(axis=1, keepdims=True) + b)


def shown_by_gate(shown: Box) -> Box:
    """The range of o s(c') for a gate o in [0, 1]: that of s, and zero, strictly inside."""
    low, high = shown
    return np.minimum(low, -0.01 * high), np.maximum(high, -0.01 * low)
