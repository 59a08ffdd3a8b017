"""Implicit graph layers: the fixed point of X = s(A X W + B), whether it exists, and how fast iterations find it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from dynsys import seeds
from dynsys.errors import InputError, ShapeError
from dynsys.graphs import as_graph
from dynsys.maps import CellMap
from dynsys.propagate.activations import activate, slope
from dynsys.propagate.layers import LIPSCHITZ
from dynsys.propagate.run import checked_signal, normalization_of
from dynsys.read_only import read_only
from dynsys.types import Array

DENSE = 400  # values up to which eigenvalues are computed from the matrix itself


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class ImplicitSolution:
    """The fixed point of an implicit layer, and what is known about it before and after it was found.

    Attributes:
        state: (n, d) X. residual: max |s(A X W + B) - X|. converged: whether residual <= tol (1 + max |X|).
        perron: rho(A) rho(|W|) times the Lipschitz constant; below 1 there is exactly one fixed point for every B.
        contraction: Lip(s) |A|_2 |W|_2, the factor by which an iteration shrinks distances in the Frobenius norm, if
            it is below 1. kappa: Lip(s) rho(A) |W|_inf, the bound that Gu et al. project W onto.
        well_posed: True if `perron` or `contraction` proves it; None if neither does (which excludes nothing).
        picard_steps, anderson_steps: iterations until `tol`, None where they did not get there; picard_residuals,
            anderson_residuals: max |F(X) - X| at each of them.
        predicted_steps: of Picard's iteration: the most that `contraction` allows; predicted_steps_local: those that
            the local factor predicts. None where the factor is not below 1.
        local_factor: rho(J) at X, spectral radius of the Jacobian there: what the residuals fall by in the long run.
        adjoint_condition: 1 / (1 - rho(J)), how much the backward solve amplifies; inf from rho = 1 on.
        normalization: of A, or "as given". tol, notes: as asked; remarks.
    """

    state: Array
    residual: float
    converged: bool
    perron: float
    contraction: float
    kappa: float
    well_posed: bool | None
    picard_steps: int | None
    anderson_steps: int | None
    picard_residuals: Array
    anderson_residuals: Array
    predicted_steps: int | None
    predicted_steps_local: int | None
    local_factor: float
    adjoint_condition: float
    normalization: str
    tol: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        posed = "well posed (proved)" if self.well_posed else "not proved to be well posed"
        lines = [
            f"implicit layer on {self.state.shape[0]} nodes with {self.state.shape[1]} features: {posed}",
            f"rho(A) rho(|W|) {self.perron:.6g}, contraction {self.contraction:.6g}, rho(J) {self.local_factor:.6g}",
            f"Picard {_steps(self.picard_steps)} (at most {_steps(self.predicted_steps)} by the contraction, about "
            f"{_steps(self.predicted_steps_local)} by rho(J)); Anderson {_steps(self.anderson_steps)}",
            f"residual {self.residual:.1e}",
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def _steps(count: int | None) -> str:
    return "no bound" if count is None else f"{count} steps"


def solve_implicit(
    cell: Any,
    graph: Any,
    inputs: Any,
    *,
    normalization: str | None = None,
    tol: float = 1e-10,
    max_steps: int = 2000,
    memory: int = 5,
    seed: int = 0,
) -> ImplicitSolution:
    """Solve X = s(A X W + B), by Picard's iteration and by Anderson's, both from zero.

    Args:
        cell: `cells.ImplicitGCN`, or anything with `W` (d, d) and `activation`. graph: anything `as_graph` reads; None
            takes the cell's own A as it is.
        inputs: (n, d) B, the input of every iteration.
        normalization: as for `propagation`. tol: largest residual, relative to 1 + max |X|.
        max_steps: of each iteration. memory: how many steps Anderson's iteration mixes. seed: of the spectral radius.

    Returns: ImplicitSolution; `converged` says whether it is one.
    Sources: F. Gu et al., NeurIPS 2020 (arXiv:2009.06211); H. F. Walker and P. Ni, SIAM Journal on Numerical Analysis
        49 (2011) 1715-1735 (Anderson).
    """
    cell = cell.cell if isinstance(cell, CellMap) else cell
    if not hasattr(cell, "W") or not hasattr(cell, "activation"):
        raise InputError(f"need a cell with W and activation, such as cells.ImplicitGCN; got {type(cell).__name__}.")
    if max_steps < 1 or memory < 1 or not tol > 0:
        raise InputError(f"need max_steps >= 1, memory >= 1 and tol > 0, got {max_steps}, {memory}, {tol}.")
    A, name, notes = _matrix(cell, graph, normalization)
    W = np.asarray(cell.W, dtype=np.float64)
    B = checked_signal(inputs, A.shape[0]).astype(np.float64)
    if W.ndim != 2 or W.shape != (B.shape[1], B.shape[1]):
        raise ShapeError(f"W must be square and fit the inputs {B.shape}, got {W.shape}.")
    steep = LIPSCHITZ[cell.activation]
    radius, norm = _sizes(A, name, seed)
    perron = steep * radius * float(np.abs(np.linalg.eigvals(np.abs(W))).max(initial=0.0))
    contraction = steep * norm * float(np.linalg.norm(W, 2))

    def iterate(X: Array) -> Array:
        return np.asarray(activate(cell.activation, A @ (X @ W) + B))

    picard, first = _picard(iterate, B, tol, max_steps)
    anderson, second = _anderson(iterate, B, tol, max_steps, memory)
    goals = [_reached(history, tol, X) for X, history in ((picard, first), (anderson, second))]
    X = picard if goals[0] is not None else anderson
    residual = float(np.abs(iterate(X) - X).max())
    factor = _local_factor(A, W, slope(cell.activation, A @ (X @ W) + B), X.shape, seed) if _finite(X) else math.nan
    start = float(np.linalg.norm(iterate(np.zeros_like(B))))
    goal = tol * (1 + float(np.abs(X).max())) if _finite(X) else math.nan
    return ImplicitSolution(
        state=X,
        residual=residual,
        converged=any(steps is not None for steps in goals),
        perron=perron,
        contraction=contraction,
        kappa=steep * radius * float(np.linalg.norm(W, np.inf)),
        well_posed=True if min(perron, contraction) < 1 else None,
        picard_steps=goals[0],
        anderson_steps=goals[1],
        picard_residuals=np.array(first),
        anderson_residuals=np.array(second),
        predicted_steps=_predicted(contraction, start, goal),
        predicted_steps_local=_predicted(factor, float(first[0]), goal),
        local_factor=factor,
        adjoint_condition=1 / (1 - factor) if factor < 1 else math.inf,
        normalization=name,
        tol=tol,
        notes=notes,
    )


def _matrix(cell: Any, graph: Any, normalization: str | None) -> tuple[Any, str, tuple[str, ...]]:
    if graph is None:
        if not hasattr(cell, "A"):
            raise InputError("without a graph the cell must have its own matrix A.")
        return scipy.sparse.csr_array(cell.A, dtype=np.float64), "as given", ()
    graph = as_graph(graph)
    name, notes = normalization_of(cell, graph, normalization)
    return graph.propagation_matrix(name), name, notes


def _sizes(A: Any, name: str, seed: int) -> tuple[float, float]:
    """(spectral radius of |A|, |A|_2)."""
    if name in ("sym+loops", "sym"):
        return 1.0, 1.0
    magnitude = abs(A)
    radius = 1.0 if name == "row+loops" else _radius(magnitude, seed)
    if A.shape[0] <= DENSE:
        return radius, float(np.linalg.norm(A.toarray(), 2))
    v0 = seeds.generator(seed).random(A.shape[0])
    return radius, float(scipy.sparse.linalg.svds(A, k=1, v0=v0, return_singular_vectors=False)[0])


def _radius(A: Any, seed: int) -> float:
    n = A.shape[0]
    if n <= DENSE:
        whole = A.toarray() if scipy.sparse.issparse(A) else A @ np.eye(n)
        return float(np.abs(np.linalg.eigvals(whole)).max(initial=0.0))
    v0 = seeds.generator(seed).random(n)
    values = scipy.sparse.linalg.eigs(A, k=1, which="LM", v0=v0, return_eigenvectors=False, tol=1e-8)
    return float(np.abs(values).max())


def _local_factor(A: Any, W: Array, bend: Any, shape: tuple[int, ...], seed: int) -> float:
    """rho(J), J = diag(s'(Z)) (A (x) W^T)."""

    def push(v: Array) -> Array:
        out = A @ (v.reshape(shape) @ W)
        return np.asarray(out if bend is None else bend * out).ravel()

    size = math.prod(shape)
    if size <= DENSE:
        J = np.stack([push(column) for column in np.eye(size)], axis=1)
        return float(np.abs(np.linalg.eigvals(J)).max(initial=0.0))
    operator = scipy.sparse.linalg.LinearOperator((size, size), matvec=push, dtype=np.float64)
    try:
        return _radius(operator, seed)
    except scipy.sparse.linalg.ArpackNoConvergence as error:
        found = error.eigenvalues
        return float(np.abs(found).max()) if len(found) else math.nan


def _picard(iterate: Callable[[Array], Array], B: Array, tol: float, most: int) -> tuple[Array, list[float]]:
    X, history = np.zeros_like(B), []
    with np.errstate(all="ignore"):
        for _ in range(most):
            following = iterate(X)
            history.append(float(np.abs(following - X).max()))
            X = following
            if not math.isfinite(history[-1]) or history[-1] <= tol * (1 + float(np.abs(X).max())):
                break
    return X, history


def _anderson(
    iterate: Callable[[Array], Array], B: Array, tol: float, most: int, memory: int
) -> tuple[Array, list[float]]:
    """Anderson's iteration: the next state is the mixture of the last images whose residuals cancel best."""
    X = np.zeros_like(B)
    images: list[Array] = []
    misses: list[Array] = []
    history = []
    with np.errstate(all="ignore"):
        for _ in range(most):
            image = iterate(X)
            miss = (image - X).ravel()
            history.append(float(np.abs(miss).max()))
            if not math.isfinite(history[-1]) or history[-1] <= tol * (1 + float(np.abs(image).max())):
                X = image
                break
            images, misses = [*images[-memory:], image], [*misses[-memory:], miss]
            if len(images) == 1:
                X = image
                continue
            steps = np.stack([b - a for a, b in itertools.pairwise(misses)], axis=1)
            weights, *_ = np.linalg.lstsq(steps, miss, rcond=1e-12)
            moved = np.stack([(b - a).ravel() for a, b in itertools.pairwise(images)], axis=1)
            X = image - (moved @ weights).reshape(B.shape)
    return X, history


def _reached(history: list[float], tol: float, X: Array) -> int | None:
    done = history[-1] <= tol * (1 + float(np.abs(X).max())) if _finite(X) else False
    return len(history) if done else None


def _predicted(factor: float, start: float, goal: float) -> int | None:
    """Steps until start factor^(k-1) <= goal."""
    if not 0 <= factor < 1 or math.isnan(goal):
        return None
    if start <= goal or factor == 0:
        return 1 if start <= goal else 2
    return 1 + math.ceil(math.log(goal / start) / math.log(factor))


def _finite(X: Array) -> bool:
    return bool(np.isfinite(X).all())
