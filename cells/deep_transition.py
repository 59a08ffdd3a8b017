"""A recurrent network whose step from state to state is deep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    ParameterError,
    RecurrentWeights,
    checked_choice,
    parameter_or_zeros,
)
from cells.activations import ACTIVATIONS, RANGES


@dataclass(frozen=True, kw_only=True, eq=False)
class DeepTransition(Cell):
    """Deep transition (DT-RNN, DT(S)-RNN): k = s(W x + U_1 h + b_1), h' = s(U_2 k + U h + b_2).

    Shapes: h (n,), x (m,), k (K,), W (K, m), U_1 (K, n), b_1 (K,), U_2 (n, K), b_2 (n,); U (n, n) is the shortcut
    around the intermediate layer of the DT(S)-RNN, left out in a DT-RNN. `activation` s is any of the named ones.
    More intermediate layers: `dynsys.deepen(cell, transition=[...])`.
    Source: R. Pascanu, C. Gulcehre, K. Cho and Y. Bengio, How to construct deep recurrent neural networks, ICLR 2014.
    """

    U_1: Annotated[Array, ("K", "n")]
    U_2: Annotated[Array, ("n", "K")]
    W: Annotated[Array, ("K", "m")] = parameter_or_zeros()
    U: RecurrentWeights = parameter_or_zeros()
    b_1: Annotated[Array, ("K", "1")] = parameter_or_zeros()
    b_2: Bias = parameter_or_zeros()
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("DeepTransition", "activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        k = activate(self.W @ x + self.U_1 @ h + self.b_1)
        return activate(self.U_2 @ k + self.U @ h + self.b_2)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        if self.activation not in RANGES:
            return None
        least, most = RANGES[self.activation]
        return {"h": (np.full((self.hidden_size, 1), least), np.full((self.hidden_size, 1), most))}

    @classmethod
    def random(
        cls,
        hidden: int,
        inputs: int,
        gain: float = 1.0,
        seed: int = 0,
        *,
        between: int | None = None,
        shortcut: bool = True,
        **options: Any,
    ) -> Self:
        """A network with Gaussian weights of variance gain^2 / columns, inputs 1 / inputs, zero biases.

        Args:
            hidden, inputs, gain, seed: as for every cell. between: units K of the intermediate layer; as many as
                `hidden` if left out. shortcut: with U. options: further fields, e.g. activation="relu".
        """
        K = hidden if between is None else between
        if hidden < 1 or inputs < 0 or K < 1:
            raise ParameterError(f"need hidden, between >= 1 and inputs >= 0, got {hidden}, {K} and {inputs}.")
        generator = np.random.default_rng(seed)

        def gaussian(rows: int, columns: int, scale: float) -> Array:
            return scale / math.sqrt(max(columns, 1)) * generator.standard_normal((rows, columns))

        weights: dict[str, Any] = {
            "U_1": gaussian(K, hidden, gain),
            "U_2": gaussian(hidden, K, gain),
            "W": gaussian(K, inputs, 1.0),
        }
        if shortcut:
            weights["U"] = gaussian(hidden, hidden, gain)
        return cls(**weights, **options)
