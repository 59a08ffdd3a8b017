"""The Jacobian of one layer at one signal, J = diag(s'(Z)) (A (x) W^T) + r I, never formed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import numpy as np

from dynsys import seeds
from dynsys.propagate.blocks_of_tangents import pull, push
from dynsys.propagate.gap import Gap
from dynsys.propagate.layers import Layer
from dynsys.propagate.operator import Propagator
from dynsys.propagate.singular_values import Leading, leading
from dynsys.types import AnyArray, Array

Product = Callable[[AnyArray], AnyArray]


@final
class LayerJacobian:
    """d H' / d H of a layer, applied from both sides.

    `slopes` are s'(Z) (n, e), or None for a linear layer; `multiply` and `back` are H -> A H and H -> A^T H.
    """

    def __init__(
        self, A: Propagator, layer: Layer, slopes: AnyArray | None, width: int, multiply: Product, back: Product
    ) -> None:
        self._A, self._slopes, self._r = A, slopes, layer.residual
        self._W, self._multiply, self._back = layer.W, multiply, back
        self.shape = (A.n, width)

    def push(self, V: AnyArray) -> AnyArray:
        """J V for a tangent (n, d): (n, e)."""
        out = self._multiply(V)
        if self._W is not None:
            out = out @ self._W.astype(V.dtype)
        if self._slopes is not None:
            out *= self._slopes
        return out if self._r == 0 else out + np.asarray(self._r, V.dtype) * V

    def pull(self, B: AnyArray) -> AnyArray:
        """J^T B for a cotangent (n, e): (n, d)."""
        out = self.bent(B)
        back = None if self._W is None else self._W.T.astype(B.dtype)
        if back is not None and back.shape[0] < back.shape[1]:
            out = self._back(out) @ back  # the sparse product where there are fewer features
        else:
            out = self._back(out if back is None else out @ back)
        return out if self._r == 0 else out + np.asarray(self._r, B.dtype) * B

    def bent(self, B: AnyArray) -> AnyArray:
        """s'(Z) B, entry by entry: the cotangent of Z = A H W."""
        return B if self._slopes is None else B * self._slopes

    def leading(self, k: int, seed: int, tol: float) -> Leading:
        """The k largest singular values, with errors."""
        n, d = self.shape
        e = d if self._W is None else self._W.shape[1]
        layer = Layer(W=self._W, residual=self._r)
        multiply, back = self._A.product(), self._A.transposed.product()

        def pushed(V: Array) -> Array:
            tangents = np.ascontiguousarray(V.reshape(n, d, -1).transpose(0, 2, 1))
            return push(multiply, layer, self._slopes, tangents).transpose(0, 2, 1).reshape(n * e, -1)

        def pulled(U: Array) -> Array:
            cotangents = np.ascontiguousarray(U.reshape(n, e, -1).transpose(0, 2, 1))
            return pull(back, layer, self._slopes, cotangents).transpose(0, 2, 1).reshape(n * d, -1)

        return leading(pushed, pulled, (n * e, n * d), k, seed=seed, tol=tol)

    def rms(self) -> float:
        """|J|_F / sqrt(n d), exactly: sum_ij s'(Z)_ij^2 (sum_k A_ik^2) (sum_l W_lj^2), and what r adds."""
        n, d = self.shape
        # In units of the largest weight: its square may be more than a float can hold.
        unit = max(1.0 if self._W is None else float(np.abs(self._W).max(initial=0.0)), abs(self._r))
        if unit == 0:
            return 0.0
        W, r = None if self._W is None else self._W / unit, self._r / unit
        rows = np.asarray(self._A.matrix.power(2).sum(axis=1)).ravel()
        columns = np.full(d, unit**-2) if W is None else np.square(W).sum(axis=0)
        diagonal = np.full(d, 1 / unit) if W is None else np.diagonal(W) if r else columns
        on = self._A.matrix.diagonal()
        if self._slopes is None:
            squares, trace = float(rows.sum() * columns.sum()), float(on.sum() * diagonal.sum())
        else:
            slopes = self._slopes
            if slopes.dtype != np.bool_:
                squares = float(np.einsum("i,ij,ij,j->", rows, slopes, slopes, columns, optimize=False))
            else:
                squares = float(rows @ (slopes @ columns))
            trace = float(on @ (slopes @ diagonal)) if r else 0.0
        return unit * math.sqrt((squares + 2 * r * trace + r**2 * n * d) / (n * d))

    def gain(self, dtype: object, seed: int, tol: float = 1e-10, most: int = 300) -> float:
        """The largest singular value, from below, by Golub-Kahan bidiagonalisation.

        Without reorthogonalisation: for the largest value alone the copies that appear do no harm.
        """
        generator = seeds.generator(seed)
        v = generator.standard_normal(self.shape).astype(dtype)  # type: ignore[call-overload]
        v /= np.linalg.norm(v)
        alphas: list[float] = []
        betas: list[float] = []
        u = self.push(v)
        history: list[float] = []
        for _ in range(most):
            alpha = float(np.linalg.norm(u))
            alphas.append(alpha)
            if alpha == 0.0:
                break
            u = u / alpha
            v_next = self.pull(u)
            v_next -= np.asarray(alpha, v_next.dtype) * v
            beta = float(np.linalg.norm(v_next))
            size = len(alphas)
            B = np.diag(alphas) + np.diag(betas, 1)
            history.append(float(np.linalg.norm(B, 2)))
            settled = size > 3 and abs(history[-1] - history[-4]) <= tol * history[-1]
            if beta <= 1e-14 * history[-1] or settled:
                break
            betas.append(beta)
            v = v_next / beta
            following = self.push(v)
            following -= np.asarray(beta, following.dtype) * u
            u = following
        return history[-1] if history else 0.0


def linear_gain(A: Propagator, layer: Layer, gap: Gap) -> float:
    """The largest singular value of a linear layer, exactly, from the ends of the spectrum of a symmetric A.

    |r I + lambda W^T|_2 is convex in lambda, so that an extreme eigenvalue attains the maximum.
    """
    W = np.eye(1) if layer.W is None else layer.W
    ends = (1.0, min(gap.lambda_min, gap.lambda_2))
    if layer.residual == 0:
        return max(abs(end) for end in ends) * float(np.linalg.norm(W, 2))
    identity = np.eye(len(W))
    return max(float(np.linalg.norm(layer.residual * identity + end * W, 2)) for end in ends)


def random_cotangent(shape: tuple[int, int], dtype: object, seed: int) -> Array:
    """A Gaussian direction of size 1."""
    B = seeds.generator(seed).standard_normal(shape, dtype=dtype)  # type: ignore[call-overload]
    return np.asarray(B / np.linalg.norm(B))
