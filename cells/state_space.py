"""The diagonal linear state-space layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cells._cell import Array, Bias, Box, Cell, InputWeights, ParameterError, parameter_or_zeros, require_sizes

METHODS = ("zoh", "bilinear")


@dataclass(frozen=True, kw_only=True, eq=False)
class DiagonalSSM(Cell):
    """Diagonal linear state-space layer: h' = A h + W x with complex A = diag(A_re + i A_im), W = W_re + i W_im.

    The complex state is kept as real blocks, (Re h, Im h), 2 n values for n modes:
    u' = A_re u - A_im v + W_re x
    v' = A_im u + A_re v + W_im x

    Shapes: u, v (n,), x (m,), A_re, A_im (n,), W_re, W_im (n, m). Its multipliers are A and its conjugates,
    everywhere. The usual output Re(C h) is the readout (Re C, -Im C). `continuous` discretises dh/dt = A h + W x.
    Sources: A. Gu, A. Gupta, K. Goel and C. Re (S4D), NeurIPS 2022, arXiv 2206.11893; A. Orvieto et al. (LRU), ICML
    2023, arXiv 2303.06349.
    """

    A_re: Bias
    A_im: Bias = parameter_or_zeros()
    W_re: InputWeights = parameter_or_zeros()
    W_im: InputWeights = parameter_or_zeros()

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"h": 2 * self.hidden_size}

    @property
    def eigenvalues(self) -> NDArray[np.complex128]:
        """The multipliers of the modes, (n,) complex; the conjugates of those that are not real are multipliers too."""
        return np.asarray(self.A_re + 1j * self.A_im)[:, 0]

    def step(self, h: Any, x: Any) -> Any:
        u, v = h[: self.hidden_size], h[self.hidden_size :]
        u_next = self.A_re * u - self.A_im * v + self.W_re @ x
        v_next = self.A_im * u + self.A_re * v + self.W_im @ x
        return np.concatenate([u_next, v_next])

    def lost_rank(self, *blocks: Array) -> int:
        """Two dimensions for each mode whose multiplier is zero."""
        return 2 * int((self.eigenvalues == 0).sum())

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|u_k| and |v_k| < max |W x|_k / (1 - |A_re| - |A_im|), a little widened, where that is positive; else None.

        A mode that turns by much in one step carries its square into no square of the kind, though it may decay.
        """
        kept = np.abs(self.A_re) + np.abs(self.A_im)
        if not (kept < 1).all():
            return None
        widest = np.maximum(np.abs(low), np.abs(high))
        heard = np.maximum(np.abs(self.W_re) @ widest, np.abs(self.W_im) @ widest)
        side = (heard + 1e-3) / (1 - kept)
        both = np.concatenate([side, side])
        return {"h": (-both, both)}

    @classmethod
    def continuous(cls, A: Any, W: Any, step: float, *, method: str = "zoh") -> Self:
        """dh/dt = A h + W x, sampled with time step `step`.

        Args:
            A: (n,) complex, per unit time. W: (n, m) complex or real. step: in the same unit of time, above 0.
            method: "zoh" holds the input constant over a step, exact for such inputs: exp(A step), and
                (exp(A step) - 1) / A W; "bilinear" is Tustin's rule.
        """
        A, W = np.asarray(A, dtype=np.complex128).ravel(), np.asarray(W, dtype=np.complex128)
        if method not in METHODS or not step > 0:
            raise ParameterError(f"need method 'zoh' or 'bilinear' and step > 0, got {method!r} and {step!r}.")
        if W.ndim != 2 or len(W) != len(A):
            raise ParameterError(f"W must be ({len(A)}, m) to go with A ({len(A)},), got {W.shape}.")
        z = A * step
        if method == "zoh":
            # (e^z - 1) / z without cancellation near 0, where it is 1
            moved, held = np.exp(z), step * np.where(z == 0, 1.0, np.expm1(z) / np.where(z == 0, 1.0, z))
        else:
            moved, held = (1 + z / 2) / (1 - z / 2), step / (1 - z / 2)
        drive = held[:, np.newaxis] * W
        return cls(A_re=moved.real, A_im=moved.imag, W_re=drive.real, W_im=drive.imag)

    @classmethod
    def random(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> Self:
        """Multipliers uniform over the disc of radius `gain` (as LRU starts), W complex N(0, 1 / inputs)."""
        require_sizes(hidden, inputs)
        generator = np.random.default_rng(seed)
        A = gain * np.sqrt(generator.random(hidden)) * np.exp(2j * np.pi * generator.random(hidden))
        W = generator.standard_normal((2, hidden, inputs)) / np.sqrt(2 * max(inputs, 1))
        return cls(**({"A_re": A.real, "A_im": A.imag, "W_re": W[0], "W_im": W[1]} | options))
