"""Derivatives as short sums of structured terms: what `structure.py` composes and then writes out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.readings.tape import bounded_times
from dynsys.types import Array


@final
@dataclass(frozen=True, slots=True)
class Term:
    """diag(left) @ matrix, acting on seed number `seed`. `left` is (rows, B), broadcasts to it, or is 1.0."""

    left: Any
    seed: int
    matrix: Array | None  # None: the identity


@final
@dataclass(frozen=True, slots=True)
class Columns:
    """diag(left) @ matrix @ diag(right), acting on seed number `seed`. `right` is (size of the seed, B)."""

    left: Any
    seed: int
    matrix: Array
    right: Any


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
    columns: tuple[Columns, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms or self.nested or self.columns)

    def without(self, seeds: Collection[int]) -> Form:
        """The form less its flat terms for these seeds; nested ones stay."""
        terms = tuple(t for t in self.terms if t.seed not in seeds)
        return Form(terms, self.nested, tuple(c for c in self.columns if c.seed not in seeds))


def seeds_of(form: Form) -> set[int]:
    """The seeds that the form is not zero for."""
    own = {t.seed for t in form.terms} | {c.seed for c in form.columns}
    return own.union(*(seeds_of(n.inner) for n in form.nested))


def multiplied(matrix: Array, form: Form) -> Form:
    """matrix @ form: terms that all samples share stay shared, the others become one nested product."""
    varying = tuple(t for t in form.terms if not is_constant(t.left))
    shared = tuple(Term(1.0, t.seed, product_with(matrix, t)) for t in form.terms if is_constant(t.left))
    # Seeds that only diagonals lead to: the matrix with its columns scaled. If it has been scaled already, the product
    # with it, where its left factor is shared by all samples.
    within = {t.seed for t in varying if t.matrix is not None}.union(*(seeds_of(n.inner) for n in form.nested))
    within |= {c.seed for c in form.columns if not is_constant(c.left)}
    columns = [Columns(1.0, t.seed, matrix, t.left) for t in varying if t.seed not in within]
    for c in form.columns:
        if c.seed not in within:
            columns.append(Columns(1.0, c.seed, product_with(matrix, Term(c.left, c.seed, c.matrix)), c.right))
    inner = Form(varying, form.nested, form.columns).without({c.seed for c in columns})
    return Form(shared, (Nested(1.0, matrix, inner),) if inner else (), tuple(columns))


def is_one(left: Any) -> bool:
    """Whether a factor is exactly the number one."""
    return np.ndim(left) == 0 and bool(left == 1.0)


def is_constant(left: Any) -> bool:
    """Whether one factor serves all samples."""
    return np.ndim(left) == 0 or np.shape(left)[-1] == 1


def product_with(matrix: Array, term: Term) -> Array:
    """matrix @ diag(left) @ (the matrix of the term), for a factor that all samples share."""
    if is_one(term.left):
        return matrix if term.matrix is None else np.asarray(matrix @ term.matrix)
    left = np.asarray(term.left) if np.ndim(term.left) == 0 else np.asarray(term.left).reshape(-1)
    scaled = matrix * left
    return scaled if term.matrix is None else np.asarray(scaled @ term.matrix)


def rows_by_samples(d: Any) -> Any:
    """A factor as (rows, samples): a plain row (B,) acts on the one row of its value, or on all rows alike."""
    return np.atleast_2d(d) if np.ndim(d) else d


def factor_times(d: Any, left: Any) -> Any:
    """d times a factor, without touching arrays where one of them is one."""
    return d if is_one(left) else left if is_one(d) else d * left


def scaled_rows(form: Form, d: Any, steep: bool = False) -> Form:
    """diag(d) @ form."""
    if is_one(d):
        return form
    times = bounded_times if steep else factor_times
    return Form(
        tuple(Term(times(d, t.left), t.seed, t.matrix) for t in form.terms),
        tuple(Nested(times(d, n.left), n.matrix, n.inner) for n in form.nested),
        tuple(Columns(times(d, c.left), c.seed, c.matrix, c.right) for c in form.columns),
    )


def masked(form: Form, mask: Any) -> Form:
    """The form where `mask`, else zero."""
    return Form(
        tuple(Term(np.where(mask, t.left, 0.0), t.seed, t.matrix) for t in form.terms),
        tuple(Nested(np.where(mask, n.left, 0.0), n.matrix, n.inner) for n in form.nested),
        tuple(Columns(np.where(mask, c.left, 0.0), c.seed, c.matrix, c.right) for c in form.columns),
    )


def reindexed(form: Form, selector: Array) -> Form:
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
        tuple(Columns(left(c.left), c.seed, c.matrix[pick], c.right) for c in form.columns),
    )


def added(forms: Sequence[Form]) -> Form:
    """The sum, with the factors of equal matrices added up."""
    if len(forms) == 1:
        return forms[0]
    merged: dict[tuple[int, int], Term] = {}
    for term in itertools.chain.from_iterable(f.terms for f in forms):
        key = (term.seed, id(term.matrix))
        known = merged.get(key)
        merged[key] = term if known is None else Term(known.left + term.left, term.seed, term.matrix)
    nested = tuple(itertools.chain.from_iterable(f.nested for f in forms))
    return Form(tuple(merged.values()), nested, tuple(itertools.chain.from_iterable(f.columns for f in forms)))
