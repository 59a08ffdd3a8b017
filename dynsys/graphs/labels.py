"""Homophily: how often neighbours share a label, by the measures in use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.sparse

from dynsys.errors import InputError, ShapeError
from dynsys.graphs.graph import Graph
from dynsys.graphs.reading import as_graph
from dynsys.types import Integers


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Homophily:
    """Measures of how labels follow edges, dimensionless; each edge counts once, weights and self-loops play no part.

    Attributes:
        edge: share of edges whose ends share a label. node: mean over nodes with a neighbour of the share of neighbours
            with their label. class_insensitive: mean excess over the share of the class (Lim et al. 2021).
        adjusted: edge homophily against what the degrees of the classes alone would give; 0 for random, 1 for pure.
        label_informativeness: share of a node's label entropy that a neighbour's label takes away; in [0, 1].
        classes: their number. unlabelled: nodes without a label; they share it with none.
    """

    edge: float
    node: float
    class_insensitive: float
    adjusted: float
    label_informativeness: float
    classes: int
    unlabelled: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        return (
            f"homophily of {self.classes} classes: edge {self.edge:.5f}, node {self.node:.5f}, class-insensitive "
            f"{self.class_insensitive:.5f}, adjusted {self.adjusted:.5f}, label informativeness "
            f"{self.label_informativeness:.5f}"
        )

    __repr__ = __str__


def homophily(graph: Any, labels: Any, *, directed: str = "refuse") -> Homophily:
    """Homophily of a labelled graph.

    Args:
        graph: anything `as_graph` reads; directed: as there.
        labels: (n,) whole numbers or texts, one for each node in the graph's order; -1, NaN or None: no label.

    Returns: Homophily; NaN where a measure is not defined (no edges, one class).
    Source: O. Platonov, D. Kuznedelev, A. Babenko and L. Prokhorenkova, NeurIPS 2023 (arXiv:2209.06177); D. Lim et
        al., NeurIPS 2021 (arXiv:2110.14446).
    """
    graph = as_graph(graph, directed=directed)
    y, classes = _numbered(labels, graph.n_nodes)
    u, v = graph.edges
    m = graph.n_edges
    degrees = graph.neighbour_counts.astype(np.float64)
    same = (y[u] == y[v]) & (y[u] >= 0)
    around = np.bincount(u[same], minlength=graph.n_nodes) + np.bincount(v[same], minlength=graph.n_nodes)
    joined = degrees > 0
    edge = float(same.mean()) if m else math.nan
    node = float((around[joined] / degrees[joined]).mean()) if m else math.nan
    known = y >= 0
    volume = np.bincount(y[known], weights=degrees[known], minlength=classes)
    insensitive = _class_insensitive(y, around, volume, classes)
    expected = float(np.square(volume / (2 * m)).sum()) if m else math.nan
    adjusted = (edge - expected) / (1 - expected) if m and expected < 1 else math.nan
    return Homophily(
        edge=edge,
        node=node,
        class_insensitive=insensitive,
        adjusted=adjusted,
        label_informativeness=_informativeness(graph, y, classes),
        classes=classes,
        unlabelled=int((~known).sum()),
    )


def _numbered(labels: Any, n: int) -> tuple[Integers, int]:
    """(n,) classes 0, 1, ..., -1 for none; and how many there are."""
    given = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if given.shape != (n,):
        raise ShapeError(f"`labels` needs one label for each of {n} nodes, shape ({n},); got {given.shape}.")
    if given.dtype.kind == "O":
        missing = np.array([x is None or (isinstance(x, float) and math.isnan(x)) for x in given.tolist()])
        given = np.where(missing, "", given.astype(str))
    elif given.dtype.kind in "US":
        missing = np.zeros(n, dtype=bool)
    elif given.dtype.kind in "biuf":
        missing = ~np.isfinite(given.astype(np.float64)) | (given.astype(np.float64) == -1)
    else:
        raise InputError(f"labels are whole numbers or texts, got {given.dtype}.")
    if given.dtype.kind == "f" and not (given[~missing] == np.rint(given[~missing])).all():
        raise InputError("labels are classes, whole numbers or texts; these are continuous values.")
    out = np.full(n, -1, dtype=np.int64)
    names, out[~missing] = np.unique(given[~missing], return_inverse=True)
    if not len(names):
        raise InputError("no node has a label.")
    return out, len(names)


def _class_insensitive(y: Integers, around: Any, volume: Any, classes: int) -> float:
    if classes < 2 or not volume.any():
        return math.nan
    known = y >= 0
    within = np.bincount(y[known], weights=around[known], minlength=classes)
    share = np.divide(within, volume, out=np.zeros(classes), where=volume > 0)
    sizes = np.bincount(y[known], minlength=classes) / len(y)
    return float(np.maximum(share - sizes, 0.0).sum() / (classes - 1))


def _informativeness(graph: Graph, y: Integers, classes: int) -> float:
    """2 - H(label of u, label of v) / H(label of u) for a random edge; unlabelled ends are left aside."""
    u, v = graph.edges
    known = (y[u] >= 0) & (y[v] >= 0)
    if not known.any():
        return math.nan
    a, b = y[u[known]], y[v[known]]
    pairs = scipy.sparse.coo_array((np.ones(2 * len(a)), (np.append(a, b), np.append(b, a))), shape=(classes, classes))
    joint = scipy.sparse.csr_array(pairs).data / (2 * len(a))
    single = np.bincount(np.append(a, b), minlength=classes) / (2 * len(a))
    single = single[single > 0]
    entropy = -float((single * np.log(single)).sum())
    return 2.0 + float((joint * np.log(joint)).sum()) / entropy if entropy > 0 else math.nan
