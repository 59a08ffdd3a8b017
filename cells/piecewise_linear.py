"""The piecewise-linear recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cells._cell import Array, Bias, Cell, InputWeights, ParameterError, RecurrentWeights, parameter_or_zeros
from cells.activations import relu


@dataclass(frozen=True, kw_only=True, eq=False)
class PLRNN(Cell):
    """Piecewise-linear network: z' = A z + U relu(z) + W x + b, A diagonal.

    Shapes: z (n,), x (m,), A (n,) the diagonal (a diagonal matrix is taken too), U (n, n), W (n, m), b (n,). The
    papers call U, W, b here W, C, h. In each of the 2^n orthants the map is affine, so that fixed points and cycles
    are solutions of linear equations. Nothing bounds z.
    Sources: D. Durstewitz, PLoS Computational Biology 13 (2017) e1005542; G. Koppe, H. Toutounji, P. Kirsch, S. Lis
    and D. Durstewitz, PLoS Computational Biology 15 (2019) e1007263.
    """

    A: Bias
    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()

    outputs = "z"

    def __post_init__(self) -> None:
        given: Any = np.asarray(self.A)
        if given.ndim == 2 and given.shape[0] == given.shape[1] > 1:
            if np.count_nonzero(given - np.diag(np.diag(given))):
                raise ParameterError("PLRNN.A must be diagonal: what couples units goes into U.")
            object.__setattr__(self, "A", np.diag(given))
        super().__post_init__()

    def step(self, z: Any, x: Any) -> Any:
        return self.A * z + self.U @ relu(z) + self.W @ x + self.b

    @classmethod
    def random(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> Self:
        """A uniform in (0.5, 0.9), U N(0, gain^2 / hidden) without diagonal, W N(0, 1 / inputs), zero biases."""
        arrays: dict[str, Array] = cls._gaussian({"n": hidden, "m": inputs}, gain, seed)
        arrays["A"] = np.random.default_rng((seed, 1)).uniform(0.5, 0.9, (hidden, 1))
        np.fill_diagonal(arrays["U"], 0.0)
        return cls(**(arrays | options))
