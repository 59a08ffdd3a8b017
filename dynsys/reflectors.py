"""QR decompositions by LAPACK whose orthogonal factor is kept as Householder vectors, and multiplied with unformed.

For square frames that saves a third of a step: forming Q costs as much as applying it.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr, dormqr

from dynsys.types import Array, Integers

UNEVEN = 1e4
"""Ratio of the largest to the smallest row norm from which rows are taken in the order of their size."""
BLOCK = 64  # columns that LAPACK's blocked routines work on at a time


@final
class Reflectors:
    """W = Q R for W (n, k), n >= k. Q is (n, k) with orthonormal columns; the diagonal of R may be negative.

    Attributes:
        packed: (n, k), R on and above the diagonal and the Householder vectors below it.
        norm: Frobenius norm of W.

    Where rows differ much in size they are taken in its order, which keeps small rows (saturated units) accurate.
    Source: A. J. Cox and N. J. Higham, Stability of Householder QR factorization for weighted least squares problems,
    Numerical Analysis 1997, Pitman Research Notes in Mathematics 380 (1998) 57-73.
    """

    def __init__(self, w: Array) -> None:
        """Decomposes `w`, which must be in Fortran order and is overwritten."""
        self._order: Integers | None = None
        size = np.einsum("ij,ij->i", w, w)
        if w.shape[0] > 1 and size.max() > UNEVEN**2 * size.min():
            self._order = np.argsort(-size, kind="stable")
            w = np.take(w.T, self._order, axis=1).T
        self.packed, self._scales, _, _ = dgeqrf(w, lwork=BLOCK * w.shape[1], overwrite_a=True)
        self.norm = math.sqrt(size.sum())

    @property
    def diagonal(self) -> Array:
        """(k,) of R, a view; it may be negative."""
        return np.asarray(self.packed.diagonal())

    def times(self, c: Array, *, overwrite: bool = False) -> Array:
        """c Q for a square Q and c (m, n) in Fortran order, which may be overwritten where that is said."""
        if self._order is not None:
            c = np.take(c.T, self._order, axis=0).T
        product, _, _ = dormqr("R", "N", self.packed, self._scales, c, BLOCK * len(c), overwrite_c=overwrite)
        return np.asarray(product)

    def orthogonal(self) -> Array:
        """Q (n, k), in Fortran order."""
        packed = self.packed.copy(order="F")
        q, _, _ = dorgqr(packed, self._scales, lwork=BLOCK * packed.shape[1], overwrite_a=True)
        if self._order is None:
            return np.asarray(q)
        back = np.empty_like(self._order)
        back[self._order] = np.arange(len(back))
        return np.take(q.T, back, axis=1).T

    def triangle(self) -> Array:
        """R (k, k)."""
        return np.triu(self.packed[: self.packed.shape[1]])
