"""Derivatives along an orbit, one step at a time: written into a matrix, or applied to a frame without one.

The samples of a linearization are the steps of an orbit here. A step of a cell is, block of rows by block of rows, a
short sum of shared matrices with its own row factors (`forms.py`): it is written down in one pass over memory, or,
where few directions are followed, its matrices act on them directly.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from dynsys.readings.forms import Form, is_one, seeds_of
from dynsys.types import Array

FORMED = 128
"""State size up to which the Jacobians of all samples are formed together."""

WRITE = 16.0
"""Floating-point operations of a matrix product in the time it takes to write one entry of a matrix."""


class Steps(ABC):
    """The Jacobians (n, n) of a number of samples, reached one by one."""

    n: int

    @abstractmethod
    def fill(self, sample: int, out: Array) -> None:
        """out (n, n), Fortran order, <- the Jacobian of one sample."""

    def together(self) -> Array | None:
        """All Jacobians (samples, n, n) where they lie in memory, or are best formed at once; else None."""
        return None

    def some(self, begin: int, end: int) -> Array | None:
        """Jacobians `begin` to `end` (count, n, n), not to be written to, until this is called again; None as above."""
        whole = self.together()
        return None if whole is None else whole[begin:end]

    def given(self, sample: int) -> Array | None:
        """The Jacobian of one sample (n, n) where it lies in memory, not to be written to; else None."""
        whole = self.together()
        return None if whole is None else np.asarray(whole[sample])

    @abstractmethod
    def move(self, sample: int, frame: Array, out: Array) -> None:
        """out (n, k) <- Jacobian of one sample @ frame (n, k), both in Fortran order, without forming the Jacobian."""

    @abstractmethod
    def move_back(self, sample: int, frame: Array, out: Array) -> None:
        """out (n, k) <- transposed Jacobian of one sample @ frame (n, k), likewise."""

    @abstractmethod
    def forms_first(self, k: int) -> bool:
        """Whether it is cheaper to form the Jacobian, once a step, than to move k directions without it."""

    def log_abs_det(self) -> Array | None:
        """(samples,) log|det J| in closed form, nats; None where only a factorisation tells."""
        return None

    def has_no_dead_rows_or_columns(self) -> bool:
        """True where the structure shows that no row and no column of any Jacobian is zero; False says nothing."""
        return False

    def same_everywhere(self) -> bool:
        """True where the structure shows that the Jacobian does not depend on the state; False says nothing."""
        return False


@final
class DenseSteps(Steps):
    """Jacobians that are there already: (samples, n, n)."""

    def __init__(self, jacobians: Array) -> None:
        self._jacobians, self.n = jacobians, jacobians.shape[-1]

    def fill(self, sample: int, out: Array) -> None:
        out[...] = self._jacobians[sample]

    def together(self) -> Array | None:
        return self._jacobians

    def move(self, sample: int, frame: Array, out: Array) -> None:
        np.matmul(self._jacobians[sample], frame, out=out)

    def move_back(self, sample: int, frame: Array, out: Array) -> None:
        np.matmul(self._jacobians[sample].T, frame, out=out)

    def forms_first(self, k: int) -> bool:
        return False


@final
class FormSteps(Steps):
    """Jacobians as forms, one for each block of rows.

    Args:
        forms: one per block of next-state rows. heights: rows of each block. seeds: columns of each block of the state.
        samples: how many there are. dense: forms all of them at once, (samples, n, n), which is cheapest for small n.
    """

    def __init__(
        self,
        forms: Sequence[Form],
        heights: Sequence[int],
        seeds: Sequence[slice],
        samples: int,
        dense: Callable[[], Array],
    ) -> None:
        spans = [slice(int(a), int(b)) for a, b in itertools.pairwise(np.cumsum([0, *heights]))]
        self._rows = [(rows, _without_zeros(form)) for rows, form in zip(spans, forms, strict=True)]
        self._seeds, self._samples, self._dense = list(seeds), samples, dense
        self._whole: Array | None = None
        self._piece: Array | None = None
        self.n = self._seeds[-1].stop
        self._kept: dict[int, Array] = {}
        self._scratch: dict[tuple[str, int, int], Array] = {}

    def together(self) -> Array | None:
        if self._whole is None and self.n <= FORMED:
            self._whole = self._dense()
        return self._whole

    def some(self, begin: int, end: int) -> Array | None:
        if self.n > FORMED:
            return None
        if self._whole is not None or not all(_writes_once(form) for _, form in self._rows):
            return super().some(begin, end)
        # One pass over memory that stays in the processor's cache: faster than all of them at once.
        if self._piece is None or len(self._piece) < end - begin:
            self._piece = np.empty((end - begin, self.n, self.n))
        out = self._piece[: end - begin]
        for rows, form in self._rows:
            self._write(form, slice(begin, end), out[:, rows])
        return out

    def _write(self, form: Form, at: slice, out: Array) -> None:
        """out (samples in `at`, rows, n) <- a form that has at most one matrix for each seed, and diagonals."""
        diagonals = [term for term in form.terms if term.matrix is None]
        factors = [(t.seed, t.matrix, t.left, None) for t in form.terms if t.matrix is not None]
        begun = set()
        for seed, matrix, left, right in [*factors, *((c.seed, c.matrix, c.left, c.right) for c in form.columns)]:
            target = out[:, :, self._seeds[seed]]
            one = is_one(left)
            if right is not None:
                np.multiply(matrix, _of_samples(right, at)[:, np.newaxis, :], out=target)
            elif one:
                target[...] = matrix
            if not one:
                rows = _of_samples(left, at)[:, :, np.newaxis]
                np.multiply(matrix if right is None else target, rows, out=target)
            begun.add(seed)
        for seed, columns in enumerate(self._seeds):
            if seed not in begun:
                out[:, :, columns] = 0.0
        for term in diagonals:
            columns = self._seeds[term.seed]
            diagonal = np.arange(min(out.shape[1], columns.stop - columns.start))
            left = np.broadcast_to(_of_samples(term.left, at), (len(out), out.shape[1]))
            out[:, diagonal, columns.start + diagonal] += left[:, : len(diagonal)]

    def fill(self, sample: int, out: Array) -> None:
        for rows, form in self._rows:
            self._fill(form, sample, out[rows])

    def _fill(self, form: Form, sample: int, out: Array, depth: int = 0) -> None:
        begun: set[int] = set()
        for term in form.terms:
            if term.matrix is not None:
                self._put(_at(term.left, sample), term.matrix, None, out, term.seed, begun)
        for c in form.columns:
            self._put(_at(c.left, sample), c.matrix, _at(c.right, sample), out, c.seed, begun)
        for seed, columns in enumerate(self._seeds):
            if seed not in begun:
                out[:, columns] = 0.0
        for term in form.terms:
            if term.matrix is None:
                columns = self._seeds[term.seed]
                diagonal = np.arange(min(len(out), columns.stop - columns.start))
                left = np.broadcast_to(_at(term.left, sample), (len(out), 1))[: len(diagonal), 0]
                out[diagonal, columns.start + diagonal] += left
        for nested in form.nested:
            reached = sorted(seeds_of(nested.inner))
            inner = self._room(f"inner {depth}", nested.matrix.shape[1], self.n)
            self._fill(nested.inner, sample, inner, depth + 1)
            for seed in reached:
                columns = self._seeds[seed]
                product = self._room("product", len(out), columns.stop - columns.start)
                np.matmul(nested.matrix, inner[:, columns], out=product)
                product *= _at(nested.left, sample)
                out[:, columns] += product

    def _put(self, left: Any, matrix: Array, right: Any, out: Array, seed: int, begun: set[int]) -> None:
        """out's columns of one seed <- diag(left) matrix diag(right), added where something is there already."""
        target = out[:, self._seeds[seed]]
        part = self._room("part", *target.shape) if seed in begun else target
        np.multiply(self._fortran(matrix), left, out=part)
        if right is not None:
            part *= np.reshape(right, (1, -1))
        if seed in begun:
            target += part
        begun.add(seed)

    def move(self, sample: int, frame: Array, out: Array) -> None:
        moved: dict[tuple[int, int], Array] = {}
        for rows, form in self._rows:
            self._move(form, sample, frame, out[rows], moved)

    def _move(self, form: Form, sample: int, frame: Array, out: Array, moved: dict[tuple[int, int], Array]) -> None:
        begun = False
        for term in form.terms:
            part = frame[self._seeds[term.seed]]
            if term.matrix is not None:
                key = (id(term.matrix), term.seed)
                if key not in moved:
                    moved[key] = _product(term.matrix, part)
                part = moved[key]
            begun = self._add(_at(term.left, sample), part, out, begun)
        for c in form.columns:
            part = _product(c.matrix, _at(c.right, sample) * frame[self._seeds[c.seed]])
            begun = self._add(_at(c.left, sample), part, out, begun)
        for nested in form.nested:
            key = (id(nested.matrix), -1 - id(nested.inner))
            if key not in moved:
                inner = np.empty((nested.matrix.shape[1], frame.shape[1]), order="F")
                self._move(nested.inner, sample, frame, inner, moved)
                moved[key] = _product(nested.matrix, inner)
            begun = self._add(_at(nested.left, sample), moved[key], out, begun)
        if not begun:
            out[...] = 0.0

    def _add(self, left: Any, part: Array, out: Array, begun: bool) -> bool:
        if begun:
            scaled = self._room("scaled", *out.shape)
            np.multiply(part, left, out=scaled)
            out += scaled
        else:
            np.multiply(part, left, out=out)
        return True

    def move_back(self, sample: int, frame: Array, out: Array) -> None:
        out[...] = 0.0
        for rows, form in self._rows:
            self._move_back(form, sample, frame[rows], out)

    def _move_back(self, form: Form, sample: int, part: Array, out: Array) -> None:
        """out += transposed form @ part."""
        for term in form.terms:
            scaled = _at(term.left, sample) * part
            if term.matrix is None:
                target = out[self._seeds[term.seed]]
                rows = min(len(target), len(scaled))
                target[:rows] += scaled[:rows]
            else:
                out[self._seeds[term.seed]] += term.matrix.T @ scaled
        for c in form.columns:
            back = c.matrix.T @ (_at(c.left, sample) * part)
            out[self._seeds[c.seed]] += _at(c.right, sample) * back
        for nested in form.nested:
            self._move_back(nested.inner, sample, nested.matrix.T @ (_at(nested.left, sample) * part), out)

    def forms_first(self, k: int) -> bool:
        moving: dict[tuple[int, int], float] = {}
        written, formed = 0.0, 0.0
        for rows, form in self._rows:
            _moving(form, moving)
            written += WRITE * (rows.stop - rows.start) * self.n * max(1, len(form.terms) + len(form.columns)) / 2
            formed += self._forming(form, rows.stop - rows.start)
        return written + formed + 2.0 * self.n * self.n * k < k * sum(moving.values())

    def _forming(self, form: Form, rows: int) -> float:
        """Operations of the matrix products behind the nested terms, once they are formed."""
        total = 0.0
        for nested in form.nested:
            width = sum(self._seeds[s].stop - self._seeds[s].start for s in seeds_of(nested.inner))
            total += 2.0 * rows * nested.matrix.shape[1] * width + self._forming(nested.inner, nested.matrix.shape[1])
        return total

    def log_abs_det(self) -> Array | None:
        if len(self._rows) != 1 or len(self._seeds) != 1:
            return None
        form = self._rows[0][1]
        if form.nested or len(form.terms) + len(form.columns) != 1:
            return None
        with np.errstate(divide="ignore"):
            if form.terms:
                term = form.terms[0]
                matrix, total = term.matrix, self._sum_of_logs(term.left)
            else:
                c = form.columns[0]
                matrix, total = c.matrix, self._sum_of_logs(c.left) + self._sum_of_logs(c.right)
        return total if matrix is None else total + float(np.linalg.slogdet(matrix)[1])

    def _sum_of_logs(self, factor: Any) -> Array:
        logs = np.log(np.abs(np.atleast_2d(factor)))
        return np.broadcast_to(np.broadcast_to(logs, (self.n, logs.shape[1])).sum(axis=0), (self._samples,))

    def has_no_dead_rows_or_columns(self) -> bool:
        alive: set[int] = set()
        for _, form in self._rows:
            terms = [(t.matrix, t.seed) for t in form.terms if np.all(t.left)]
            terms += [(c.matrix, c.seed) for c in form.columns if np.all(c.left) and np.all(c.right)]
            if not any(matrix is None or matrix.any(axis=1).all() for matrix, _ in terms):
                return False
            alive |= {seed for matrix, seed in terms if matrix is None or matrix.any(axis=0).all()}
        return len(alive) == len(self._seeds)

    def same_everywhere(self) -> bool:
        return self._samples > 1 and all(_is_shared(form) for _, form in self._rows)

    def _fortran(self, matrix: Array) -> Array:
        """The matrix in the order in which it is written into the Jacobian."""
        if id(matrix) not in self._kept:
            self._kept[id(matrix)] = np.asfortranarray(matrix)
        return self._kept[id(matrix)]

    def _room(self, use: str, rows: int, columns: int) -> Array:
        """Memory in Fortran order that one use has for itself."""
        key = (use, rows, columns)
        if key not in self._scratch:
            self._scratch[key] = np.empty((rows, columns), order="F")
        return self._scratch[key]


def _without_zeros(form: Form) -> Form:
    """The form less what a factor of exactly zero, for all samples, removes."""
    return Form(
        tuple(t for t in form.terms if np.any(t.left)),
        tuple(n for n in form.nested if np.any(n.left)),
        tuple(c for c in form.columns if np.any(c.left) and np.any(c.right)),
    )


def _at(factor: Any, sample: int) -> Any:
    """The factors of one sample, (rows or 1, 1), or the number that serves all."""
    if np.ndim(factor) == 0:
        return factor
    return factor if factor.shape[1] == 1 else factor[:, sample : sample + 1]


def _of_samples(factor: Any, at: slice) -> Array:
    """The factors of some samples, (samples or 1, rows or 1)."""
    whole = np.atleast_2d(factor)
    return (whole if whole.shape[1] == 1 else whole[:, at]).T


def _is_shared(form: Form) -> bool:
    """Whether no factor differs from sample to sample."""
    factors = [t.left for t in form.terms] + [n.left for n in form.nested]
    factors += [factor for c in form.columns for factor in (c.left, c.right)]
    shared = all(np.ndim(factor) == 0 or np.shape(factor)[-1] == 1 for factor in factors)
    return shared and all(_is_shared(n.inner) for n in form.nested)


def _writes_once(form: Form) -> bool:
    """Whether no entry is a sum of two matrices' entries, so that one product writes it."""
    seeds = [term.seed for term in form.terms if term.matrix is not None] + [c.seed for c in form.columns]
    return not form.nested and len(seeds) == len(set(seeds))


def _product(matrix: Array, frame: Array) -> Array:
    """matrix @ frame in Fortran order."""
    out = np.empty((len(matrix), frame.shape[1]), order="F")
    np.matmul(matrix, frame, out=out)
    return out


def _moving(form: Form, known: dict[tuple[int, int], float]) -> None:
    """Operations per direction of the matrix products behind a form, each distinct one once."""
    for term in form.terms:
        if term.matrix is not None:
            known[id(term.matrix), term.seed] = 2.0 * term.matrix.size
    for c in form.columns:
        known[id(c.matrix), -1 - c.seed] = 2.0 * c.matrix.size
    for nested in form.nested:
        known[id(nested.matrix), id(nested.inner)] = 2.0 * nested.matrix.size
        _moving(nested.inner, known)
