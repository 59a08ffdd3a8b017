"""`propagation`: a signal followed through the layers of a graph network, measured at every one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse

from dynsys.checked_numbers import whole_number
from dynsys.errors import InputError, ShapeError
from dynsys.graphs import as_graph
from dynsys.maps import numbers, require_finite
from dynsys.propagate.bands import EDGES, checked_edges
from dynsys.propagate.follow import Settings, follow
from dynsys.propagate.gap import gap_of
from dynsys.propagate.layers import RandomGCN, Stack, cells_with_matrix, stack_of
from dynsys.propagate.operator import propagator
from dynsys.propagate.over_seeds import joined
from dynsys.propagate.probe import as_probe
from dynsys.propagate.result import Propagation
from dynsys.types import AnyArray, Progress

DENSEST = 2**28  # entries of sparse features that are made dense


def propagation(
    gcn: Any,
    graph: Any,
    features: Any,
    depth: int | None = None,
    *,
    normalization: str | None = None,
    beyond: str | None = None,
    labels: Any = None,
    train: Any = None,
    test: Any = None,
    bands: Sequence[float] | None = EDGES,
    ranks: bool | None = None,
    jacobians: bool | None = None,
    gradients: bool | None = None,
    full: bool | None = None,
    singular_values: int = 0,
    collapse_tol: float = 0.01,
    spectrum: Any = None,
    dtype: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Propagation:
    """Follow `features` through `depth` layers of a graph network, and measure what is left of them.

    Args:
        gcn: None (linear propagation, W = I); a cell (cells.GCN, cells.GCNII, cells.ImplicitGCN), repeated; a list of
            layers; a graph network from `dynsys.load`; or a `RandomGCN`.
        graph: anything `dynsys.graphs.as_graph` reads, n nodes.
        features: (n, d) or (n,), the signal, rows in the order of the graph's nodes; may be scipy sparse.
        depth: layers; None takes a network's own, else 64.
        normalization: "sym+loops", "sym" or "row+loops". None takes the one a cell's own matrix A was made with, else
            "sym+loops".
        beyond: how a network goes on past its own layers: "tied" repeats the last, "linear" has W = I. None is "tied"
            where the last layer is square.
        labels, train, test: (n,) classes, and the nodes a linear probe learns from and is tested on.
        bands: limits between -1 and 1 of the bands of eigenvalues in `band_energy`; None leaves them out.
        ranks, jacobians, gradients: measure the ranks of the signal, each layer's Jacobian, and a gradient back through
            all layers; None where that is affordable.
        full: measure ranks, bands and gains of Jacobians at every layer (True) or at layers 0, 1, 2, 4, 8, ... and the
            last (False); None decides by cost: every layer, these, the first and the last, or none.
        singular_values: how many leading singular values of each layer's Jacobian to compute (layers as for `full`; not
            where they would take more than 1 GiB).
        collapse_tol: relative distance d_M / |H| below which a signal counts as collapsed.
        spectrum: a `dynsys.graphs.spectrum` of this graph and normalisation, where there is one already.
        dtype: of the signal, "float32" or "float64"; None is float64 up to 4e6 entries. Sums are in float64.
        seed: of the random gradient, of sampled edges. progress: called with (layers done, layers, message).

    Returns: Propagation.
    Accuracy: the collapsed and the remaining part of the signal are carried apart, each with its own scale: the
        distance keeps its relative accuracy at any depth, however small it is against the signal.
    Sources: K. Oono and T. Suzuki, ICLR 2020 (arXiv:1905.10947); C. Cai and Y. Wang (arXiv:2006.13318); T. K. Rusch, M.
        Bronstein and S. Mishra (arXiv:2303.10993).
    """
    graph = as_graph(graph)
    signal = checked_signal(features, graph.n_nodes)
    if not 0 < collapse_tol < 1:
        raise InputError(f"`collapse_tol` must lie between 0 and 1, got {collapse_tol}.")
    limits = None if bands is None else checked_edges(bands)
    normalization, remarks = normalization_of(gcn, graph, normalization)
    A = propagator(graph, normalization)
    probe = as_probe(labels, train, test, A.n)
    singular_values = whole_number("singular_values", singular_values, 0)
    settings = Settings(
        limits, ranks, jacobians, gradients, full, singular_values, collapse_tol, dtype, seed, progress, probe
    )
    gap = gap_of(A, spectrum, seed=seed)
    if isinstance(gcn, RandomGCN):
        layers = 64 if depth is None else depth
        stack_of(None, signal, layers)  # checks the depth
        what = f"random GCN, {gcn.activation}, gain {gcn.gain:g}" + (", tied" if gcn.tied else "")
        made = [Stack(tuple(gcn.layers(signal.shape[1], layers, s)), layers, what) for s in gcn.seeds]
        return joined([follow(A, stack, signal, gap, settings, remarks) for stack in made], gcn.seeds)
    return follow(A, stack_of(gcn, signal, depth, beyond), signal, gap, settings, remarks)


def checked_signal(features: Any, n: int) -> AnyArray:
    """(n, d) numbers, float32 as it comes or float64."""
    if scipy.sparse.issparse(features):
        if math.prod(features.shape) > DENSEST:
            raise InputError(
                f"sparse features {features.shape} would take {8e-9 * math.prod(features.shape):.0f} GB when dense; "
                "reduce them first, e.g. by a random projection to some hundred columns."
            )
        features = features.toarray()
    array = np.asarray(features)
    if array.dtype != np.float32:
        array = numbers(features, "features")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] < 1:
        raise ShapeError(f"`features` needs shape (n, d) with at least one column, got {array.shape}.")
    if len(array) != n:
        hint = " Pass their transpose." if array.shape[1] == n else ""
        raise ShapeError(f"the graph has {n} nodes, `features` has {len(array)} rows.{hint}")
    require_finite(array, "features")
    return array


def normalization_of(gcn: Any, graph: Any, asked: str | None) -> tuple[str, tuple[str, ...]]:
    """The normalisation by name, and a remark where a cell's own matrix is another one."""
    for cell in cells_with_matrix(gcn):
        if cell.A.shape[0] != graph.n_nodes:
            return asked or "sym+loops", (
                f"the cell's own matrix is for {cell.A.shape[0]} nodes; its weights are used on this graph",
            )
        if asked is not None:
            continue
        for name in ("sym+loops", "sym", "row+loops"):
            if abs(scipy.sparse.csr_array(cell.A) - graph.propagation_matrix(name)).max() <= 1e-6:
                return name, ()
        raise InputError(
            "the cell's matrix A is no normalisation of this graph: build the cell with "
            "cells.propagation_matrix(adjacency, name), or say with `normalization` which one to use in its place."
        )
    return asked or "sym+loops", ()
