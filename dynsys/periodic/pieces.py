"""Exact search of piecewise-linear networks: within one activation pattern a cycle solves a linear equation.

Every sequence of patterns along the orbit is taken in turn, the equation solved, and the solution kept if its own
pattern is the one assumed. Sequences with a step that no state can take are left out (by linear programming).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.batched_solves import solve_each
from dynsys.composed_maps import Driven
from dynsys.maps import CellMap, Map
from dynsys.types import Array, Booleans, Integers

MOST = 1 << 17  # sequences of patterns looked at, at most
REGIONS = 32  # patterns up to which it is worth asking which can follow which
SLACK = 1e-5  # how far (relative to 1 + |x|) a solution may lie across the border of its pattern; Newton decides

# Slopes and offsets of each linear piece of an activation, between the breaks.
ACTIVATIONS: dict[str, tuple[tuple[float, ...], tuple[tuple[float, float], ...]]] = {
    "identity": ((), ((1.0, 0.0),)),
    "relu": ((0.0,), ((0.0, 0.0), (1.0, 0.0))),
    "leaky_relu": ((0.0,), ((0.01, 0.0), (1.0, 0.0))),
    "hard_tanh": ((-1.0, 1.0), ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0))),
    "hard_sigmoid": ((-3.0, 3.0), ((0.0, 0.0), (1.0 / 6.0, 0.5), (0.0, 1.0))),
    "hard_sigmoid_fifth": ((-2.5, 2.5), ((0.0, 0.0), (0.2, 0.5), (0.0, 1.0))),
}


@final
@dataclass(frozen=True)
class PiecewiseForm:
    """x' = A x + M s(C x + d) + e with s applied to each unit. Shapes: A (n, n), M (n, k), C (k, n), d (k,), e (n,)."""

    A: Array
    M: Array
    C: Array
    d: Array
    e: Array
    activation: str

    def affine(self, patterns: Integers) -> tuple[Array, Array]:
        """The maps x' = J x + b of patterns (r, k), piece indices: J (r, n, n), b (r, n)."""
        pieces = np.array(ACTIVATIONS[self.activation][1])
        slopes, offsets = pieces[patterns, 0], pieces[patterns, 1]
        J = self.A + (self.M * slopes[:, np.newaxis, :]) @ self.C
        return J, (slopes * self.d + offsets) @ self.M.T + self.e

    def limits(self, patterns: Integers) -> tuple[Array, Array]:
        """Between which values C x + d lies in each pattern: low and high, (r, k)."""
        edges = np.array([-np.inf, *ACTIVATIONS[self.activation][0], np.inf])
        return edges[patterns], edges[patterns + 1]


def piecewise_form(f: Map, input: Array) -> PiecewiseForm | None:
    """The form of a network whose equations are known to be piecewise linear at a constant input; None for others."""
    while hasattr(f, "inner"):
        if isinstance(f, Driven):
            if len(f.inputs) > 1:
                return None
            input = f.inputs[0]
        f = f.inner
    cell: Any = f.cell if isinstance(f, CellMap) else None
    name = type(cell).__name__
    if name == "Elman" and cell.activation in ACTIVATIONS:
        n = len(cell.U)
        heard = (cell.W @ input[:, np.newaxis] + cell.b)[:, 0]
        return PiecewiseForm(np.zeros((n, n)), np.eye(n), np.asarray(cell.U), heard, np.zeros(n), cell.activation)
    if name == "PLRNN":
        n = len(cell.U)
        heard = (cell.W @ input[:, np.newaxis] + cell.b)[:, 0]
        A = np.diag(np.ravel(cell.A))
        return PiecewiseForm(A, np.asarray(cell.U), np.eye(n), np.zeros(n), heard, "relu")
    return None


@final
@dataclass(frozen=True)
class ExactSearch:
    """Orbits (k, p, n) that solve their own linear equation; how many sequences were looked at, and singular ones."""

    orbits: Array
    sequences: int
    singular: int


def exact_orbits(form: PiecewiseForm, p: int) -> ExactSearch | None:
    """All orbits with f^p(x) = x, by their activation patterns; None where there are too many to go through."""
    pieces, units = len(ACTIVATIONS[form.activation][1]), len(form.d)
    if units * np.log(pieces) > np.log(MOST):
        return None
    patterns = np.array(list(itertools.product(range(pieces), repeat=units)), dtype=np.int64).reshape(-1, units)
    r = len(patterns)
    follows = np.ones((r, r), dtype=bool)
    if p * np.log(r) > np.log(MOST):
        if r > REGIONS:
            return None
        follows = _follows(form, patterns)
    J, b = form.affine(patterns)
    paths = np.arange(r)[:, np.newaxis]
    P, c = J, b
    for _ in range(1, p):
        # The first pattern is the least of the sequence: every orbit has a phase where that is so.
        next_ones = follows[paths[:, -1]] & (np.arange(r) >= paths[:, :1])
        which, then = np.nonzero(next_ones)
        if len(which) > MOST:
            return None
        paths = np.concatenate([paths[which], then[:, np.newaxis]], axis=1)
        c = (J[then] @ c[which][:, :, np.newaxis])[:, :, 0] + b[then]
        P = J[then] @ P[which]
    closing = follows[paths[:, -1], paths[:, 0]]
    paths, P, c = paths[closing], P[closing], c[closing]
    x = solve_each(np.eye(P.shape[-1]) - P, c)
    orbit = [x]
    for t in range(p - 1):
        orbit.append((J[paths[:, t]] @ orbit[-1][:, :, np.newaxis])[:, :, 0] + b[paths[:, t]])
    orbits = np.stack(orbit, axis=1)
    low, high = form.limits(patterns)
    felt = orbits @ form.C.T + form.d
    slack = SLACK * (1.0 + np.abs(felt))
    own = ((felt >= low[paths] - slack) & (felt <= high[paths] + slack)).all(axis=(1, 2))
    return ExactSearch(orbits[own], len(paths), int((~np.isfinite(x).all(axis=1)).sum()))


def _follows(form: PiecewiseForm, patterns: Integers) -> Booleans:
    """(r, r) whether some state of pattern i is carried into pattern j."""
    from scipy.optimize import linprog

    J, b = form.affine(patterns)
    low, high = form.limits(patterns)
    r = len(patterns)
    out = np.zeros((r, r), dtype=bool)
    for i, j in itertools.product(range(r), repeat=2):
        rows = np.concatenate([form.C, form.C @ J[i]])
        shift = np.concatenate([form.d, form.C @ b[i] + form.d])
        below, above = np.concatenate([low[i], low[j]]) - shift, np.concatenate([high[i], high[j]]) - shift
        A = np.concatenate([rows[np.isfinite(above)], -rows[np.isfinite(below)]])
        limit = np.concatenate([above[np.isfinite(above)], -below[np.isfinite(below)]])
        answer = linprog(np.zeros(rows.shape[1]), A_ub=A, b_ub=limit, bounds=(None, None), method="highs")
        out[i, j] = answer.status != 2  # anything but "infeasible" stays in
    return out
