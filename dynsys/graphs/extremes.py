"""The eigenvalues that decide how fast features on a graph become alike: all but the trivial ones, both ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.graph import Graph, checked_normalization
from dynsys.graphs.lanczos import FINE, End, ends, unseen_bound
from dynsys.graphs.laplacian import DIRECT, Laplacian
from dynsys.graphs.operators import SparseOperator
from dynsys.graphs.reading import as_graph
from dynsys.graphs.trivial_space import TrivialSpace
from dynsys.graphs.two_colours import alternating_vector
from dynsys.limits import one_blas_thread
from dynsys.read_only import read_only
from dynsys.types import Array

DENSE = 800  # nodes up to which the whole spectrum is computed
FREE = 3e8  # entries and node values touched that cost no time worth saving: spent on a smaller residual
GRACE = 3e9  # the same, spent on telling a small gap from zero
EPS = float(np.finfo(np.float64).eps)


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class GraphSpectrum:
    """The ends of the spectrum of a normalised adjacency matrix, its eigenvalue-1 space left out exactly.

    Attributes:
        normalization: of the matrix. components: connected components of the graph, c. trivial: dimension of the
            eigenvalue-1 space: c, but for "sym" without the nodes of degree 0, whose eigenvalue is 0.
        lambda_2, lambda_min: largest and smallest of all other eigenvalues, dimensionless; NaN where there are none.
        lambda_star: max(|lambda_2|, |lambda_min|): the factor by which a linear layer brings features nearer to the
            trivial space, per layer, in the end. gap: 1 - lambda_star.
        residuals: (2,) |M v - lambda v|_2 for unit vectors v: an eigenvalue lies that near lambda_2, lambda_min.
        unseen: (2,) no eigenvalue lies further beyond lambda_2 (lambda_min) than this, except with probability 10^-3
            over the random start; rounding where the whole spectrum was computed. lambda_2 is never too large and
            lambda_min never too small.
        norm: spectral norm of the matrix: 1 for symmetric ones with an edge or a loop; >= 1 for "row+loops", where
            features may grow before they become alike.
        vectors: (2, n) the unit eigenvectors of lambda_2 and lambda_min of the symmetric matrix; those of "row+loops"
            are these over the root of degree + 1.
        converged: whether both residuals are within tol. tol: as given. products: matrix-vector products spent.
        method: in words. notes: remarks.
    """

    normalization: str
    components: int
    trivial: int
    lambda_2: float
    lambda_min: float
    residuals: Array
    unseen: Array
    norm: float
    vectors: Array
    converged: bool
    tol: float
    products: int
    method: str
    notes: tuple[str, ...]

    @property
    def lambda_star(self) -> float:
        """The largest modulus; 0 where no eigenvalue is left."""
        values = [abs(x) for x in (self.lambda_2, self.lambda_min) if not math.isnan(x)]
        return max(values, default=0.0)

    @property
    def gap(self) -> float:
        """1 - lambda_star. An upper bound on the true gap, up to rounding."""
        return 1.0 - self.lambda_star

    @property
    def gap_error(self) -> float:
        """Residual that the gap is known to: of the ends that may decide it."""
        sizes = np.abs([self.lambda_2, self.lambda_min])
        decide = ~(sizes + self.residuals < self.lambda_star)
        return float(self.residuals[decide].max(initial=0.0))

    @property
    def dominant(self) -> str:
        """Which end decides lambda_star: "positive", "negative", or "undecided" within the errors."""
        difference = self.lambda_2 + self.lambda_min
        if not abs(difference) > float(np.minimum(self.residuals, self.unseen).sum()):
            return "undecided"
        return "positive" if difference > 0 else "negative"

    def to_dict(self) -> dict[str, Any]:
        """All fields but the vectors, for JSON."""
        names = [name for name in self.__dataclass_fields__ if name != "vectors"]
        derived = ("lambda_star", "gap", "gap_error", "dominant")
        return {name: getattr(self, name) for name in (*names, *derived)}

    def __str__(self) -> str:
        lines = [
            f"{self.normalization}: {self.components} component{'s' if self.components > 1 else ''}, "
            f"lambda_2 = {self.lambda_2:.8f}, lambda_min = {self.lambda_min:.8f}, gap = {self.gap:.3e}",
            f"residuals {self.residuals[0]:.1e} and {self.residuals[1]:.1e}; {self.method}",
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def spectrum(
    graph: Any, normalization: str = "sym+loops", tol: float = 1e-4, *, seed: int = 0, directed: str = "refuse"
) -> GraphSpectrum:
    """lambda_2, lambda_min and the gap of a graph's normalised adjacency matrix.

    Args:
        graph: anything `as_graph` reads; directed: as there.
        normalization: "sym+loops", "sym" or "row+loops" (which has the eigenvalues of "sym+loops").
        tol: residual to reach; where more costs nothing, as on graphs of some thousand nodes, it ends far below.
        seed: of the random start.

    Returns: GraphSpectrum.
    Accuracy: an eigenvalue within each residual, and none far beyond (`unseen`). Cost: up to 800 nodes the whole
        spectrum, O(n^3); else a few hundred products of O(m), about 1/sqrt(gap) for regular grids. A `Graph` remembers
        its spectra: asking again costs nothing.
    """
    graph = as_graph(graph, directed=directed)
    checked_normalization(normalization)
    if not 0 < tol < 1:
        raise InputError(f"`tol` is a residual between 0 and 1, got {tol}.")
    seeds.generator(seed)
    known: dict[tuple[str, float, int], GraphSpectrum] = graph.known_spectra
    key = (normalization, tol, seed)
    if key not in known:
        known[key] = _spectrum(graph, normalization, tol, seed)
    return known[key]


def _spectrum(graph: Graph, normalization: str, tol: float, seed: int) -> GraphSpectrum:
    twin = graph.known_spectra.get(("sym+loops", tol, seed))
    if normalization == "row+loops" and twin is not None:
        norm = _norm(graph, normalization, tol, seeds.generator(seed))
        return replace(twin, normalization=normalization, norm=norm)  # the same eigenvalues
    rng = seeds.generator(seed)
    symmetric = "sym" if normalization == "sym" else "sym+loops"
    space = TrivialSpace.of(graph, symmetric)
    rest = graph.n_nodes - space.dimension
    notes = []
    if not rest:
        empty, zeros = np.zeros((2, graph.n_nodes)), np.zeros(2)
        found, spent = (End(math.nan, 0.0, empty[0]), End(math.nan, 0.0, empty[1])), 0
        unseen, method = zeros, "no computation: every component is a single node"
        notes.append("every component is a single node: there is no eigenvalue but the trivial ones")
    elif graph.n_nodes <= DENSE:
        found, spent = _dense(graph, symmetric, space), 0
        unseen, method = np.full(2, graph.n_nodes * EPS), "the whole spectrum, LAPACK"
    else:
        found, unseen, spent = _iterated(graph, symmetric, space, rest, tol, rng)
        method = f"Lanczos, {spent} products and solves, the trivial space left out exactly"
    residuals = np.array([end.residual for end in found])
    converged = bool((residuals <= tol).all())
    if not converged:
        notes.append(f"the residuals did not reach {tol:g}: lambda_2 is a lower bound, lambda_min an upper one")
    result = GraphSpectrum(
        normalization=normalization,
        components=graph.n_components,
        trivial=space.dimension,
        lambda_2=found[0].value,
        lambda_min=found[1].value,
        residuals=residuals,
        unseen=unseen,
        norm=_norm(graph, normalization, tol, rng),
        vectors=_read_only(np.stack([end.vector for end in found])),
        converged=converged,
        tol=tol,
        products=spent,
        method=method,
        notes=tuple(notes),
    )
    if result.gap_error > max(0.1 * result.gap, 1e-12):
        notes.append("the gap is not large against the residual: read it as an upper bound, or lower `tol`")
    return replace(result, notes=tuple(notes))


def _read_only(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _dense(graph: Graph, normalization: str, space: TrivialSpace) -> tuple[End, End]:
    M = graph.propagation_matrix(normalization).toarray()
    # The trivial eigenvalues move from 1 to -2, below all others.
    with one_blas_thread():
        values, vectors = np.linalg.eigh(M - 3.0 * space.projector())

    def end(at: int) -> End:
        v = vectors[:, at]
        return End(float(values[at]), float(np.linalg.norm(M @ v - values[at] * v)), v)

    return end(-1), end(space.dimension)


def _iterated(
    graph: Graph, normalization: str, space: TrivialSpace, rest: int, tol: float, rng: np.random.Generator
) -> tuple[tuple[End, End], Array, int]:
    product = graph.operator(normalization)

    def apply(x: Array) -> Array:
        return space.remove(np.asarray(product(x)))

    per_step = product.nnz + 10 * graph.n_nodes
    laplacian = Laplacian(graph)
    solvable = graph.n_nodes <= DIRECT or laplacian.thin
    # Where "sym" has the eigenvalue -1, its vector is known, and Lanczos would take long to tell it from the next.
    alternating = alternating_vector(graph) if normalization == "sym" else None

    def wanted(value: float, step: int) -> float:
        if step * per_step < FREE:
            return FINE
        if step * per_step > GRACE or (value > 0 and solvable):
            return tol
        return min(tol, max(0.05 * (1.0 - abs(value)), FINE))

    start = space.remove(rng.standard_normal(graph.n_nodes))
    found = ends(apply, start, wanted=wanted, smallest=alternating is None)
    spread = 2.0 if normalization == "sym" else 2.0 - 2.0 / (1.0 + float(graph.degrees.max()))
    rounding = graph.n_nodes * EPS
    unseen = np.full(2, rounding if found.exhausted else unseen_bound(found.krylov, rest, spread))
    top, bottom, products = found.largest, found.smallest, found.products
    if alternating is not None:
        bottom, unseen[1] = measured(product, -1.0, alternating), rounding
    if solvable and top.residual > 0.05 * (1.0 - top.value):
        top, unseen[0], more = nearest_to_one(graph, laplacian, normalization, space, start)
        products += more
    return (top, bottom), unseen, products


def measured(product: SparseOperator, value: float, v: Array) -> End:
    """An eigenvalue that is known, with the residual of its vector."""
    return End(value, float(np.linalg.norm(product(v) - value * v)), v)


def nearest_to_one(
    graph: Graph, laplacian: Laplacian, normalization: str, space: TrivialSpace, start: Array
) -> tuple[End, float, int]:
    """lambda_2 of a graph that is nearly disconnected, by Lanczos with the inverse of I - M.

    With R the root of the degrees that normalise M, I - M = R^-1 L R^-1: each step solves with the Laplacian.
    """
    root = np.sqrt(graph.degrees + (0.0 if normalization == "sym" else 1.0))

    def invert(x: Array) -> Array:
        return space.remove(root * laplacian.solve((root * x)[:, np.newaxis], 1e-11).x[:, 0])

    # A node of degree 0 is left out: its eigenvalue under "sym" is 0, far from 1.
    found = ends(
        invert, space.remove(np.where(root > 0, start, 0.0)), wanted=lambda mu, _: 1e-10 * mu, steps=300, smallest=False
    )
    v = found.largest.vector
    image = space.remove(np.asarray(graph.operator(normalization)(v)))
    value = float(v @ image)
    end = End(value, float(np.linalg.norm(image - value * v)), v)
    # Beyond mu by at most this share of it, so beyond lambda_2 = 1 - 1/mu by that share of the gap.
    share = 0.0 if found.exhausted else unseen_bound(found.krylov, graph.n_nodes, 1.0)
    return end, share * (1.0 - value) + graph.n_nodes * EPS, found.products


def _norm(graph: Graph, normalization: str, tol: float, rng: np.random.Generator) -> float:
    """Spectral norm of the matrix."""
    if normalization != "row+loops":
        return 1.0 if normalization == "sym+loops" or graph.adjacency.nnz else 0.0
    if np.ptp(graph.degrees) == 0:
        return 1.0  # a multiple of the symmetric one
    M = graph.operator(normalization)
    back = SparseTranspose(graph)
    if graph.n_nodes <= DENSE:
        with one_blas_thread():
            return float(np.linalg.norm(M.matrix.toarray(), 2))
    found = ends(
        lambda x: np.asarray(back(np.asarray(M(x)))),
        np.abs(rng.standard_normal(graph.n_nodes)),
        wanted=lambda value, step: max(FINE, tol) * value if step * (2 * M.nnz) > FREE else FINE * value,
        smallest=False,
    )
    return math.sqrt(found.largest.value)


class SparseTranspose:
    """x -> P^T x for P = (D+I)^-1 (A+I): A is symmetric, so no transpose need be stored."""

    def __init__(self, graph: Graph) -> None:
        self._product = graph.operator("row+loops")
        self._root = graph.degrees + 1.0

    def __call__(self, x: Array) -> Array:
        # P = D^-1 B, P^T = B D^-1 = D (D^-1 B) D^-1.
        return np.asarray(self._root * self._product(x / self._root))


def second_vector(graph: Graph, normalization: str, tol: float, seed: int) -> tuple[GraphSpectrum, Array]:
    """The spectrum, and the eigenvector of lambda_2 over the root of the degrees that normalise it, (n,)."""
    found = spectrum(graph, normalization, tol, seed=seed)
    degrees = graph.degrees + (1.0 if normalization.endswith("+loops") else 0.0)
    with np.errstate(divide="ignore"):
        scale = np.where(degrees > 0, degrees**-0.5, 0.0)
    return found, found.vectors[0] * scale
