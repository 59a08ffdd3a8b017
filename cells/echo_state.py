"""The echo state network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputWeights,
    RecurrentWeights,
    checked_number,
    parameter_or_zeros,
    rank_deficiency,
)
from cells.activations import bounds
from cells.leaky import check_alpha, with_radius


@dataclass(frozen=True, kw_only=True, eq=False)
class EchoState(Cell):
    """Echo state network (reservoir): h' = (1 - alpha) h + alpha tanh(W x + U h + b); only its readout is trained.

    Shapes: h (n,), x (m,), W (n, m), U (n, n), b (n,); the leak alpha dimensionless, above 0 and at most 1.
    `spectral_radius` of U and `contraction` say when it forgets its start (echo state property): surely if
    `contraction` < 1; usually, at zero input, if the spectral radius of (1 - alpha) I + alpha U is below 1.
    Sources: H. Jaeger, GMD Report 148 (2001); leak: H. Jaeger, M. Lukosevicius, D. Popovici and U. Siewert, Neural
    Networks 20 (2007) 335-352.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_alpha("EchoState", self.alpha)
        super().__post_init__()

    @property
    def euler_step(self) -> float | None:
        """alpha = dt / tau; None with alpha = 1, the plain map."""
        return self.alpha if self.alpha < 1 else None

    def step(self, h: Any, x: Any) -> Any:
        return (1 - self.alpha) * h + self.alpha * np.tanh(self.W @ x + self.U @ h + self.b)

    @property
    def spectral_radius(self) -> float:
        """Largest modulus of an eigenvalue of U."""
        return float(np.abs(np.linalg.eigvals(self.U)).max())

    @property
    def contraction(self) -> float:
        """1 - alpha + alpha |U|_2, by how much one step brings two states together at most; below 1 it forgets."""
        return 1.0 - self.alpha + self.alpha * float(np.linalg.norm(self.U, 2))

    def lost_rank(self, *blocks: Array) -> int:
        """What is kept of the old state passes through 1 - alpha; with alpha = 1 J has at most the rank of U."""
        return 0 if self.alpha < 1 else rank_deficiency(self.U)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n."""
        cube = bounds("tanh", self.hidden_size)
        return None if cube is None else {"h": cube}

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, density: float = 1.0, **options: Any
    ) -> Self:
        """A reservoir: U with a share `density` of Gaussian entries, scaled to the spectral radius `gain` exactly.

        Args:
            hidden, inputs, seed: as for every cell; W N(0, 1 / inputs), zero biases. gain: spectral radius of U.
            density: share of entries that are not zero, from 0 to 1. options: further fields, e.g. alpha=0.3.
        """
        checked_number("EchoState.random", "density", density, 0.0, 1.0)
        arrays = cls._gaussian({"n": hidden, "m": inputs}, 1.0, seed)
        if density < 1:
            arrays["U"] = arrays["U"] * (np.random.default_rng((seed, 1)).random((hidden, hidden)) < density)
        arrays["U"] = with_radius(arrays["U"], gain)
        return cls(**(arrays | options))
