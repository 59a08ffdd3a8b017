"""Operations of the equations that are more than `@` and entrywise functions: softmax, convolution, matrix products.

The linear ones are named operators with their exact adjoints. Each asks its arguments first, by NumPy's
`__array_function__` protocol, so that a value of another kind than plain numbers can answer in its own way.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Padding = Literal["circular", "zeros"]


@final
@dataclass(frozen=True, eq=False)
class LinearOperator:
    """A linear map of arrays and its exact adjoint: <forward(a), b> = <a, adjoint(b)>.

    Both keep the trailing axes of what they get: one linear map is applied along all of them.

    Attributes:
        parameters: the arrays that it depends on. settings: what else it depends on. Two operators of one operation
            that agree in both are equal.
    """

    forward: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]
    parameters: tuple[Any, ...] = ()
    settings: tuple[Any, ...] = ()


def operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of arrays one that values of other kinds can answer (`__array_function__`).

    The result has the attribute `operation`, the function's name; `linear` may be set to a function of the same
    arguments that gives, for each of them, its `LinearOperator` with the others held fixed (None: no derivative).
    """

    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        for a in args:
            if not isinstance(a, np.ndarray) and hasattr(a, "__array_function__"):
                return a.__array_function__(asked, (type(a),), args, kwargs)
        return function(*args, **kwargs)

    vars(asked).update(operation=function.__name__, linear=None)
    return asked


@operation
def softmax(x: Any) -> Any:
    """exp(x_i) / sum_j exp(x_j) down each column, (n, B); without overflow."""
    grown = np.exp(x - np.max(x, axis=0, keepdims=True))
    return grown / np.sum(grown, axis=0, keepdims=True)


@operation
def matrix_product(A: Any, H: Any, W: Any) -> Any:
    """A H W for a matrix-shaped state.

    Args:
        A: (M, N), dense or scipy sparse, or None for the identity: mixes the rows of H (the nodes of a graph).
        H: (N d, B), each column a matrix (N, d) flattened row by row.
        W: (d, e), or None for the identity: mixes the columns of H (the features of a node).

    Returns: (M e, B). As one matrix on the flattened state it is kron(A, W^T).
    """
    rows, width = _matrix_shape(A, len(H), W)
    out = _mixed(A, H, rows, width)
    if W is not None:
        out = np.einsum("ndb,de->neb", out, W, optimize=True)
    return np.reshape(out, (out.shape[0] * out.shape[1], *np.shape(H)[1:]))


def _matrix_shape(A: Any, length: int, W: Any) -> tuple[int, int]:
    if A is None and W is None:
        return length, 1
    rows = length // W.shape[0] if A is None else A.shape[1]
    width = length // rows if W is None else W.shape[0]
    if rows * width != length:
        raise ValueError(f"a state of {length} values is no matrix of {rows} rows and {width} columns.")
    return rows, width


def _matrix_product_linear(A: Any, H: Any, W: Any) -> tuple[LinearOperator | None, ...]:
    back_A, back_W = None if A is None else A.T, None if W is None else W.T
    rows, width = _matrix_shape(A, len(H), W)

    def of_state(tangent: Array) -> Array:
        return np.asarray(matrix_product(A, tangent, W))

    def to_state(cotangent: Array) -> Array:
        return np.asarray(matrix_product(back_A, cotangent, back_W))

    def of_weights(tangent: Array) -> Array:
        mixed = _mixed(A, H, rows, width)
        out = np.einsum("ndb,dek->nebk", mixed, tangent, optimize=True)
        return np.asarray(out).reshape(out.shape[0] * out.shape[1], H.shape[1], tangent.shape[-1])

    def to_weights(cotangent: Array) -> Array:
        mixed = _mixed(A, H, rows, width)
        shaped = cotangent.reshape(mixed.shape[0], len(cotangent) // mixed.shape[0], *cotangent.shape[1:])
        return np.asarray(np.einsum("ndb,nebk->dek", mixed, shaped, optimize=True))

    known = tuple(m for m in (A, W) if m is not None)
    names = (A is not None, W is not None)
    return None, LinearOperator(of_state, to_state, known, names), LinearOperator(of_weights, to_weights)


def _mixed(A: Any, H: Any, rows: int, width: int) -> Array:
    """A H as (M, width, samples)."""
    samples = math.prod(np.shape(H)[1:])  # written out: there may be none, and then -1 says nothing
    if A is None:
        return np.reshape(H, (rows, width, samples))
    return np.asarray(A @ np.reshape(H, (rows, width * samples))).reshape(A.shape[0], width, samples)


@operation
def convolve(kernel: Any, x: Any, *, grid: Sequence[int], padding: Padding = "circular") -> Any:
    """Convolution over a grid of positions, as deep learning writes it (cross-correlation), same size out as in.

    y[o, p] = sum over input maps i and kernel entries k of kernel[o, i, k] x[i, p + k - middle], middle = side // 2.

    Args:
        kernel: (out maps, in maps, side, ...), one side per axis of the grid.
        x: (in maps * positions, B), maps first, then the positions row by row.
        grid: the sides of the grid. padding: "circular" (a torus), or "zeros" beyond the border.

    Returns: (out maps * positions, B).
    """
    grid = tuple(grid)
    _check_convolution(kernel, len(x), grid, padding)
    shaped = np.reshape(x, (kernel.shape[1], *grid, math.prod(np.shape(x)[1:])))
    out = np.zeros((kernel.shape[0], *shaped.shape[1:]), dtype=np.result_type(kernel, x))
    for entry, shifts in _entries(kernel.shape[2:]):
        out += np.tensordot(kernel[(..., *entry)], _shifted(shaped, shifts, padding), axes=1)
    return out.reshape(kernel.shape[0] * math.prod(grid), *np.shape(x)[1:])


def _check_convolution(kernel: Any, length: int, grid: tuple[int, ...], padding: str) -> None:
    if padding not in ("circular", "zeros"):
        raise ValueError(f"padding must be 'circular' or 'zeros', got {padding!r}.")
    if kernel.ndim != 2 + len(grid):
        raise ValueError(f"a kernel on a grid of {len(grid)} axes has {2 + len(grid)} axes, got shape {kernel.shape}.")
    positions = math.prod(grid)
    if length != kernel.shape[1] * positions:
        raise ValueError(
            f"{kernel.shape[1]} maps of {positions} positions are {kernel.shape[1] * positions} values, got {length}."
        )


def _entries(sides: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each kernel entry with its shift from the middle."""
    for entry in itertools.product(*(range(side) for side in sides)):
        yield entry, tuple(k - side // 2 for k, side in zip(entry, sides, strict=True))


def _shifted(x: Array, shifts: Sequence[int], padding: str) -> Array:
    """x[i, p + shift] at position p of x (maps, grid..., anything)."""
    axes = tuple(range(1, 1 + len(shifts)))
    if padding == "circular":
        return np.roll(x, [-s for s in shifts], axis=axes)
    out = np.zeros_like(x)
    sides = [(slice(max(-s, 0), x.shape[a] - max(s, 0)), slice(max(s, 0), x.shape[a] + min(s, 0)))
             for s, a in zip(shifts, axes, strict=True)]  # fmt: skip
    if all(abs(s) < x.shape[a] for s, a in zip(shifts, axes, strict=True)):
        out[(slice(None), *(to for to, _ in sides))] = x[(slice(None), *(at for _, at in sides))]
    return out


def _convolve_linear(
    kernel: Any, x: Any, *, grid: Sequence[int], padding: Padding = "circular"
) -> tuple[LinearOperator, LinearOperator]:
    grid = tuple(grid)

    def of_state(tangent: Array) -> Array:
        return np.asarray(convolve(kernel, tangent, grid=grid, padding=padding))

    def to_state(cotangent: Array) -> Array:
        shaped = cotangent.reshape(kernel.shape[0], *grid, math.prod(cotangent.shape[1:]))
        out = np.zeros((kernel.shape[1], *shaped.shape[1:]))
        for entry, shifts in _entries(kernel.shape[2:]):
            back = [-s for s in shifts]
            out += np.tensordot(kernel[(..., *entry)].T, _shifted(shaped, back, padding), axes=1)
        return out.reshape(kernel.shape[1] * math.prod(grid), *cotangent.shape[1:])

    def moved() -> Iterator[tuple[tuple[Any, ...], Array]]:
        """For each kernel entry its place in the kernel and the input as it sees it, (in maps, positions * B)."""
        shaped = np.reshape(x, (kernel.shape[1], *grid, x.shape[1]))
        flat = (len(shaped), math.prod(grid) * x.shape[1])
        for entry, shifts in _entries(kernel.shape[2:]):
            yield (slice(None), slice(None), *entry), _shifted(shaped, shifts, padding).reshape(flat)

    def of_kernel(tangent: Array) -> Array:
        out = sum(np.einsum("oik,ip->opk", tangent[at], seen, optimize=True) for at, seen in moved())
        return np.asarray(out).reshape(kernel.shape[0] * math.prod(grid), x.shape[1], tangent.shape[-1])

    def to_kernel(cotangent: Array) -> Array:
        arrived = cotangent.reshape(kernel.shape[0], math.prod(grid) * x.shape[1], cotangent.shape[-1])
        out = np.zeros((*kernel.shape, cotangent.shape[-1]))
        for at, seen in moved():
            out[at] = np.einsum("opk,ip->oik", arrived, seen, optimize=True)
        return out

    fixed = LinearOperator(of_state, to_state, (kernel,), (grid, padding))
    return LinearOperator(of_kernel, to_kernel), fixed


vars(matrix_product)["linear"] = _matrix_product_linear
vars(convolve)["linear"] = _convolve_linear
