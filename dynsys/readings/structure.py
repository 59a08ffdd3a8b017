"""Dense Jacobians assembled from the structure of the equations, at the speed of memory.

Going down the tape, the derivative of every value with respect to the seeds is kept as a short sum of

    diag(l_b) M        l_b one column per sample b, M shared by all samples (the identity included), and
    diag(l_b) M A_b    a nested product, such as U (r * h) gives: A_b dense, one per sample.

For row i of the result the first kind is, over all samples at once, a (B, K) by (K, N) product: row i of every shared
matrix is stacked in S[i], the factors of every sample in L[i], and one batched product writes the whole Jacobian.
Zero blocks and diagonals come from the same product, so memory is written once and never filled first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.readings.tape import (
    Broadcast,
    Chosen,
    Diagonal,
    Embed,
    MatrixProduct,
    Operator,
    Rows,
    SumRows,
    Tile,
    Traced,
    Unreadable,
    bounded_times,
)
from dynsys.readings.workspace import Workspace
from dynsys.types import Array

SMALL_BATCH = 2
"""Up to this many samples the terms are added one by one: there is too little to amortise a product over."""

CACHED_ROW = 1 << 19
"""Bytes of one row, all samples, up to which zeroing used memory row by row is faster than asking for new zeros."""

PIECE_BYTES = 1 << 21
"""Nested products are formed for pieces of samples of about this size, which stay in the processor's cache."""


@final
@dataclass(frozen=True, slots=True)
class Term:
    """diag(left) @ matrix, acting on seed number `seed`. `left` is (rows, B), broadcasts to it, or is 1.0."""

    left: Any
    seed: int
    matrix: Array | None  # None: the identity


@final
@dataclass(frozen=True, slots=True)
class Nested:
    """diag(left) @ matrix @ inner, where inner is a sum of terms that differ from sample to sample."""

    left: Any
    matrix: Array
    inner: Form


@final
@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """The derivative of one value with respect to every seed: the sum of its terms."""

    terms: tuple[Term, ...] = ()
    nested: tuple[Nested, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms or self.nested)


class StackedRows:
    """The stacked matrices S, kept for matrices that cannot change (a cell's own parameters), and a workspace."""

    def __init__(self, fixed: Sequence[Array] = ()) -> None:
        self._fixed = {id(m): m for m in fixed}  # holds the arrays, so that an id stays theirs
        self._known: dict[Any, Array] = {}
        self._operators: dict[Any, Array] = {}
        self.workspace = Workspace()

    def matrix(self, operator: Operator) -> Array:
        """A named operator as a dense matrix, formed once for parameters that cannot change."""
        if not all(id(p) in self._fixed for p in operator.parameters):
            return operator.matrix()
        key = (operator.name, operator.settings, operator.size, tuple(map(id, operator.parameters)))
        if key not in self._operators:
            dense = self._operators[key] = operator.matrix()
            self._fixed[id(dense)] = dense
        return self._operators[key]

    def get(self, terms: Sequence[Term], rows: int, columns: int) -> Array:
        """S (rows, K, columns) for terms of one seed, K at least 2: below that NumPy leaves BLAS."""
        key = (rows, columns, tuple(id(t.matrix) for t in terms))
        if key in self._known:
            return self._known[key]
        stacked = np.zeros((rows, max(2, len(terms)), columns))
        for k, term in enumerate(terms):
            if term.matrix is None:
                stacked[np.arange(rows), k, np.arange(rows)] = 1.0
            else:
                stacked[:, k, :] = term.matrix
        if all(t.matrix is None or id(t.matrix) in self._fixed for t in terms):
            self._known[key] = stacked
        return stacked


class Structure:
    """The dense derivatives of values on a tape with respect to `seeds`, for one batch of `samples` columns."""

    def __init__(self, tape: Sequence[Traced], seeds: Sequence[Traced], samples: int, cache: StackedRows) -> None:
        self._samples = samples
        self._cache = cache
        ends = [0, *itertools.accumulate(seed.shape[0] for seed in seeds)]
        self._seeds = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self._columns = ends[-1]
        self._forms = {id(seed): Form((Term(1.0, k, None),)) for k, seed in enumerate(seeds)}
        self._tape = tape
        self._place = {id(node): at for at, node in enumerate(tape)}

    def _form(self, output: Any) -> Form:
        """The derivative of one value, walking back from it: the factors of entrywise steps add up on the way."""
        if id(output) not in self._place:
            return Form()
        if id(output) in self._forms:
            return self._forms[id(output)]
        factors: dict[int, Any] = {id(output): 1.0}
        pieces: list[Form] = []
        for node in reversed(self._tape[: self._place[id(output)] + 1]):
            factor = factors.pop(id(node), None)
            if factor is None:
                continue
            if id(node) in self._forms:  # a seed, or a value whose own derivative is known
                pieces.append(_scaled(self._forms[id(node)], factor))
                continue
            for parent, edge in node.parents:
                if isinstance(edge, Diagonal) and not edge.steep:
                    part = _times(_rows_by_samples(edge.d), factor)
                    known = factors.get(id(parent))
                    factors[id(parent)] = part if known is None else known + part
                else:
                    pieces.append(_scaled(_compose(edge, self._form(parent), parent, self._cache), factor))
        self._forms[id(output)] = _sum([piece for piece in pieces if piece]) if any(pieces) else Form()
        return self._forms[id(output)]

    def dense(self, outputs: Sequence[Any], rows: Sequence[int]) -> Array:
        """(total rows, B, N): the derivative of the outputs, one below the other, state axis first."""
        forms = [self._form(out) for out in outputs]
        whole = slice(0, self._samples)
        # New zeros cost nothing until touched: blocks that are zero or diagonal are then never swept.
        filled = all(form.nested or self._covers(form) for form in forms) and self._samples > SMALL_BATCH
        shape = (sum(rows), self._samples, self._columns)
        if filled or 8 * self._samples * self._columns <= CACHED_ROW:
            out, clean = self._cache.workspace.take(shape, zeros=not filled)
        else:
            out, clean = np.zeros(shape), True
        products = self._shared_products(forms)
        start = 0
        for form, height in zip(forms, rows, strict=True):
            self._write(form, out[start : start + height], whole, products, clean)
            start += height
        return out

    def _covers(self, form: Form) -> bool:
        """Whether the terms have a matrix for every seed, so that every entry gets written."""
        return {t.seed for t in form.terms if t.matrix is not None} == set(range(len(self._seeds)))

    def _shared_products(self, forms: Sequence[Form]) -> dict[tuple[int, int], Array]:
        """matrix @ inner of the nested terms that several outputs have in common, each formed once."""
        everywhere = [n for form in forms for n in form.nested]
        keys = [_key(n) for n in everywhere]
        products: dict[tuple[int, int], Array] = {}
        for nested, key in zip(everywhere, keys, strict=True):
            if keys.count(key) > 1 and key not in products:
                products[key] = np.empty((len(nested.matrix), self._samples, self._columns))
                alone = Form((), (Nested(1.0, nested.matrix, nested.inner),))
                self._write(alone, products[key], slice(0, self._samples), {}, False)
        return products

    def _write(self, form: Form, out: Array, at: slice, products: dict[tuple[int, int], Array], clean: bool) -> None:
        """out (rows, samples in `at`, N) <- the form; `clean` says that `out` is zero to begin with."""
        if not form.nested:
            self._write_terms(form.terms, out, at, clean)
            return
        # In pieces of samples that stay in cache from the inner terms to the last addition.
        width = max(1, PIECE_BYTES // (8 * max(1, self._columns) * max(len(out), form.nested[0].matrix.shape[1])))
        for start in range(at.start, at.stop, width):
            piece = slice(start, min(start + width, at.stop))
            self._write_nested(form, out[:, piece.start - at.start : piece.stop - at.start], piece, products)

    def _write_nested(self, form: Form, out: Array, at: slice, products: dict[tuple[int, int], Array]) -> None:
        samples = at.stop - at.start
        first, *others = form.nested
        self._product(first, out, at, products)
        if not _is_one(first.left):
            out *= _samples_of(first.left, at)[..., np.newaxis]
        if not form.terms and not others:
            return
        part = np.empty((len(out), samples, self._columns))
        for nested in others:
            self._product(nested, part, at, products)
            out += _samples_of(nested.left, at)[..., np.newaxis] * part
        if form.terms:
            self._write_terms(form.terms, part, at, False)
            out += part

    def _product(self, nested: Nested, out: Array, at: slice, products: dict[tuple[int, int], Array]) -> None:
        """out <- matrix @ inner for the samples in `at`."""
        if _key(nested) in products:
            out[...] = products[_key(nested)][:, at]
            return
        samples = at.stop - at.start
        inner = np.empty((nested.matrix.shape[1], samples, self._columns))
        self._write(nested.inner, inner, at, {}, False)
        # (rows, samples, N) as (rows, samples * N): a view whose rows may be far apart, which BLAS takes.
        flat = np.lib.stride_tricks.as_strided(
            out, (len(out), samples * self._columns), (out.strides[0], out.strides[2]), writeable=True
        )
        np.matmul(nested.matrix, inner.reshape(len(inner), -1), out=flat)

    def _write_terms(self, terms: tuple[Term, ...], out: Array, at: slice, clean: bool) -> None:
        own = [[t for t in terms if t.seed == seed] for seed in range(len(self._seeds))]
        dense = [out.shape[1] > SMALL_BATCH and any(t.matrix is not None for t in group) for group in own]
        factors = [_factors(group, len(out), at) if d else None for group, d in zip(own, dense, strict=True)]
        stacked = [
            self._cache.get(group, len(out), columns.stop - columns.start) if d else None
            for group, columns, d in zip(own, self._seeds, dense, strict=True)
        ]
        # Zeros and products row by row where there are both, so that a row is in cache for all of them.
        mixed = not clean and any(dense) and not all(dense)
        for rows in [slice(r, r + 1) for r in range(len(out))] if mixed else [slice(0, len(out))]:
            for columns, left, right in zip(self._seeds, factors, stacked, strict=True):
                if left is not None and right is not None:
                    np.matmul(left[rows], right[rows], out=out[rows, :, columns])
                elif not clean:
                    out[rows, :, columns] = 0.0
        for group, columns, d in zip(own, self._seeds, dense, strict=True):
            if not d:
                _add_one_by_one(group, out[:, :, columns], at)


def _compose(edge: Any, form: Form, parent: Traced, cache: StackedRows) -> Form:
    rows = parent.shape[0] if parent.ndim > 1 else 1
    if isinstance(edge, Diagonal):
        return _scaled(form, _rows_by_samples(edge.d), edge.steep)
    if isinstance(edge, Chosen):
        return _masked(form, np.atleast_2d(edge.mask))
    if isinstance(edge, MatrixProduct):
        return _multiplied(edge.matrix, form)
    if isinstance(edge, Operator):
        return _multiplied(cache.matrix(edge), form)
    if isinstance(edge, Tile):
        return _reindexed(form, np.atleast_2d(edge.push(np.eye(rows))))
    if isinstance(edge, SumRows):
        return _multiplied(np.full((1, edge.rows), edge.factor), form)
    if isinstance(edge, Rows):
        return _reindexed(form, np.atleast_2d(np.eye(rows)[edge.index]))
    if isinstance(edge, Embed):
        return _reindexed(form, np.eye(edge.rows, edge.size, -edge.start))
    if isinstance(edge, Broadcast) and rows == 1 and edge.shape[-1] == parent.shape[-1]:
        return _reindexed(form, np.ones((edge.shape[0] if len(edge.shape) > 1 else 1, 1)))
    raise Unreadable(f"the structure of {type(edge).__name__}")


def _multiplied(matrix: Array, form: Form) -> Form:
    """matrix @ form: terms that all samples share stay shared, the others become one nested product."""
    varying = tuple(t for t in form.terms if not _is_constant(t.left))
    shared = tuple(Term(1.0, t.seed, _product_with(matrix, t)) for t in form.terms if _is_constant(t.left))
    if not varying and not form.nested:
        return Form(shared)
    return Form(shared, (Nested(1.0, matrix, Form(varying, form.nested)),))


def _key(nested: Nested) -> tuple[int, int]:
    return id(nested.matrix), id(nested.inner)


def _is_one(left: Any) -> bool:
    return np.ndim(left) == 0 and bool(left == 1.0)


def _is_constant(left: Any) -> bool:
    """Whether one factor serves all samples."""
    return np.ndim(left) == 0 or np.shape(left)[-1] == 1


def _samples_of(left: Any, at: slice) -> Array:
    """The factors (rows or 1, samples or 1) of the samples in `at`."""
    if np.ndim(left) == 0:
        return np.full((1, 1), left)
    return np.asarray(left if np.shape(left)[1] == 1 else left[:, at])


def _factors(terms: Sequence[Term], rows: int, at: slice) -> Array:
    """L (rows, B, K) as a view of (rows, K, B), so that each factor is written contiguously."""
    allocate = np.zeros if len(terms) < 2 else np.empty
    factors = allocate((rows, max(2, len(terms)), at.stop - at.start))
    for k, term in enumerate(terms):
        factors[:, k, :] = _samples_of(term.left, at)
    return factors.swapaxes(1, 2)


def _add_one_by_one(terms: Sequence[Term], out: Array, at: slice) -> None:
    """out (rows, B, size of one seed), zero so far, <- the terms; for diagonals alone, or very few samples."""
    diagonal = np.arange(min(out.shape[0], out.shape[2]))
    for term in terms:
        left = np.broadcast_to(_samples_of(term.left, at), out.shape[:2])
        if term.matrix is None:
            out[diagonal, :, diagonal] += left
        else:
            out += left[:, :, np.newaxis] * term.matrix[:, np.newaxis, :]


def _product_with(matrix: Array, term: Term) -> Array:
    if _is_one(term.left):
        return matrix if term.matrix is None else np.asarray(matrix @ term.matrix)
    left = np.asarray(term.left) if np.ndim(term.left) == 0 else np.asarray(term.left).reshape(-1)
    scaled = matrix * left
    return scaled if term.matrix is None else np.asarray(scaled @ term.matrix)


def _rows_by_samples(d: Any) -> Any:
    """A factor as (rows, samples): a plain row (B,) acts on the one row of its value, or on all rows alike."""
    return np.atleast_2d(d) if np.ndim(d) else d


def _times(d: Any, left: Any) -> Any:
    return d if _is_one(left) else left if _is_one(d) else d * left


def _scaled(form: Form, d: Any, steep: bool = False) -> Form:
    """diag(d) @ form."""
    if _is_one(d):
        return form
    times = bounded_times if steep else _times
    return Form(
        tuple(Term(times(d, t.left), t.seed, t.matrix) for t in form.terms),
        tuple(Nested(times(d, n.left), n.matrix, n.inner) for n in form.nested),
    )


def _masked(form: Form, mask: Any) -> Form:
    return Form(
        tuple(Term(np.where(mask, t.left, 0.0), t.seed, t.matrix) for t in form.terms),
        tuple(Nested(np.where(mask, n.left, 0.0), n.matrix, n.inner) for n in form.nested),
    )


def _reindexed(form: Form, selector: Array) -> Form:
    """selector @ form, for a selector with at most one entry per row: each row is a row of the form, or zero."""
    pick = selector.argmax(axis=1)
    kept = np.asarray(selector.any(axis=1), dtype=np.float64)[:, np.newaxis]

    def left(factor: Any) -> Any:
        if np.ndim(factor) == 0 or np.shape(factor)[0] == 1:
            return factor * kept
        return np.asarray(factor)[pick] * kept

    def matrix(m: Array | None) -> Array:
        return selector if m is None else np.asarray(m)[pick]

    return Form(
        tuple(Term(left(t.left), t.seed, matrix(t.matrix)) for t in form.terms),
        tuple(Nested(left(n.left), n.matrix[pick], n.inner) for n in form.nested),
    )


def _sum(forms: Sequence[Form]) -> Form:
    """The sum, with the factors of equal matrices added up."""
    if len(forms) == 1:
        return forms[0]
    merged: dict[tuple[int, int], Term] = {}
    for term in itertools.chain.from_iterable(f.terms for f in forms):
        key = (term.seed, id(term.matrix))
        known = merged.get(key)
        merged[key] = term if known is None else Term(known.left + term.left, term.seed, term.matrix)
    return Form(tuple(merged.values()), tuple(itertools.chain.from_iterable(f.nested for f in forms)))
