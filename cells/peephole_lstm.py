"""Long short-term memory whose gates see the memory (peepholes), and with input and forget gate coupled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, parameter_or_zeros
from cells.activations import ACTIVATIONS, bounds, reach
from cells.lstm import check_functions, functions, largest, shown_by_gate


@dataclass(frozen=True, kw_only=True, eq=False)
class PeepholeLSTM(Cell):
    """LSTM with peepholes: i and f see the old c, o sees the new c; the state is (h, c).

    i = sigmoid(W_i x + U_i h + p_i c + b_i), f alike; g = tanh(W_g x + U_g h + b_g)
    c' = f c + i g
    o = sigmoid(W_o x + U_o h + p_o c' + b_o)
    h' = o tanh(c')

    Shapes: as LSTM; peepholes p_i, p_f, p_o (n,), entry by entry, zero where left out. ONNX stacks them in P as
    i, o, f. Functions: as LSTM.
    Source: F. A. Gers, N. N. Schraudolph and J. Schmidhuber, JMLR 3 (2002) 115-143.
    """

    U_i: RecurrentWeights
    U_f: RecurrentWeights
    U_o: RecurrentWeights
    U_g: RecurrentWeights
    p_i: Bias = parameter_or_zeros()
    p_f: Bias = parameter_or_zeros()
    p_o: Bias = parameter_or_zeros()
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
        i = gate(self.W_i @ x + self.U_i @ h + self.p_i * c + self.b_i)
        f = gate(self.W_f @ x + self.U_f @ h + self.p_f * c + self.b_f)
        g = activate(self.W_g @ x + self.U_g @ h + self.b_g)
        c_next = f * c + i * g
        o = gate(self.W_o @ x + self.U_o @ h + self.p_o * c_next + self.b_o)
        return o * show(c_next), c_next

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|h| < 1, and |c| < C, the least C with max f C + max i max|g| <= C where the gates see |c| <= C.

        Peepholes can make a gate open ever wider as c grows; where no such C exists, None.
        """
        shown = bounds(self.output_activation, self.hidden_size)
        G = reach(self.activation)
        if shown is None or not np.isfinite(G):
            return None
        gate, h = ACTIVATIONS[self.gate_activation], reach(self.output_activation)
        into, kept = (
            largest(W, U, b, low, high, h)
            for W, U, b in ((self.W_i, self.U_i, self.b_i), (self.W_f, self.U_f, self.b_f))
        )

        def grown(C: Array) -> Array:
            return np.asarray(gate(kept + np.abs(self.p_f) * C) * C + gate(into + np.abs(self.p_i) * C) * G)

        C = np.zeros_like(into)
        for _ in range(200):  # from below, towards the least solution; what it does not reach is tested, not trusted
            C = grown(C)
        for widened in (1e-6, 1e-3, 0.1, 1.0, 10.0):
            wide = C * (1 + widened)
            if (grown(wide) < wide).all():
                return {"h": shown_by_gate(shown), "c": (-wide, wide)}
        return None


@dataclass(frozen=True, kw_only=True, eq=False)
class CoupledLSTM(Cell):
    """LSTM with coupled gates, i = 1 - f, and peepholes if given; the state is (h, c). Also called CIFG.

    f = sigmoid(W_f x + U_f h + p_f c + b_f), g = tanh(W_g x + U_g h + b_g)
    c' = f c + (1 - f) g
    o = sigmoid(W_o x + U_o h + p_o c' + b_o)
    h' = o tanh(c')

    Shapes: as LSTM; peepholes p_f, p_o (n,), zero where left out. ONNX (`input_forget=1`) couples f = 1 - i from its
    input gate: negate that gate's weights, W_f = -W_i and so on. Functions: as LSTM.
    Source: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink and J. Schmidhuber, IEEE Transactions on Neural
    Networks and Learning Systems 28 (2017) 2222-2232.
    """

    U_f: RecurrentWeights
    U_o: RecurrentWeights
    U_g: RecurrentWeights
    p_f: Bias = parameter_or_zeros()
    p_o: Bias = parameter_or_zeros()
    W_f: InputWeights = parameter_or_zeros()
    W_o: InputWeights = parameter_or_zeros()
    W_g: InputWeights = parameter_or_zeros()
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
        f = gate(self.W_f @ x + self.U_f @ h + self.p_f * c + self.b_f)
        g = activate(self.W_g @ x + self.U_g @ h + self.b_g)
        c_next = f * c + (1 - f) * g
        o = gate(self.W_o @ x + self.U_o @ h + self.p_o * c_next + self.b_o)
        return o * show(c_next), c_next

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """c' is a mean of c and g, so both stay in the ranges of the functions; None for unbounded ones.

        A hard gate may be exactly one and keep c where it is: then nothing is carried into the interior.
        """
        held, shown = (bounds(s, self.hidden_size) for s in (self.activation, self.output_activation))
        if held is None or shown is None or self.gate_activation != "sigmoid":
            return None
        return {"h": shown_by_gate(shown), "c": held}
