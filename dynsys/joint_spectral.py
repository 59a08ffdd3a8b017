"""The joint spectral radius of a finite set of matrices: how fast the worst of all products can grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.maps import numbers

EPS = float(np.finfo(np.float64).eps)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class JointSpectralRadius:
    """A bracket of lim max |A_i1 ... A_iT|^(1/T) over all products of T matrices of the set.

    Attributes:
        lower: the largest rho(P)^(1/T) of a product P of T matrices that was looked at; `product`: its factors, by
            number, the rightmost acting first. upper: proven up to rounding, which is allowed for.
        depth: length of the longest products. looked_at: how many products.
    """

    lower: float
    upper: float
    product: tuple[int, ...]
    depth: int
    looked_at: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def joint_spectral_radius(matrices: Any, gap: float = 1e-3, most: int = 20_000, depth: int = 60) -> JointSpectralRadius:
    """Bracket the joint spectral radius of `matrices` (k, n, n).

    Products are built factor by factor. One whose every beginning already stays below the lower bound plus the gap, in
    the geometric mean of its norm, cannot lead above it and is dropped; where none is left, the bracket is that narrow.

    Args:
        gap: width of the bracket aimed at, relative to the larger of the bounds. most: products to look at. depth:
            longest product.

    Source: G. Gripenberg, Linear Algebra and its Applications 234 (1996) 43-60.
    """
    A = numbers(matrices, "matrices")
    if A.ndim != 3 or A.shape[1] != A.shape[2] or not len(A):
        raise ShapeError(f"`matrices` must be (k, n, n) with k at least 1, got {A.shape}.")
    if not np.isfinite(A).all() or not 0 < gap < 1:
        raise InputError("need finite matrices and 0 < gap < 1.")
    scale = float(np.linalg.norm(A, 2, axis=(1, 2)).max())
    if scale == 0:
        return JointSpectralRadius(lower=0.0, upper=0.0, product=(0,), depth=1, looked_at=len(A))
    A = A / scale  # so that long products neither over- nor underflow
    products, words = A, np.arange(len(A))[:, np.newaxis]
    least = np.full(len(A), np.inf)
    best: tuple[int, ...] = (0,)
    lower, upper, looked = 0.0, 1.0, 0
    for length in range(1, depth + 1):
        looked += len(products)
        radii = np.abs(np.linalg.eigvals(products)).max(axis=1) ** (1 / length)
        if radii.max() > lower:
            lower, best = float(radii.max()), tuple(int(i) for i in words[int(radii.argmax())])
        least = np.minimum(least, np.linalg.norm(products, 2, axis=(1, 2)) ** (1 / length))
        open_ = least > lower + gap * max(lower, EPS)
        upper = min(upper, max(lower * (1 + gap), float(least[open_].max(initial=0.0))))
        if not open_.any() or looked + open_.sum() * len(A) > most or length == depth:
            break
        products = (A[np.newaxis] @ products[open_, np.newaxis]).reshape(-1, *A.shape[1:])
        first = np.tile(np.arange(len(A)), int(open_.sum()))[:, np.newaxis]
        words = np.concatenate([first, np.repeat(words[open_], len(A), axis=0)], axis=1)
        least = np.repeat(least[open_], len(A))
    room = 1 + 8 * A.shape[1] * EPS
    return JointSpectralRadius(
        lower=scale * lower,
        upper=max(scale * upper * room, scale * lower),
        product=best,
        depth=length,
        looked_at=looked,
    )
