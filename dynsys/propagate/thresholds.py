"""Where the zero signal loses its stability as the weights of H' = tanh(w A H W) grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.graphs import as_graph
from dynsys.maps import numbers
from dynsys.propagate.gap import gap_of
from dynsys.propagate.operator import Propagator, propagator
from dynsys.read_only import read_only
from dynsys.types import Array, Complex, Integers

DENSE = 3000  # nodes up to which all eigenvalues of A are computed
SAME = 1e-9  # relative difference below which two thresholds are one


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholds:
    """The weights w at which modes of the origin go unstable, smallest first.

    Attributes:
        w: (k,) dimensionless, 1 / |lambda mu|.
        kinds: (k,) "pitchfork" (multiplier +1), "flip" (-1) or "neimark-sacker" (a complex pair).
        eigenvalues: (k,) lambda of A. weight_eigenvalues: (k,) mu of W.
        multiplicity: (k,) how many modes cross together (a complex pair counts two).
        homogeneous: (k,) whether the mode is one of the collapse subspace (lambda = 1).
        complete: whether all eigenvalues of A were used, or only its ends.
        normalization, regular: of A; whether its collapse subspace is constant on components.
    """

    w: Array
    kinds: tuple[str, ...]
    eigenvalues: Array
    weight_eigenvalues: Complex
    multiplicity: Integers
    homogeneous: tuple[bool, ...]
    complete: bool
    normalization: str
    regular: bool
    spectrum: Array

    def unstable(self, w: float) -> int:
        """How many modes of the origin are unstable at weight w."""
        return int(self.multiplicity[self.w < abs(w)].sum())

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        lines = [f"thresholds of the origin of tanh(w A H W), normalisation {self.normalization}"]
        for i in range(min(len(self.w), 20)):
            mu = self.weight_eigenvalues[i]
            shown = f"{mu.real:.6g}" if abs(mu.imag) < 1e-12 else f"{mu.real:.6g}{mu.imag:+.6g}i"
            times = f" x{self.multiplicity[i]}" if self.multiplicity[i] > 1 else ""
            lines.append(f"w = {self.w[i]:.8g}  {self.kinds[i]}{times}  lambda {self.eigenvalues[i]:.6g}, mu {shown}")
        return "\n".join(lines + ([f"... {len(self.w) - 20} more"] if len(self.w) > 20 else []))

    __repr__ = __str__


def origin_thresholds(graph: Any, W: Any = None, *, normalization: str = "sym+loops") -> Thresholds:
    """The weights w at which H = 0 of H' = tanh(w A H W) loses stability, mode by mode.

    Mode (i, j) has the multiplier w lambda_i mu_j; it leaves the unit circle at w = 1 / |lambda_i mu_j|. The same holds
    for every odd function with slope 1 at zero.

    Args:
        graph: anything `as_graph` reads. W: (d, d), or None for a scalar weight. normalization: of A, by name.

    Returns: Thresholds; from all eigenvalues of A up to 3000 nodes, else from the ends of its spectrum.
    Source: Turan et al. (arXiv:2602.15634).
    """
    graph = as_graph(graph)
    A = propagator(graph, normalization)
    weights = np.ones((1, 1)) if W is None else numbers(W, "W")
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise ShapeError(f"`W` must be square, got {weights.shape}.")
    mu = np.linalg.eigvals(weights).astype(np.complex128)
    spectrum, trivial = _spectrum(A)
    return _sorted(A, spectrum, trivial, mu)


def homogeneous_state(w: float) -> float:
    """h* > 0 with h* = tanh(w h*): the collapsed state of a regular graph, per node; 0 for w <= 1."""
    if not math.isfinite(w):
        raise InputError(f"`w` must be a finite number, got {w}.")
    if w <= 1:
        return 0.0
    # From above: the function is concave there, so that Newton's steps fall to h* without passing it.
    h = 1.0
    for _ in range(100):
        value = math.tanh(w * h)
        step = (h - value) / (1 - w * (1 - value * value))
        h -= step
        if abs(step) <= 1e-16:
            break
    return h


def homogeneous_multipliers(graph: Any, w: float, *, normalization: str = "sym+loops") -> Array:
    """(n,) multipliers w (1 - h*^2) lambda_i of the collapsed state of H' = tanh(w A H), largest modulus first.

    For a graph on which the collapsed states are constant on components: regular, or "row+loops".
    """
    A = propagator(as_graph(graph), normalization)
    if not A.regular:
        raise InputError(
            "the collapsed state has one value on all nodes only where all degrees agree; use a regular graph, or "
            'normalization="row+loops".'
        )
    spectrum, _ = _spectrum(A)
    h = homogeneous_state(w)
    values = w * (1 - h * h) * spectrum
    return np.asarray(values[np.argsort(-np.abs(values), kind="stable")])


def _spectrum(A: Propagator) -> tuple[Array, int]:
    """Eigenvalues of A, the exact ones of its trivial subspace first, and how many of those there are."""
    if A.n > DENSE:
        gap = gap_of(A)
        return np.array([1.0] * A.count + [gap.lambda_2, gap.lambda_min]), A.count
    root = np.sqrt(A.weights)
    symmetric = root[:, np.newaxis] * A.matrix.toarray() / root
    values = np.linalg.eigvalsh((symmetric + symmetric.T) / 2)[::-1]
    values[: A.count] = 1.0
    return np.asarray(values), A.count


def _same(one: list[Any], other: tuple[Any, ...]) -> bool:
    """Whether two entries are the same kind of crossing of the same eigenvalues."""
    close = abs(one[2] - other[2]) <= SAME and abs(one[3] - other[3]) <= SAME * abs(other[3])
    return bool(close and one[1] == other[1] and one[5] == other[5])


def _sorted(A: Propagator, spectrum: Array, trivial: int, mu: Complex) -> Thresholds:
    products = np.multiply.outer(spectrum, mu)
    rounding = 1e-13 * float(np.abs(products).max(initial=0.0))
    entries = []
    for i, lam in enumerate(spectrum):
        for j, m in enumerate(mu):
            product = products[i, j]
            if abs(product) <= rounding or m.imag < -1e-12 * abs(m):
                continue  # never crosses; or the other half of a pair
            pair = m.imag > 1e-12 * abs(m)
            kind = "neimark-sacker" if pair else "pitchfork" if product.real > 0 else "flip"
            entries.append((1.0 / abs(product), kind, float(lam), complex(m), 2 if pair else 1, i < trivial))
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    merged: list[list[Any]] = []
    for entry in entries:
        same = next((known for known in merged[::-1] if _same(known, entry)), None)
        if same is None:
            merged.append(list(entry))
        else:
            same[4] += entry[4]
    return Thresholds(
        w=np.array([entry[0] for entry in merged]),
        kinds=tuple(entry[1] for entry in merged),
        eigenvalues=np.array([entry[2] for entry in merged]),
        weight_eigenvalues=np.array([entry[3] for entry in merged], dtype=np.complex128),
        multiplicity=np.array([entry[4] for entry in merged], dtype=np.int64),
        homogeneous=tuple(entry[5] for entry in merged),
        complete=A.n <= DENSE,
        normalization=A.normalization,
        regular=A.regular,
        spectrum=spectrum,
    )
