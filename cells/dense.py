"""A layer of a feed-forward network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cells._cell import Array, ParameterError, _checked, checked_choice, checked_number
from cells.activations import ACTIVATIONS


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """Feed-forward layer: y = s(W x + b), or y = r x + V s(W x + b) with a residual connection.

    A function of columns, to be used as a readout, as a transformation of inputs or states, and as a layer of
    `dynsys.layers`. Shapes: x (m,), W (k, m), b (k,), V (p, k), y (p,); V left out is the identity. `activation` s is
    any of the named ones; the residual weight r is dimensionless (1 in ResNets), and needs p = m unless it is 0.
    Source: K. He, X. Zhang, S. Ren and J. Sun, CVPR 2016, equation 1 (residual connections).
    """

    W: Array
    b: Array | None = None
    V: Array | None = None
    activation: str = "tanh"
    residual: float = 0.0

    def __post_init__(self) -> None:
        checked_choice("Dense", "activation", self.activation, ACTIVATIONS)
        checked_number("Dense", "residual", self.residual)
        shapes = {"W": ("k", "m"), "b": ("k", "1")} | ({} if self.V is None else {"V": ("p", "k")})
        sizes: dict[str, tuple[int, str]] = {}
        for name, shape in shapes.items():
            object.__setattr__(self, name, _checked("Dense", name, getattr(self, name), shape, sizes))
        if self.residual != 0 and self.output_size != self.input_size:
            raise ParameterError(
                f"a residual connection adds the input to the output: both need the same size, got {self.input_size} "
                f"and {self.output_size}."
            )

    @property
    def input_size(self) -> int:
        """Values that go in, m."""
        return int(self.W.shape[1])

    @property
    def output_size(self) -> int:
        """Values that come out, p."""
        return int((self.W if self.V is None else self.V).shape[0])

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays by field name; the bias is a column."""
        return {name: value for name in ("W", "b", "V") if (value := getattr(self, name)) is not None}

    def __call__(self, x: Any) -> Any:
        y = ACTIVATIONS[self.activation](self.W @ x + self.b)
        if self.V is not None:
            y = self.V @ y
        return y if self.residual == 0 else self.residual * x + y

    @classmethod
    def random(cls, outputs: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> Self:
        """A layer with W from N(0, gain^2 / inputs) and zero bias; `options` are further fields."""
        if outputs < 1 or inputs < 1:
            raise ParameterError(f"need outputs >= 1 and inputs >= 1, got {outputs} and {inputs}.")
        W = gain / math.sqrt(inputs) * np.random.default_rng(seed).standard_normal((outputs, inputs))
        return cls(W=W, **options)
