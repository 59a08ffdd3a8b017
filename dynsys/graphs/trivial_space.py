"""The eigenvalue-1 space of a normalised adjacency matrix, known exactly: one vector for each component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.graphs.graph import Graph
from dynsys.types import AnyArray, Array, Integers


@final
@dataclass(frozen=True, eq=False)
class TrivialSpace:
    """The space M of the vectors u_k: the root of the degrees on component k, zero elsewhere; of unit length.

    Attributes:
        entries: (n,) the sum of all u_k. labels: (n,) the component of each node. dimension: number of vectors; of
            "sym", nodes of degree 0 have none. connected: whether there is one component.
    """

    entries: Array
    labels: Integers
    dimension: int
    connected: bool

    @classmethod
    def of(cls, graph: Graph, normalization: str = "sym+loops") -> TrivialSpace:
        """For the symmetric normalisations; "row+loops" has the constants instead, see `constants`."""
        if normalization == "row+loops":
            roots = np.ones(graph.n_nodes)
        else:
            roots = np.sqrt(graph.degrees + (1.0 if normalization == "sym+loops" else 0.0))
        labels = graph.components
        lengths = np.sqrt(np.bincount(labels, weights=roots * roots))
        with np.errstate(invalid="ignore", divide="ignore"):
            entries = np.where(roots > 0, roots / lengths[labels], 0.0)
        return cls(entries, labels, int((lengths > 0).sum()), len(lengths) == 1)

    def coefficients(self, X: AnyArray) -> Array:
        """(c,) or (c, k): u_k^T X."""
        if self.connected:
            return np.asarray(self.entries @ X)[np.newaxis]
        if X.ndim == 1:
            return np.asarray(np.bincount(self.labels, weights=self.entries * X), dtype=np.float64)
        columns = [np.bincount(self.labels, weights=self.entries * column) for column in X.T]
        return np.stack(columns, axis=1)

    def remove(self, X: AnyArray) -> Array:
        """(I - Pi) X, in place, for float64 X (n,) or (n, k)."""
        inside = self.coefficients(X)
        if len(inside) == 1:
            X -= self.entries * inside[0] if X.ndim == 1 else np.outer(self.entries, inside[0])
        else:
            weights = self.entries if X.ndim == 1 else self.entries[:, np.newaxis]
            X -= weights * inside[self.labels]
        return X

    def projector(self) -> Array:
        """Pi, dense (n, n): for small graphs only."""
        same = self.labels[:, np.newaxis] == self.labels
        return np.where(same, np.outer(self.entries, self.entries), 0.0)
