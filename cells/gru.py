"""The gated recurrent unit, in its two conventions: reset before, and reset after the recurrent product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, checked_choice, parameter_or_zeros
from cells.activations import sigmoid, tanh

UPDATES = ("keeps-old", "takes-new")


def mix(update: str, z: Any, h: Any, candidate: Any) -> Any:
    """The new state, in the convention of the update gate."""
    return z * h + (1 - z) * candidate if update == "keeps-old" else (1 - z) * h + z * candidate


def _cube(hidden: int) -> dict[str, Box]:
    """h' lies between h and the candidate, which is inside (-1, 1): the closed cube goes into the open one."""
    one = np.ones((hidden, 1))
    return {"h": (-one, one)}


@dataclass(frozen=True, kw_only=True, eq=False)
class GRU(Cell):
    """Gated recurrent unit, reset gate before the recurrent product (the form of the paper and of most lectures).

    z = sigmoid(W_z x + U_z h + b_z), r = sigmoid(W_r x + U_r h + b_r)
    candidate = tanh(W_h x + U_h (r h) + b_h)
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new"

    Shapes: h (n,), x (m,), each W (n, m), each U (n, n), each b (n,). PyTorch, Keras and cuDNN apply the reset gate
    after the product: that is `GRUResetAfter`.
    Source: K. Cho et al., EMNLP 2014, 1724-1734, arXiv 1406.1078.
    """

    U_z: RecurrentWeights
    U_r: RecurrentWeights
    U_h: RecurrentWeights
    W_z: InputWeights = parameter_or_zeros()
    W_r: InputWeights = parameter_or_zeros()
    W_h: InputWeights = parameter_or_zeros()
    b_z: Bias = parameter_or_zeros()
    b_r: Bias = parameter_or_zeros()
    b_h: Bias = parameter_or_zeros()
    update: str = "keeps-old"

    convention = "reset gate before the recurrent product"

    def __post_init__(self) -> None:
        checked_choice("GRU", "update", self.update, UPDATES)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        z = sigmoid(self.W_z @ x + self.U_z @ h + self.b_z)
        r = sigmoid(self.W_r @ x + self.U_r @ h + self.b_r)
        candidate = tanh(self.W_h @ x + self.U_h @ (r * h) + self.b_h)
        return mix(self.update, z, h, candidate)

    def lost_rank(self, *blocks: Array) -> int:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0

    def range(self, low: Array, high: Array) -> dict[str, Box]:
        """The cube (-1, 1)^n."""
        return _cube(self.hidden_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class GRUResetAfter(Cell):
    """Gated recurrent unit, reset gate after the recurrent product (PyTorch, Keras, cuDNN, ONNX).

    z = sigmoid(W_z x + U_z h + b_z), r = sigmoid(W_r x + U_r h + b_r)
    candidate = tanh(W_h x + b_h + r (U_h h + b_hn))
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new"

    Shapes: h (n,), x (m,), each W (n, m), each U (n, n), each b (n,). PyTorch writes n for the candidate: W_h, U_h,
    b_h, b_hn are its W_in, W_hn, b_in, b_hn; its two biases of z and of r are added here.
    Sources: K. Cho et al., EMNLP 2014; the variant: PyTorch `nn.GRU`, Keras `GRU(reset_after=True)`.
    """

    U_z: RecurrentWeights
    U_r: RecurrentWeights
    U_h: RecurrentWeights
    W_z: InputWeights = parameter_or_zeros()
    W_r: InputWeights = parameter_or_zeros()
    W_h: InputWeights = parameter_or_zeros()
    b_z: Bias = parameter_or_zeros()
    b_r: Bias = parameter_or_zeros()
    b_h: Bias = parameter_or_zeros()
    b_hn: Bias = parameter_or_zeros()
    update: str = "keeps-old"

    convention = "reset gate after the recurrent product"

    def __post_init__(self) -> None:
        checked_choice("GRUResetAfter", "update", self.update, UPDATES)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        z = sigmoid(self.W_z @ x + self.U_z @ h + self.b_z)
        r = sigmoid(self.W_r @ x + self.U_r @ h + self.b_r)
        candidate = tanh(self.W_h @ x + self.b_h + r * (self.U_h @ h + self.b_hn))
        return mix(self.update, z, h, candidate)

    def lost_rank(self, *blocks: Array) -> int:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0

    def range(self, low: Array, high: Array) -> dict[str, Box]:
        """The cube (-1, 1)^n."""
        return _cube(self.hidden_size)
