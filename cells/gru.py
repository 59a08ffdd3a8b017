"""The gated recurrent unit, in its two conventions: reset before, and reset after the recurrent product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, checked_choice, parameter_or_zeros
from cells.activations import ACTIVATIONS, GATES, bounds

UPDATES = ("keeps-old", "takes-new")


def mix(update: str, z: Any, h: Any, candidate: Any) -> Any:
    """The new state, in the convention of the update gate."""
    return z * h + (1 - z) * candidate if update == "keeps-old" else (1 - z) * h + z * candidate


def _check(cell: Any) -> None:
    name = type(cell).__name__
    checked_choice(name, "update", cell.update, UPDATES)
    checked_choice(name, "gate_activation", cell.gate_activation, GATES)
    checked_choice(name, "activation", cell.activation, ACTIVATIONS)


@dataclass(frozen=True, kw_only=True, eq=False)
class GRU(Cell):
    """Gated recurrent unit, reset gate before the recurrent product (the form of the paper and of most lectures).

    z = sigmoid(W_z x + U_z h + b_z), r = gate(W_r x + U_r h + b_r)
    candidate = tanh(W_h x + U_h (r h) + b_h)
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new"

    Other functions: `gate_activation` of z and r ("sigmoid", "hard_sigmoid", "hard_sigmoid_fifth"), `activation` of
    the candidate (any of the named ones).
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
    gate_activation: str = "sigmoid"
    activation: str = "tanh"

    convention = "reset gate before the recurrent product"

    def __post_init__(self) -> None:
        _check(self)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        gate, activate = ACTIVATIONS[self.gate_activation], ACTIVATIONS[self.activation]
        z = gate(self.W_z @ x + self.U_z @ h + self.b_z)
        r = gate(self.W_r @ x + self.U_r @ h + self.b_r)
        candidate = activate(self.W_h @ x + self.U_h @ (r * h) + self.b_h)
        return mix(self.update, z, h, candidate)

    def lost_rank(self, *blocks: Array) -> int | None:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0 if self.gate_activation == "sigmoid" else None

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n for tanh: h' lies between h and the candidate. None for unbounded activations.

        A hard gate may keep the old state where it is: then nothing is carried into the interior.
        """
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None or self.gate_activation != "sigmoid" else {"h": cube}


@dataclass(frozen=True, kw_only=True, eq=False)
class GRUResetAfter(Cell):
    """Gated recurrent unit, reset gate after the recurrent product (PyTorch, Keras, cuDNN, ONNX).

    z = sigmoid(W_z x + U_z h + b_z), r = gate(W_r x + U_r h + b_r)
    candidate = tanh(W_h x + b_h + r (U_h h + b_hn))
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new"

    Shapes: h (n,), x (m,), each W (n, m), each U (n, n), each b (n,). PyTorch writes n for the candidate: W_h, U_h,
    b_h, b_hn are its W_in, W_hn, b_in, b_hn; its two biases of z and of r are added here. Functions: as GRU.
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
    gate_activation: str = "sigmoid"
    activation: str = "tanh"

    convention = "reset gate after the recurrent product"

    def __post_init__(self) -> None:
        _check(self)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        gate, activate = ACTIVATIONS[self.gate_activation], ACTIVATIONS[self.activation]
        z = gate(self.W_z @ x + self.U_z @ h + self.b_z)
        r = gate(self.W_r @ x + self.U_r @ h + self.b_r)
        candidate = activate(self.W_h @ x + self.b_h + r * (self.U_h @ h + self.b_hn))
        return mix(self.update, z, h, candidate)

    def lost_rank(self, *blocks: Array) -> int | None:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0 if self.gate_activation == "sigmoid" else None

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n for tanh: h' lies between h and the candidate. None for unbounded activations.

        A hard gate may keep the old state where it is: then nothing is carried into the interior.
        """
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None or self.gate_activation != "sigmoid" else {"h": cube}
