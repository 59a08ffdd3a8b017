"""The leading singular values of a layer's Jacobian, with their multiplicities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.linalg

from dynsys import seeds
from dynsys.limits import one_blas_thread
from dynsys.types import Array

Product = Callable[[Array], Array]
DENSE = 400  # columns or rows of the Jacobian up to which it is decomposed as it is
BLOCKS = 40  # blocks of directions, at most
STORE = 1 << 30  # bytes that they may take
ENTRIES = 50_000_000  # of a Jacobian that is decomposed as it is
EPS = float(np.finfo(float).eps)


@final
@dataclass(frozen=True, eq=False)
class Leading:
    """values: (k,) singular values, largest first. errors: (k,) a singular value lies within this of each."""

    values: Array
    errors: Array


def leading(
    push: Product, pull: Product, shape: tuple[int, int], k: int, *, seed: int = 0, tol: float = 1e-8
) -> Leading:
    """The k largest singular values of a linear map J that is only applied.

    Args:
        push, pull: J V and J^T U for the columns of (columns, b) and (rows, b) arrays, float64.
        shape: (rows, columns) of J. k: how many; zeros fill up where J has fewer. seed: of the random start.
        tol: errors to reach, relative to the largest value, within the blocks there is room for.

    Returns: Leading.
    Accuracy: `errors` are measured residuals; values below 1e-8 of the largest are rounding. A start of k directions
        finds up to k equal values, of which a single direction would find one.
    Source: G. H. Golub, F. T. Luk and M. L. Overton, ACM Transactions on Mathematical Software 7 (1981) 149-169; here
        on J^T J or J J^T, whichever is smaller, with the whole basis kept orthogonal.
    """
    rows, columns = shape
    tall = columns <= rows

    def apply(V: Array) -> Array:
        return pull(push(V)) if tall else push(pull(V))

    with one_blas_thread():
        if min(shape) > max(DENSE, 10 * k):
            return _iterated(apply, min(shape), k, seed, tol)
        if rows * columns > ENTRIES:
            return _by_squares(apply, min(shape), k)
        J = push(np.eye(columns)) if tall else pull(np.eye(rows))
        values = _padded(np.linalg.svd(J, compute_uv=False), k)
        return Leading(values, np.full(k, max(shape) * EPS * values[0]))


def affordable(rows: int, columns: int, k: int) -> bool:
    """Whether there is room for k directions on either side, and for enough of them on the smaller one."""
    small, large = min(rows, columns), max(rows, columns)
    return 8 * large * k <= STORE and (small <= max(DENSE, 10 * k) or 8 * small * k * 8 <= STORE)


def _by_squares(apply: Product, size: int, k: int) -> Leading:
    """All of J^T J (or J J^T), some columns at a time: J itself would be too large."""
    identity = np.eye(size)
    gram = np.concatenate([apply(identity[:, a : a + 16]) for a in range(0, size, 16)], axis=1)
    return _roots(np.linalg.eigvalsh(0.5 * (gram + gram.T))[::-1][:k], np.zeros(min(k, size)), k)


def _roots(squares: Array, off: Array, k: int) -> Leading:
    """Singular values from eigenvalues that are off by this much, and by rounding."""
    squares = np.maximum(squares, 0.0)
    top = max(float(squares[0]), np.finfo(float).tiny)
    off = off + 8 * EPS * top
    # The root is nearer, where it is not small itself.
    errors = np.minimum(np.sqrt(off), off / np.sqrt(np.maximum(squares, EPS * top)))
    return Leading(_padded(np.sqrt(squares), k), _padded(errors, k))


def _iterated(apply: Product, size: int, k: int, seed: int, tol: float) -> Leading:
    """Block Lanczos for a positive semidefinite map, whose eigenvalues are the squares."""
    generator = seeds.generator(seed)
    basis = [_orthonormal(generator.standard_normal((size, k)), [], generator)[0]]
    most = min(BLOCKS, STORE // (8 * size * k), size // k - 1)  # whole blocks that leave room for the next
    T: Array = np.zeros((0, 0))
    over: Array = np.zeros((k, k))
    while True:
        W = apply(basis[-1])
        T = _bordered(T, over, basis[-1].T @ W)
        V, over = _orthonormal(W, basis, generator)
        squares, s = np.linalg.eigh(T)
        found = _roots(squares[: -k - 1 : -1], np.linalg.norm(over @ s[-k:, : -k - 1 : -1], axis=0), k)
        settled = (found.errors <= tol * found.values[0]).all() or found.values[0] == 0
        if settled or len(basis) >= most:
            return found
        basis.append(V)


def _bordered(T: Array, over: Array, along: Array) -> Array:
    """T with one more row and column of blocks: `over` beside the diagonal, `along` on it."""
    size, k = len(T), len(along)
    larger = np.zeros((size + k, size + k))
    larger[:size, :size] = T
    if size:
        larger[size:, size - k : size] = over
        larger[size - k : size, size:] = over.T
    larger[size:, size:] = 0.5 * (along + along.T)
    return larger


def _orthonormal(W: Array, basis: list[Array], generator: np.random.Generator) -> tuple[Array, Array]:
    """(Q, R) with W = Q R up to what lies in `basis`, and Q orthonormal and orthogonal to it.

    Directions that W lacks are drawn at random, with rows of zeros in R.
    """
    scale = float(np.linalg.norm(W))
    Q, R, order = scipy.linalg.qr(_outside(W, basis), mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(R)) > 1e-13 * max(scale, np.finfo(float).tiny)).sum())
    R[:, order] = np.triu(R)
    if rank < len(R):
        R[rank:] = 0.0
        fresh = _outside(generator.standard_normal((len(Q), len(R) - rank)), [*basis, Q[:, :rank]])
        Q[:, rank:] = np.linalg.qr(fresh)[0]
    return Q, R


def _outside(W: Array, basis: list[Array]) -> Array:
    """W without its parts in the blocks of the basis; twice, for what the first pass leaves to rounding."""
    for _ in range(2):
        for block in basis:
            W = W - block @ (block.T @ W)
    return W


def _padded(values: Any, k: int) -> Array:
    return np.concatenate([values[:k], np.zeros(max(0, k - len(values)))])
