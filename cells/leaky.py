"""Leaky recurrent networks: Euler steps of a network in continuous time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputWeights,
    ParameterError,
    RecurrentWeights,
    checked_choice,
    checked_number,
    parameter_or_zeros,
    rank_deficiency,
)
from cells.activations import ACTIVATIONS, bounds

EQUATIONS = ("rates", "currents")


def check_alpha(cell: str, alpha: Any) -> None:
    """Raise ParameterError unless 0 < alpha <= 1."""
    checked_number(cell, "alpha", alpha, 0.0, 1.0)
    if alpha == 0:
        raise ParameterError(f"{cell}.alpha must be above 0, or nothing ever moves; got {alpha!r}.")


def wider(first: Box, second: Box, b: Array) -> Box:
    """The sum of two intervals and a column, a little widened, so that it is strict."""
    low, high = first[0] + second[0] + b, first[1] + second[1] + b
    slack = 1e-9 * (1.0 + np.abs(low) + np.abs(high))
    return low - slack, high + slack


def interval(matrix: Array, low: Any, high: Any) -> tuple[Array, Array]:
    """The least and the largest of matrix @ x for x from `low` to `high`, columns."""
    positive, negative = np.maximum(matrix, 0.0), np.minimum(matrix, 0.0)
    return np.asarray(positive @ low + negative @ high), np.asarray(positive @ high + negative @ low)


@dataclass(frozen=True, kw_only=True, eq=False)
class LeakyRNN(Cell):
    """Leaky recurrent network: an Euler step, alpha = dt / tau, of a network in continuous time.

    h' = (1 - alpha) h + alpha s(W x + U h + b)        with equation="rates", the default
    h' = (1 - alpha) h + alpha (U s(h) + W x + b)      with equation="currents"

    Shapes: h (n,), x (m,), W (n, m), U (n, n), b (n,); alpha dimensionless, above 0 and at most 1. `activation` s is
    any of the named ones. `signs` (n,) of 1 and -1 makes units excitatory or inhibitory (Dale's law): then U[i, j] >= 0
    where signs[j] = 1 and <= 0 where it is -1, which is checked. A multiplier mu stands for the rate (mu - 1) / dt of
    the equation in continuous time; a negative one for no motion of it (`dynsys.continuous_rates`).
    Sources: H. F. Song, G. R. Yang and X.-J. Wang, PLoS Computational Biology 12 (2016) e1004792 (currents, Dale);
    G. R. Yang et al., Nature Neuroscience 22 (2019) 297-306 (rates).
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    alpha: float = 0.1
    activation: str = "tanh"
    equation: str = "rates"
    signs: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        checked_choice("LeakyRNN", "activation", self.activation, ACTIVATIONS)
        checked_choice("LeakyRNN", "equation", self.equation, EQUATIONS)
        check_alpha("LeakyRNN", self.alpha)
        super().__post_init__()
        signs = np.asarray(self.signs).ravel()
        object.__setattr__(self, "signs", tuple(int(s) for s in signs))
        if signs.size and (len(signs) != self.hidden_size or not np.isin(signs, (-1, 1)).all()):
            raise ParameterError(f"LeakyRNN.signs needs {self.hidden_size} values, each 1 or -1; got {self.signs}.")
        wrong = np.argwhere(self.U * signs < 0) if signs.size else np.zeros((0, 2))
        if len(wrong):
            i, j = int(wrong[0][0]), int(wrong[0][1])
            raise ParameterError(
                f"LeakyRNN.U[{i}, {j}] is {self.U[i, j]:.3g}, but signs[{j}] is {signs[j]}: a column of U holds "
                "what one unit sends, all of one sign. Pass the effective weights, or leave `signs` out."
            )

    @property
    def euler_step(self) -> float | None:
        """alpha = dt / tau; None with alpha = 1, the plain map."""
        return self.alpha if self.alpha < 1 else None

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        if self.equation == "rates":
            return (1 - self.alpha) * h + self.alpha * activate(self.W @ x + self.U @ h + self.b)
        return (1 - self.alpha) * h + self.alpha * (self.U @ activate(h) + self.W @ x + self.b)

    def lost_rank(self, *blocks: Array) -> int:
        """What is kept of the old state passes through 1 - alpha; with alpha = 1 J has at most the rank of U."""
        return 0 if self.alpha < 1 else rank_deficiency(self.U)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """A mean of the old state and of what drives it: the range of the drive; None for unbounded activations."""
        shown = bounds(self.activation, self.hidden_size)
        if shown is None or self.equation == "rates":
            return None if shown is None else {"h": shown}
        return {"h": wider(interval(self.U, *shown), interval(self.W, low, high), self.b)}

    @classmethod
    def dale(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, excitatory: float = 0.8, **options: Any
    ) -> Self:
        """A random network that obeys Dale's law, excitation and inhibition in balance, without self-connections.

        Args:
            hidden, inputs, seed: as for every cell. gain: the spectral radius of U, dimensionless.
            excitatory: the share of excitatory units. options: further fields, e.g. alpha=0.2.

        Source: as the class: magnitudes from a gamma distribution of shape 2, inhibitory columns scaled up.
        """
        arrays = cls._gaussian({"n": hidden, "m": inputs}, 1.0, seed)
        many = round(excitatory * hidden)
        signs = np.where(np.arange(hidden) < many, 1, -1)
        U = np.random.default_rng((seed, 1)).gamma(2.0, size=(hidden, hidden)) * signs
        np.fill_diagonal(U, 0.0)
        U *= np.where(signs > 0, 1.0, many / max(hidden - many, 1))
        arrays["U"] = with_radius(U, gain)
        return cls(**(arrays | {"signs": tuple(signs)} | options))


def with_radius(U: Array, radius: float) -> Array:
    """`U` scaled to this spectral radius; as it is where all its eigenvalues are zero."""
    now = float(np.abs(np.linalg.eigvals(U)).max(initial=0.0))
    return np.asarray(U * (radius / now)) if now > 0 else U
