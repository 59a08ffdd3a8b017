"""Orthogonal and unitary recurrent networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.linalg

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
    require_sizes,
)
from cells.activations import ACTIVATIONS, bounds

CLOSE = 1e-4
"""How far U^T U may be from the identity, largest entry: a matrix trained in float32 drifts by less."""
MODRELU = "modrelu"


@dataclass(frozen=True, kw_only=True, eq=False)
class OrthogonalRNN(Cell):
    """Orthogonal network: h' = s(gain U h + W x + b) with U^T U = I, which is checked.

    Shapes: h (n,), x (m,), W (n, m), U (n, n), b (n,); `gain` dimensionless, 1 where lengths are to be kept.
    `activation` s is any of the named ones, or "modrelu": h' = sign(a) max(|a| + b, 0), a = gain U h + W x,
    which jumps at a = 0 where b > 0.
    U from free parameters: `from_skew` takes U = exp(A - A^T), any n x n matrix A giving an orthogonal U;
    `from_unitary` takes a complex unitary matrix as real blocks [[Re, -Im], [Im, Re]], n = 2 times its size.
    Sources: M. Arjovsky, A. Shah and Y. Bengio, ICML 2016, arXiv 1511.06464 (unitary, modReLU); M. Lezcano-Casado and
    D. Martinez-Rubio, ICML 2019, arXiv 1901.08428 (exponential).
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    gain: float = 1.0
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("OrthogonalRNN", "activation", self.activation, (*ACTIVATIONS, MODRELU))
        checked_number("OrthogonalRNN", "gain", self.gain, 0.0)
        super().__post_init__()
        off = float(np.abs(self.U.T @ self.U - np.eye(self.hidden_size)).max())
        if off > CLOSE:
            raise ParameterError(
                f"OrthogonalRNN.U is not orthogonal: U^T U differs from the identity by {off:.2g}. Scale it by `gain`, "
                "build it with OrthogonalRNN.from_skew, or use Elman for free weights."
            )

    def step(self, h: Any, x: Any) -> Any:
        a = self.gain * (self.U @ h) + self.W @ x
        if self.activation == MODRELU:
            return np.sign(a) * np.maximum(np.abs(a) + self.b, 0.0)
        return ACTIVATIONS[self.activation](a + self.b)

    def lost_rank(self, *blocks: Array) -> int:
        """An orthogonal U loses nothing."""
        return 0 if self.gain else self.hidden_size

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None else {"h": cube}

    @classmethod
    def from_skew(cls, A: Any, **fields: Any) -> Self:
        """The network with U = exp(A - A^T), a rotation, for any square matrix A; `fields` are the others."""
        A = np.asarray(A, dtype=np.float64)
        if A.ndim != 2 or A.shape[0] != A.shape[1] or not np.isfinite(A).all():
            raise ParameterError(f"OrthogonalRNN.from_skew needs a square matrix of finite numbers, got {A.shape}.")
        return cls(U=scipy.linalg.expm(A - A.T), **fields)

    @classmethod
    def from_unitary(cls, Q: Any, **fields: Any) -> Self:
        """The network with the complex unitary matrix Q (k, k) as real blocks: state (Re h, Im h), n = 2 k."""
        Q = np.asarray(Q, dtype=np.complex128)
        if Q.ndim != 2 or Q.shape[0] != Q.shape[1]:
            raise ParameterError(f"OrthogonalRNN.from_unitary needs a square matrix, got {Q.shape}.")
        return cls(U=np.block([[Q.real, -Q.imag], [Q.imag, Q.real]]), **fields)

    @classmethod
    def random(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> Self:
        """U uniform over the orthogonal matrices, W N(0, 1 / inputs), zero biases; `gain` is the field of that name.

        Source: F. Mezzadri, Notices of the AMS 54 (2007) 592-604.
        """
        require_sizes(hidden, inputs)
        generator = np.random.default_rng(seed)
        Q, R = np.linalg.qr(generator.standard_normal((hidden, hidden)))
        W = generator.standard_normal((hidden, inputs)) / math.sqrt(max(inputs, 1))
        return cls(U=Q * np.where(np.diag(R) < 0, -1.0, 1.0), W=W, **({"gain": gain} | options))
