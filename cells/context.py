"""A recurrent network with a fixed vector as an extra input at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np

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
from cells.activations import ACTIVATIONS, bounds


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextRNN(Cell):
    """Context-conditioned network: h' = s(W x + U h + R v + b), the vector v the same at every step.

    Shapes: h (n,), x (m,), v (k,), W (n, m), U (n, n), R (n, k), b (n,). v is what the sequence is about (the features
    of an image to be captioned, the code of a sentence to be translated); it belongs to the map, not to its
    parameters. `activation` s is any of the named ones. It is the Elman network with bias b + R v.
    Source: I. Goodfellow, Y. Bengio and A. Courville, Deep Learning (2016), section 10.2.4, figure 10.9.
    """

    U: RecurrentWeights
    R: Annotated[Array, ("n", "k")]
    v: Annotated[Array, ("k", "1")]
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("ContextRNN", "activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    @property
    def parameters(self) -> dict[str, Array]:
        return {name: value for name, value in super().parameters.items() if name != "v"}

    @property
    def constants(self) -> dict[str, Any]:
        return {"v": self.v}

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        return activate(self.W @ x + self.U @ h + self.R @ self.v + self.b)

    def lost_rank(self, *blocks: Array) -> int:
        """J = diag(s') U has the rank of U wherever no s' is zero."""
        return rank_deficiency(self.U)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None else {"h": cube}

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, context: int = 4, **options: Any
    ) -> Self:
        """Gaussian weights: U N(0, gain^2 / hidden), W N(0, 1 / inputs), R N(0, 1 / context), v N(0, 1), zero biases.

        Args:
            hidden, inputs, gain, seed: as for every cell. context: length k of v. options: further fields.
        """
        arrays = cls._gaussian({"n": hidden, "m": inputs, "k": context}, 1.0, seed)
        arrays["U"] = gain * arrays["U"]
        arrays["v"] = np.random.default_rng((seed, 1)).standard_normal((context, 1))
        return cls(**(arrays | options))
