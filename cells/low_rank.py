"""Recurrent networks of low rank, and the small map that they are inside."""

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
    ParameterError,
    checked_choice,
    parameter_or_zeros,
)
from cells.activations import ACTIVATIONS, RANGES, bounds, reach
from cells.leaky import EQUATIONS, check_alpha, interval, wider

Loadings = Annotated[Array, ("n", "r")]


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRankRNN(Cell):
    """Leaky recurrent network whose recurrent weights are M N^T / n, of rank r.

    h' = (1 - alpha) h + alpha (M N^T s(h) / n + W x + b)        with equation="currents", the default
    h' = (1 - alpha) h + alpha s(M N^T h / n + W x + b)          with equation="rates"

    Shapes: h (n,), x (m,), M (n, r), N (n, r), W (n, m), b (n,); alpha = dt / tau dimensionless, 1 being the plain
    map. `activation` s is any of the named ones. Where it goes is told by the r overlaps k = N^T s(h) / n alone:
    `latent` is their map. Source: F. Mastrogiuseppe and S. Ostojic, Neuron 99 (2018) 609-623, arXiv 1711.09672.
    """

    M: Loadings
    N: Loadings
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    alpha: float = 1.0
    activation: str = "tanh"
    equation: str = "currents"

    def __post_init__(self) -> None:
        _check(self)
        super().__post_init__()

    @property
    def rank(self) -> int:
        """Columns of M and N, r."""
        return int(self.M.shape[1])

    @property
    def euler_step(self) -> float | None:
        """alpha = dt / tau; None with alpha = 1, the plain map."""
        return self.alpha if self.alpha < 1 else None

    def step(self, h: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        if self.equation == "currents":
            k = self.N.T @ activate(h) / self.hidden_size
            return (1 - self.alpha) * h + self.alpha * (self.M @ k + self.W @ x + self.b)
        k = self.N.T @ h / self.hidden_size
        return (1 - self.alpha) * h + self.alpha * activate(self.M @ k + self.W @ x + self.b)

    def lost_rank(self, *blocks: Array) -> int:
        """With alpha = 1 only the r directions of M remain."""
        return 0 if self.alpha < 1 else max(0, self.hidden_size - self.rank)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The range of what drives the state, by the bounds of M N^T entry by entry; None for unbounded activations."""
        shown = bounds(self.activation, self.hidden_size)
        if shown is None or self.equation == "rates":
            return None if shown is None else {"h": shown}
        recurrent = self.M @ self.N.T / self.hidden_size
        return {"h": wider(interval(recurrent, *shown), interval(self.W, low, high), self.b)}

    def latent(self) -> LatentRNN:
        """The map of the overlaps k (r,): k' = (1 - alpha) k + alpha N^T s(M k + W x + b) / n.

        Exact: with equation="rates" for k = N^T h / n and any input; with equation="currents" at a constant input, on
        the plane h = M k + W x + b, which every state approaches like (1 - alpha)^t. `lift` gives h. The multipliers
        of the large network are those of the small one, and n - r times 1 - alpha.
        """
        return LatentRNN(M=self.M, N=self.N, W=self.W, b=self.b, alpha=self.alpha, activation=self.activation)

    def lift(self, k: Any, input: Any = None) -> Array:
        """States (n,) that the overlaps k (r,) of a fixed point stand for, at a constant input (m,)."""
        x = np.zeros(self.input_size) if input is None else np.asarray(input, dtype=np.float64)
        k = np.asarray(k, dtype=np.float64)
        if k.shape != (self.rank,) or x.shape != (self.input_size,):
            raise ParameterError(
                f"need overlaps ({self.rank},) and an input ({self.input_size},), got {k.shape} and {x.shape}."
            )
        drive = self.M @ k + self.W @ x + self.b[:, 0]
        return np.asarray(drive if self.equation == "currents" else ACTIVATIONS[self.activation](drive))

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, rank: int = 1, **options: Any
    ) -> Self:
        """A network with standard normal M and N, N = gain M + noise: the overlap N^T M / n tends to `gain` times I.

        Args:
            hidden, inputs, seed: as for every cell; W N(0, 1 / inputs), zero biases. gain: of the overlap, which is
            the multiplier at zero for tanh; dimensionless. rank: r. options: further fields.
        """
        drawn = cls._gaussian({"n": hidden, "m": inputs, "r": rank}, 1.0, seed)
        M, noise = (np.sqrt(rank) * drawn[name] for name in "MN")
        return cls(**(drawn | {"M": M, "N": gain * M + noise} | options))


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentRNN(Cell):
    """Latent map of a low-rank network: k' = (1 - alpha) k + alpha N^T s(M k + W x + b) / n for its r overlaps k.

    Shapes: k (r,), x (m,), M (n, r), N (n, r), W (n, m), b (n,); n large, r small. `LowRankRNN.latent` makes it.
    Source: F. Mastrogiuseppe and S. Ostojic, Neuron 99 (2018) 609-623; the reduction is exact at any n.
    """

    M: Loadings
    N: Loadings
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    alpha: float = 1.0
    activation: str = "tanh"

    outputs = "k"

    def __post_init__(self) -> None:
        _check(self)
        super().__post_init__()

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"k": int(self.M.shape[1])}

    @property
    def euler_step(self) -> float | None:
        """alpha = dt / tau; None with alpha = 1, the plain map."""
        return self.alpha if self.alpha < 1 else None

    def step(self, k: Any, x: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        h = activate(self.M @ k + self.W @ x + self.b)
        return (1 - self.alpha) * k + self.alpha * (self.N.T @ h / self.hidden_size)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|k_j| < the mean of |N_ij| times the largest |s|, a little widened; None for unbounded activations."""
        if self.activation not in RANGES:
            return None
        widest = reach(self.activation) * np.abs(self.N).mean(axis=0, keepdims=True).T
        widest = np.where(widest > 0, widest, 1.0) * (1 + 1e-9)
        return {"k": (-widest, widest)}

    @classmethod
    def random(
        cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, *, rank: int = 1, **options: Any
    ) -> Self:
        """The latent map of a random `LowRankRNN`."""
        drawn = LowRankRNN.random(hidden, inputs, gain, seed, rank=rank)
        return cls(**({name: getattr(drawn, name) for name in cls.shapes()} | options))


def _check(cell: Any) -> None:
    name = type(cell).__name__
    checked_choice(name, "activation", cell.activation, ACTIVATIONS)
    check_alpha(name, cell.alpha)
    if hasattr(cell, "equation"):
        checked_choice(name, "equation", cell.equation, EQUATIONS)
