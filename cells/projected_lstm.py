"""Long short-term memory with a projected output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, parameter_or_zeros
from cells.activations import ACTIVATIONS, bounds, reach
from cells.lstm import check_functions, functions

FromProjected = Annotated[Array, ("n", "p")]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectedLSTM(Cell):
    """LSTM whose output is projected to p values; the state is (h, c), h of p and c of n values.

    i = sigmoid(W_i x + U_i h + b_i), f and o alike; g = tanh(W_g x + U_g h + b_g)
    c' = f c + i g
    h' = P (o tanh(c'))

    Shapes: h (p,), c (n,), x (m,), each W (n, m), each U (n, p), each b (n,), P (p, n). PyTorch's `nn.LSTM` with
    `proj_size=p` is this cell with P = weight_hr and b = b_ih + b_hh. Functions: as LSTM.
    Source: H. Sak, A. Senior and F. Beaufays, Interspeech 2014, 338-342, arXiv 1402.1128.
    """

    P: Annotated[Array, ("p", "n")]
    U_i: FromProjected
    U_f: FromProjected
    U_o: FromProjected
    U_g: FromProjected
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

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"h": int(self.P.shape[0]), "c": self.hidden_size}

    def step(self, h: Any, c: Any, x: Any) -> Any:
        gate, activate, show = functions(self)
        i = gate(self.W_i @ x + self.U_i @ h + self.b_i)
        f = gate(self.W_f @ x + self.U_f @ h + self.b_f)
        o = gate(self.W_o @ x + self.U_o @ h + self.b_o)
        g = activate(self.W_g @ x + self.U_g @ h + self.b_g)
        c_next = f * c + i * g
        return self.P @ (o * show(c_next)), c_next

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|h_j| < sum over k of |P_jk|, and |c| < max i max|g| / (1 - max f), the maxima over those h and the inputs.

        A row of P without entries is given a width of one.
        """
        shown, G = reach(self.output_activation), reach(self.activation)
        if bounds(self.output_activation, 1) is None or not np.isfinite(G):
            return None
        h = shown * np.abs(self.P).sum(axis=1, keepdims=True)
        h = np.where(h > 0, h, 1.0)
        gate = ACTIVATIONS[self.gate_activation]

        def largest(W: Array, U: Array, b: Array) -> Array:
            positive = np.maximum(W, 0.0)
            return np.asarray(positive @ high + (W - positive) @ low + np.abs(U) @ h + b)

        i = gate(largest(self.W_i, self.U_i, self.b_i))
        left = gate(-largest(self.W_f, self.U_f, self.b_f))  # 1 - s(a) = s(-a)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(i > 0, G * i / left, np.where(left > 0, 1.0, np.inf))
        return {"h": (-h, h), "c": (-c, c)}

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, outputs: int | None = None, **options: Any
    ) -> Self:
        """A cell with Gaussian weights: P N(0, 1 / hidden), U N(0, gain^2 / outputs), W N(0, 1 / inputs), zero biases.

        Args:
            hidden: memory units n. inputs: m. outputs: projected values p; half of `hidden`, at least 1, if left out.
            gain: of the product of P and U, dimensionless. seed: as for every cell. options: further fields.
        """
        p = max(1, hidden // 2) if outputs is None else outputs
        arrays = cls._gaussian({"n": hidden, "m": inputs, "p": p}, 1.0, seed)
        return cls(**({name: gain * a if name[0] == "U" else a for name, a in arrays.items()} | options))
