"""Derivatives along an orbit for several samples at a time: one vector each, moved or pulled back by its own Jacobian.

All steps are read from one tape as forms (`forms.py`): short sums of shared matrices with factors of each sample. A
step is then one product with these matrices, stacked, and an addition for each term, instead of the whole tape again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from dynsys.readings.forms import Form
from dynsys.types import Array


@final
class ColumnSteps:
    """Jacobians of many samples, of which a slice is used at a time.

    Args:
        forms: the derivative of each block of the next state. heights: rows of each. seeds: the columns of each block
            of the state.
    """

    def __init__(self, forms: Sequence[Form], heights: Sequence[int], seeds: Sequence[slice]) -> None:
        ends = np.cumsum([0, *heights])
        self._rows = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self._forms, self._seeds, self._height = list(forms), list(seeds), int(ends[-1])
        shared: dict[int, dict[int, Array]] = {}
        for form in forms:
            for term in form.terms:
                if term.matrix is not None:
                    shared.setdefault(term.seed, {})[id(term.matrix)] = term.matrix
        self._stacked = {seed: np.concatenate(list(matrices.values())) for seed, matrices in shared.items()}
        self._places: dict[tuple[int, int], slice] = {}
        for seed, matrices in shared.items():
            at = 0
            for name, matrix in matrices.items():
                self._places[seed, name] = slice(at, at + len(matrix))
                at += len(matrix)

    def push(self, samples: slice, v: Array) -> Array:
        """J_b v_b for the columns v (n, B) of these samples, as columns."""
        products = {seed: stacked @ v[self._seeds[seed]] for seed, stacked in self._stacked.items()}
        out = np.zeros((self._height, v.shape[1]))
        for rows, form in zip(self._rows, self._forms, strict=True):
            for term in form.terms:
                if term.matrix is not None:
                    moved = products[term.seed][self._places[term.seed, id(term.matrix)]]
                    out[rows] += _at(term.left, samples) * moved
            self._push_rest(form, samples, v, out[rows], shared=True)
        return out

    def _push_rest(self, form: Form, samples: slice, v: Array, out: Array, *, shared: bool) -> None:
        """out += the form times v; but for the terms with stacked matrices where these are `shared`."""
        for term in form.terms:
            own = v[self._seeds[term.seed]]
            if term.matrix is None:
                out[: len(own)] += (_at(term.left, samples) * own)[: len(out)]
            elif not shared:
                out += _at(term.left, samples) * (term.matrix @ own)
        for c in form.columns:
            out += _at(c.left, samples) * (c.matrix @ (_at(c.right, samples) * v[self._seeds[c.seed]]))
        for nested in form.nested:
            inner = np.zeros((nested.matrix.shape[1], v.shape[1]))
            self._push_rest(nested.inner, samples, v, inner, shared=False)
            out += _at(nested.left, samples) * (nested.matrix @ inner)

    def pull(self, samples: slice, w: Array) -> Array:
        """J_b^T w_b for the columns w (n, B) of these samples, as columns."""
        arriving = {seed: np.zeros((len(stacked), w.shape[1])) for seed, stacked in self._stacked.items()}
        out = np.zeros((self._seeds[-1].stop, w.shape[1]))
        for rows, form in zip(self._rows, self._forms, strict=True):
            for term in form.terms:
                if term.matrix is not None:
                    at = self._places[term.seed, id(term.matrix)]
                    arriving[term.seed][at] += _at(term.left, samples) * w[rows]
            self._pull_rest(form, samples, w[rows], out, shared=True)
        for seed, stacked in self._stacked.items():
            out[self._seeds[seed]] += stacked.T @ arriving[seed]
        return out

    def _pull_rest(self, form: Form, samples: slice, w: Array, out: Array, *, shared: bool) -> None:
        """out += the transposed form times w, with the same exception."""
        for term in form.terms:
            own = out[self._seeds[term.seed]]
            if term.matrix is None:
                own[: len(w)] += (_at(term.left, samples) * w)[: len(own)]
            elif not shared:
                own += term.matrix.T @ (_at(term.left, samples) * w)
        for c in form.columns:
            out[self._seeds[c.seed]] += _at(c.right, samples) * (c.matrix.T @ (_at(c.left, samples) * w))
        for nested in form.nested:
            self._pull_rest(nested.inner, samples, nested.matrix.T @ (_at(nested.left, samples) * w), out, shared=False)


def _at(factor: Any, samples: slice) -> Any:
    """The factors of some samples, (rows or 1, B), or what serves all."""
    if np.ndim(factor) == 0:
        return factor
    return factor if factor.shape[1] == 1 else factor[:, samples]
