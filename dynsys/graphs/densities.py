"""The spectral density of a normalised adjacency matrix, by Chebyshev moments with standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.extremes import DENSE, EPS
from dynsys.graphs.graph import Graph, checked_normalization
from dynsys.graphs.reading import as_graph
from dynsys.limits import one_blas_thread
from dynsys.read_only import read_only
from dynsys.types import AnyArray, Array, ArrayLike, Progress

SINGLE = 100_000  # nodes beyond which float32 is far below the statistical error
TOGETHER = 16  # probes worked on at once


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class SpectralDensity:
    """How the eigenvalues of a normalised adjacency matrix are spread over [-1, 1], with multiplicity.

    Attributes:
        normalization: of the matrix ("row+loops" has the eigenvalues of "sym+loops").
        moments: (K,) Chebyshev moments tr T_k(M) / n, dimensionless; moments[0] = 1.
        moment_errors: (K,) their standard errors over the probes; rounding where the whole spectrum was computed.
        raw_moments: (K,) before the exact first and second moments were used to lower the error.
        exact: (tr M / n, tr M^2 / n), summed over nodes and edges.
        grid: (g,) eigenvalues, rising. density: (g,) smoothed density there of all eigenvalues but the trivial ones,
            integrating to 1 - trivial_share. errors: (g,) its standard errors.
        resolution: width (standard deviation) of the smoothing in the middle of the spectrum; narrower at the ends.
        trivial_share: share of the eigenvalues that are 1, one for each component: a peak without width.
        probes: random vectors used; 0 for the whole spectrum. seed. method: in words.
    """

    normalization: str
    moments: Array
    moment_errors: Array
    raw_moments: Array
    exact: tuple[float, float]
    grid: Array
    density: Array
    errors: Array
    resolution: float
    trivial_share: float
    probes: int
    seed: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        mean, square = self.exact
        return (
            f"{self.normalization}: spectral density from {len(self.moments)} moments ({self.method}); "
            f"mean {mean:.6f}, mean square {square:.6f}, {100 * self.trivial_share:.2g} % of the eigenvalues are 1"
        )

    __repr__ = __str__


def spectral_density(
    graph: Any,
    normalization: str = "sym+loops",
    *,
    moments: int = 100,
    probes: int | None = None,
    grid: ArrayLike | None = None,
    seed: int = 0,
    directed: str = "refuse",
    progress: Progress | None = None,
) -> SpectralDensity:
    """The spectral density by the kernel polynomial method with Jackson's kernel.

    Args:
        graph: anything `as_graph` reads; directed: as there. normalization: "sym+loops", "sym" or "row+loops".
        moments: K, at least 3; the resolution is pi / K.
        probes: random sign vectors; None is the whole spectrum up to 800 nodes, 64 probes up to 100,000, and 16 beyond,
            where the error is smaller for the same number.
        grid: eigenvalues in (-1, 1) at which the density is wanted; None is 4 K Chebyshev points.
        seed: of the probes. progress: called with (probes done, probes, message).

    Returns: SpectralDensity.
    Accuracy: the error of a moment falls like 1/sqrt(n probes). Cost: K/2 products with `probes` columns.
    Sources: K. Dong, A. Benson and D. Bindel, KDD 2019 (arXiv:1905.09758); A. Weisse, G. Wellein, A. Alvermann and
        H. Fehske, Reviews of Modern Physics 78 (2006) 275-306 (Jackson kernel, doubling of moments).
    """
    graph = as_graph(graph, directed=directed)
    symmetric = "sym" if checked_normalization(normalization) == "sym" else "sym+loops"
    if moments < 3:
        raise InputError(f"`moments` must be at least 3, got {moments}.")
    if probes is not None and probes < 4:
        raise InputError(f"`probes` must be at least 4, to tell their spread, got {probes}.")
    rng = seeds.generator(seed)
    points = np.cos(np.pi * (np.arange(4 * moments) + 0.5) / (4 * moments))[::-1] if grid is None else _grid(grid)
    exact = low_moments(graph, symmetric)
    values = None
    if probes is None and graph.n_nodes <= DENSE:
        with one_blas_thread():
            values = np.linalg.eigvalsh(graph.propagation_matrix(symmetric).toarray())
        angles = np.arccos(np.clip(values, -1.0, 1.0))
        mean = np.array([np.cos(k * angles).mean() for k in range(moments)])
        spread = np.zeros((moments, moments))
        rounding = np.full(moments, graph.n_nodes * EPS)
        raw, count = mean, 0
    else:
        count = probes or (64 if graph.n_nodes <= SINGLE else 16)
        by_probe = probe_moments(graph, symmetric, moments, count, rng, progress)
        raw = by_probe.mean(axis=1)
        mean, spread = _controlled(by_probe, raw, exact)
        rounding = np.zeros(moments)
    kernel = _jackson(moments)
    trivial = graph.n_components - (int((graph.degrees == 0).sum()) if symmetric == "sym" else 0)
    share = trivial / graph.n_nodes
    # rho(x) = sum_k (2 - [k=0]) g_k mu_k T_k(x) / (pi sqrt(1 - x^2)), where every trivial eigenvalue has T_k(1) = 1.
    factors = np.where(np.arange(moments) == 0, 1.0, 2.0) * kernel
    basis = np.cos(np.outer(np.arccos(points), np.arange(moments))) * factors
    basis /= np.pi * np.sqrt(1 - points**2)[:, np.newaxis]
    variance = np.einsum("gk,kl,gl->g", basis, spread, basis, optimize=True)
    return SpectralDensity(
        normalization=normalization,
        moments=mean,
        moment_errors=np.sqrt(np.maximum(np.diag(spread), 0.0)) + rounding,
        raw_moments=raw,
        exact=exact,
        grid=points,
        density=basis @ (mean - share),
        errors=np.sqrt(np.maximum(variance, 0.0)),
        resolution=math.pi / moments,
        trivial_share=share,
        probes=count,
        seed=seed,
        method="the whole spectrum, LAPACK" if not count else f"{count} probes",
    )


def _grid(grid: ArrayLike) -> Array:
    points = np.asarray(grid, dtype=np.float64)
    if points.ndim != 1 or not len(points) or not (np.abs(points) < 1).all():
        raise InputError("`grid` is a list of eigenvalues strictly between -1 and 1.")
    return points


def low_moments(graph: Graph, normalization: str = "sym+loops") -> tuple[float, float]:
    """(tr M / n, tr M^2 / n), exactly, for the symmetric M with the eigenvalues of this normalisation."""
    M = graph.propagation_matrix("sym" if normalization == "sym" else "sym+loops")
    return float(M.diagonal().mean()), float(np.square(M.data).sum()) / graph.n_nodes


def probe_moments(
    graph: Graph, normalization: str, moments: int, probes: int, rng: np.random.Generator, progress: Progress | None
) -> Array:
    """(K, probes) z^T T_k(M) z / n for random sign vectors z, two moments for each product."""
    n = graph.n_nodes
    kind = np.float32 if n > SINGLE else np.float64
    product = graph.operator(normalization, kind)
    out = np.empty((moments, probes))
    for first in range(0, probes, TOGETHER):
        width = min(TOGETHER, probes - first)
        z = (2 * rng.integers(0, 2, (n, width), dtype=np.int8) - 1).astype(kind)
        columns = slice(first, first + width)
        before, now = z, product(z)
        out[0, columns] = 1.0
        out[1, columns] = _dots(z, now) / n
        k = 1  # now = T_k z, before = T_(k-1) z
        while 2 * k < moments:
            out[2 * k, columns] = 2 * _dots(now, now) / n - 1.0
            if 2 * k + 1 >= moments:
                break
            after = product(now)
            after *= 2
            after -= before
            out[2 * k + 1, columns] = 2 * _dots(now, after) / n - out[1, columns]
            before, now = now, after
            k += 1
        if progress:
            progress(first + width, probes, "spectral density")
    return out


def _dots(a: AnyArray, b: AnyArray) -> Array:
    """Column by column, added up in float64 by blocks of rows."""
    total = np.zeros(a.shape[1])
    for first in range(0, len(a), 4096):
        rows = slice(first, first + 4096)
        total += np.einsum("ij,ij->j", a[rows], b[rows])
    return total


def _controlled(by_probe: Array, mean: Array, exact: tuple[float, float]) -> tuple[Array, Array]:
    """Means and their covariance, with the exactly known first two moments as control variates."""
    probes = by_probe.shape[1]
    covariance = np.cov(by_probe) / probes
    controls = by_probe[1:3]
    truth = np.array([exact[0], 2 * exact[1] - 1.0])
    among = np.cov(controls) / probes
    scale = np.sqrt(np.maximum(np.diag(among), 0.0))
    tiny = 1e-14
    usable = scale > tiny
    if not usable.any():
        return mean, covariance
    among, across = among[np.ix_(usable, usable)], covariance[:, 1:3][:, usable]
    slope = across @ np.linalg.pinv(among, rcond=1e-8, hermitian=True)
    better = mean + slope @ (truth - controls.mean(axis=1))[usable]
    left = covariance - slope @ across.T
    # Slopes that are fitted to the same probes make the remaining spread look too small.
    degrees = probes - 1 - int(usable.sum())
    left *= (probes - 1) / max(degrees, 1)
    better[0] = 1.0
    known = np.flatnonzero(usable) + 1
    better[known] = truth[usable]
    left[known], left[:, known] = 0.0, 0.0
    return better, left


def _jackson(moments: int) -> Array:
    k, N = np.arange(moments), moments + 1
    return np.asarray(
        ((N - k) * np.cos(np.pi * k / N) + np.sin(np.pi * k / N) / np.tan(np.pi / N)) / N, dtype=np.float64
    )
