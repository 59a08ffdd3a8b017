"""Dense Jacobians assembled from the structure of the equations, at the speed of memory.

Going down the tape, the derivative of every value with respect to the seeds is kept as a short sum of

    diag(l_b) M                l_b one column per sample b, M shared by all samples (the identity included),
    diag(l_b) M diag(r_b)      a matrix whose columns are scaled, such as U tanh(h) gives, and
    diag(l_b) M A_b            a nested product, such as U (r * h) gives: A_b dense, one per sample.

For row i of the result the first kind is, over all samples at once, a (B, K) by (K, N) product: row i of every shared
matrix is stacked in S[i], the factors of every sample in L[i], and one batched product writes the whole Jacobian.
Zero blocks and diagonals come from the same product, so memory is written once and never filled first. The second
kind is written entry by entry, in blocks of rows that stay in the processor's cache.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from dynsys.readings.forms import (
    Columns,
    Form,
    Nested,
    Term,
    added,
    factor_times,
    is_one,
    masked,
    multiplied,
    reindexed,
    rows_by_samples,
    scaled_rows,
    seeds_of,
)
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
)
from dynsys.readings.workspace import Workspace
from dynsys.types import Array

SMALL_BATCH = 2
"""Up to this many samples the terms are added one by one: there is too little to amortise a product over."""

CACHED_ROW = 1 << 19
"""Bytes of one row, all samples, up to which zeroing used memory row by row is faster than asking for new zeros."""

PIECE_BYTES = 1 << 21
"""Nested products are formed for pieces of samples of about this size, which stay in the processor's cache."""


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
        key = (rows, columns, tuple(self._name(t.matrix) for t in terms))
        if None not in key[2] and key in self._known:
            return self._known[key]
        stacked = np.zeros((rows, max(2, len(terms)), columns))
        for k, term in enumerate(terms):
            if term.matrix is None:
                stacked[np.arange(rows), k, np.arange(rows)] = 1.0
            else:
                stacked[:, k, :] = term.matrix
        if None not in key[2]:
            self._known[key] = stacked
        return stacked

    def _name(self, matrix: Array | None) -> Any:
        """What tells a matrix that cannot change from all others, the transpose of a parameter too; else None."""
        if matrix is None or id(matrix) in self._fixed:
            return id(matrix)
        if matrix.base is not None and id(matrix.base) in self._fixed:
            return matrix.__array_interface__["data"][0], matrix.shape, matrix.strides
        return None


Products = dict[tuple[int, int, tuple[int, ...]], Array]
"""Products of nested terms, by their key, for all samples."""


class Structure:
    """The dense derivatives of values on a tape with respect to `seeds`, for one batch of `samples` columns."""

    def __init__(self, tape: Sequence[Traced], seeds: Sequence[Traced], samples: int, cache: StackedRows) -> None:
        self._samples = samples
        self._cache = cache
        ends = [0, *itertools.accumulate(seed.shape[0] for seed in seeds)]
        self._seeds = {seed: slice(a, b) for seed, (a, b) in enumerate(itertools.pairwise(ends))}
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
                pieces.append(scaled_rows(self._forms[id(node)], factor))
                continue
            for parent, edge in node.parents:
                if isinstance(edge, Diagonal) and not edge.steep:
                    part = factor_times(rows_by_samples(edge.d), factor)
                    known = factors.get(id(parent))
                    factors[id(parent)] = part if known is None else known + part
                else:
                    pieces.append(scaled_rows(_compose(edge, self._form(parent), parent, self._cache), factor))
        self._forms[id(output)] = added([piece for piece in pieces if piece]) if any(pieces) else Form()
        return self._forms[id(output)]

    def forms(self, outputs: Sequence[Any]) -> list[Form]:
        """The derivative of each output as a form, whose seeds are numbered in their order."""
        return [self._form(out) for out in outputs]

    def dense(self, outputs: Sequence[Any], rows: Sequence[int]) -> Array:
        """(total rows, B, N): the derivative of the outputs, one below the other, state axis first."""
        forms = self.forms(outputs)
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
        written = {t.seed for t in form.terms if t.matrix is not None} | {c.seed for c in form.columns}
        return written == set(self._seeds)

    def _narrowed(self, seeds: Sequence[int]) -> Structure:
        """The same for neighbouring seeds alone."""
        narrow = copy.copy(self)
        start = self._seeds[seeds[0]].start
        narrow._seeds = {s: slice(self._seeds[s].start - start, self._seeds[s].stop - start) for s in seeds}
        narrow._columns = self._seeds[seeds[-1]].stop - start
        return narrow

    def _deep(self, form: Form) -> tuple[int, ...]:
        """The seeds from the first to the last that the nested terms reach."""
        reached = set().union(*(seeds_of(n.inner) for n in form.nested))
        return tuple(s for s in self._seeds if min(reached) <= s <= max(reached)) if reached else tuple(self._seeds)

    def _shared_products(self, forms: Sequence[Form]) -> Products:
        """matrix @ inner of the nested terms that several outputs have in common, each formed once."""
        everywhere = [(n, self._deep(form)) for form in forms for n in form.nested]
        keys = [_key(*one) for one in everywhere]
        products: Products = {}
        for (nested, seeds), key in zip(everywhere, keys, strict=True):
            if keys.count(key) > 1 and key not in products:
                narrow = self._narrowed(seeds)
                products[key] = np.empty((len(nested.matrix), self._samples, narrow._columns))
                narrow._product(nested, products[key], slice(0, self._samples), {})
        return products

    def _write(self, form: Form, out: Array, at: slice, products: Products, clean: bool) -> None:
        """out (rows, samples in `at`, N) <- the form; `clean` says that `out` is zero to begin with."""
        if not form.nested:
            self._write_flat(form, out, at, clean)
            return
        deep = self._deep(form)
        if len(deep) < len(self._seeds):  # nested products only where they reach
            self._write_flat(form.without(deep), out, at, clean, deep)
            span = slice(self._seeds[deep[0]].start, self._seeds[deep[-1]].stop)
            rest = form.without([s for s in self._seeds if s not in deep])
            self._narrowed(deep)._write(rest, out[:, :, span], at, products, clean)
            return
        # In pieces of samples that stay in cache from the inner terms to the last addition.
        width = max(1, PIECE_BYTES // (8 * max(1, self._columns) * max(len(out), form.nested[0].matrix.shape[1])))
        for start in range(at.start, at.stop, width):
            piece = slice(start, min(start + width, at.stop))
            self._write_nested(form, out[:, piece.start - at.start : piece.stop - at.start], piece, products)

    def _write_nested(self, form: Form, out: Array, at: slice, products: Products) -> None:
        samples = at.stop - at.start
        first, *others = form.nested
        self._product(first, out, at, products)
        if not is_one(first.left):
            out *= _samples_of(first.left, at)[..., np.newaxis]
        if not form.terms and not form.columns and not others:
            return
        part = np.empty((len(out), samples, self._columns))
        for nested in others:
            self._product(nested, part, at, products)
            out += _samples_of(nested.left, at)[..., np.newaxis] * part
        if form.terms or form.columns:
            self._write_flat(form, part, at, False)
            out += part

    def _product(self, nested: Nested, out: Array, at: slice, products: Products) -> None:
        """out <- matrix @ inner for the samples in `at`."""
        known = products.get(_key(nested, tuple(self._seeds)))
        if known is not None:
            out[...] = known[:, at]
            return
        samples = at.stop - at.start
        inner = np.empty((nested.matrix.shape[1], samples, self._columns))
        self._write(nested.inner, inner, at, {}, False)
        if out.strides[1] != out.shape[2] * out.strides[2]:  # columns among others: written on the side
            out[...] = (nested.matrix @ inner.reshape(len(inner), -1)).reshape(out.shape)
            return
        # (rows, samples, N) as (rows, samples * N): a view whose rows may be far apart, which BLAS takes.
        flat = np.lib.stride_tricks.as_strided(
            out, (len(out), samples * self._columns), (out.strides[0], out.strides[2]), writeable=True
        )
        np.matmul(nested.matrix, inner.reshape(len(inner), -1), out=flat)

    def _write_flat(self, form: Form, out: Array, at: slice, clean: bool, others: Collection[int] = ()) -> None:
        """out <- the terms and the matrices with scaled columns; `others`: seeds that are left as they are."""
        alone = {c.seed for c in form.columns} - {t.seed for t in form.terms if t.matrix is not None}
        flat = tuple(t for t in form.terms if t.seed not in alone)
        self._write_terms(flat, out, at, clean, alone.union(others))
        begun: set[int] = set()
        for scaled in form.columns:
            add = scaled.seed not in alone or scaled.seed in begun
            _write_columns(scaled, out[:, :, self._seeds[scaled.seed]], at, add)
            begun.add(scaled.seed)
        for seed in alone:  # what is left there are diagonals
            own = [t for t in form.terms if t.seed == seed]
            _add_one_by_one(own, out[:, :, self._seeds[seed]], at)

    def _write_terms(
        self, terms: tuple[Term, ...], out: Array, at: slice, clean: bool, others: Collection[int]
    ) -> None:
        """out <- the terms, but for the columns of the seeds in `others`, which are left as they are."""
        seeds = [seed for seed in self._seeds if seed not in others]
        own = [[t for t in terms if t.seed == seed] for seed in seeds]
        places = [self._seeds[seed] for seed in seeds]
        dense = [out.shape[1] > SMALL_BATCH and any(t.matrix is not None for t in group) for group in own]
        factors = [_factors(group, len(out), at) if d else None for group, d in zip(own, dense, strict=True)]
        stacked = [
            self._cache.get(group, len(out), columns.stop - columns.start) if d else None
            for group, columns, d in zip(own, places, dense, strict=True)
        ]
        # Zeros and products row by row where there are both, so that a row is in cache for all of them.
        mixed = not clean and any(dense) and not all(dense)
        for rows in [slice(r, r + 1) for r in range(len(out))] if mixed else [slice(0, len(out))]:
            for columns, left, right in zip(places, factors, stacked, strict=True):
                if left is not None and right is not None:
                    np.matmul(left[rows], right[rows], out=out[rows, :, columns])
                elif not clean:
                    out[rows, :, columns] = 0.0
        for group, columns, d in zip(own, places, dense, strict=True):
            if not d:
                _add_one_by_one(group, out[:, :, columns], at)


def _compose(edge: Any, form: Form, parent: Traced, cache: StackedRows) -> Form:
    rows = parent.shape[0] if parent.ndim > 1 else 1
    if isinstance(edge, Diagonal):
        return scaled_rows(form, rows_by_samples(edge.d), edge.steep)
    if isinstance(edge, Chosen):
        return masked(form, np.atleast_2d(edge.mask))
    if isinstance(edge, MatrixProduct):
        return multiplied(edge.matrix, form)
    if isinstance(edge, Operator):
        return multiplied(cache.matrix(edge), form)
    if isinstance(edge, Tile):
        return reindexed(form, np.atleast_2d(edge.push(np.eye(rows))))
    if isinstance(edge, SumRows):
        return multiplied(np.full((1, edge.rows), edge.factor), form)
    if isinstance(edge, Rows):
        return reindexed(form, np.atleast_2d(np.eye(rows)[edge.index]))
    if isinstance(edge, Embed):
        return reindexed(form, np.eye(edge.rows, edge.size, -edge.start))
    if isinstance(edge, Broadcast) and rows == 1 and edge.shape[-1] == parent.shape[-1]:
        return reindexed(form, np.ones((edge.shape[0] if len(edge.shape) > 1 else 1, 1)))
    raise Unreadable(f"the structure of {type(edge).__name__}")


def _key(nested: Nested, seeds: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    return id(nested.matrix), id(nested.inner), seeds


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


def _write_columns(scaled: Columns, out: Array, at: slice, add: bool) -> None:
    """out (rows, B, size of the seed) <- diag(left) matrix diag(right), or that added to it."""
    right = np.broadcast_to(_samples_of(scaled.right, at), (out.shape[2], out.shape[1]))
    constant = np.ndim(scaled.left) == 0
    factors = np.ascontiguousarray((right * scaled.left if constant else right).T)
    left = None if constant else np.broadcast_to(_samples_of(scaled.left, at), out.shape[:2])[:, :, np.newaxis]
    block = max(1, CACHED_ROW // (8 * max(1, factors.size)))
    part = np.empty((block, *factors.shape)) if add else None
    for start in range(0, len(out), block):
        rows = slice(start, min(start + block, len(out)))
        target = out[rows] if part is None else part[: rows.stop - rows.start]
        np.multiply(scaled.matrix[rows, np.newaxis, :], factors, out=target)
        if left is not None:
            target *= left[rows]
        if part is not None:
            out[rows] += target


def _add_one_by_one(terms: Sequence[Term], out: Array, at: slice) -> None:
    """out (rows, B, size of one seed), zero so far, <- the terms; for diagonals alone, or very few samples."""
    diagonal = np.arange(min(out.shape[0], out.shape[2]))
    for term in terms:
        left = np.broadcast_to(_samples_of(term.left, at), out.shape[:2])
        if term.matrix is None:
            out[diagonal, :, diagonal] += left
        else:
            out += left[:, :, np.newaxis] * term.matrix[:, np.newaxis, :]
