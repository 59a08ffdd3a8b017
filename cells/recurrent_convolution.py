"""The recurrent convolutional layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputKernels,
    Kernels,
    ParameterError,
    checked_choice,
    parameter_or_zeros,
)
from cells.activations import ACTIVATIONS, RANGES
from cells.operators import Padding, convolve


@dataclass(frozen=True, kw_only=True, eq=False)
class RecurrentConvolution(Cell):
    """Recurrent convolutional layer (RCL): x' = s(W * u + U * x + b), with a static input u.

    Shapes: x (n, positions) and u (m, positions) are n and m maps over a grid of 1, 2 or more axes, flattened maps
    first, then positions row by row; U (n, n, side, ...) and W (n, m, side, ...) are kernels with one side per axis
    of the grid, * is convolution as deep learning writes it (cross-correlation, same size out as in), b (n,) is one
    bias per map. `padding`: "circular" (a torus, where Fourier modes diagonalise U) or "zeros".
    Source: M. Liang and X. Hu, Recurrent convolutional neural network for object recognition, CVPR 2015, equation 2
    (without its local response normalisation).
    """

    U: Kernels
    W: InputKernels = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    grid: tuple[int, ...] = field(default=())
    padding: Padding = "zeros"
    activation: str = "relu"

    outputs = "x"

    def __post_init__(self) -> None:
        name = type(self).__name__
        checked_choice(name, "activation", self.activation, ACTIVATIONS)
        checked_choice(name, "padding", self.padding, ("circular", "zeros"))
        super().__post_init__()
        grid = tuple(int(side) for side in np.atleast_1d(np.asarray(self.grid, dtype=np.int64)))
        object.__setattr__(self, "grid", grid)
        axes = self.U.ndim - 2
        if len(grid) != axes or any(side < 1 for side in grid):
            raise ParameterError(f"{name}.grid needs {axes} sides of at least 1, as U {self.U.shape} has; got {grid}.")
        if self.W.size and self.W.ndim != self.U.ndim:
            raise ParameterError(f"{name}.W {self.W.shape} needs as many axes as U {self.U.shape}.")

    @property
    def positions(self) -> int:
        """Positions of the grid."""
        return math.prod(self.grid)

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"x": self.hidden_size * self.positions}

    @property
    def input_size(self) -> int:
        """One value per input map and position."""
        return int(self.W.shape[1]) * self.positions

    def step(self, x: Any, u: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        on = {"grid": self.grid, "padding": self.padding}
        if not self.input_size:
            return activate(convolve(self.U, x, **on) + np.repeat(self.b, self.positions, axis=0))
        return activate(
            convolve(self.W, u, **on) + convolve(self.U, x, **on) + np.repeat(self.b, self.positions, axis=0)
        )

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        if self.activation not in RANGES:
            return None
        least, most = RANGES[self.activation]
        return {"x": (np.full((self.state_size, 1), least), np.full((self.state_size, 1), most))}

    @classmethod
    def random(
        cls,
        hidden: int,
        inputs: int,
        gain: float = 1.0,
        seed: int = 0,
        *,
        grid: Sequence[int] = (4, 4),
        side: int = 3,
        **options: Any,
    ) -> Self:
        """A layer with Gaussian kernels of s = side^axes entries: U N(0, gain^2 / (hidden s)), W N(0, 1 / (inputs s)).

        Args:
            hidden, inputs: maps n and m. gain, seed: as for every cell. grid: sides of the grid of positions.
            side: of the kernels. options: further fields, e.g. activation="tanh".
        """
        if hidden < 1 or inputs < 0 or side < 1:
            raise ParameterError(f"need hidden >= 1, inputs >= 0, side >= 1; got {hidden}, {inputs}, {side}.")
        generator = np.random.default_rng(seed)
        sides = (side,) * len(grid)
        entries = math.prod(sides)
        U = gain / math.sqrt(hidden * entries) * generator.standard_normal((hidden, hidden, *sides))
        W = generator.standard_normal((hidden, inputs, *sides)) / math.sqrt(max(inputs, 1) * entries)
        return cls(U=U, W=W, grid=tuple(grid), **options)
