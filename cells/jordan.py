"""The Jordan network: it remembers through its output alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np

from cells._cell import Array, Bias, Box, Cell, InputWeights, ParameterError, checked_choice, parameter_or_zeros
from cells.activations import ACTIVATIONS, RANGES


@dataclass(frozen=True, kw_only=True, eq=False)
class Jordan(Cell):
    """Jordan network: h = s_h(W x + U y + b), y' = s_y(V h + c): a map on its output y.

    Shapes: y (r,), h (n,), x (m,), W (n, m), U (n, r), b (n,), V (r, n), c (r,). W left out means no input, b and c
    left out mean zero. `activation` s_h and `output_activation` s_y are any of the named ones.
    Source: M. I. Jordan, Serial order: a parallel distributed processing approach, ICS Report 8604 (1986).
    """

    U: Annotated[Array, ("n", "r")]
    V: Annotated[Array, ("r", "n")]
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    c: Annotated[Array, ("r", "1")] = parameter_or_zeros()
    activation: str = "tanh"
    output_activation: str = "identity"

    outputs = "y"

    def __post_init__(self) -> None:
        for name in ("activation", "output_activation"):
            checked_choice("Jordan", name, getattr(self, name), ACTIVATIONS)
        super().__post_init__()

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"y": int(self.V.shape[0])}

    def step(self, y: Any, x: Any) -> Any:
        h = ACTIVATIONS[self.activation](self.W @ x + self.U @ y + self.b)
        return ACTIVATIONS[self.output_activation](self.V @ h + self.c)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """What s_y, or else V times what s_h, can give; slightly widened, so that the bound is strict."""
        if self.output_activation in RANGES:
            least, most = (np.full((self.state_size, 1), side) for side in RANGES[self.output_activation])
            return {"y": (least, most)}
        if self.activation not in RANGES:
            return None
        below, above = RANGES[self.activation]
        positive, negative = np.maximum(self.V, 0.0), np.minimum(self.V, 0.0)
        drive = below * positive + above * negative, above * positive + below * negative
        least, most = (side.sum(axis=1, keepdims=True) + self.c for side in drive)
        slack = 1e-9 * (1.0 + np.abs(least) + np.abs(most))
        activate = ACTIVATIONS[self.output_activation]
        return {"y": (activate(least) - slack, activate(most) + slack)}

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, outputs: int | None = None, **options: Any
    ) -> Self:
        """A network with Gaussian weights: U N(0, gain^2 / outputs), V N(0, 1 / hidden), W N(0, 1 / inputs), no biases.

        Args:
            hidden: units n. inputs: m. outputs: values y that are fed back, r; as many as units if left out.
            gain, seed: as for every cell. options: further fields, e.g. output_activation="tanh".
        """
        outputs = hidden if outputs is None else outputs
        if hidden < 1 or inputs < 0 or outputs < 1:
            raise ParameterError(f"need hidden, outputs >= 1 and inputs >= 0, got {hidden}, {outputs} and {inputs}.")
        generator = np.random.default_rng(seed)
        U = gain / math.sqrt(outputs) * generator.standard_normal((hidden, outputs))
        V = generator.standard_normal((outputs, hidden)) / math.sqrt(hidden)
        W = generator.standard_normal((hidden, inputs)) / math.sqrt(max(inputs, 1))
        return cls(U=U, V=V, W=W, **options)
