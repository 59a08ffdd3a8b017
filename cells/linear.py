"""The linear (affine) map, and its motion mode by mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cells._cell import (
    Array,
    Bias,
    Cell,
    InputWeights,
    ParameterError,
    RecurrentWeights,
    parameter_or_zeros,
    rank_deficiency,
)

Complex = NDArray[np.complex128]


class Modes(NamedTuple):
    """The eigendecomposition U = right diag(eigenvalues) left, largest modulus first.

    eigenvalues: (n,) complex, dimensionless. right: (n, n), modes as columns of length 1. left: (n, n), rows, the
    inverse of `right`. condition: of `right`; where it is large, U is nearly defective and modes mean little.
    """

    eigenvalues: Complex
    right: Complex
    left: Complex
    condition: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear(Cell):
    """Linear, or with a bias affine, map: h' = U h + W x + b.

    Shapes: h (n,), x (m,), U (n, n), W (n, m), b (n,). W left out means no input, b left out means zero.
    Mode by mode, with U = sum of lambda_k v_k w_k: h_t = h* + sum of lambda_k^t w_k (h_0 - h*) v_k, where
    h* = (I - U)^-1 (W x + b) is the only fixed point unless 1 is an eigenvalue. For instance 0.8 h + 1 goes to 5,
    1.4 h + 1 away from -2.5. Source: any course on linear systems; S. Strogatz, Nonlinear dynamics and chaos, ch. 10.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()

    def step(self, h: Any, x: Any) -> Any:
        return self.U @ h + self.W @ x + self.b

    def lost_rank(self, *blocks: Array) -> int:
        """What U lacks."""
        return rank_deficiency(self.U)

    def modes(self) -> Modes:
        """The eigenvalues of U, which are the multipliers everywhere, with right and left modes."""
        values, right = np.linalg.eig(self.U)
        order = np.argsort(-np.abs(values), kind="stable")
        values, right = values[order].astype(np.complex128), right[:, order].astype(np.complex128)
        singular = np.linalg.svd(right, compute_uv=False)
        condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
        left = np.linalg.inv(right) if np.isfinite(condition) else np.linalg.pinv(right)
        return Modes(values, right, left, condition)

    def fixed_point(self, input: Any = None) -> Array:
        """h* at a constant input (m,), zeros if left out: (n,).

        Raises: ParameterError where I - U is singular to rounding: there is then no fixed point, or a whole line.
        """
        drive = self.b if input is None else self.b + self.W @ self._column(input, self.input_size, "input")
        away = np.eye(self.hidden_size) - self.U
        if rank_deficiency(away):
            raise ParameterError("Linear.U has the eigenvalue 1: there is no fixed point, or infinitely many.")
        return np.asarray(np.linalg.solve(away, drive)[:, 0])

    def after(self, steps: int, start: Any, input: Any = None) -> Array:
        """The state (n,) after `steps` steps from `start` (n,) at a constant input (m,): by repeated squaring.

        Right for every U, defective and singular ones and the eigenvalue 1 included.
        """
        if steps < 0:
            raise ParameterError(f"steps must be at least 0, got {steps}.")
        drive = self.b if input is None else self.b + self.W @ self._column(input, self.input_size, "input")
        n = self.hidden_size
        whole = np.block([[self.U, drive], [np.zeros((1, n)), np.ones((1, 1))]])  # on (h, 1) the map is linear
        moved = np.linalg.matrix_power(whole, steps) @ np.vstack([self._column(start, n, "start"), np.ones((1, 1))])
        return np.asarray(moved[:n, 0])

    def _column(self, value: Any, size: int, what: str) -> Array:
        column = np.asarray(value, dtype=np.float64).reshape(-1, 1)
        if len(column) != size:
            raise ParameterError(f"`{what}` needs {size} values, got {len(column)}.")
        return column
