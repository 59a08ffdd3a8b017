"""The antisymmetric network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells._cell import Bias, Cell, InputWeights, RecurrentWeights, checked_choice, checked_number, parameter_or_zeros
from cells.activations import ACTIVATIONS


@dataclass(frozen=True, kw_only=True, eq=False)
class AntisymmetricRNN(Cell):
    """Antisymmetric network: h' = h + epsilon s((U - U^T - gamma I) h + W x + b).

    Shapes: h (n,), x (m,), W (n, m), U (n, n), of which only the antisymmetric part counts, b (n,); the step epsilon
    and the diffusion gamma are dimensionless, at least 0. `activation` s is any of the named ones. Where s' = 1 the
    multipliers are 1 - epsilon gamma + i epsilon w, with i w the eigenvalues of U - U^T: an Euler step that grows
    unless gamma is about epsilon w^2 / 2 or more. Nothing bounds h.
    Source: B. Chang, M. Chen, E. Haber and E. H. Chi, ICLR 2019, arXiv 1902.09689, equation 11.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    epsilon: float = 0.1
    gamma: float = 0.01
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("AntisymmetricRNN", "activation", self.activation, ACTIVATIONS)
        for name in ("epsilon", "gamma"):
            checked_number("AntisymmetricRNN", name, getattr(self, name), 0.0)
        super().__post_init__()

    @property
    def euler_step(self) -> float | None:
        """epsilon."""
        return self.epsilon or None

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        return h + self.epsilon * activate(self.U @ h - self.U.T @ h - self.gamma * h + self.W @ x + self.b)
