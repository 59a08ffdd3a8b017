"""The recurrent multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, RecurrentWeights, checked_choice, parameter_or_zeros
from cells.activations import ACTIVATIONS, bounds


@dataclass(frozen=True, kw_only=True, eq=False)
class RecurrentMLP(Cell):
    """Recurrent multilayer perceptron: a perceptron each of whose hidden layers also hears itself.

    h_1' = s(W_1 u + U_1 h_1 + b_1)
    h_2' = s(W_2 h_1' + U_2 h_2 + b_2)

    Shapes: h_1 (n,), h_2 (p,), u (m,), W_1 (n, m), U_1 (n, n), b_1 (n,), W_2 (p, n), U_2 (p, p), b_2 (p,). With a
    static input u it is the fully connected sister of `RecurrentConvolution`: T steps unrolled are a network of depth
    T with shared weights. `activation` s is any of the named ones. One layer is `Elman`, three and more are
    `dynsys.stack` of them. Sources: K. Puskorius and L. A. Feldkamp, IEEE Transactions on Neural Networks 5 (1994)
    279-297; static input: M. Liang and X. Hu, CVPR 2015.
    """

    U_1: RecurrentWeights
    U_2: Annotated[Array, ("p", "p")]
    W_2: Annotated[Array, ("p", "n")]
    W_1: InputWeights = parameter_or_zeros()
    b_1: Bias = parameter_or_zeros()
    b_2: Annotated[Array, ("p", "1")] = parameter_or_zeros()
    activation: str = "tanh"

    outputs = "h_2"

    def __post_init__(self) -> None:
        checked_choice("RecurrentMLP", "activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"h_1": self.hidden_size, "h_2": int(self.U_2.shape[0])}

    def step(self, h_1: Any, h_2: Any, u: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        first = activate(self.W_1 @ u + self.U_1 @ h_1 + self.b_1)
        return first, activate(self.W_2 @ first + self.U_2 @ h_2 + self.b_2)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        cubes = (bounds(self.activation, size) for size in self.state_blocks.values())
        boxes = {name: cube for name, cube in zip(self.state_blocks, cubes, strict=True) if cube is not None}
        return boxes or None

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, second: int | None = None, **options: Any
    ) -> Self:
        """Gaussian weights: U_1, U_2 N(0, gain^2 / their units), W_1 N(0, 1 / inputs), W_2 N(0, 1 / hidden), no biases.

        Args:
            hidden: units of the first layer n. second: of the second p; as many if left out. inputs, gain, seed: as
            for every cell. options: further fields, e.g. activation="relu".
        """
        p = hidden if second is None else second
        arrays = cls._gaussian({"n": hidden, "m": inputs, "p": p}, 1.0, seed)
        scaled = {name: np.asarray(gain * arrays[name]) for name in ("U_1", "U_2")}
        return cls(**(arrays | scaled | options))
