"""The tape: values that remember, for each operation, the local derivative with respect to its arguments.

A `Traced` value goes through a cell's unchanged `step` by NumPy's override protocols (NEP 13 and NEP 18). Every
operation leaves edges to its arguments: a diagonal (entrywise functions), a matrix (`W @ h`), or one of a few named
linear operators. Pushing tangents along the edges gives Jacobian-vector products, pulling cotangents against them
gives vector-Jacobian products and parameter gradients, and composing the edges themselves gives dense Jacobians
(`structure.py`).

Tangents and cotangents have one more axis than the values, at the end: the directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.readings.derivatives import PIECEWISE_CONSTANT, RULES, STEEP
from dynsys.types import Array


class Unreadable(TypeError):
    """An operation that the tape has no derivative for."""


class Edge(Protocol):
    """A local linear map from one argument of an operation to its result."""

    def push(self, tangent: Array) -> Array:
        """Argument tangent (argument shape, k) to result tangent (result shape, k)."""

    def pull(self, cotangent: Array) -> Array:
        """Result cotangent (result shape, k) to argument cotangent (argument shape, k): the exact adjoint."""


def bounded_times(d: Any, x: Any) -> Array:
    """d * x, where an x of exactly zero stops even an infinite slope d: nothing flows along that way."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(np.asarray(x) == 0, 0.0, d * x))


@final
class Diagonal:
    """Entrywise: result_i changes by d_i times argument_i. `d` has the result's shape, or broadcasts to it.

    `steep` says that the slope may be infinite somewhere.
    """

    __slots__ = ("d", "steep")

    def __init__(self, d: Any, steep: bool) -> None:
        self.d, self.steep = d, steep

    def push(self, tangent: Array) -> Array:
        d = self.d[..., np.newaxis] if np.ndim(self.d) else self.d
        return bounded_times(d, tangent) if self.steep else np.asarray(d * tangent)

    pull = push


@final
class MatrixProduct:
    """result = matrix @ argument, the matrix fixed: (r, n) times (n, B)."""

    __slots__ = ("matrix",)

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix

    def push(self, tangent: Array) -> Array:
        return _matmul(self.matrix, tangent)

    def pull(self, cotangent: Array) -> Array:
        return _matmul(self.matrix.T, cotangent)


def _matmul(matrix: Array, block: Array) -> Array:
    """matrix (r, n) times block (n, ...): one product over all the trailing axes."""
    flat = block.reshape(block.shape[0], math.prod(block.shape[1:]))
    return np.asarray(matrix @ flat).reshape(matrix.shape[0], *block.shape[1:])


@final
class RightFactor:
    """result = argument @ columns, where the argument is a parameter matrix: only its gradient is ever asked for."""

    __slots__ = ("columns",)

    def __init__(self, columns: Array) -> None:
        self.columns = columns

    def push(self, tangent: Array) -> Array:
        return np.asarray(np.einsum("ijk,jb->ibk", tangent, self.columns))

    def pull(self, cotangent: Array) -> Array:
        rows, batch, k = cotangent.shape
        flat = cotangent.transpose(0, 2, 1).reshape(rows * k, batch)  # one product over all rows and cotangents
        return (flat @ self.columns.T).reshape(rows, k, len(self.columns)).transpose(0, 2, 1)


@final
class Rows:
    """result = argument[index] along the first axis: one row, a slice, or a list of rows."""

    __slots__ = ("index", "shape")

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index = index
        self.shape = shape

    def push(self, tangent: Array) -> Array:
        return np.asarray(tangent[self.index])

    def pull(self, cotangent: Array) -> Array:
        back = np.zeros((*self.shape, cotangent.shape[-1]))
        np.add.at(back, self.index, cotangent)
        return back


@final
class Embed:
    """result = zeros except rows `start` to `start + size`, which are the argument: a piece of a concatenation."""

    __slots__ = ("rows", "size", "start")

    def __init__(self, start: int, size: int, rows: int) -> None:
        self.start, self.size, self.rows = start, size, rows

    def push(self, tangent: Array) -> Array:
        out = np.zeros((self.rows, *tangent.shape[1:]))
        out[self.start : self.start + self.size] = tangent
        return out

    def pull(self, cotangent: Array) -> Array:
        return cotangent[self.start : self.start + self.size]


@final
class Broadcast:
    """result = argument repeated along axes of length one, or along new leading axes; the adjoint adds up."""

    __slots__ = ("shape", "source")

    def __init__(self, source: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.source, self.shape = source, shape

    def push(self, tangent: Array) -> Array:
        aligned = tangent.reshape((1,) * (len(self.shape) - len(self.source)) + tangent.shape)
        return np.broadcast_to(aligned, (*self.shape, tangent.shape[-1]))

    def pull(self, cotangent: Array) -> Array:
        extra = len(self.shape) - len(self.source)
        summed = cotangent.sum(axis=tuple(range(extra))) if extra else cotangent
        axes = tuple(a for a, size in enumerate(self.source) if size == 1 and summed.shape[a] != 1)
        return np.asarray(summed.sum(axis=axes, keepdims=True))


@final
class SumRows:
    """result = the sum (or mean, with a factor) over the first axis."""

    __slots__ = ("factor", "keepdims", "rows")

    def __init__(self, rows: int, keepdims: bool, factor: float) -> None:
        self.rows, self.keepdims, self.factor = rows, keepdims, factor

    def push(self, tangent: Array) -> Array:
        return np.asarray(self.factor * tangent.sum(axis=0, keepdims=self.keepdims))

    def pull(self, cotangent: Array) -> Array:
        one = cotangent if self.keepdims else cotangent[np.newaxis]
        return self.factor * np.broadcast_to(one, (self.rows, *one.shape[1:]))


@final
class Chosen:
    """result = argument where `mask`, else zero. Not a product: what is not chosen may be infinite, or change so."""

    __slots__ = ("mask",)

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def push(self, tangent: Array) -> Array:
        return np.where(self.mask[..., np.newaxis], tangent, 0.0)

    pull = push


@final
class Transpose:
    """result = argument.T, of a parameter matrix."""

    def push(self, tangent: Array) -> Array:
        return tangent.swapaxes(0, 1)

    pull = push


@final
class Operator:
    """result = a named linear operator (`push`) of the argument, with its exact adjoint (`pull`).

    `parameters` and `settings` tell equal operators apart from others; `name` is the operation's.
    """

    __slots__ = ("_adjoint", "_forward", "name", "parameters", "settings", "size")

    def __init__(self, name: str, linear: Any, size: int) -> None:
        self.name, self.size = name, size
        self._forward, self._adjoint = linear.forward, linear.adjoint
        self.parameters, self.settings = linear.parameters, linear.settings

    def push(self, tangent: Array) -> Array:
        return np.asarray(self._forward(tangent))

    def pull(self, cotangent: Array) -> Array:
        return np.asarray(self._adjoint(cotangent))

    def matrix(self) -> Array:
        """The operator as a dense matrix (r, n)."""
        return np.asarray(self._forward(np.eye(self.size)))


@final
class Tile:
    """result = argument repeated along the first axis: as a whole (`each` False), or row by row (`each` True)."""

    __slots__ = ("each", "times")

    def __init__(self, times: int, each: bool) -> None:
        self.times, self.each = times, each

    def push(self, tangent: Array) -> Array:
        if self.each:
            return np.repeat(tangent, self.times, axis=0)
        return np.tile(tangent, (self.times, *(1 for _ in tangent.shape[1:])))

    def pull(self, cotangent: Array) -> Array:
        rows = len(cotangent) // self.times
        shape = (rows, self.times) if self.each else (self.times, rows)
        return np.asarray(cotangent.reshape(*shape, *cotangent.shape[1:]).sum(axis=1 if self.each else 0))


Parents = tuple[tuple["Traced", Edge], ...]


@final
class Traced(NDArrayOperatorsMixin):
    """A value of the equations, with the edges to the values it was computed from."""

    __slots__ = ("parents", "tape", "value")

    def __init__(self, value: Array, tape: list[Traced], parents: Parents = ()) -> None:
        self.value = value
        self.tape = tape
        self.parents = parents
        tape.append(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return self.value.dtype

    @property
    def T(self) -> Traced:
        if self.ndim != 2:
            raise Unreadable("a transpose of anything but a matrix")
        return Traced(self.value.T, self.tape, ((self, Transpose()),))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            raise Unreadable(f"np.{ufunc.__name__} with {method!r} or keyword arguments")
        inputs = tuple(_lift(a, self.tape) for a in inputs)
        if ufunc is np.matmul:
            return _matrix_product(self.tape, *inputs)
        return _entrywise(self.tape, ufunc, inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from dynsys.readings.tape_functions import FUNCTIONS, operation

        if func in FUNCTIONS:
            return FUNCTIONS[func](*args, **kwargs)
        if hasattr(func, "operation"):
            return operation(func, args, kwargs)
        raise Unreadable(f"np.{getattr(func, '__name__', func)}")

    def __getitem__(self, index: Any) -> Traced:
        # `h[0]`, `h[2:5]`, `h[[1, 3]]`, and the same with a full slice of the samples after it.
        first, *rest = index if isinstance(index, tuple) else (index,)
        if any(not (isinstance(r, slice) and r == slice(None)) and r is not Ellipsis for r in rest) or first is None:
            raise Unreadable(f"indexing with {index!r}: only rows can be picked, h[rows]")
        return Traced(np.asarray(self.value[first]), self.tape, ((self, Rows(first, self.shape)),))

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a single number")
        return (self[row] for row in range(self.shape[0]))

    def __bool__(self) -> bool:
        raise Unreadable("a branch (`if`) on the state: write it with np.where")

    def __float__(self) -> float:
        raise Unreadable("conversion of the state to a plain number")

    def sum(self, axis: Any = None, keepdims: bool = False) -> Traced:
        return sum_rows(self, axis, keepdims, mean=False)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Traced:
        return sum_rows(self, axis, keepdims, mean=True)


def value_of(x: Any) -> Any:
    """The plain numbers inside `x`."""
    return x.value if isinstance(x, Traced) else x


def sum_rows(x: Traced, axis: Any, keepdims: bool, mean: bool) -> Traced:
    """The sum or mean over the rows of each column."""
    if axis not in (0, -x.ndim):
        raise Unreadable(f"a sum over axis {axis!r}: columns are samples, so only axis=0 is one state's")
    rows = x.shape[0]
    factor = 1.0 / rows if mean else 1.0
    value = np.asarray(factor * x.value.sum(axis=0, keepdims=keepdims))
    return Traced(value, x.tape, ((x, SumRows(rows, keepdims, factor)),))


def stack_pieces(pieces: Sequence[Any], tape: list[Traced]) -> Traced:
    """Pieces of shape (rows, B) one below the other; a piece of shape (B,) is one row, a number fills one row."""
    values = [value_of(p) for p in pieces]
    width = np.broadcast_shapes(*(np.shape(v)[-1:] for v in values))
    blocks = [np.broadcast_to(v, (1 if np.ndim(v) < 2 else np.shape(v)[0], *width)) for v in values]
    rows = sum(len(b) for b in blocks)
    parents, start = [], 0
    for piece, block in zip(pieces, blocks, strict=True):
        if isinstance(piece, Traced):
            parents.append((broadcast(piece, block.shape), Embed(start, len(block), rows)))
        start += len(block)
    return Traced(np.concatenate(blocks, axis=0), tape, tuple(parents))


def choose(x: Traced, mask: Any) -> Traced:
    """`x` where `mask`, else zero, with the derivative of `x` only there."""
    shape = np.broadcast_shapes(x.shape, np.shape(mask))
    value = np.where(mask, x.value, 0.0)
    return Traced(value, x.tape, ((broadcast(x, shape), Chosen(np.broadcast_to(mask, shape))),))


def broadcast(x: Traced, shape: tuple[int, ...]) -> Traced:
    """`x` itself where it already has the shape, else a value that repeats it."""
    if x.shape == shape:
        return x
    return Traced(np.broadcast_to(x.value, shape), x.tape, ((x, Broadcast(x.shape, shape)),))


def _lift(a: Any, tape: list[Traced]) -> Any:
    """An object array that holds traced rows, `np.array([x, y])`, becomes one traced block."""
    if isinstance(a, np.ndarray) and a.dtype == object:
        if a.ndim != 1:
            raise Unreadable("an object array of more than one dimension")
        return stack_pieces(list(a), tape)
    return a


def _entrywise(tape: list[Traced], ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    values = tuple(value_of(a) for a in inputs)
    result = ufunc(*values)
    name = ufunc.__name__
    if name in PIECEWISE_CONSTANT:
        return result
    if name not in RULES:
        raise Unreadable(f"the function {name}")
    parents: list[tuple[Traced, Edge]] = []
    with np.errstate(divide="ignore", invalid="ignore"):  # a slope may be infinite
        derivatives = RULES[name](*values, result)
    for a, derivative in zip(inputs, derivatives, strict=True):
        if isinstance(a, Traced):
            mask = getattr(derivative, "dtype", None) == np.bool_  # (h > 0) * h: two of these add up to 2, not to True
            d = derivative.astype(np.float64) if mask else derivative
            parents.append((broadcast(a, result.shape), Diagonal(d, name in STEEP)))
    return Traced(result, tape, tuple(parents))


def _matrix_product(tape: list[Traced], a: Any, b: Any) -> Traced:
    left, right = value_of(a), value_of(b)
    if left.ndim != 2 or right.ndim not in (1, 2) or (right.ndim == 1 and isinstance(a, Traced)):
        raise Unreadable(f"a product of shapes {left.shape} and {right.shape}: write matrix @ columns")
    parents: list[tuple[Traced, Edge]] = []
    if isinstance(a, Traced):
        parents.append((a, RightFactor(right)))
    if isinstance(b, Traced):
        parents.append((b, MatrixProduct(left)))
    return Traced(left @ right, tape, tuple(parents))


def push(tape: Sequence[Traced], seeds: dict[int, Array], outputs: Sequence[Any], directions: int) -> list[Array]:
    """Tangents of `outputs` from tangents of the seed values (keyed by id), in the tape's own order."""
    tangents = dict(seeds)
    for node in tape:
        for parent, edge in node.parents:
            if id(parent) in tangents:
                part = edge.push(tangents[id(parent)])
                tangents[id(node)] = tangents[id(node)] + part if id(node) in tangents else part
    return [tangents.get(id(out), np.zeros(1)) + np.zeros((*np.shape(value_of(out)), directions)) for out in outputs]


def pull(tape: Sequence[Traced], outputs: Sequence[tuple[Any, Array]], *, direct: bool = False) -> dict[int, Array]:
    """Cotangents of every value (keyed by id) from cotangents of the outputs, against the tape's order.

    `direct` leaves out what goes through a matrix: each unit's own path remains.
    """
    cotangents: dict[int, Array] = {}
    for out, cotangent in outputs:
        if isinstance(out, Traced):
            cotangents[id(out)] = cotangents[id(out)] + cotangent if id(out) in cotangents else cotangent
    for node in reversed(tape):
        flowing = cotangents.get(id(node))
        if flowing is None:
            continue
        for parent, edge in node.parents:
            if direct and isinstance(edge, (MatrixProduct, Operator)):
                continue
            part = edge.pull(flowing)
            cotangents[id(parent)] = cotangents[id(parent)] + part if id(parent) in cotangents else part
    return cotangents
